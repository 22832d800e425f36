//! Counters of a catalog: numbers given out, which never come back, and sizes. One row, written once a transaction.

use std::path::Path;

use rusqlite::{Connection, params};

use super::code::{int, uint};
use crate::storage::error::StorageError;

/// The counters as they are within a transaction, or after the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::storage) struct State {
    /// Transactions that survive a loss of power so far.
    pub(in crate::storage) commits: u64,
    /// Number of the last change to the gallery.
    pub(in crate::storage) sequence: u64,
    /// The last reference number given out.
    pub(in crate::storage) last_reference: u64,
    /// The last subject handle given out.
    pub(in crate::storage) last_subject: u64,
    /// The last segment number given out.
    pub(in crate::storage) last_segment: u64,
    /// The last erasure number given out.
    pub(in crate::storage) last_erasure: u64,
    /// The last number of an event given out.
    pub(in crate::storage) last_usage: u64,
    /// Subjects enrolled.
    pub(in crate::storage) subjects: u64,
    /// References enrolled.
    pub(in crate::storage) references: u64,
    /// References not in a segment.
    pub(in crate::storage) pending: u64,
    /// Erasures not purged.
    pub(in crate::storage) erasures_open: u64,
}

impl State {
    /// Reads the counters.
    pub(in crate::storage) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        conn.query_row(
            "SELECT commits, sequence, last_reference, last_subject, last_segment, last_erasure, last_usage,
                    subjects, refs, pending, erasures_open FROM state",
            [],
            |row| {
                Ok(Self {
                    commits: uint(row, 0)?,
                    sequence: uint(row, 1)?,
                    last_reference: uint(row, 2)?,
                    last_subject: uint(row, 3)?,
                    last_segment: uint(row, 4)?,
                    last_erasure: uint(row, 5)?,
                    last_usage: uint(row, 6)?,
                    subjects: uint(row, 7)?,
                    references: uint(row, 8)?,
                    pending: uint(row, 9)?,
                    erasures_open: uint(row, 10)?,
                })
            },
        )
    }

    /// Refuses a catalog that is behind its mark.
    pub(in crate::storage) fn check_mark(&self, marked: u64) -> Result<(), StorageError> {
        if self.commits >= marked {
            return Ok(());
        }
        let fault = format!(
            "it ends with change {}, but {marked} were acknowledged: its log was cut, or it is an older file",
            self.commits
        );
        Err(StorageError::damaged(Path::new("catalog.db"), fault))
    }

    /// Writes the counters.
    pub(in crate::storage) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "UPDATE state SET commits = ?, sequence = ?, last_reference = ?, last_subject = ?, last_segment = ?,
                    last_erasure = ?, last_usage = ?, subjects = ?, refs = ?, pending = ?, erasures_open = ?",
        )?
        .execute(params![
            int(self.commits),
            int(self.sequence),
            int(self.last_reference),
            int(self.last_subject),
            int(self.last_segment),
            int(self.last_erasure),
            int(self.last_usage),
            int(self.subjects),
            int(self.references),
            int(self.pending),
            int(self.erasures_open),
        ])?;
        Ok(())
    }

    /// The next change to the gallery.
    pub(in crate::storage) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A reference number never given out before.
    pub(in crate::storage) fn next_reference(&mut self) -> u64 {
        self.last_reference += 1;
        self.last_reference
    }

    /// A subject handle never given out before.
    pub(in crate::storage) fn next_subject(&mut self) -> u64 {
        self.last_subject += 1;
        self.last_subject
    }
}
