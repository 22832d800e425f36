//! Changes to a gallery: what waits becomes one transaction, then reaches the resident codes, then is acknowledged. Never acknowledges what is not both durable and searchable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use half::f16;
use zeroize::Zeroizing;

use super::error::{engine_error, write_error};
use super::node::NodeError;
use super::scorers::Scorers;
use super::tenant::Tenant;
use super::writes::{Replies, answered, committed_group, request_of};
use crate::engine::code::Codes;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::RequestId;
use crate::model::signature::Signature;
use crate::model::usage::UsageRecord;
use crate::storage::error::StorageError;
use crate::storage::place::Place;
use crate::storage::store::Turn;
use crate::storage::write::{Committed, Write};
use crate::telemetry::traces;
use crate::telemetry::traces::Stage;

/// Half-precision little-endian bytes of a protected signature: the form that is stored and scored.
pub(super) fn exact_bytes(signature: &Signature) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(
        signature
            .values()
            .iter()
            .flat_map(|&value| f16::from_f32(value).to_le_bytes())
            .collect(),
    )
}

/// The same bytes as numbers.
pub(super) fn exact_values(bytes: &[u8]) -> Zeroizing<Vec<u16>> {
    Zeroizing::new(
        bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_le_bytes(*pair))
            .collect(),
    )
}

impl Tenant {
    /// Commits one write together with whatever waits beside it.
    pub(super) async fn write(self: &Arc<Self>, write: Write) -> Result<Committed, NodeError> {
        traces::staged(Stage::Commit, self.write_in_turn(write)).await
    }

    async fn write_in_turn(self: &Arc<Self>, write: Write) -> Result<Committed, NodeError> {
        self.check()?;
        let write = self.read_ahead(write).await?;
        let (answer, start) = self.writes.push(write)?;
        if start {
            self.begin_commits();
        }
        answered(answer).await
    }

    /// Records a use together with whatever waits beside it: on this thread where it comes alone, so that it waits for no other one to wake. Where others are
    /// searched for, and about to be recorded too, they share a transaction.
    pub(super) async fn record(
        self: &Arc<Self>,
        record: UsageRecord,
        scorers: &Scorers,
    ) -> Result<(), NodeError> {
        let recorded = async {
            self.check()?;
            let (answer, start) = self.writes.push(Write::Usage(record))?;
            let is_alone = self.searching.load(Ordering::Relaxed) == 0;
            if start && !(is_alone && self.record_here(scorers) == Some(false)) {
                self.begin_commits();
            }
            answered(answer).await.map(drop)
        };
        traces::staged(Stage::Commit, recorded).await
    }

    /// Has a thread commit what waits, group by group.
    fn begin_commits(self: &Arc<Self>) {
        let tenant = Arc::clone(self);
        tokio::task::spawn_blocking(move || while tenant.commit_waiting() {});
    }

