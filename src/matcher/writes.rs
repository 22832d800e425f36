//! Writes of one tenant that wait for a transaction: what waits is one group, and one at a time is at work on them. Commits nothing itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::node::NodeError;
use crate::model::id::RequestId;
use crate::storage::write::Write;
use crate::telemetry;

/// Most writes of one tenant that wait for a transaction.
pub(super) const WRITES_WAITING_MAX: usize = 16_384;
/// Most writes of one transaction.
pub(super) const WRITES_PER_COMMIT_MAX: usize = 1_024;
/// Most uses that are recorded at once, on a thread that others need.
pub(super) const USES_AT_ONCE_MAX: usize = 16;

/// Writes that wait, and whether somebody is at work on them. Each is answered with a `T`.
pub(super) struct WriteQueue<T>(Mutex<Waiting<T>>);

struct Waiting<T> {
    jobs: Vec<Job<T>>,
    draining: bool,
}

impl<T> Waiting<T> {
    fn take(&mut self, count: usize) -> (Vec<Write>, Replies<T>) {
        let jobs = self.jobs.drain(..count);
        let (writes, replies) = jobs.map(|job| (job.write, job.reply)).unzip();
        (writes, Replies(replies))
    }
}

struct Job<T> {
    write: Write,
    reply: oneshot::Sender<Result<T, NodeError>>,
}

/// Where the answer to a write comes.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, NodeError>>;

impl<T> Default for WriteQueue<T> {
    fn default() -> Self {
        Self(Mutex::new(Waiting {
            jobs: Vec::new(),
            draining: false,
        }))
    }
}

impl<T> WriteQueue<T> {
    /// Has a write wait. Whether nobody is at work: then the caller is, from now on, until [`Self::answer`] says that nothing waits.
    pub(super) fn push(&self, write: Write) -> Result<(Answer<T>, bool), NodeError> {
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.0.lock();
        if waiting.jobs.len() >= WRITES_WAITING_MAX {
            return Err(NodeError::Exhausted {
                limit: "writes waiting for one tenant",
                value: WRITES_WAITING_MAX as u64,
                retry_after: Duration::from_millis(100),
            });
        }
        waiting.jobs.push(Job { write, reply });
        Ok((answer, !std::mem::replace(&mut waiting.draining, true)))
    }

    /// The next group of those that wait.
    pub(super) fn next_group(&self) -> (Vec<Write>, Replies<T>) {
        let mut waiting = self.0.lock();
        let count = waiting.jobs.len().min(WRITES_PER_COMMIT_MAX);
        waiting.take(count)
    }

    /// All that wait, where they are few and uses.
    pub(super) fn few_uses(&self) -> Option<(Vec<Write>, Replies<T>)> {
        let mut waiting = self.0.lock();
        let count = waiting.jobs.len();
        let is_use = |job: &Job<T>| matches!(job.write, Write::Usage(_));
        (count <= USES_AT_ONCE_MAX && waiting.jobs.iter().all(is_use)).then(|| waiting.take(count))
    }

    /// Answers a group. Whether others wait then; otherwise whoever comes next begins, also one who was answered just now.
    pub(super) fn answer(
        &self,
        replies: Replies<T>,
        answers: Result<Vec<Result<T, NodeError>>, NodeError>,
    ) -> bool {
        let goes_on = self.goes_on();
        replies.answer(answers);
        goes_on
    }

    fn goes_on(&self) -> bool {
        let mut waiting = self.0.lock();
        waiting.draining = !waiting.jobs.is_empty();
        waiting.draining
    }
}

/// Who waits for the answers of a group.
pub(super) struct Replies<T>(Vec<oneshot::Sender<Result<T, NodeError>>>);

impl<T> Replies<T> {
    /// Tells each its answer, or all of them why there is none. A caller that went away needs no answer; its write is done all the same.
    fn answer(self, answers: Result<Vec<Result<T, NodeError>>, NodeError>) {
        match answers {
            Ok(answers) => {
                for (reply, answer) in self.0.into_iter().zip(answers) {
                    let _ = reply.send(answer);
                }
            }
            Err(error) => {
                for reply in self.0 {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Waits for the answer to a write.
pub(super) async fn answered<T>(answer: Answer<T>) -> Result<T, NodeError> {
    let dropped = |_| Err(NodeError::Internal("the write was dropped".to_owned()));
    answer.await.unwrap_or_else(dropped)
}

/// The request that a write is of.
pub(super) fn request_of(write: &Write) -> &RequestId {
    match write {
        Write::Enroll(enroll) => &enroll.request_id,
        Write::Erase(erase) => &erase.request_id,
        Write::Policy(policy) => &policy.request_id,
        Write::Usage(record) => &record.event.request_id,
    }
}

/// Tells that a group of so many writes was committed, and how long that took.
pub(super) fn committed_group(started: Instant, writes: usize) {
    metrics::histogram!(telemetry::COMMIT_SECONDS).record(started.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "a group has few members")]
    metrics::histogram!(telemetry::COMMIT_WRITES).record(writes as f64);
}

#[cfg(test)]
#[path = "writes_tests.rs"]
mod tests;
