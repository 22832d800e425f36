//! Keeps calls off a match node that can't be reached: closed, open after a few failures in a row, and from then on one call a second as a probe. Sends nothing itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::telemetry;

/// Failures in a row after which calls are refused at once.
pub const FAILURES_MAX: u32 = 3;
/// How often a call is let through to see whether the node is back.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);

/// What is known of one node's reach.
pub struct Breaker {
    node: String,
    state: Mutex<State>,
}

struct State {
    failures: u32,
    /// Open: when the next call is let through.
    probe_at: Option<Instant>,
    /// When the node last said anything, an error included.
    heard: Instant,
    /// Calls that wait for the node to say something.
    waiting: usize,
    /// Since when there is always one.
    waiting_since: Instant,
}

/// A call that waits for the node, until it is dropped.
pub struct Waiting<'a>(&'a Breaker);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

impl Breaker {
    /// A node that nobody has called yet counts as reachable.
    pub fn new(node: String) -> Self {
        let now = Instant::now();
        let breaker = Self {
            node,
            state: Mutex::new(State {
                failures: 0,
                probe_at: None,
                heard: now,
                waiting: 0,
                waiting_since: now,
            }),
        };
        breaker.tell(true);
        breaker
    }

    /// Lets a call through, or says after how many failures in a row it is refused.
    pub fn enter(&self, now: Instant) -> Result<(), u32> {
        let mut state = self.state.lock();
        match state.probe_at {
            Some(at) if now < at => Err(state.failures),
            Some(_) => {
                // Whatever becomes of this one, even if nobody waits for its answer: the next goes in a second.
                state.probe_at = Some(now + PROBE_EVERY);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts a call that is to be answered soon.
    pub fn wait(&self, now: Instant) -> Waiting<'_> {
        let mut state = self.state.lock();
        if state.waiting == 0 {
            state.waiting_since = now;
        }
        state.waiting += 1;
        Waiting(self)
    }

    /// The node said something.
    pub fn reached(&self, now: Instant) {
        let mut state = self.state.lock();
        state.heard = now;
        state.failures = 0;
        if state.probe_at.take().is_some() {
            self.tell(true);
            tracing::info!(node = self.node, "the match node answers again");
        }
    }

    /// A call did not get through.
    pub fn unreached(&self, now: Instant) {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES_MAX && state.probe_at.is_none() {
            state.probe_at = Some(now + PROBE_EVERY);
            self.tell(false);
            tracing::warn!(
                node = self.node,
                failures = state.failures,
                "the match node can't be reached; its calls are refused"
            );
        }
    }

    /// Whether the node has said nothing, to anybody, since then.
    pub fn silent_since(&self, moment: Instant) -> bool {
        self.state.lock().heard < moment
    }

    /// How long the node has said nothing, to anybody, while there was always somebody who waited for it.
    pub fn silence(&self, now: Instant) -> Duration {
        let state = self.state.lock();
        now.saturating_duration_since(state.heard.max(state.waiting_since))
    }

    fn tell(&self, up: bool) {
        metrics::gauge!(telemetry::NODE_UP, "node" => self.node.clone()).set(f64::from(u8::from(up)));
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
