//! The attacks by name: how each is run, and what shows in the server's own counts that it took place. Measures nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thenar::client::Credentials;
use tokio::sync::watch;

use super::counters::Counters;
use super::field::Field;
use super::{broken, flood, idle, limits, slow};
use crate::Failure;
use crate::live::calls;

/// Connections of one SPIFFE id that the server's default allows.
const PER_CALLER_MAX: usize = 128;
/// A palm of 256 coordinates in half precision, each a sixteenth: nobody's. With another dimension it is refused, and counts all the same.
const NOBODY: [[u8; 2]; 256] = [[0x00, 0x2c]; 256];

/// How strong the attacks are.
#[derive(Debug, Clone, Copy)]
pub struct Strength {
    /// Connections that rest.
    pub idle: usize,
    /// Broken handshakes a second.
    pub broken: u32,
    /// Calls a second over the quota.
    pub flood: u32,
}

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Handshakes, prefaces, headers and bodies that come one byte at a time.
    SlowLoris,
    /// Handshakes of one address that never begin.
    SilentHandshakes,
    /// Connections of many certificates that rest.
    IdleManyCallers,
    /// Connections of one certificate, of which most are closed.
    IdleOneCaller,
    /// Handshakes that break.
    BrokenHandshakes,
    /// Messages at and over every limit.
    Limits,
    /// Calls beyond a quota.
    Flood,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SlowLoris,
        Self::SilentHandshakes,
        Self::IdleManyCallers,
        Self::IdleOneCaller,
        Self::BrokenHandshakes,
        Self::Limits,
        Self::Flood,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowLoris => "slow_loris",
            Self::SilentHandshakes => "silent_handshakes",
            Self::IdleManyCallers => "idle_many_callers",
            Self::IdleOneCaller => "idle_one_caller",
            Self::BrokenHandshakes => "broken_handshakes",
            Self::Limits => "limits",
            Self::Flood => "flood",
        }
    }

    /// The network of its addresses, and how many it has. Good clients have one of their own.
    pub(super) fn sources(self) -> (u8, u8) {
        match self {
            // So few handshakes of each that none is closed for its address.
            Self::SlowLoris => (1, 16),
            Self::SilentHandshakes => (2, 1),
            Self::IdleManyCallers => (3, 16),
            Self::IdleOneCaller => (4, 16),
            // Each has some thousand ports that were used lately.
            Self::BrokenHandshakes => (5, 64),
            Self::Limits => (6, 16),
            Self::Flood => (7, 1),
        }
    }

    /// Goes on for as long as it is polled. `is_up` is set once it has all that it wants.
    pub(super) async fn run(
        self,
        field: Arc<Field>,
        strength: Strength,
        shown: Credentials,
        is_up: watch::Sender<bool>,
    ) -> Result<(), Failure> {
        if !matches!(self, Self::IdleManyCallers | Self::IdleOneCaller) {
            is_up.send_replace(true);
        }
        match self {
            Self::SlowLoris => slow::run(field).await,
            Self::SilentHandshakes => slow::silent(field).await,
            Self::IdleManyCallers => idle::run(field, strength.idle, false, is_up).await,
            Self::IdleOneCaller => idle::run(field, strength.idle, true, is_up).await,
            Self::BrokenHandshakes => broken::run(field, strength.broken).await,
            Self::Limits => limits::run(field).await,
            Self::Flood => {
                let client = calls::connect(&field.address.to_string(), &shown).await?;
                flood::run(field, client, NOBODY.concat(), strength.flood).await;
            }
        }
        Ok(())
    }

    /// What shows that it took place; an error where that is too little.
    pub(super) fn took_place(
        self,
        strength: Strength,
        field: &Field,
        (before, during): (&Counters, &Counters),
        took: Duration,
    ) -> Result<BTreeMap<String, f64>, Failure> {
        let mut proof = Proof {
            attack: self.name(),
            found: field
                .all()
                .into_iter()
                .map(|(name, count)| (name.to_owned(), to_f64(count)))
                .collect(),
        };
        let since = |name: &str, label: &str| during.sum(name, label) - before.sum(name, label);
        let closed = |limit: &str| since("thenar_connections_refused_total", limit);
        let there = during.sum("thenar_connections", "");
        let broken = since("thenar_handshakes_refused_total", "");
        let idle = to_f64(strength.idle as u64);
        let seconds = took.as_secs_f64();
        match self {
            Self::SlowLoris => {
                proof.at_least("server_handshakes_refused", broken, f64::from(slow::EACH))?;
                proof.at_least("server_connections", there, 2.0 * f64::from(slow::EACH))?;
                proof.deeds(
                    &["bodies_ended", "headers_begun", "prefaces_begun"],
                    u64::from(slow::EACH),
                )?;
            }
            Self::SilentHandshakes => {
                let full = closed("listen.handshakes_per_address_max");
                proof.at_least("server_closed_for_address", full, f64::from(slow::SILENT))?;
            }
            Self::IdleManyCallers => proof.at_least("server_connections", there, 0.99 * idle)?,
            Self::IdleOneCaller => {
                let own = to_f64(PER_CALLER_MAX as u64);
                proof.at_least("server_connections", there, own)?;
                let full = closed("listen.connections_per_caller_max");
                proof.at_least("server_closed_for_caller", full, 0.99 * (idle - own))?;
            }
            Self::BrokenHandshakes => {
                let wanted = 0.8 * f64::from(strength.broken) * seconds;
                proof.at_least("server_handshakes_refused", broken, wanted)?;
            }
            Self::Limits => {
                let refused = since("thenar_requests_total", "code=\"INVALID_ARGUMENT\"");
                proof.at_least("server_invalid", refused, 100.0)?;
                proof.deeds(&limits::DEEDS, 20)?;
            }
            Self::Flood => {
                let refused = since("thenar_refusals_total", "quotas.scanner.per_second");
                let wanted = 0.5 * f64::from(strength.flood) * seconds;
                proof.at_least("server_refused_by_quota", refused, wanted)?;
            }
        }
        Ok(proof.found)
    }
}

/// What was found, and what of it was too little.
struct Proof {
    attack: &'static str,
    found: BTreeMap<String, f64>,
}

impl Proof {
    fn at_least(&mut self, what: &str, found: f64, wanted: f64) -> Result<(), Failure> {
        self.found.insert(what.to_owned(), found);
        if found >= wanted {
            return Ok(());
        }
        Err(format!(
            "{} did not take place: {what} is {found}, at least {wanted:.0} are expected; {:?}",
            self.attack, self.found
        )
        .into())
    }

    /// Each of these was done so often.
    fn deeds(&mut self, names: &[&str], wanted: u64) -> Result<(), Failure> {
        for name in names {
            let found = self.found.get(*name).copied().unwrap_or_default();
            self.at_least(name, found, to_f64(wanted))?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
