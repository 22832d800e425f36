//! A small runtime for drivers that are asynchronous, and a way for blocking code to wait for what runs there. Knows no driver.

use std::future::Future;
use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use super::error::StorageError;

/// Threads of a runtime. They wait for the network; nothing is computed on them.
const THREADS: usize = 2;

/// A runtime and its waiting room. Whoever waits is a thread that may block: a blocking thread of another runtime, one
/// of rayon, or any other; never a task of this runtime, which would wait for itself.
#[derive(Debug)]
pub(super) struct Bridge(Option<Runtime>);

impl Bridge {
    /// Starts the threads, which bear this name.
    pub(super) fn start(name: &str) -> Result<Self, StorageError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|e| StorageError::io("start threads for", name.as_ref(), e))?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `work` to its end and gives its result.
    pub(super) fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (done, result) = mpsc::sync_channel(1);
        let runtime = self.0.as_ref().expect("there until dropped");
        runtime.spawn(async move {
            // Whoever waits does so until the end.
            let _ = done.send(work.await);
        });
        result.recv().expect("work panics only where it is wrong")
    }

    /// Lets `work` run until it ends or is aborted. Nobody waits for it.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let runtime = self.0.as_ref().expect("there until dropped");
        runtime.spawn(work).abort_handle()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Nothing that counts runs any more, and waiting for the threads is forbidden within another runtime.
            runtime.shutdown_background();
        }
    }
}
