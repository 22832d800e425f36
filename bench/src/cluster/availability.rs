//! The share of calls that were answered where they could be. Makes no call and decides nothing about what could be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::standing::Window;
use crate::timing::Samples;

/// An identification, with its retry; times are since the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it was due.
    pub from: Duration,
    /// When it was answered, or given up.
    pub to: Duration,
    /// Why it was not answered, where it was not.
    pub refusal: Option<Refusal>,
}

/// Why a call was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In the words of the last refusal.
    pub words: String,
    /// What happened then.
    pub during: String,
}

/// Calls that were not answered and have something in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unanswered {
    /// How many.
    pub count: usize,
    /// When the first of them ended, in seconds since the beginning.
    pub first_s: f64,
    /// When the last one did.
    pub last_s: f64,
}

/// What the calls come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// Why calls that count were not answered.
    pub refusals: BTreeMap<String, Unanswered>,
    /// The same calls, by what happened then.
    pub refused_during: BTreeMap<String, Unanswered>,
}

impl Availability {
    /// Of these calls, but for those that overlap a second of a window.
    pub fn of(calls: &[Call], windows: &[Window]) -> Self {
        let seconds = seconds(windows);
        let (excluded, counted): (Vec<&Call>, Vec<&Call>) = calls
            .iter()
            .partition(|call| seconds.iter().any(|second| overlaps(call, *second)));
        let mut times = Samples::default();
        for call in calls.iter().filter(|call| call.refusal.is_none()) {
            times.push(call.to.saturating_sub(call.from).as_secs_f64() * 1e3);
        }
        Self {
            share: share(&counted),
            share_of_all: share(&calls.iter().collect::<Vec<_>>()),
            counted: counted.len(),
            unanswered: counted.iter().filter(|call| call.refusal.is_some()).count(),
            excluded: excluded.len(),
            excluded_seconds: seconds.iter().map(|(from, to)| to - from).sum(),
            p50_ms: times.quantile(0.5),
            p99_ms: times.quantile(0.99),
            max_ms: times.quantile(1.0),
            refusals: by(&counted, |refusal| &refusal.words),
            refused_during: by(&counted, |refusal| &refusal.during),
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

/// Those that were not answered, by something that is known of each.
fn by(calls: &[&Call], key: impl Fn(&Refusal) -> &String) -> BTreeMap<String, Unanswered> {
    let mut all: BTreeMap<String, Unanswered> = BTreeMap::new();
    for call in calls {
        let Some(refusal) = &call.refusal else { continue };
        let at_s = (call.to.as_secs_f64() * 10.0).round() / 10.0;
        let first = || Unanswered {
            count: 0,
            first_s: at_s,
            last_s: at_s,
        };
        let unanswered = all.entry(key(refusal).clone()).or_insert_with(first);
        unanswered.count += 1;
        unanswered.first_s = unanswered.first_s.min(at_s);
        unanswered.last_s = unanswered.last_s.max(at_s);
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "calls of a run are far below 2^52")]
fn share(calls: &[&Call]) -> Option<f64> {
    let answered = calls.iter().filter(|call| call.refusal.is_none()).count();
    (!calls.is_empty()).then(|| answered as f64 / calls.len() as f64)
}

#[cfg(test)]
#[path = "availability_tests.rs"]
mod tests;
