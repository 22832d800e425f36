//! Writes to the catalog in a file: each method one transaction of its writer. Decides what belongs together; what a group does is left to the rules.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use super::tables::LocalTables;
use super::{Tenant, next};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::connection::{LogCopy, Writer};
use crate::storage::catalog::group::{self, Rules};
use crate::storage::catalog::import::ImportedRows;
use crate::storage::catalog::page::PageSeal;
use crate::storage::catalog::seam::{Before, Flushed, NextGeneration, TraceOf, WriteCatalog};
use crate::storage::catalog::segments::{SegmentEntry, Tombstone};
use crate::storage::catalog::state::State;
use crate::storage::catalog::{chain, erase, import, pending, segments};
use crate::storage::error::StorageError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::RowId;
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{Answers, Durability, ImportAnswer, Write};

/// How often the write-ahead log is tried to be cut while readers are in the way.
const CHECKPOINT_TRIES: usize = 3;

/// Writes a catalog in a file.
pub(super) struct LocalWriter {
    writer: Writer,
    path: PathBuf,
    seal: Arc<PageSeal>,
    tenant: Arc<Tenant>,
}

impl LocalWriter {
    /// Of this tenant's, at this path and with pages under this seal.
    pub(super) fn new(writer: Writer, path: PathBuf, seal: Arc<PageSeal>, tenant: Arc<Tenant>) -> Self {
        Self {
            writer,
            path,
            seal,
            tenant,
        }
    }
}

impl WriteCatalog for LocalWriter {
    fn state(&self) -> State {
        self.writer.state()
    }

    fn check(&self) -> Result<(), StorageError> {
        self.writer.check_poison()
    }

    /// The data directory is locked for this process.
    fn confirm(&mut self) -> Result<(), StorageError> {
        self.check()
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
        let rules = tenant.rules(trace);
        self.writer.transact(durability, |conn, state| {
            group::commit(&mut tenant.tables(conn), state, &rules, group, now)
        })
    }

    fn checkpoint(&mut self) -> Result<SignedCheckpoint, StorageError> {
        let tenant = &*self.tenant;
        self.writer.transact(Durability::Power, |conn, state| {
            let by = (&tenant.spec, &tenant.signer);
            chain::checkpoint(&mut tenant.tables(conn), state, by)
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
        let tenant = &*self.tenant;
        self.writer.with_import_settings(|writer| {
            writer.transact(Durability::Power, |conn, state| {
                let tables = &mut tenant.tables(conn);
                let (answer, entries) = import::import(conn, tables, state, imported, now)?;
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
            if self.writer.cut_log()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn log_is_long(&self) -> bool {
        self.writer.log_is_long()
    }

    fn is_prompt(&self) -> bool {
        !self.writer.syncs_next()
    }

    fn copy_log(&mut self) -> Result<Option<LogCopy>, StorageError> {
        self.writer.copy_log(&self.path, &self.seal)
    }

    fn log_copied(&mut self, copy: LogCopy, done: Result<bool, StorageError>) -> Result<(), StorageError> {
        self.writer.log_copied(copy, done)
    }

    fn mark_purged(&mut self, erasures: &[u64], now: Timestamp) -> Result<usize, StorageError> {
        let tenant = &*self.tenant;
        self.writer.transact(Durability::Power, |conn, state| {
            let by = (&tenant.spec.id, &tenant.signer);
            erase::mark_purged(&mut tenant.tables(conn), state, by, erasures, now)
        })
    }

    fn catch_up(
        &mut self,
        erasures: &[ErasureEntry],
        may_miss_erasures: bool,
        now: Timestamp,
        trace: &TraceOf<'_>,
    ) -> Result<u64, StorageError> {
        let tenant = &*self.tenant;
        let rules = tenant.rules(trace);
        self.writer.transact(Durability::Power, |conn, state| {
            let erasures = (erasures, may_miss_erasures);
            erase::catch_up(&mut tenant.tables(conn), state, &rules, erasures, now)
        })
    }

    fn copy_to(&self, next: &NextGeneration<'_>) -> Result<(), StorageError> {
        next::copy(&self.writer, &self.tenant, next)
    }
}

impl Tenant {
    /// Its rows within the transaction of a connection.
    fn tables<'a>(&'a self, conn: &'a Connection) -> LocalTables<'a> {
        LocalTables::new(conn, &self.seal)
    }

    /// What the rules need of it.
    fn rules<'a>(&'a self, trace: &'a TraceOf<'a>) -> Rules<'a> {
        Rules {
            spec: &self.spec,
            signer: &self.signer,
            trace,
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