    /// Reads what an erasure needs of an object store, so that nobody but who asked for it waits, or is refused, where that is away.
    async fn read_ahead(self: &Arc<Self>, write: Write) -> Result<Write, NodeError> {
        let mut erase = match write {
            Write::Erase(erase) if self.store.has_objects() => erase,
            write => return Ok(write),
        };
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || store.read_ahead(&mut erase).map(|()| erase)).await;
        let read = read.map_err(|_| NodeError::Internal("a read ended early".to_owned()))?;
        let erase = read.map_err(|error| self.storage_error(&error))?;
        Ok(Write::Erase(erase))
    }

    /// A durable checkpoint of the history.
    pub(super) fn checkpoint(&self) -> Result<SignedCheckpoint, NodeError> {
        self.check()?;
        let in_order = self.apply.lock();
        if let Some(successor) = self.successor.get() {
            drop(in_order);
            return successor.checkpoint();
        }
        self.store
            .checkpoint()
            .map_err(|error| self.storage_error(&error))
    }

    /// Commits the next group of those that wait. Whether others wait then; otherwise whoever comes next begins.
    fn commit_waiting(&self) -> bool {
        self.answer(self.writes.next_group(), |writes| self.apply(writes))
    }

    /// The same on the caller's thread, of uses, where neither a thread that is at work on the catalog nor a network or a sync of a disk has to be waited for. `None`, and nothing is done,
    /// otherwise.
    fn record_here(&self, scorers: &Scorers) -> Option<bool> {
        let here = scorers.try_here()?;
        let in_order = self.apply.try_lock()?;
        if self.successor.get().is_some() {
            return None;
        }
        let turn = self.store.try_turn()?;
        let group = self.writes.few_uses()?;
        Some(self.answer(group, |writes| {
            // Until it is committed: whoever is answered may come again.
            let _held = (here, in_order);
            self.check()?;
            self.commit(Some(turn), writes, 0)
        }))
    }

    /// Commits a group and answers it. Whether others wait then.
    fn answer(
        &self,
        (writes, replies): (Vec<Write>, Replies<Committed>),
        commit: impl FnOnce(Vec<Write>) -> Result<Vec<Result<Committed, NodeError>>, NodeError>,
    ) -> bool {
        let answers = catch_unwind(AssertUnwindSafe(|| commit(writes))).unwrap_or_else(|_| {
            // What of it reached the catalog and the gallery is unknown until they are loaded again.
            self.fail("a change ended early by a defect; restart the server");
            Err(self.unavailable("a change ended early by a defect; restart the server"))
        });
        self.writes.answer(replies, answers)
    }

    /// One group: codes are placed where no search counts them yet, the catalog commits, then
    /// the rows begin (or cease) to count. A failure at any step changes nothing that was acknowledged.
    fn apply(&self, writes: Vec<Write>) -> Result<Vec<Result<Committed, NodeError>>, NodeError> {
        self.check()?;
        let in_order = self.apply.lock();
        if let Some(successor) = self.successor.get() {
            drop(in_order);
            if successor.spec.transform == self.spec.transform {
                return successor.apply(writes);
            }
            // What waited to be enrolled is protected with the former rotation and would be found by nobody.
            return without_enrolments(writes, &self.stale(), |others| successor.apply(others));
        }
        match self.place_codes(&writes) {
            Ok(first) => self.commit(None, writes, first),
            // Without room for new codes, what needs none is done all the same: erasures above all.
            Err(refusal) => without_enrolments(writes, &refusal, |others| self.commit(None, others, 0)),
        }
    }

    /// Commits a group whose codes lie from row `first` on; without a turn it waits for one.
    fn commit(
        &self,
        turn: Option<Turn<'_>>,
        writes: Vec<Write>,
        first: u32,
    ) -> Result<Vec<Result<Committed, NodeError>>, NodeError> {
        let members: Vec<Member> = writes.iter().map(Member::of).collect();
        let started = Instant::now();
        let turn = turn.unwrap_or_else(|| self.store.turn());
        let committed = match turn.commit(writes) {
            Ok(committed) => committed,
            Err(error) => {
                self.discard(first, members.iter().map(|member| member.rows).sum());
                return Err(self.storage_error(&error));
            }
        };
        committed_group(started, members.len());
        let mut next = first;
        let mut answers = Vec::with_capacity(committed.len());
        let mut erased = Vec::new();
        for (outcome, member) in committed.into_iter().zip(members) {
            let row = next;
            next += row_count(member.rows);
            if matches!(outcome, Ok(Committed::Erased { .. })) {
                erased.push(answers.len());
            }
            match &outcome {
                Ok(Committed::Enrolled {
                    answer,
                    replayed: false,
                }) => {
                    self.residency.write().add_pending(row, &answer.references);
                }
                Ok(Committed::Erased {
                    removed,
                    replayed: false,
                    ..
                }) => self.forget(removed)?,
                // Refused, or done before: the rows placed for it never count.
                _ => self.discard(row, member.rows),
            }
            answers.push(outcome.map_err(|error| write_error(self.id(), &member.request, error)));
        }
        if !erased.is_empty()
            && let Err(error) = self.journal.record_erasures(&self.store)
        {
            let refusal = self.unjournalled(&error);
            for at in erased {
                *answers.get_mut(at).expect("one answer a write") = Err(refusal.clone());
            }
        }
        Ok(answers)
    }

    /// Appends the codes of all enrolments of a group; returns the first row.
    fn place_codes(&self, writes: &[Write]) -> Result<u32, NodeError> {
        let mut exact = Zeroizing::new(Vec::new());
        for write in writes {
            if let Write::Enroll(enroll) = write {
                for reference in &enroll.references {
                    exact.extend_from_slice(&exact_values(&reference.exact));
                }
            }
        }
        if exact.is_empty() {
            return Ok(0);
        }
        let rows: &[f16] = bytemuck::cast_slice(&exact);
        let codes = Codes::encode(self.spec.dimension, rows);
        self.engine
            .append(self.gallery, codes)
            .map_err(|error| engine_error(self.id(), &error))
    }

    /// Takes rows out of the gallery that never counted.
    pub(super) fn discard(&self, first: u32, count: usize) {
        if count == 0 {
            return;
        }
        let rows = (first..first + row_count(count)).collect();
        if let Err(error) = self.engine.erase(self.gallery, rows) {
            self.fail(&format!("the resident gallery can't be changed: {error}"));
        }
    }

    /// An erasure that is done and must not be acknowledged yet.
    fn unjournalled(&self, error: &StorageError) -> NodeError {
        let reason = format!(
            "the person is erased, but the erasure journal can't be written, so that a restored backup would bring the person back: {error}; \
             repeat the request"
        );
        // It is written of what the catalog says, which may be away.
        if error.is_away() {
            self.unavailable(&reason)
        } else {
            NodeError::StorageRefused(reason)
        }
    }

    /// Takes erased rows out of the gallery; a search that runs finds them gone from the catalog too.
    fn forget(&self, removed: &[Place]) -> Result<(), NodeError> {
        let residency = self.residency.read();
        let rows = removed.iter().filter_map(|&place| residency.row(place)).collect();
        drop(residency);
        if let Err(error) = self.engine.erase(self.gallery, rows) {
            self.fail(&format!("the resident gallery can't be changed: {error}"));
            return Err(engine_error(self.id(), &error));
        }
        self.purge_wanted.store(true, Ordering::Release);
        Ok(())
    }
}

