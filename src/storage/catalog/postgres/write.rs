//! Writes to a catalog in a database: each method one transaction, which locks the tenant's row before anything else. Decides what belongs together; what a
//! group does is left to the rules.
//!
//! A writer that is *alone* goes on from the row as it last wrote it. One that finds another number of changes there is told that somebody else writes, and
//! refuses from then on: what its process holds of the tenant in memory is not what the tenant is. The *nodes of a cluster* go on from the row as they find it, and
//! write into the feed what they change of the gallery; each of their transactions begins with whether the node is still who it thinks (rule W2).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Tenant;
use super::feed::Told;
use super::head::{self, Head};
use super::register::Standing;
use super::sealing::{EpochSeal, with_keys};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::draft::Draft;
use crate::storage::catalog::draft::needs::Needs;
use crate::storage::catalog::erase::Trace;
use crate::storage::catalog::group::{self, Rules};
use crate::storage::catalog::import::ImportedRows;
use crate::storage::catalog::seam::{Before, Flushed, NextGeneration, TraceOf, WriteCatalog};
use crate::storage::catalog::segments::{SegmentEntry, Tombstone};
use crate::storage::catalog::state::State;
use crate::storage::catalog::{chain, erase};
use crate::storage::database::transaction::{Transaction, Uncommitted};
use crate::storage::error::StorageError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::RowId;
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{Answers, ImportAnswer, Write};

/// How often a transaction is done that the server calls off for others' sake.
const TRIES: usize = 5;

/// Who else writes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// Nobody.
    Alone,
    /// Other nodes; this is the one that writes here.
    Shared(Standing),
}

/// Writes a catalog in a database.
pub(super) struct PostgresWriter {
    tenant: Arc<Tenant>,
    mode: Mode,
    /// As the last transaction left it, but for numbers that were given out since. Where others write it is no more than that.
    head: Head,
    /// Why every write is refused.
    poison: Option<Poison>,
}

/// What rules run within, beside the rows that were read for them.
struct Within<'a> {
    tenant: &'a Tenant,
    transaction: &'a Transaction,
    head: &'a Head,
}

impl Within<'_> {
    /// What the rules need of it.
    fn rules<'a>(&'a self, trace: &'a TraceOf<'a>) -> Rules<'a> {
        Rules {
            spec: &self.head.spec,
            signer: &self.tenant.signer,
            trace,
        }
    }
}

/// Why a writer goes on no more.
enum Poison {
    /// By its own doing: opened again, the catalog says what is so.
    Doubt(String),
    /// Somebody else writes.
    Overtaken(String),
}

impl PostgresWriter {
    /// Of this tenant's, whose row was just read.
    pub(super) fn new(tenant: Arc<Tenant>, head: Head, mode: Mode) -> Self {
        Self {
            tenant,
            mode,
            head,
            poison: None,
        }
    }

    /// The tenant as of the last transaction.
    pub(super) fn spec(&self) -> &TenantSpec {
        &self.head.spec
    }

    /// Begins a transaction; gives the head that it goes on from, locked. Of keys that were rotated since the catalog was opened it is refused, unless it is of `any_keys`.
    fn begin(&self, any_keys: bool) -> Result<(Transaction, Head), StorageError> {
        let (tenant, seen) = (&*self.tenant, self.tenant.seen());
        let (transaction, found) = match self.mode {
            Mode::Alone => {
                let (transaction, rows) = tenant.database.begin(head::lock(tenant.number))?;
                (transaction, tenant.look(Head::of(tenant, rows.first())?, seen)?)
            }
            Mode::Shared(standing) => {
                let (transaction, head, _) = tenant.begin(standing)?;
                let head = if any_keys {
                    head
                } else {
                    tenant.of_these_keys(head)?
                };
                return Ok((transaction, head));
            }
        };
        if found.state.commits != self.head.state.commits {
            return Err(StorageError::Overtaken(format!(
                "it has change {}, and this process made no more than {}",
                found.state.commits, self.head.state.commits
            )));
        }
        Ok((transaction, self.head.clone()))
    }

