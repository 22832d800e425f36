//! Which calls a client holds back while its server refuses many: a refusal costs the server a part of an answer, so that callers who go on asking for several times what
//! it can do take from what it does (Beyer, Jones, Petoff and Murphy, "Site Reliability Engineering", 2016, chapter 21). Sends nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Calls that are sent for each that the server takes. With more of them a client finds out sooner that the server takes more again, and costs it more until then.
const SENT_PER_ACCEPTED: f64 = 1.5;
/// After this time what came of a call counts half as much.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// What came of the calls of one client lately.
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Calls that somebody wanted to make and that have ended, those that were held back among them; older ones count less.
    wanted: f64,
    /// Those of them that the server took.
    accepted: f64,
    /// Calls without an answer yet: taken for such as will be accepted, since refusals come sooner than answers.
    under_way: f64,
    /// Shares of calls to be held back, until they make a whole one.
    owed: f64,
    at: Instant,
}

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(State {
            wanted: 0.0,
            accepted: 0.0,
            under_way: 0.0,
            owed: 0.0,
            at: Instant::now(),
        }))
    }
}

impl Throttle {
    /// Lets a call through, or holds it back: `None`.
    pub fn admit(self: &Arc<Self>) -> Option<Admitted> {
        self.admit_at(Instant::now())
    }

    fn admit_at(self: &Arc<Self>, now: Instant) -> Option<Admitted> {
        let mut state = self.0.lock();
        state.age(now);
        let (wanted, accepted) = (state.wanted + state.under_way, state.accepted + state.under_way);
        let beyond = SENT_PER_ACCEPTED.mul_add(-accepted, wanted);
        state.owed += (beyond / (wanted + 1.0)).max(0.0);
        // By turns rather than by chance: the same share of any number of calls.
        if state.owed >= 1.0 {
            state.owed -= 1.0;
            state.wanted += 1.0;
            return None;
        }
        state.under_way += 1.0;
        Some(Admitted {
            throttle: Arc::clone(self),
            is_accepted: false,
        })
    }

    fn ended(&self, is_accepted: bool) {
        let mut state = self.0.lock();
        state.age(Instant::now());
        state.under_way -= 1.0;
        state.wanted += 1.0;
        state.accepted += f64::from(u8::from(is_accepted));
    }
}

/// A call that is under way, until it is dropped.
#[derive(Debug)]
#[must_use = "a call that is dropped at once counts as refused"]
pub struct Admitted {
    throttle: Arc<Throttle>,
    is_accepted: bool,
}

impl Admitted {
    /// The server took the call and answered it, be it with an error that is about the question. One that is dropped was refused, or not answered in time.
    pub fn accepted(mut self) {
        self.is_accepted = true;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.throttle.ended(self.is_accepted);
    }
}

impl State {
    fn age(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let left = 0.5_f64.powf(passed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.wanted *= left;
        self.accepted *= left;
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
