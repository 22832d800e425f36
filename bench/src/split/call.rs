//! What became of single calls, and what many of them come to. Pure: knows no connection.

use std::error::Error;
use std::time::Duration;

use thenar::cli::simulated::oracle::{self, Answer, Asker, Verdict};
use thenar::client::{api, code_name};
use tonic::{Code, Status};

use crate::timing::Samples;

/// What a front says of a node that it does not even ask.
const AT_ONCE: &str = "calls in a row did not reach it";

/// A tenant on a node of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    /// Its node is lost again and again.
    Lost,
    /// Its node is left alone.
    Other,
}

impl Tenant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lost, Self::Other];

    /// Its id.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "acme",
            Self::Other => "beta",
        }
    }

    /// Its node.
    pub fn node(self) -> &'static str {
        match self {
            Self::Lost => "match-1",
            Self::Other => "match-2",
        }
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that is not wrong, by what the asker's score allows.
    Answered,
    /// UNAVAILABLE, with the names of tenant and node; at once where the node was not even asked.
    Unavailable {
        /// The breaker was open.
        at_once: bool,
    },
    /// The front said `DEADLINE_EXCEEDED`.
    Late,
    /// The deadline passed at the caller before the front said anything.
    Untold,
    /// An answer that is wrong whatever else is enrolled, "no match" for somebody who is enrolled among them.
    Wrong(String),
    /// Any other refusal.
    Refused(String),
}

impl Outcome {
    /// Judges an answer to somebody.
    pub fn of_answer(asker: Asker, answer: &api::IdentifyResponse, threshold: f64) -> Self {
        match oracle::judge(asker, Answer::of(answer), threshold) {
            Verdict::Right | Verdict::Unclear => Self::Answered,
            Verdict::Wrong => Self::Wrong(format!("{asker:?} was answered {:?}", answer.decision())),
        }
    }

    /// Reads a refusal of a call of this tenant.
    pub fn of_refusal(tenant: Tenant, status: &Status) -> Self {
        let (code, words) = (status.code(), status.message());
        // What a front says has no cause in this process; the library's own timer of the deadline is one.
        let is_own = status.source().is_some();
        let names_both =
            words.contains(&format!("tenant {}", tenant.name())) && words.contains(tenant.node());
        match code {
            Code::Cancelled | Code::DeadlineExceeded if is_own => Self::Untold,
            Code::DeadlineExceeded => Self::Late,
            Code::Unavailable if names_both && !is_own => Self::Unavailable {
                at_once: words.contains(AT_ONCE),
            },
            _ => Self::Refused(format!("{}: {words}", code_name(code))),
        }
    }
}

/// A call; times are since the traffic began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who was asked.
    pub tenant: Tenant,
    /// When it was to be made.
    pub due: Duration,
    /// When it was made.
    pub made: Duration,
    /// When its outcome was known.
    pub ended: Duration,
    /// That.
    pub outcome: Outcome,
}

impl Call {
    /// From when it was due to its outcome, in milliseconds.
    pub fn latency_ms(&self) -> f64 {
        ms(self.ended.saturating_sub(self.due))
    }

    /// How late its caller was, in milliseconds.
    pub fn late_ms(&self) -> f64 {
        ms(self.made.saturating_sub(self.due))
    }

    /// Whether there was a right answer.
    pub fn is_answered(&self) -> bool {
        self.outcome == Outcome::Answered
    }

    fn is_at_once(&self) -> bool {
        self.outcome == Outcome::Unavailable { at_once: true }
    }
}

/// A time in milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A tenant's calls that were due from one moment on and before another.
pub fn due(calls: &[Call], tenant: Tenant, from: Duration, to: Duration) -> Vec<&Call> {
    let all = calls.iter();
    all.filter(|call| call.tenant == tenant && (from..to).contains(&call.due))
        .collect()
}

/// When the first refusal at once of these came.
pub fn first_at_once(calls: &[&Call]) -> Option<Duration> {
    let refusals = calls.iter().filter(|call| call.is_at_once());
    refusals.map(|call| call.ended).min()
}

/// When the first answer of these came.
pub fn first_answer(calls: &[&Call]) -> Option<Duration> {
    let answers = calls.iter().filter(|call| call.is_answered());
    answers.map(|call| call.ended).min()
}

/// Those of them that were due and had no outcome at a moment.
pub fn under_way<'a>(calls: &[&'a Call], at: Duration) -> Vec<&'a Call> {
    let all = calls.iter().copied();
    all.filter(|call| call.due <= at && at < call.ended).collect()
}

/// How well a tenant was served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// Median of the answers, from when they were due, in milliseconds.
    pub p50_ms: f64,
    /// Of a hundred answers the slowest but one.
    pub p99_ms: f64,
    /// Answers.
    pub answered: usize,
    /// Calls.
    pub due: usize,
}

impl Service {
    /// Of these calls; none where no call was answered.
    pub fn of(calls: &[&Call]) -> Option<Self> {
        let mut times = Samples::default();
        for call in calls.iter().filter(|call| call.is_answered()) {
            times.push(call.latency_ms());
        }
        Some(Self {
            p50_ms: times.quantile(0.5)?,
            p99_ms: times.quantile(0.99)?,
            answered: times.len(),
            due: calls.len(),
        })
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
pub mod tests;
