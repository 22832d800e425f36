//! The threads that score: what scans leave over, and palms against one subject. A round of scans is answered at once; were each of its answers scored on a
//! thread of its own, most of the time would go into waking threads. Bounds nothing: the queue of scans and the front's quotas do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::node::NodeError;
use crate::telemetry::traces;

/// Threads for each processor: some wait for a disk.
const PER_PROCESSOR: usize = 2;
/// The same where they wait for a database and an object store.
const PER_PROCESSOR_FOR_NETWORK: usize = 16;

/// Threads for work that is short. Work that may be long belongs on a thread of its own, where nobody waits behind it.
pub(super) struct Scorers {
    pool: ThreadPool,
    /// Held by the caller that works on its own thread.
    turn: Semaphore,
    /// Whether one may.
    is_inline: bool,
}

impl Scorers {
    /// For rows that are on this machine.
    pub(super) fn start() -> Result<Self, NodeError> {
        Self::with(PER_PROCESSOR, true)
    }

    /// For rows that may be asked for over a network: nobody scores on its own thread, which others need.
    pub(super) fn start_for_network() -> Result<Self, NodeError> {
        Self::with(PER_PROCESSOR_FOR_NETWORK, false)
    }

    fn with(per_processor: usize, is_inline: bool) -> Result<Self, NodeError> {
        let threads = available_parallelism().map_or(1, usize::from) * per_processor;
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("thenar-score-{i}"))
            // It was told where it happened, and whoever waits is told by `run`.
            .panic_handler(|_| {})
            .build()
            .map_err(|error| NodeError::Internal(format!("{threads} threads can't be started: {error}")))?;
        let turn = Semaphore::new(1);
        Ok(Self {
            pool,
            turn,
            is_inline,
        })
    }

    /// The turn to do short work on this thread, one that others need: `None` while another caller does, and where none may. The work must be one that waits for nobody.
    pub(super) fn try_here(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.try_acquire().ok().filter(|_| self.is_inline)
    }

    /// Runs `work`: on this thread, where that may be and while no other caller does so, since to wake another takes longer; otherwise when its turn comes, unless nobody
    /// waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let ended_early = || NodeError::Internal("scoring ended early by a defect".to_owned());
        if let Some(_turn) = self.try_here() {
            // Nothing of the work is used after a panic.
            return catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(ended_early()));
        }
        let work = traces::carrying(work);
        let (reply, answer) = oneshot::channel();
        // In the order of their coming.
        self.pool.spawn_fifo(move || {
            if !reply.is_closed() {
                let _ = reply.send(work());
            }
        });
        answer.await.unwrap_or_else(|_| Err(ended_early()))
    }
}

#[cfg(test)]
#[path = "scorers_tests.rs"]
mod tests;
