//! Writes to a catalog in a database: each method one transaction, which locks the tenant's row before anything else. Decides what belongs together; what a
//! group does is left to the rules.
//!
//! A writer goes on from the row as it last wrote it. One that finds another number of changes there is told that somebody else writes, and refuses from then
//! on: what its process holds of the tenant in memory is not what the tenant is.

use std::sync::Arc;

use super::head::{self, Head};
use super::{EpochSeal, Tenant};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::Draft;
use crate::storage::catalog::draft::needs::Needs;
use crate::storage::catalog::group::{self, Rules};
use crate::storage::catalog::import::ImportedRows;
use crate::storage::catalog::seam::{Before, Flushed, LOCATED_MAX, NextGeneration, TraceOf, WriteCatalog};
use crate::storage::catalog::segments::{SegmentEntry, Tombstone};
use crate::storage::catalog::state::State;
use crate::storage::catalog::{chain, erase};
use crate::storage::database::transaction::{Transaction, Uncommitted, statement};
use crate::storage::error::StorageError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::RowId;
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{Answers, ImportAnswer, Write};

/// How often a transaction is done that the server calls off for others' sake.
const TRIES: usize = 5;

const PENDING_AFTER: &str = "SELECT reference, epoch, sealed FROM pending
    WHERE tenant = $1 AND reference > $2 ORDER BY reference LIMIT $3";
const RESEAL: &str = "UPDATE pending p SET epoch = $2, sealed = u.sealed FROM unnest($3::bigint[], $4::bytea[]) AS u(reference, sealed)
    WHERE p.tenant = $1 AND p.reference = u.reference";

/// Writes a catalog in a database.
pub(super) struct PostgresWriter {
    tenant: Arc<Tenant>,
    /// As the last transaction left it, but for numbers that were given out since.
    head: Head,
    /// Why every write is refused.
    poison: Option<String>,
}

impl PostgresWriter {
    /// Of this tenant's, whose row was just read.
    pub(super) fn new(tenant: Arc<Tenant>, head: Head) -> Self {
        Self {
            tenant,
            head,
            poison: None,
        }
    }

