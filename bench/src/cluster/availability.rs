//! The share of calls that were answered where they could be. Makes no call and decides nothing about what could be.

use std::time::Duration;

use serde::Serialize;

use super::standing::Window;
use crate::timing::Samples;

/// An identification, with its retry; times are since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When it was due.
    pub from: Duration,
    /// When it was answered, or given up.
    pub to: Duration,
    /// Whether it was answered.
    pub is_answered: bool,
}

/// What the calls come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Availability {
    /// Answered calls of those that count, from 0 to 1; `None` where none counts.
    pub share: Option<f64>,
    /// Answered calls of all.
    pub share_of_all: Option<f64>,
    /// Calls that count.
    pub counted: usize,
    /// Of these, those that got no answer.
    pub unanswered: usize,
    /// Calls that don't count.
    pub excluded: usize,
    /// Seconds that don't count.
    pub excluded_seconds: u64,
    /// Median of the answers, from when they were due, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Of a hundred answers the slowest but one.
    pub p99_ms: Option<f64>,
    /// The slowest answer.
    pub max_ms: Option<f64>,
}

impl Availability {
    /// Of these calls, but for those that overlap a second of a window.
    pub fn of(calls: &[Call], windows: &[Window]) -> Self {
        let seconds = seconds(windows);
        let (excluded, counted): (Vec<Call>, Vec<Call>) = calls
            .iter()
            .partition(|call| seconds.iter().any(|second| overlaps(call, *second)));
        let mut times = Samples::default();
        for call in calls.iter().filter(|call| call.is_answered) {
            times.push(call.to.saturating_sub(call.from).as_secs_f64() * 1e3);
        }
        Self {
            share: share(&counted),
            share_of_all: share(calls),
            counted: counted.len(),
            unanswered: counted.iter().filter(|call| !call.is_answered).count(),
            excluded: excluded.len(),
            excluded_seconds: seconds.iter().map(|(from, to)| to - from).sum(),
            p50_ms: times.quantile(0.5),
            p99_ms: times.quantile(0.99),
            max_ms: times.quantile(1.0),
        }
    }
}

/// Whole seconds that windows touch, in spans that don't, in order.
fn seconds(windows: &[Window]) -> Vec<(u64, u64)> {
    let whole = |window: &Window| (window.from.as_secs(), window.to.as_secs() + 1);
    let mut spans: Vec<(u64, u64)> = windows.iter().map(whole).collect();
    spans.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}

fn overlaps(call: &Call, (from, to): (u64, u64)) -> bool {
    call.from < Duration::from_secs(to) && Duration::from_secs(from) <= call.to
}

#[expect(clippy::cast_precision_loss, reason = "calls of a run are far below 2^52")]
fn share(calls: &[Call]) -> Option<f64> {
    let answered = calls.iter().filter(|call| call.is_answered).count();
    (!calls.is_empty()).then(|| answered as f64 / calls.len() as f64)
}

#[cfg(test)]
#[path = "availability_tests.rs"]
mod tests;