/// Refuses the enrolments of a group, and does the others.
fn without_enrolments(
    writes: Vec<Write>,
    refusal: &NodeError,
    work: impl FnOnce(Vec<Write>) -> Result<Vec<Result<Committed, NodeError>>, NodeError>,
) -> Result<Vec<Result<Committed, NodeError>>, NodeError> {
    let enrols: Vec<bool> = writes
        .iter()
        .map(|write| matches!(write, Write::Enroll(_)))
        .collect();
    let others = writes
        .into_iter()
        .filter(|write| !matches!(write, Write::Enroll(_)))
        .collect();
    let mut answers = work(others)?.into_iter();
    let missing = || Err(NodeError::Internal("a write was not answered".to_owned()));
    Ok(enrols
        .into_iter()
        .map(|enrol| {
            if enrol {
                return Err(refusal.clone());
            }
            answers.next().unwrap_or_else(missing)
        })
        .collect())
}

/// What is needed of a write after the store took it.
struct Member {
    request: RequestId,
    rows: usize,
}

impl Member {
    fn of(write: &Write) -> Self {
        let rows = match write {
            Write::Enroll(enroll) => enroll.references.len(),
            Write::Erase(_) | Write::Policy(_) | Write::Usage(_) => 0,
        };
        Self {
            request: request_of(write).clone(),
            rows,
        }
    }
}

fn row_count(count: usize) -> u32 {
    u32::try_from(count).expect("a group holds far fewer rows than row numbers go")
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
