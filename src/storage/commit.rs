//! Group commit: many writes, one transaction, one fsync. A write that is not possible fails alone; a disk that fails fails all.

use std::collections::BTreeMap;

use ulid::Ulid;

use super::catalog::erase::Trace;
use super::error::StorageError;
use super::place::Place;
use super::store::{Live, Shared, Store};
use super::write::{Answers, Committed, SubjectKey, Write};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::timestamp::Timestamp;

impl Store {
    /// Does the writes in their order as one transaction. When it returns `Ok`, each answered write survives what its
    /// [`Write::durability`] says, and an erased row is read by nobody. On `Err` none was done.
    pub fn commit(&self, group: Vec<Write>) -> Result<Answers, StorageError> {
        if group.is_empty() {
            return Ok(Answers::new());
        }
        let shared = &*self.0;
        let ahead = shared.traces_ahead(&group)?;
        shared.change(|catalog| {
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

/// What receipts may say of rows, each with the file that it was read from.
type Ahead = BTreeMap<(u32, u32), (Ulid, Trace)>;

impl Shared {
    /// Reads what receipts will say of rows that are to be erased, where they may be far away, before anybody is kept waiting for it.
    fn traces_ahead(&self, group: &[Write]) -> Result<Ahead, StorageError> {
        let mut ahead = Ahead::new();
        if !self.files.are_objects() {
            return Ok(ahead);
        }
        for write in group {
            let Write::Erase(erase) = write else { continue };
            let subject = match &erase.subject {
                SubjectKey::Id(id) => Some(id.clone()),
                link @ SubjectKey::Link { .. } => self.readers.subject(link)?.map(|record| record.subject_id),
            };
            let Some(subject) = subject else { continue };
            for place in self.readers.subject_rows(&subject)?.unwrap_or_default() {
                if let Place::Segment { segment, row } = place {
                    let live = self.live(segment, row)?;
                    ahead.insert((segment, row), (live.entry.ulid, live.trace(row)?));
                }
            }
        }
        Ok(ahead)
    }

    /// The same in the transaction, where a row may be in another file by now.
    fn trace_of(&self, ahead: &Ahead, (segment, row): (u32, u32)) -> Result<Trace, StorageError> {
        let live = self.live(segment, row)?;
        match ahead.get(&(segment, row)) {
            Some((ulid, trace)) if *ulid == live.entry.ulid => Ok(trace.clone()),
            _ => live.trace(row),
        }
    }

    /// What a receipt says of a row as it stands in its file.
    pub(super) fn trace(&self, segment: u32, row: u32) -> Result<Trace, StorageError> {
        self.live(segment, row)?.trace(row)
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
        self.file.part(|reader| Ok(Trace::of(&reader.sealed_row(row)?)))
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