    /// Does work as one transaction, whole or not at all, and the head as it leaves it. `before` is told what will be so; nothing is done again after it was.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnMut(&Tenant, &Transaction, &mut Head) -> Result<T, StorageError>,
        before: impl FnMut(&T) -> Result<bool, StorageError>,
    ) -> Result<T, StorageError> {
        self.transact_with(false, work, before)
    }

    /// The same whatever keys the tenant has by now: for what touches nothing that is sealed with them.
    pub(super) fn transact_with_any_keys<T>(
        &mut self,
        work: impl FnMut(&Tenant, &Transaction, &mut Head) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.transact_with(true, work, |_| Ok(false))
    }

    fn transact_with<T>(
        &mut self,
        any_keys: bool,
        mut work: impl FnMut(&Tenant, &Transaction, &mut Head) -> Result<T, StorageError>,
        mut before: impl FnMut(&T) -> Result<bool, StorageError>,
    ) -> Result<T, StorageError> {
        self.check()?;
        let tenant = Arc::clone(&self.tenant);
        let mut tried = 0;
        loop {
            tried += 1;
            let mut is_told = false;
            let mut attempt = || {
                let (transaction, mut head) = self.begin(any_keys)?;
                let done = work(&tenant, &transaction, &mut head)?;
                is_told = before(&done)?;
                head.state.commits += 1;
                match transaction.commit(vec![head.update(&tenant)]) {
                    Ok(()) => Ok((done, head)),
                    Err(Uncommitted::Undone(error)) => Err(error),
                    Err(Uncommitted::Unknown(problem)) => Err(self.unknown(problem)),
                }
            };
            match attempt() {
                Ok((done, head)) => {
                    self.tenant
                        .seen
                        .fetch_max(head.state.commits, std::sync::atomic::Ordering::SeqCst);
                    self.head = head;
                    return Ok(done);
                }
                Err(StorageError::Database { passing: true, .. }) if tried < TRIES && !is_told => {}
                Err(StorageError::Poisoned(reason)) => {
                    self.poison(&reason);
                    return Err(StorageError::Poisoned(reason));
                }
                Err(StorageError::Overtaken(reason)) => {
                    self.poison = Some(Poison::Overtaken(reason.clone()));
                    return Err(StorageError::Overtaken(reason));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A commit of unknown outcome. Who is alone holds in memory what may not be so; who is not reads the row again anyway.
    fn unknown(&self, problem: String) -> StorageError {
        match self.mode {
            Mode::Alone => {
                StorageError::Poisoned(format!("it can't be told whether a commit was done: {problem}"))
            }
            Mode::Shared(_) => StorageError::Uncertain(problem),
        }
    }

    /// Runs rules over the rows that they need, and writes what they did. Where a key is not in memory that another node has made, nothing is done ([`with_keys`]).
    fn draft<T>(
        &mut self,
        needs: impl Fn(&Head) -> Needs,
        told: Told,
        mut rules: impl FnMut(&mut Draft<'_>, &mut State, &Within<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let is_shared = matches!(self.mode, Mode::Shared(_));
        self.transact(
            |tenant, transaction, head| {
                let before = head.state.sequence;
                let mut needs = needs(head);
                let facts = tenant.facts(transaction, &mut needs, head)?;
                let epoch = needs.seals.then(|| tenant.epoch_known(head.epoch)).transpose()?;
                let seal = |reference, exact: &[u8]| {
                    let epoch = epoch.as_ref().expect("the needs of the group say that it seals");
                    epoch.seal(reference, exact)
                };
                let mut draft = Draft::new(&needs, facts, &seal);
                let mut state = head.state;
                let within = Within {
                    tenant,
                    transaction,
                    head,
                };
                let done = rules(&mut draft, &mut state, &within)?;
                head.state = state;
                let mut changes = draft.changes();
                if is_shared {
                    tenant.bury_warming(transaction, &mut changes)?;
                    tenant.bury_merging(transaction, &changes.tombstones_added)?;
                    tenant.tell_of(transaction, before..head.state.sequence, &changes, told)?;
                }
                tenant.write(transaction, head, &changes)?;
                Ok(done)
            },
            |_| Ok(false),
        )
    }
}

impl PostgresWriter {
    /// As [`WriteCatalog::commit`], of writes that stay the caller's, and of segments that other nodes exchange: `trace` is told which object has a segment now. `known` are segments that it
    /// will be asked of.
    pub(super) fn commit_shared(
        &mut self,
        group: &[Write],
        now: Timestamp,
        known: &BTreeSet<u32>,
        trace: &dyn Fn(&SegmentEntry, u32) -> Result<Trace, StorageError>,
    ) -> Result<Answers, StorageError> {
        if group.is_empty() {
            return Ok(Answers::new());
        }
        self.draft(
            |head| Needs::of(group, &head.state),
            Told::Each,
            |draft, state, within| {
                let (tenant, transaction) = (within.tenant, within.transaction);
                let listed = RefCell::new(tenant.entries(transaction, known)?);
                let trace = |segment, row| {
                    let found = listed.borrow().get(&segment).copied();
                    let entry = match found {
                        Some(entry) => entry,
                        None => tenant.listed(transaction, segment)?.0,
                    };
                    listed.borrow_mut().insert(segment, entry);
                    trace(&entry, row)
                };
                group::commit(draft, state, &within.rules(&trace), group, now)
            },
        )
    }
}

impl PostgresWriter {
    /// Seals what is pending anew under the key of the epoch that comes after this one; `false` where another one has come.
    pub(super) fn turn(&mut self, epoch: u64, seal: &EpochSeal) -> Result<bool, StorageError> {
        self.transact(
            |tenant, transaction, head| {
                if head.epoch != epoch {
                    return Ok(false);
                }
                head.epoch = seal.epoch;
                tenant.reseal(transaction, seal, (None, head.spec.dimension))?;
                Ok(true)
            },
            |_| Ok(false),
        )
    }
}

impl WriteCatalog for PostgresWriter {
    fn state(&self) -> State {
        self.head.state
    }

    fn check(&self) -> Result<(), StorageError> {
        match &self.poison {
            Some(Poison::Doubt(reason)) => Err(StorageError::Poisoned(reason.clone())),
            Some(Poison::Overtaken(reason)) => Err(StorageError::Overtaken(reason.clone())),
            None => Ok(()),
        }
    }

    fn confirm(&mut self) -> Result<(), StorageError> {
        self.transact(|_, _, _| Ok(()), |()| Ok(false))
    }

    fn poison(&mut self, reason: &str) {
        self.poison
            .get_or_insert_with(|| Poison::Doubt(reason.to_owned()));
    }

    /// Who is alone gives numbers out from memory: nobody else does and goes on. Others take them in a transaction.
    fn reserve(&mut self, count: u64) -> Result<(u64, u64), StorageError> {
        let take = |state: &mut State| {
            let before = (state.last_reference, state.last_subject);
            state.last_reference += count;
            state.last_subject += count;
            before
        };
        match self.mode {
            Mode::Alone => Ok(take(&mut self.head.state)),
            Mode::Shared(_) => self.transact(|_, _, head| Ok(take(&mut head.state)), |_| Ok(false)),
        }
    }

    fn commit(
        &mut self,
        group: Vec<Write>,
        now: Timestamp,
        trace: &TraceOf<'_>,
    ) -> Result<Answers, StorageError> {
        if group.is_empty() {
            return Ok(Answers::new());
        }
        let tenant = Arc::clone(&self.tenant);
        with_keys(&tenant, || {
            self.draft(
                |head| Needs::of(&group, &head.state),
                Told::Each,
                |draft, state, within| {
                    let rules = within.rules(trace);
                    group::commit(draft, state, &rules, &group, now)
                },
            )
        })
    }

    fn checkpoint(&mut self) -> Result<SignedCheckpoint, StorageError> {
        self.draft(
            |_| Needs::of_checkpoint(),
            Told::Each,
            |draft, state, within| {
                chain::checkpoint(draft, state, (&within.head.spec, &within.tenant.signer))
            },
        )
    }

    fn flush(
        &mut self,
        written: &WrittenSegment,
        ids: &[RowId],
        before: &mut Before<'_, Flushed>,
    ) -> Result<Flushed, StorageError> {
        let mode = self.mode;
        self.transact(
            |tenant, transaction, head| match mode {
                Mode::Alone => tenant.flush(transaction, head, written, ids),
                Mode::Shared(_) => tenant.flush_unfollowed(transaction, head, written, ids),
            },
            |flushed| before(flushed).map(|()| true),
        )
    }

    fn import(
        &mut self,
        imported: &ImportedRows<'_>,
        now: Timestamp,
        before: &mut Before<'_, [SegmentEntry]>,
    ) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
        let is_shared = matches!(self.mode, Mode::Shared(_));
        self.transact(
            |tenant, transaction, head| tenant.import(transaction, head, imported, now, is_shared),
            |(_, entries)| before(entries).map(|()| true),
        )
    }

    fn replace(
        &mut self,
        segment: u32,
        written: &WrittenSegment,
        gone: &[Tombstone],
    ) -> Result<(), StorageError> {
        self.transact(
            |tenant, transaction, head| tenant.replace(transaction, head, (segment, None), written, gone),
            |()| Ok(false),
        )
    }

    fn forget_copies(&mut self) -> Result<bool, StorageError> {
        self.check()?;
        let tenant = Arc::clone(&self.tenant);
        let epoch = match self.mode {
            Mode::Alone => self.head.epoch,
            Mode::Shared(_) => tenant.head()?.epoch,
        };
        tenant.forget_copies(epoch, |seal| self.turn(epoch, seal))
    }

    fn mark_purged(&mut self, erasures: &[u64], now: Timestamp) -> Result<usize, StorageError> {
        self.draft(
            |_| Needs::of_purge(erasures),
            Told::Each,
            |draft, state, within| {
                let by = (&within.tenant.id, &within.tenant.signer);
                erase::mark_purged(draft, state, by, erasures, now)
            },
        )
    }

    fn catch_up(
        &mut self,
        erasures: &[ErasureEntry],
        may_miss_erasures: bool,
        now: Timestamp,
        trace: &TraceOf<'_>,
    ) -> Result<u64, StorageError> {
        self.draft(
            |_| Needs::of_catch_up(erasures),
            Told::Anew,
            |draft, state, within| {
                let rules = within.rules(trace);
                erase::catch_up(draft, state, &rules, (erasures, may_miss_erasures), now)
            },
        )
    }

    fn copy_to(&self, _next: &NextGeneration<'_>) -> Result<(), StorageError> {
        Err(StorageError::NotBuilt("the rotation of a tenant's keys"))
    }
}

impl Tenant {
    /// Its row now.
    pub(super) fn head(&self) -> Result<Head, StorageError> {
        let seen = self.seen();
        let rows = self.database.read(vec![head::select(self.number)])?;
        let row = rows.first().and_then(|rows| rows.first());
        self.look(Head::of(self, row)?, seen)
    }
}