    /// Does work as one transaction, whole or not at all, and the head as it leaves it. `before` is told what will be so; nothing is done again after it was.
    fn transact<T>(
        &mut self,
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
                let seen = tenant.seen();
                let (transaction, rows) = tenant.database.begin(head::lock(tenant.number))?;
                let found = tenant.look(Head::of(&tenant, rows.first())?, seen)?;
                if found.state.commits != self.head.state.commits {
                    return Err(StorageError::Poisoned(format!(
                        "its catalog has change {}, and this process made no more than {}: another one writes to it",
                        found.state.commits, self.head.state.commits
                    )));
                }
                let mut head = self.head.clone();
                let done = work(&tenant, &transaction, &mut head)?;
                is_told = before(&done)?;
                head.state.commits += 1;
                match transaction.commit(vec![head.update(&tenant)]) {
                    Ok(()) => Ok((done, head)),
                    Err(Uncommitted::Undone(error)) => Err(error),
                    Err(Uncommitted::Unknown(problem)) => Err(StorageError::Poisoned(format!(
                        "it can't be told whether a commit was done: {problem}"
                    ))),
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
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs rules over the rows that they need, and writes what they did.
    fn draft<T>(
        &mut self,
        needs: impl Fn(&Head) -> Needs,
        mut rules: impl FnMut(&mut Draft<'_>, &mut State, &Tenant, &Head) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.transact(
            |tenant, transaction, head| {
                let mut needs = needs(head);
                let facts = tenant.facts(transaction, &mut needs, head)?;
                let epoch = tenant.epoch(head.epoch)?;
                let seal = |reference, exact: &[u8]| epoch.seal(reference, exact);
                let mut draft = Draft::new(&needs, facts, &seal);
                let mut state = head.state;
                let done = rules(&mut draft, &mut state, tenant, head)?;
                head.state = state;
                tenant.write(transaction, head, &draft.changes())?;
                Ok(done)
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
            Some(reason) => Err(StorageError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    fn poison(&mut self, reason: &str) {
        self.poison.get_or_insert_with(|| reason.to_owned());
    }

    /// Nobody else gives numbers out and goes on: see [`PostgresWriter::transact`].
    fn reserve(&mut self, count: u64) -> Result<(u64, u64), StorageError> {
        let state = &mut self.head.state;
        let before = (state.last_reference, state.last_subject);
        state.last_reference += count;
        state.last_subject += count;
        Ok(before)
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
        self.draft(
            |head| Needs::of(&group, &head.state),
            |draft, state, tenant, head| {
                let rules = tenant.rules(head, trace);
                group::commit(draft, state, &rules, &group, now)
            },
        )
    }

    fn checkpoint(&mut self) -> Result<SignedCheckpoint, StorageError> {
        self.draft(
            |_| Needs::of_checkpoint(),
            |draft, state, tenant, head| chain::checkpoint(draft, state, (&head.spec, &tenant.signer)),
        )
    }

    fn flush(
        &mut self,
        written: &WrittenSegment,
        ids: &[RowId],
        before: &mut Before<'_, Flushed>,
    ) -> Result<Flushed, StorageError> {
        self.transact(
            |tenant, transaction, head| tenant.flush(transaction, head, written, ids),
            |flushed| before(flushed).map(|()| true),
        )
    }

    fn import(
        &mut self,
        imported: &ImportedRows<'_>,
        now: Timestamp,
        before: &mut Before<'_, [SegmentEntry]>,
    ) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
        self.transact(
            |tenant, transaction, head| tenant.import(transaction, head, imported, now),
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
            |tenant, transaction, head| tenant.replace(transaction, head, (segment, written), gone),
            |()| Ok(false),
        )
    }

    /// Begins the next epoch, seals what is pending anew under its key, and destroys the key before: then nothing that was sealed with that opens any more, in
    /// whatever heap, log or backup a copy of it lies. One that was cut off between its steps is done again whole, or ended by the next opening.
    fn forget_copies(&mut self) -> Result<bool, StorageError> {
        self.check()?;
        let next = self.head.epoch + 1;
        let key = self.tenant.epochs.begin(next)?;
        let seal = EpochSeal::new(&key, next, self.tenant.epochs.incarnation());
        self.transact(
            |tenant, transaction, head| {
                head.epoch = next;
                tenant.reseal(transaction, &seal)
            },
            |()| Ok(false),
        )?;
        self.tenant.epochs.end_before(next)?;
        Ok(true)
    }

    fn mark_purged(&mut self, erasures: &[u64], now: Timestamp) -> Result<usize, StorageError> {
        self.draft(
            |_| Needs::of_purge(erasures),
            |draft, state, tenant, _| {
                let by = (&tenant.id, &tenant.signer);
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
            |draft, state, tenant, head| {
                let rules = tenant.rules(head, trace);
                erase::catch_up(draft, state, &rules, (erasures, may_miss_erasures), now)
            },
        )
    }

    fn copy_to(&self, _next: &NextGeneration<'_>) -> Result<(), StorageError> {
        Err(StorageError::NotBuilt("the rotation of a tenant's keys"))
    }
}

impl Tenant {
    /// What the rules need of it.
    fn rules<'a>(&'a self, head: &'a Head, trace: &'a TraceOf<'a>) -> Rules<'a> {
        Rules {
            spec: &head.spec,
            signer: &self.signer,
            trace,
        }
    }

    /// Seals what is pending anew, whatever epochs it is of.
    fn reseal(&self, transaction: &Transaction, seal: &EpochSeal) -> Result<(), StorageError> {
        let limit = i64::try_from(LOCATED_MAX).expect("it is small");
        let mut after = 0;
        loop {
            let rows = transaction.query(statement!(PENDING_AFTER, self.number, int(after), limit))?;
            if rows.is_empty() {
                return Ok(());
            }
            let (mut references, mut sealed) = (Vec::new(), Vec::new());
            for row in &rows {
                let columns = self.columns("pending", row);
                let (reference, epoch) = (columns.uint(0)?, columns.uint(1)?);
                let exact = self.epoch(epoch)?.open(reference, columns.get(2)?);
                let exact = exact
                    .ok_or_else(|| columns.fault(&format!("reference {reference} fails authentication")))?;
                after = reference;
                references.push(int(reference));
                sealed.push(seal.seal(reference, &exact));
            }
            transaction.execute(statement!(
                RESEAL,
                self.number,
                int(seal.epoch),
                references,
                sealed
            ))?;
        }
    }
}
