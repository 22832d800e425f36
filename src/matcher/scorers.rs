//! The threads that score what scans leave over. A round of scans is answered at once; were each of its answers scored on a thread of its own, most of
//! the time would go into waking threads. Keeps no order and bounds nothing: what waits here has its place in the engine's queue behind it.

use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

use super::node::NodeError;

/// Threads for each processor: some wait for a disk.
const PER_PROCESSOR: usize = 2;

/// Threads for work that is short. Work that may be long belongs on a thread of its own, where nobody waits behind it.
pub(super) struct Scorers(ThreadPool);

impl Scorers {
    pub(super) fn start() -> Result<Self, NodeError> {
        let threads = available_parallelism().map_or(1, usize::from) * PER_PROCESSOR;
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("thenar-score-{i}"))
            // It was told where it happened, and whoever waits is told by `run`.
            .panic_handler(|_| {})
            .build()
            .map_err(|error| NodeError::Internal(format!("{threads} threads can't be started: {error}")))?;
        Ok(Self(pool))
    }

    /// Runs `work` when its turn comes, unless nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        // In the order of their coming.
        self.0.spawn_fifo(move || {
            if !reply.is_closed() {
                let _ = reply.send(work());
            }
        });
        answer
            .await
            .unwrap_or_else(|_| Err(NodeError::Internal("scoring ended early by a defect".to_owned())))
    }
}

#[cfg(test)]
#[path = "scorers_tests.rs"]
mod tests;
