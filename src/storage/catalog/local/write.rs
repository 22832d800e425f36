//! Writes to the catalog in a file: each method one transaction of its writer. Decides what belongs together, and leaves each table to the module that knows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::{Tenant, next};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::connection::Writer;
use crate::storage::catalog::erase::EraseContext;
use crate::storage::catalog::import::ImportedRows;
use crate::storage::catalog::seam::{Before, Flushed, NUMBERS_PASSED, NextGeneration, TraceOf, WriteCatalog};
use crate::storage::catalog::segments::{SegmentEntry, Tombstone};
use crate::storage::catalog::state::State;
use crate::storage::catalog::{
    chain, enroll, erase, import, pending, request, segments, subject, tenant, usage,
};
use crate::storage::error::{StorageError, WriteError};
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::RowId;
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{Answers, Committed, Durability, ImportAnswer, SubjectKey, Write};

/// How often the write-ahead log is tried to be cut while readers are in the way.
const CHECKPOINT_TRIES: usize = 3;

/// Writes a catalog in a file.
pub(super) struct LocalWriter {
    writer: Writer,
    tenant: Arc<Tenant>,
}

impl LocalWriter {
    /// Of this tenant's.
    pub(super) fn new(writer: Writer, tenant: Arc<Tenant>) -> Self {
        Self { writer, tenant }
    }
}

impl WriteCatalog for LocalWriter {
    fn state(&self) -> State {
        self.writer.state()
    }

    fn check(&self) -> Result<(), StorageError> {
        self.writer.check_poison()
    }

    fn poison(&mut self, reason: &str) {
        self.writer.poison(reason);
    }

    fn reserve(&mut self, count: u64) -> Result<(u64, u64), StorageError> {
        Ok(self.writer.reserve(count))
    }

    fn commit(
        &mut self,
        group: Vec<Write>,
        now: Timestamp,
        trace: &TraceOf<'_>,
    ) -> Result<Answers, StorageError> {
        let Some(durability) = group.iter().map(Write::durability).max() else {
            return Ok(Vec::new());
        };
        let tenant = &*self.tenant;
        self.writer.transact(durability, |conn, state| {
            let last_before = state.last_usage;
            // Each write is dropped, and its rows wiped, as soon as it is done.
            let answers = group
                .into_iter()
                .map(|write| tenant.member(conn, state, &write, (now, trace)))
                .collect::<Result<Answers, _>>()?;
            chain::checkpoint_if_due(conn, state, (&tenant.spec, &tenant.signer), last_before)?;
            if durability == Durability::Power {
                request::prune(conn, now)?;
            }
            Ok(answers)
        })
    }

    fn checkpoint(&mut self) -> Result<SignedCheckpoint, StorageError> {
        let by = (&self.tenant.spec, &self.tenant.signer);
        self.writer.transact(Durability::Power, |conn, state| {
            Ok(chain::checkpoint(conn, state, by)?)
        })
    }

    fn flush(
        &mut self,
        written: &WrittenSegment,
        ids: &[RowId],
        before: &mut Before<'_, Flushed>,
    ) -> Result<Flushed, StorageError> {
        self.writer.transact(Durability::Power, |conn, state| {
            let entry = segments::insert(conn, state, written)?;
            let mut buried = BTreeSet::new();
            let mut dead = Vec::new();
            for (row, id) in (0..).zip(ids) {
                if *id == RowId::HOLE {
                    dead.push(row);
                } else if !segments::place_pending(conn, state, id.reference, (entry.number, row))? {
                    dead.push(row);
                    buried.insert(row);
                }
            }
            let flushed = Flushed { entry, dead, buried };
            before(&flushed)?;
            Ok(flushed)
        })
    }

