//! Sealed probes: opened for whoever they were sealed by, and taken for one search while they are fresh. Knows no message; searches nothing.
//!
//! What comes first, and why. A repetition of a request whose answer is remembered gets that answer, as with a plain probe: it costs no search and no
//! entry in the history, however old it is by then. Everything else is taken here before it is searched for or recorded, and so at most once: what
//! was taken before is refused, also where its answer is forgotten, outdated, still on its way or was an error. Who has the capture seals it anew.
//!
//! What was taken is remembered until it is too old to be taken, and never forgotten to make room. A capture time that is not later than that of
//! a probe which was forgotten is refused, so that a clock which is set back brings none of them back. Nor does a start: the front takes none that
//! another process before it may have taken.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Front;
use super::authorize::{self, Method};
use super::command::{Probe, RawSignature};
use super::error::FrontError;
use super::identity::Caller;
use super::tenants::Tenant;
use crate::matcher::node::NodeError;
use crate::model::id::{ProbeKeyId, RequestId, TenantId};
use crate::model::principal::Principal;
use crate::model::probe::{ProbeBinding, ProbeMark, ProbePublicKey, SealedProbe};
use crate::model::timestamp::Timestamp;
use crate::telemetry;

/// Probes that are forgotten with each one that comes, at most.
const FORGOTTEN_A_CALL: usize = 64;
/// When to try again at the earliest where no place is free.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(50);

/// How fresh a sealed probe must be, and how many are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SealedConfig {
    /// Longest time from the capture to the arrival, in seconds.
    pub age_seconds_max: u64,
    /// How far a scanner's clock may be ahead, in seconds. For so long after its start a front takes no sealed probe.
    pub ahead_seconds_max: u64,
    /// Probes that are remembered; one tenant has eight ninths of the places at most.
    pub remembered_max: usize,
    /// Of these, those of one principal at most.
    pub remembered_per_scanner_max: usize,
}

impl Default for SealedConfig {
    fn default() -> Self {
        Self {
            age_seconds_max: 60,
            ahead_seconds_max: 5,
            remembered_max: 1_000_000,
            remembered_per_scanner_max: 20_000,
        }
    }
}

/// Why a probe was not taken. Nothing was searched or recorded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealedError {
    /// A plain probe where the policy asks for sealed ones.
    #[error("probe: tenant {0} takes sealed probes alone; send sealed_probe in its place")]
    Required(TenantId),
    /// Sealed with a key that is not the tenant's, or not any more.
    #[error(
        "sealed_probe.key_id: {0} is not the tenant's key; fetch it again with GetProbeKey and seal anew"
    )]
    KeyUnknown(ProbeKeyId),
    /// Damaged, or sealed for another caller, request or capture time. Not told apart.
    #[error("sealed_probe: does not open for this caller, request_id and capture_time_ms")]
    NotOpened,
    /// Captured too long ago, too far in the future, or before the front could know what was taken.
    #[error(
        "sealed_probe.capture_time_ms: {captured_at} is not from {from} to {to}; capture again, and look at the clocks"
    )]
    Stale {
        /// When it was captured, as its sender says.
        captured_at: Timestamp,
        /// What is early enough.
        from: Timestamp,
        /// What is late enough.
        to: Timestamp,
    },
    /// Taken before.
    #[error("sealed_probe: was taken before; seal the capture anew, or capture again")]
    Replayed,
}

impl SealedError {
    /// The outcome as it is counted.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Required(_) => "plain",
            Self::KeyUnknown(_) => "key_unknown",
            Self::NotOpened => "not_opened",
            Self::Stale { .. } => "stale",
            Self::Replayed => "replayed",
        }
    }

    /// The field of the request that is at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Required(_) => "probe",
            Self::KeyUnknown(_) => "sealed_probe.key_id",
            Self::NotOpened | Self::Replayed => "sealed_probe",
            Self::Stale { .. } => "sealed_probe.capture_time_ms",
        }
    }
}

