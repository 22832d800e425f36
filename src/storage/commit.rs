//! Group commit: many writes, one transaction, one fsync. A write that is not possible fails alone; a disk that fails fails all.

use std::sync::atomic::Ordering;

use super::catalog::erase::Trace;
use super::error::StorageError;
use super::place::Place;
use super::store::{Live, Shared, Store, Turn};
use super::write::{Answers, Committed, EraseWrite, ReadAhead, SubjectKey, Write};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::timestamp::Timestamp;

impl Store {
    /// Does the writes in their order as one transaction. When it returns `Ok`, each answered write survives what its
    /// [`Write::durability`] says, and an erased row is read by nobody. On `Err` none was done.
    pub fn commit(&self, group: Vec<Write>) -> Result<Answers, StorageError> {
        self.turn().commit(group)
    }

    /// Waits until nobody else changes the catalog.
    pub fn turn(&self) -> Turn<'_> {
        self.0.turn()
    }

    /// The same without waiting: `None` while somebody changes the catalog, or where to commit uses may take a network or a sync of a disk.
    pub fn try_turn(&self) -> Option<Turn<'_>> {
        self.0.try_turn()
    }

    /// Reads what the receipt of an erasure will say of rows that may be far away, before anybody is kept waiting for it, and has the write carry it. What is not read ahead is read by the commit.
    pub fn read_ahead(&self, erase: &mut EraseWrite) -> Result<(), StorageError> {
        let shared = &*self.0;
        let subject = match &erase.subject {
            SubjectKey::Id(id) => Some(id.clone()),
            link @ SubjectKey::Link { .. } => shared.readers.subject(link)?.map(|record| record.subject_id),
        };
        let Some(subject) = subject else {
            return Ok(());
        };
        for place in shared.readers.subject_rows(&subject)?.unwrap_or_default() {
            if let Place::Segment { segment, row } = place {
                let live = shared.live(segment, row)?;
                let read = (live.entry.ulid, live.trace(row)?);
                erase.ahead.0.insert((segment, row), read);
            }
        }
        Ok(())
    }

    /// Puts the catalog's write-ahead log into its file where it has grown long, so that no commit has to do all of it. Changes wait while that is begun and ended, not for the copying.
    pub fn copy_log(&self) -> Result<(), StorageError> {
        if !self.0.log_is_long.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Who cuts the log, or drops the tenant, waits for it.
        let _moving = self.0.moving.lock();
        let Some(copy) = self.0.change(|catalog| catalog.copy_log())? else {
            return Ok(());
        };
        let done = copy.run();
        self.0.change(|catalog| catalog.log_copied(copy, done))
    }

    /// A checkpoint of the history; all that it is over survives a loss of power when it returns.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, StorageError> {
        self.0.change(|catalog| catalog.checkpoint())
    }

    /// Makes one where there are events that no checkpoint is over.
    pub(super) fn checkpoint_if_ahead(&self) -> Result<(), StorageError> {
        let is_ahead = self.0.readers.is_ahead()?;
        if is_ahead {
            self.checkpoint()?;
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// As [`Store::commit`].
    pub fn commit(self, group: Vec<Write>) -> Result<Answers, StorageError> {
        if group.is_empty() {
            return Ok(Answers::new());
        }
        let shared = self.shared;
        let ahead = group.iter().filter_map(|write| match write {
            Write::Erase(erase) => Some(erase.ahead.clone()),
            _ => None,
        });
        let ahead: Vec<ReadAhead> = ahead.collect();
        self.change(|catalog| {
            let trace = |segment, row| shared.trace_of(&ahead, (segment, row));
            let answers = catalog.commit(group, Timestamp::now(), &trace)?;
            // Before the writer is let go: whoever learns of the erasure finds the row dead.
            for answer in &answers {
                if let Ok(Committed::Erased { removed, .. }) = answer {
                    shared.bury(removed)?;
                }
            }
            Ok(answers)
        })
    }
}

impl Shared {
    /// What a receipt says of a row as it stands in its file, which may be another one than it was read from before.
    pub(super) fn trace_of(
        &self,
        ahead: &[ReadAhead],
        (segment, row): (u32, u32),
    ) -> Result<Trace, StorageError> {
        let live = self.live(segment, row)?;
        let read = ahead.iter().find_map(|read| read.0.get(&(segment, row)));
        match read {
            Some((ulid, trace)) if *ulid == live.entry.ulid => Ok(trace.clone()),
            _ => live.trace(row),
        }
    }

    fn bury(&self, removed: &[Place]) -> Result<(), StorageError> {
        for place in removed {
            if let Place::Segment { segment, row } = *place {
                self.live(segment, row)?.dead.write().insert(row);
            }
        }
        Ok(())
    }
}

impl Live {
    fn trace(&self, row: u32) -> Result<Trace, StorageError> {
        self.file
            .part(|reader| Ok(Trace::of(&reader.authentic_row(row)?)))
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