    fn import(
        &mut self,
        imported: &ImportedRows<'_>,
        now: Timestamp,
        before: &mut Before<'_, [SegmentEntry]>,
    ) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
        self.writer.with_import_settings(|writer| {
            writer.transact(Durability::Power, |conn, state| {
                let (answer, entries) = import::import(conn, state, imported, now)?;
                before(&entries)?;
                Ok((answer, entries))
            })
        })
    }

    fn replace(
        &mut self,
        segment: u32,
        written: &WrittenSegment,
        gone: &[Tombstone],
    ) -> Result<(), StorageError> {
        self.writer.transact(Durability::Power, |conn, _| {
            Ok(segments::replace(conn, segment, written, gone)?)
        })
    }

    fn forget_copies(&mut self) -> Result<bool, StorageError> {
        self.writer
            .transact(Durability::Power, |conn, _| Ok(pending::rebuild(conn)?))?;
        for _ in 0..CHECKPOINT_TRIES {
            if self.writer.checkpoint()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn mark_purged(&mut self, erasures: &[u64], now: Timestamp) -> Result<usize, StorageError> {
        let by = (&self.tenant.spec.id, &self.tenant.signer);
        self.writer.transact(Durability::Power, |conn, state| {
            let mut purged = 0;
            for erasure in erasures {
                purged += usize::from(erase::mark_purged(conn, state, by, *erasure, now)?);
            }
            Ok(purged)
        })
    }

    fn catch_up(
        &mut self,
        erasures: &[ErasureEntry],
        may_miss_erasures: bool,
        now: Timestamp,
        trace: &TraceOf<'_>,
    ) -> Result<u64, StorageError> {
        let context = self.tenant.erasing(trace);
        self.writer.transact(Durability::Power, |conn, state| {
            for number in [
                &mut state.sequence,
                &mut state.last_reference,
                &mut state.last_subject,
                &mut state.last_usage,
            ] {
                *number += NUMBERS_PASSED;
            }
            subject::seen_by(conn, now)?;
            let mut erased = 0;
            for entry in erasures {
                let key = SubjectKey::Id(entry.subject_id.clone());
                state.last_erasure = entry.erasure - 1;
                match erase::forget(conn, state, &context, &key, entry.erased_at) {
                    Ok(_) => erased += 1,
                    Err(StorageError::Write(WriteError::SubjectUnknown)) => {
                        state.last_erasure = entry.erasure;
                    }
                    Err(error) => return Err(error),
                }
            }
            if may_miss_erasures {
                state.last_erasure += NUMBERS_PASSED;
            }
            Ok(erased)
        })
    }

    fn copy_to(&self, next: &NextGeneration<'_>) -> Result<(), StorageError> {
        next::copy(&self.writer, &self.tenant, next)
    }
}

impl Tenant {
    /// One write of a group; what it did is undone when it is not possible.
    fn member(
        &self,
        conn: &Connection,
        state: &mut State,
        write: &Write,
        with: (Timestamp, &TraceOf<'_>),
    ) -> Result<Result<Committed, WriteError>, StorageError> {
        let run = |sql| conn.prepare_cached(sql)?.execute([]);
        let before = *state;
        run("SAVEPOINT member")?;
        let done = match self.apply(conn, state, write, with) {
            Ok(committed) => Ok(committed),
            Err(StorageError::Write(refusal)) => {
                run("ROLLBACK TO member")?;
                *state = before;
                Err(refusal)
            }
            Err(error) => return Err(error),
        };
        run("RELEASE member")?;
        Ok(done)
    }

    fn apply(
        &self,
        conn: &Connection,
        state: &mut State,
        write: &Write,
        (now, trace): (Timestamp, &TraceOf<'_>),
    ) -> Result<Committed, StorageError> {
        match write {
            Write::Enroll(write) => {
                let of = (&self.seal, &self.spec);
                enroll::enroll(conn, state, of, write, now)
            }
            Write::Erase(write) => erase::erase(conn, state, &self.erasing(trace), write, now),
            Write::Policy(write) => tenant::set_policy(conn, write, now),
            Write::Usage(event) => {
                usage::record(conn, state, &self.spec.id, event, now)?;
                Ok(Committed::Recorded)
            }
        }
    }

    /// What an erasure needs.
    fn erasing<'a>(&'a self, trace: &'a TraceOf<'a>) -> EraseContext<'a> {
        EraseContext {
            tenant: &self.spec.id,
            signer: &self.signer,
            trace,
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
