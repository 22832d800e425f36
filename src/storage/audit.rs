//! Holds a tenant's history against its chain, its checkpoints and its receipts, beside a running server or without one. Changes nothing.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;
use std::vec::IntoIter;

use rusqlite::{Connection, Row};

use super::catalog::chain::{self, Chain, Digest};
use super::catalog::code::uint;
use super::catalog::local::history::{self, EVENT_COLUMNS};
use super::catalog::local::{self, erasure};
use super::catalog::page::PageSeal;
use super::catalog::seam::NUMBERS_PASSED;
use super::catalog::state::State;
use super::catalog::{connection, erase, schema};
use super::data_dir;
use super::error::StorageError;
use super::store::CATALOG_FILE;
use crate::keys::encoding::to_hex;
use crate::keys::receipt::{self, SignerKeys};
use crate::keys::secret::SecretKey;
use crate::model::checkpoint::{ChainStart, Checkpoint};
use crate::model::erasure::Removed;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;

/// Faults of events, and as many of none, after which the rest is counted and not listed.
const FAULTS_MAX: usize = 100;

/// A checkpoint that stands, and what it is called in words.
pub type Named = (String, Checkpoint);

/// What was looked at and what was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Events that are there.
    pub events: u64,
    /// Events that erasures removed since the chain began.
    pub erased: u64,
    /// Number of the last event; 0 where there is none.
    pub last: u64,
    /// Head of the chain there, hexadecimal.
    pub head: String,
    /// Where the chain begins.
    pub since: ChainStart,
    /// Checkpoints that the chain passes through.
    pub checkpoints: u64,
    /// The last event that one of them is over.
    pub confirmed: u64,
    /// Numbers that restores passed over, first and last of each.
    pub passed: Vec<(u64, u64)>,
    /// What is not as it was recorded, in the order of the events.
    pub faults: Vec<Fault>,
    /// Further faults, which are not listed.
    pub faults_more: u64,
}

/// Something that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first event that it may be; `None` where it is of no event.
    pub event: Option<u64>,
    /// What it is, in words.
    pub what: String,
}

/// Audits the history of a tenant of the data directory at `data`, which another process may serve, against its own checkpoints and those in `against`,
/// which are of this tenant and signed. Never in the process that serves it: closing a file here would let go the locks that `SQLite` has on it.
pub fn audit(
    data: &Path,
    tenant: &TenantId,
    data_key: &SecretKey,
    signers: &SignerKeys,
    against: &[Named],
) -> Result<Audit, StorageError> {
    let catalog = data_dir::tenant_path(data, tenant).join(CATALOG_FILE);
    let look = || {
        let conn = connection::open_reader(&catalog, &Arc::new(PageSeal::new(data_key)))?;
        schema::check(&conn, &catalog)?;
        // One moment for everything.
        let tx = conn.unchecked_transaction()?;
        let spec = local::read_spec(&tx, &catalog, tenant)?;
        if schema::version(&tx)? < schema::VERSION {
            let mut audit = Audit::default();
            let what = "the catalog is of an earlier release; its chain begins when a server opens it";
            audit.fault(None, what.to_owned());
            return Ok(audit);
        }
        walk(&tx, &spec, signers, against)
    };
    look().map_err(|error| local::name_catalog(error, &catalog))
}

impl Audit {
    /// Of a history that can't be read.
    pub fn failed(error: &dyn std::error::Error) -> Self {
        let mut audit = Self::default();
        audit.fault(None, error.to_string());
        audit
    }

    fn fault(&mut self, event: Option<u64>, what: String) {
        let alike = self
            .faults
            .iter()
            .filter(|fault| fault.event.is_some() == event.is_some());
        if alike.count() < FAULTS_MAX {
            self.faults.push(Fault { event, what });
        } else {
            self.faults_more += 1;
        }
    }

    /// The first event after `confirmed` that was found not to fit.
    fn first_after(&self, confirmed: u64) -> Option<u64> {
        let events = self.faults.iter().filter_map(|fault| fault.event);
        events.filter(|event| *event > confirmed).min()
    }
}

