//! Group commit: many writes, one transaction, one fsync. A write that is not possible fails alone; a disk that fails fails all.

use rusqlite::Connection;

use super::catalog::erase::{self, EraseContext, Trace};
use super::catalog::state::State;
use super::catalog::{chain, enroll, request, tenant, usage};
use super::error::{StorageError, WriteError};
use super::place::Place;
use super::store::{Shared, Store};
use super::write::{Committed, Durability, Write};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::timestamp::Timestamp;

/// One answer a write, in their order.
pub type Answers = Vec<Result<Committed, WriteError>>;

impl Store {
    /// Does the writes in their order as one transaction. When it returns `Ok`, each answered write survives what its
    /// [`Write::durability`] says, and an erased row is read by nobody. On `Err` none was done.
    pub fn commit(&self, group: Vec<Write>) -> Result<Answers, StorageError> {
        let Some(durability) = group.iter().map(Write::durability).max() else {
            return Ok(Vec::new());
        };
        let shared = &*self.0;
        let now = Timestamp::now();
        let mut writer = shared.writer.lock();
        let answers = shared.write(&mut writer, durability, |conn, state| {
            let last_before = state.last_usage;
            // Each write is dropped, and its rows wiped, as soon as it is done.
            let answers = group
                .into_iter()
                .map(|write| shared.member(conn, state, &write, now))
                .collect::<Result<Answers, _>>()?;
            chain::checkpoint_if_due(conn, state, (&shared.spec, &shared.signer), last_before)?;
            if durability == Durability::Power {
                request::prune(conn, now)?;
            }
            Ok(answers)
        })?;
        // Before the lock goes: whoever learns of the erasure finds the row dead.
        for answer in &answers {
            if let Ok(Committed::Erased { removed, .. }) = answer {
                shared.bury(removed)?;
            }
        }
        Ok(answers)
    }

    /// A checkpoint of the history; all that it is over survives a loss of power when it returns.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, StorageError> {
        let shared = &*self.0;
        let mut writer = shared.writer.lock();
        shared.write(&mut writer, Durability::Power, |conn, state| {
            Ok(chain::checkpoint(conn, state, (&shared.spec, &shared.signer))?)
        })
    }

    /// Makes one where there are events that no checkpoint is over.
    pub(super) fn checkpoint_if_ahead(&self) -> Result<(), StorageError> {
        let is_ahead = self.0.readers.with(|conn| Ok(chain::is_ahead(conn)?))?;
        if is_ahead {
            self.checkpoint()?;
        }
        Ok(())
    }
}

impl Shared {
    /// One write of a group; what it did is undone when it is not possible.
    fn member(
        &self,
        conn: &Connection,
        state: &mut State,
        write: &Write,
        now: Timestamp,
    ) -> Result<Result<Committed, WriteError>, StorageError> {
        let run = |sql| conn.prepare_cached(sql)?.execute([]);
        let before = *state;
        run("SAVEPOINT member")?;
        let done = match self.apply(conn, state, write, now) {
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
        now: Timestamp,
    ) -> Result<Committed, StorageError> {
        match write {
            Write::Enroll(write) => {
                let of = (&self.pending_seal, &self.spec);
                enroll::enroll(conn, state, of, write, now)
            }
            Write::Erase(write) => self.erasing(|context| erase::erase(conn, state, context, write, now)),
            Write::Policy(write) => tenant::set_policy(conn, write, now),
            Write::Usage(event) => {
                usage::record(conn, state, &self.spec.id, event, now)?;
                Ok(Committed::Recorded)
            }
        }
    }

    /// Runs `work` with what an erasure needs.
    pub(super) fn erasing<T>(&self, work: impl FnOnce(&EraseContext<'_>) -> T) -> T {
        work(&EraseContext {
            tenant: &self.spec.id,
            signer: &self.signer,
            trace: &|segment, row| {
                let live = self.live(segment, row)?;
                Ok(Trace::of(live.reader.sealed_row(row)))
            },
        })
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
