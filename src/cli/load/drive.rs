//! Sends everybody at their time, whether or not others were answered: an open loop. Knows no gRPC.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::tally::{Finding, Tally, too_late};

/// Most calls that wait for an answer. Whoever comes then is counted and not sent.
const UNANSWERED_MAX: usize = 65_536;

/// When a run begins and how long each person waits.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The zero of all arrivals.
    pub begin: Instant,
    /// From when somebody is due to when they give up.
    pub deadline: Duration,
}

/// Runs until the last call has ended. `call` is given the number of the tenant and the time at which the caller gives up;
/// it is called at the time of the arrival, on one thread, and must not wait. `None` is a call that is held back.
pub async fn run<C, F>(
    timing: Timing,
    arrivals: impl Iterator<Item = (Duration, usize)> + Send + 'static,
    tallies: Arc<[Mutex<Tally>]>,
    mut call: C,
) where
    C: FnMut(usize, Instant) -> Option<F> + Send + 'static,
    F: Future<Output = Result<Finding, Status>> + Send + 'static,
{
    let (runtime, tasks) = (Handle::current(), TaskTracker::new());
    let spawned = tasks.clone();
    let unanswered = Arc::new(AtomicUsize::new(0));
    // A thread of its own: the runtime's clock ticks in milliseconds.
    let pacer = tokio::task::spawn_blocking(move || {
        for (due, tenant) in arrivals {
            let at = timing.begin + due;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let Some(tally) = tallies.get(tenant) else {
                continue;
            };
            let mut counted = tally.lock();
            counted.arrived(due);
            if unanswered.load(Ordering::Relaxed) >= UNANSWERED_MAX {
                counted.not_sent();
                continue;
            }
            drop(counted);
            let give_up = at + timing.deadline;
            let Some(asked) = call(tenant, give_up) else {
                tally.lock().held_back();
                continue;
            };
            unanswered.fetch_add(1, Ordering::Relaxed);
            let (tallies, unanswered) = (Arc::clone(&tallies), Arc::clone(&unanswered));
            let one = async move {
                let late = timing.begin.elapsed().saturating_sub(due);
                let outcome = tokio::time::timeout_at(give_up.into(), asked).await;
                let now = timing.begin.elapsed();
                // What the transport says of a call that was given up is no answer of the server.
                let outcome = match outcome {
                    Ok(outcome) if now < due + timing.deadline => outcome,
                    _ => Err(too_late()),
                };
                unanswered.fetch_sub(1, Ordering::Relaxed);
                if let Some(tally) = tallies.get(tenant) {
                    let mut tally = tally.lock();
                    tally.began(late);
                    tally.ended(due, now, &outcome);
                }
            };
            spawned.spawn_on(one, &runtime);
        }
    });
    pacer.await.expect("the pacer does not panic");
    tasks.close();
    tasks.wait().await;
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