/// The probes that were taken and are not too old yet.
pub(super) struct Taken {
    config: SealedConfig,
    memory: Mutex<Memory>,
}

struct Memory {
    /// By capture time, so that those come first which become too old first.
    probes: BTreeMap<(Timestamp, ProbeMark), Arc<Holder>>,
    /// How many of each tenant.
    tenants: HashMap<TenantId, Held>,
    /// How many of each scanner. All of its probes share the key.
    scanners: HashMap<Arc<Holder>, Held>,
    /// Whatever was captured until then may have been forgotten.
    forgotten: Timestamp,
}

/// Whom a probe is of.
#[derive(PartialEq, Eq, Hash)]
struct Holder {
    tenant: TenantId,
    scanner: Principal,
}

/// The places of a tenant or a scanner.
#[derive(Clone, Copy)]
struct Held {
    probes: usize,
    /// None of them was captured earlier.
    since: Timestamp,
}

impl Held {
    /// Counts one more in its place among `all`.
    fn add<K: Eq + Hash>(all: &mut HashMap<K, Self>, of: K, captured_at: Timestamp) {
        let held = all.entry(of).or_insert(Self {
            probes: 0,
            since: captured_at,
        });
        held.probes += 1;
        held.since = held.since.min(captured_at);
    }

    /// Counts one less, and those that are left come later.
    fn remove<K: Eq + Hash>(all: &mut HashMap<K, Self>, of: &K, captured_at: Timestamp) {
        let held = all.get_mut(of).expect("counted when it was taken");
        held.probes -= 1;
        held.since = captured_at;
        if held.probes == 0 {
            all.remove(of);
        }
    }
}

/// Whether a call has its probe: its second try is no repetition.
#[derive(Default)]
pub(super) struct Once(AtomicBool);

impl Taken {
    /// Remembers nothing yet; `now` is the start.
    pub(super) fn new(config: SealedConfig, now: Timestamp) -> Self {
        let before = now.plus(Duration::from_secs(config.ahead_seconds_max));
        // Capture times are whole milliseconds, and within one no process takes the place of another.
        let forgotten = Timestamp(before.0 - before.0.rem_euclid(1_000) - 1);
        Self {
            config,
            memory: Mutex::new(Memory {
                probes: BTreeMap::new(),
                tenants: HashMap::new(),
                scanners: HashMap::new(),
                forgotten,
            }),
        }
    }

    /// Takes a probe that has opened, or refuses it.
    fn take(
        &self,
        tenant: &TenantId,
        scanner: &Principal,
        probe: &SealedProbe,
        now: Timestamp,
    ) -> Result<(), FrontError> {
        let oldest = now.minus(Duration::from_secs(self.config.age_seconds_max));
        let to = now.plus(Duration::from_secs(self.config.ahead_seconds_max));
        let captured_at = probe.captured_at();
        let mut memory = self.memory.lock();
        memory.forget_some_before(oldest);
        let from = oldest.max(Timestamp(memory.forgotten.0.saturating_add(1)));
        if !(from..=to).contains(&captured_at) {
            return Err(SealedError::Stale {
                captured_at,
                from,
                to,
            }
            .into());
        }
        let key = (captured_at, probe.mark());
        if memory.probes.contains_key(&key) {
            return Err(SealedError::Replayed.into());
        }
        let holder = Holder {
            tenant: tenant.clone(),
            scanner: scanner.clone(),
        };
        if let Some((limit, value, since)) = self.exhausted(&memory, &holder) {
            let micros = u64::try_from(since.0.saturating_sub(oldest.0)).unwrap_or_default();
            return Err(NodeError::Exhausted {
                limit,
                value: value as u64,
                retry_after: Duration::from_micros(micros).max(RETRY_AFTER_MIN),
            }
            .into());
        }
        memory.remember(key, holder);
        Ok(())
    }

