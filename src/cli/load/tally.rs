//! What came of everybody who came: counts, latencies, and both over time. Judges by the mate's score alone and keeps no answer.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tonic::{Code, Status};

use crate::cli::simulated::oracle::{self, Answer, Asker, Verdict};
use crate::client::{code_name, explain};

/// Longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Most stretches of time that are counted apart.
const SLOTS_MAX: u32 = 240;

/// What an answer was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The palm's own subject.
    Found,
    /// Nobody, to a stranger.
    Nobody,
    /// Nobody, to a capture that its own palm scores below the threshold.
    Missed,
    /// Two subjects too close to each other.
    Ambiguous,
    /// Another subject, anybody to a stranger, or nobody to a capture that scores above the threshold.
    Wrong,
}

impl Finding {
    /// Judges an answer.
    pub fn of(asker: Asker, answer: Answer, threshold: f64) -> Self {
        match (oracle::judge(asker, answer, threshold), asker, answer) {
            (Verdict::Right, Asker::Stranger, _) => Self::Nobody,
            (Verdict::Right, _, Answer::NoMatch) => Self::Missed,
            (Verdict::Right, ..) => Self::Found,
            (Verdict::Unclear, Asker::Mate { .. }, Answer::Ambiguous) => Self::Ambiguous,
            _ => Self::Wrong,
        }
    }
}

/// Answers by what they were worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// As in [`Finding`].
    pub found: u64,
    /// As in [`Finding`].
    pub nobody: u64,
    /// As in [`Finding`].
    pub missed: u64,
    /// As in [`Finding`].
    pub ambiguous: u64,
    /// As in [`Finding`].
    pub wrong: u64,
}

impl Findings {
    fn place(&mut self, finding: Finding) -> &mut u64 {
        match finding {
            Finding::Found => &mut self.found,
            Finding::Nobody => &mut self.nobody,
            Finding::Missed => &mut self.missed,
            Finding::Ambiguous => &mut self.ambiguous,
            Finding::Wrong => &mut self.wrong,
        }
    }

    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.nobody += other.nobody;
        self.missed += other.missed;
        self.ambiguous += other.ambiguous;
        self.wrong += other.wrong;
    }
}

/// A stretch of time: arrivals by when they were due, everything else by when it ended.
#[derive(Debug, Clone)]
pub struct Slot {
    /// People who came.
    pub due: u64,
    /// Answers.
    pub findings: Findings,
    /// Calls without an answer, by gRPC code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Latency of the answers, in microseconds.
    pub latency_us: Histogram<u64>,
}

/// All that is counted of one tenant, or of several.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Latency of the answers from when somebody was due, in microseconds.
    pub latency_us: Histogram<u64>,
    /// How late calls began, in microseconds.
    pub late_us: Histogram<u64>,
    /// Stretches of equal length from the beginning on.
    pub slots: Vec<Slot>,
    /// Length of a stretch.
    pub slot: Duration,
    /// People who came.
    pub due: u64,
    /// Those for whom no call was made, since too many were unanswered.
    pub unsent: u64,
    /// Those for whom no call was made, since the server refuses many of their scanner's.
    pub held_back: u64,
    /// Answers.
    pub findings: Findings,
    /// Calls without an answer, by gRPC code.
    pub refused: BTreeMap<&'static str, u64>,
    /// The first of them in words.
    pub refusal: Option<String>,
    /// When the last answer came.
    pub last_answer: Duration,
}

impl Tally {
    /// Room for what ends within `length`.
    pub fn new(length: Duration) -> Self {
        let slot = Duration::from_secs(length.as_secs().div_ceil(u64::from(SLOTS_MAX)).max(1));
        let count = length.as_secs().div_ceil(slot.as_secs()) + 1;
        let empty = Slot {
            due: 0,
            findings: Findings::default(),
            refused: BTreeMap::new(),
            latency_us: histogram(2),
        };
        Self {
            latency_us: histogram(3),
            late_us: histogram(3),
            slots: vec![empty; usize::try_from(count).expect("a few hundred")],
            slot,
            due: 0,
            unsent: 0,
            held_back: 0,
            findings: Findings::default(),
            refused: BTreeMap::new(),
            refusal: None,
            last_answer: Duration::ZERO,
        }
    }

    /// Somebody was due.
    pub fn arrived(&mut self, due: Duration) {
        self.due += 1;
        self.at(due).due += 1;
    }

    /// No call was made.
    pub fn not_sent(&mut self) {
        self.unsent += 1;
    }

    /// The scanner held the call back.
    pub fn held_back(&mut self) {
        self.held_back += 1;
    }

    /// A call began.
    pub fn began(&mut self, late: Duration) {
        record(&mut self.late_us, late);
    }

    /// A call ended, both times since the beginning.
    pub fn ended(&mut self, due: Duration, now: Duration, outcome: &Result<Finding, Status>) {
        match outcome {
            Ok(finding) => {
                let latency = now.saturating_sub(due);
                record(&mut self.latency_us, latency);
                *self.findings.place(*finding) += 1;
                self.last_answer = self.last_answer.max(now);
                let slot = self.at(now);
                *slot.findings.place(*finding) += 1;
                record(&mut slot.latency_us, latency);
            }
            Err(status) => {
                let code = code_name(status.code());
                *self.refused.entry(code).or_default() += 1;
                *self.at(now).refused.entry(code).or_default() += 1;
                self.refusal.get_or_insert_with(|| explain::describe(status));
            }
        }
    }

    /// Answers.
    pub fn answered(&self) -> u64 {
        self.latency_us.len()
    }

    /// Takes in another tenant's, of the same length.
    pub fn add(&mut self, other: &Self) {
        merge(&mut self.latency_us, &other.latency_us);
        merge(&mut self.late_us, &other.late_us);
        for (slot, more) in self.slots.iter_mut().zip(&other.slots) {
            slot.due += more.due;
            slot.findings.add(more.findings);
            add_counts(&mut slot.refused, &more.refused);
            merge(&mut slot.latency_us, &more.latency_us);
        }
        self.due += other.due;
        self.unsent += other.unsent;
        self.held_back += other.held_back;
        self.findings.add(other.findings);
        add_counts(&mut self.refused, &other.refused);
        self.refusal = self.refusal.take().or_else(|| other.refusal.clone());
        self.last_answer = self.last_answer.max(other.last_answer);
    }

    /// The stretch of a time; the last one takes what ends after all.
    fn at(&mut self, time: Duration) -> &mut Slot {
        let number = usize::try_from(time.as_secs() / self.slot.as_secs()).unwrap_or(usize::MAX);
        let last = self.slots.len() - 1;
        self.slots
            .get_mut(number.min(last))
            .expect("there is one stretch at least")
    }
}

/// A call that had no answer when the caller had waited long enough.
pub fn too_late() -> Status {
    Status::new(Code::DeadlineExceeded, "no answer within --deadline-ms")
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, digits).expect("the bounds are valid")
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    histogram.saturating_record(micros.clamp(1, LATENCY_US_MAX));
}

fn merge(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    into.add(from).expect("the bounds are the same");
}

fn add_counts(into: &mut BTreeMap<&'static str, u64>, from: &BTreeMap<&'static str, u64>) {
    for (code, count) in from {
        *into.entry(code).or_default() += count;
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
