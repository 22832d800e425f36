//! Group commit: many writes, one transaction, one fsync. A write that is not possible fails alone; a disk that fails fails all.

use super::catalog::erase::Trace;
use super::error::StorageError;
use super::place::Place;
use super::store::{Shared, Store};
use super::write::{Answers, Committed, Write};
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
        shared.change(|catalog| {
            let trace = |segment, row| shared.trace(segment, row);
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

impl Shared {
    /// What a receipt says of a row as it stands in its file.
    pub(super) fn trace(&self, segment: u32, row: u32) -> Result<Trace, StorageError> {
        let live = self.live(segment, row)?;
        let reader = live.file.part()?;
        Ok(Trace::of(&reader.sealed_row(row)?))
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

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