    /// The limit that one more probe would be over, and since when the oldest of those that take its places was captured.
    fn exhausted(&self, memory: &Memory, holder: &Holder) -> Option<(&'static str, usize, Timestamp)> {
        let SealedConfig {
            remembered_max: all,
            remembered_per_scanner_max: each,
            ..
        } = self.config;
        let first = memory.probes.first_key_value();
        let total = first.map(|((since, _), _)| Held {
            probes: memory.probes.len(),
            since: *since,
        });
        let of_scanner = memory.scanners.get(holder).copied();
        let of_tenant = memory.tenants.get(&holder.tenant).copied();
        [
            ("sealed_probes.remembered_per_scanner_max", each, each, of_scanner),
            ("sealed_probes.remembered_max", all, all - all / 9, of_tenant),
            ("sealed_probes.remembered_max", all, all, total),
        ]
        .into_iter()
        .find_map(|(limit, value, max, held)| {
            held.filter(|held| held.probes >= max)
                .map(|held| (limit, value, held.since))
        })
    }
}

impl Memory {
    fn remember(&mut self, key: (Timestamp, ProbeMark), holder: Holder) {
        let known = self.scanners.get_key_value(&holder);
        let holder = known.map_or_else(|| Arc::new(holder), |(known, _)| Arc::clone(known));
        Held::add(&mut self.tenants, holder.tenant.clone(), key.0);
        Held::add(&mut self.scanners, Arc::clone(&holder), key.0);
        self.probes.insert(key, holder);
    }

    /// More than one call brings, and not so many that others wait for it.
    fn forget_some_before(&mut self, oldest: Timestamp) {
        for _ in 0..FORGOTTEN_A_CALL {
            let Some(first) = self.probes.first_entry().filter(|first| first.key().0 < oldest) else {
                return;
            };
            let ((captured_at, _), holder) = first.remove_entry();
            self.forgotten = self.forgotten.max(captured_at);
            Held::remove(&mut self.tenants, &holder.tenant, captured_at);
            Held::remove(&mut self.scanners, &holder, captured_at);
        }
    }
}

impl Front {
    /// What the caller seals probes with, and for which tenant.
    pub async fn probe_key(
        &self,
        caller: &Caller,
        named: Option<TenantId>,
    ) -> Result<(TenantId, ProbePublicKey), FrontError> {
        let member = authorize::gallery(caller, Method::GetProbeKey, named.as_ref())?;
        let tenant = self.tenant_of(&member).await?;
        Ok((member.tenant, tenant.probe_key.public().clone()))
    }

    /// Takes a sealed probe for what is done with it next. The same call may ask again.
    pub(super) fn take(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        probe: &Probe,
        once: &Once,
    ) -> Result<(), FrontError> {
        let Probe::Sealed { probe, .. } = probe else {
            return Ok(());
        };
        if !once.0.load(Ordering::Relaxed) {
            self.taken
                .take(tenant.id(), &caller.principal, probe, Timestamp::now())?;
            once.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The probe in the clear.
pub(super) fn open<'a>(
    tenant: &Tenant,
    caller: &Caller,
    request_id: &RequestId,
    probe: &'a Probe,
) -> Result<Cow<'a, RawSignature>, FrontError> {
    let (sealed, read) = match probe {
        Probe::Plain(_) if tenant.spec.policy.sealed_probes => {
            return Err(SealedError::Required(tenant.id().clone()).into());
        }
        Probe::Plain(raw) => return Ok(Cow::Borrowed(raw)),
        Probe::Sealed { probe, read } => (probe, read),
    };
    if *sealed.key_id() != tenant.probe_key.public().id {
        return Err(SealedError::KeyUnknown(sealed.key_id().clone()).into());
    }
    let binding = ProbeBinding {
        tenant: tenant.id(),
        scanner: &caller.principal,
        request_id,
    };
    let plain = tenant.probe_key.open(sealed, &binding);
    // Wiped when the last of what is read from it is dropped.
    let plain = Bytes::from_owner(plain.map_err(|_| SealedError::NotOpened)?);
    metrics::counter!(telemetry::SEALED_PROBES, "outcome" => "opened").increment(1);
    Ok(Cow::Owned(read(plain, sealed.captured_at())?))
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