fn walk(
    conn: &Connection,
    spec: &TenantSpec,
    signers: &SignerKeys,
    against: &[Named],
) -> Result<Audit, StorageError> {
    let chain = history::chain(conn)?;
    let state = State::load(conn)?;
    let mut audit = Audit {
        since: chain.since,
        ..Audit::default()
    };
    let accounted = accounted(conn, (&spec.id, signers), &state, &mut audit)?;
    let mut checkpoints = stored(conn, signers, &chain, &mut audit)?;
    checkpoints.extend(against.iter().cloned());
    checkpoints.retain(|checkpoint| is_of(checkpoint, spec, &mut audit));
    checkpoints.sort_by_key(|(_, checkpoint)| checkpoint.event);
    let mut walk = Walk {
        audit,
        accounted,
        erasures: state.last_erasure,
        checkpoints: checkpoints.into_iter().peekable(),
        head: [0; 32],
    };
    let mut statement = conn.prepare(&format!(
        "SELECT {EVENT_COLUMNS}, u.commitment, u.salt FROM usage u LEFT JOIN subject s ON s.handle = u.subject
         UNION ALL SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, commitment, NULL FROM usage_erased ORDER BY 1"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        walk.event(row, &spec.id)?;
    }
    walk.end(&state, chain.erased);
    Ok(walk.audit)
}

/// What the receipts up to each erasure say of events removed since the chain began.
fn accounted(
    conn: &Connection,
    (tenant, signers): (&TenantId, &SignerKeys),
    state: &State,
    audit: &mut Audit,
) -> Result<BTreeMap<u64, u64>, StorageError> {
    let mut sums = BTreeMap::new();
    let mut sum = 0_u64;
    for erasure in erasure::all(conn)? {
        let Some(stored) = erasure::find(conn, erasure)?.filter(|_| erasure > audit.since.erasure) else {
            continue;
        };
        match erase::signed_here_or_before(&stored, tenant, signers) {
            Ok(signed) => sum = removed(erasure, signed.removed, audit).saturating_add(sum),
            Err(error) => audit.fault(None, format!("erasure {erasure}: {error}")),
        }
        sums.insert(erasure, sum);
    }
    if let Some((&erasure, _)) = sums.last_key_value()
        && erasure > state.last_erasure
    {
        let what = format!(
            "erasure {erasure} is there, and numbers were given out up to {} alone",
            state.last_erasure
        );
        audit.fault(None, what);
    }
    Ok(sums)
}

/// How many events an erasure removed, by its receipt.
fn removed(erasure: u64, removed: Option<Removed>, audit: &mut Audit) -> u64 {
    let Some(removed) = removed else { return 0 };
    if removed.usage_events_altered > 0 {
        let what = format!(
            "erasure {erasure}: {} of the {} events that it removed were not as they had been recorded",
            removed.usage_events_altered, removed.usage_events
        );
        audit.fault(None, what);
    }
    removed.usage_events
}

/// The catalog's own checkpoints that are signed. The last one is by the present key, and of the head that the chain was computed to; earlier ones may be of servers that had the tenant before.
fn stored(
    conn: &Connection,
    signers: &SignerKeys,
    chain: &Chain,
    audit: &mut Audit,
) -> Result<Vec<Named>, StorageError> {
    let mut named: Vec<Named> = Vec::new();
    let mut last = (0, to_hex(&[0; 32]));
    let checkpoints = history::checkpoints(conn)?;
    let newest = checkpoints.last().map(|(number, _)| *number);
    for (number, signed) in checkpoints {
        let name = format!("checkpoint {number} of the catalog");
        let verified = if Some(number) == newest {
            receipt::verify_checkpoint_of(&signed, &signers.present)
        } else {
            signers.verify_checkpoint(&signed)
        };
        match verified {
            Ok(checkpoint) => {
                last = (checkpoint.event, checkpoint.head.clone());
                named.push((name, checkpoint));
            }
            Err(error) => audit.fault(None, format!("{name}: {error}")),
        }
    }
    if last != (chain.event, to_hex(&chain.head)) {
        let what = format!(
            "the catalog's last checkpoint is of event {}, and a head of event {} was computed with one: it was removed, or another was put there",
            last.0, chain.event
        );
        audit.fault(None, what);
    }
    Ok(named)
}

/// Whether a checkpoint is of this chain.
fn is_of((name, checkpoint): &Named, spec: &TenantSpec, audit: &mut Audit) -> bool {
    let fault = if (&checkpoint.tenant, checkpoint.created_at) != (&spec.id, spec.created_at) {
        "it is of another tenant, or of one that had this name before".to_owned()
    } else if checkpoint.since != audit.since {
        format!(
            "it is of a chain that began after event {} and erasure {}; this one began after event {} and erasure {}, as after a restore of an earlier release's backup",
            checkpoint.since.event, checkpoint.since.erasure, audit.since.event, audit.since.erasure
        )
    } else {
        return true;
    };
    audit.fault(None, format!("{name}: {fault}"));
    false
}

/// The way along the chain, in the order of the events. `audit.last` is the last event so far.
struct Walk {
    audit: Audit,
    accounted: BTreeMap<u64, u64>,
    /// Number of the last erasure.
    erasures: u64,
    checkpoints: Peekable<IntoIter<Named>>,
    head: Digest,
}

impl Walk {
    fn event(&mut self, row: &Row<'_>, tenant: &TenantId) -> rusqlite::Result<()> {
        let number = uint(row, 0)?;
        // One of another length is none that was ever made.
        let commitment: Digest = row.get(8).unwrap_or_default();
        let is_erased = row.get_ref(9)? == rusqlite::types::ValueRef::Null;
        if number == self.audit.last {
            let what = format!("event {number} is there and erased");
            self.audit.fault(Some(number), what);
            return Ok(());
        }
        self.step_over(number);
        if is_erased {
            self.audit.erased += 1;
            if row.get::<_, Digest>(8).is_err() {
                let what =
                    format!("event {number} was erased, and its commitment is none that was ever made");
                self.audit.fault(Some(number), what);
            }
        } else {
            self.audit.events += 1;
            if !history::fits(row, tenant) {
                let what =
                    format!("event {number} is not as it was recorded: it does not fit its commitment");
                self.audit.fault(Some(number), what);
            }
        }
        self.head = chain::next_head(&self.head, number, &commitment);
        self.audit.last = number;
        Ok(())
    }

    /// The first number that an event before `next` should have and none has. Those that went before the chain began left nothing.
    fn missing(&self, next: u64) -> Option<u64> {
        let first = self.audit.last.max(self.audit.since.event) + 1;
        (first < next).then_some(first)
    }

    /// Goes from the last event to `next`: over checkpoints, and over numbers that no event has.
    fn step_over(&mut self, next: u64) {
        self.hold(Some(next));
        match self.missing(next) {
            None => {}
            Some(first) if is_passed(first, next) => self.audit.passed.push((first, next - 1)),
            Some(first) => {
                let what = format!("event {first} is missing, and was not erased; the next one is {next}");
                self.audit.fault(Some(first), what);
            }
        }
    }

    /// Holds the checkpoints before event `next`, or all that are left, against the chain.
    fn hold(&mut self, next: Option<u64>) {
        let is_before = |(_, checkpoint): &Named| next.is_none_or(|next| checkpoint.event < next);
        while let Some((name, checkpoint)) = self.checkpoints.next_if(is_before) {
            let (at, last, confirmed) = (checkpoint.event, self.audit.last, self.audit.confirmed);
            if at > last {
                let what = match next {
                    None => format!(
                        "the history ends at event {last}, {name} says {at}: what came after was cut off, or an older state was put back"
                    ),
                    Some(next) if is_passed(last + 1, next) => format!(
                        "the history ends at event {last}, {name} says {at}: a restore of an older backup went on from there with event {next}"
                    ),
                    Some(_) => format!("{name} is of event {at}, which is missing"),
                };
                self.audit.fault(Some(last + 1), what);
                continue;
            }
            if checkpoint.head != to_hex(&self.head) {
                let first = self.audit.first_after(confirmed).unwrap_or(confirmed + 1);
                let what = format!(
                    "{name}: the chain has another head at event {at}: one of the events from {first} on is not as it was recorded"
                );
                self.audit.fault(Some(first), what);
                continue;
            }
            self.audit.confirmed = at;
            self.audit.checkpoints += 1;
            if checkpoint.erasures > self.erasures {
                let what = format!(
                    "{name}: there had been {} erasures, and the catalog knows of {} alone: an older state was put back",
                    checkpoint.erasures, self.erasures
                );
                self.audit.fault(None, what);
            }
            let accounted = self.accounted.range(..=checkpoint.erasures).next_back();
            let accounted = accounted.map_or(0, |(_, sum)| *sum);
            if checkpoint.events_erased != accounted {
                let what = format!(
                    "{name}: {} events had been erased by erasure {}; the receipts up to that account for {accounted}",
                    checkpoint.events_erased, checkpoint.erasures
                );
                self.audit.fault(None, what);
            }
        }
    }

    fn end(&mut self, state: &State, counted: u64) {
        let (last, given_out) = (self.audit.last, state.last_usage);
        if given_out < last {
            let what = format!("event {last} is there, and numbers were given out up to {given_out} alone");
            self.audit.fault(Some(given_out + 1), what);
        } else {
            self.step_over(given_out + 1);
        }
        self.hold(None);
        let erased = self.audit.erased;
        let accounted = self.accounted.values().next_back().copied().unwrap_or(0);
        if (erased, erased) != (accounted, counted) {
            let what = format!(
                "{erased} events are erased; the receipts account for {accounted}, and the catalog counts {counted}"
            );
            self.audit.fault(None, what);
        }
        self.audit.head = to_hex(&self.head);
    }
}

/// Whether a restore passed over the numbers from `first` to before `next`.
fn is_passed(first: u64, next: u64) -> bool {
    (next - first).is_multiple_of(NUMBERS_PASSED)
}

#[cfg(test)]
#[path = "audit_erasure_tests.rs"]
mod erasure_tests;
#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
