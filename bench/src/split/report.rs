//! What all turns of a loss came to, as text and for scripts. Measures nothing.

use std::fmt;
use std::ops::Add;

use serde::Serialize;

use super::call::Service;
use super::deployment::Loss;
use super::turn::{Outcomes, Turn};
use crate::timing::Samples;

/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

/// What one kind of loss came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lost {
    /// Which.
    pub loss: &'static str,
    /// Calls of the lost tenant that were due meanwhile. Answered are those that waited until the node was back, or came before the front knew of a drain.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Outcomes that must not be.
    pub wrong: usize,
    /// The slowest outcome while the node was lost, from when it was due.
    pub slowest_ms: f64,
    /// What callers waited at most.
    pub deadline_ms: f64,
    /// How late they were themselves at most.
    pub callers_late_ms: f64,
    /// Median time from the loss to the first refusal at once; none where a turn had none.
    pub noticed_ms: Option<f64>,
    /// Median time from the return to the first answer.
    pub back_ms: f64,
    /// The other tenant while the node was lost.
    pub other: Served,
    /// The other tenant in undisturbed turns.
    pub quiet: Served,
    /// The p50 of the former over that of the latter.
    pub other_p50_ratio: f64,
    /// The same of p99.
    pub other_p99_ratio: f64,
    /// Share of the other tenant's calls that were answered while the node was lost.
    pub other_answered_share: f64,
    /// The front's memory before the loss, median.
    pub front_mib: f64,
    /// Its largest growth while the node was lost.
    pub front_growth_mib: f64,
    /// Most calls that the front had under way then.
    pub front_calls_max: f64,
    /// Calls that had no outcome yet when drains began; none for other losses.
    pub in_flight: Option<Outcomes>,
}

/// How a tenant was served: medians of the turns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Served {
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// Of a hundred answers the slowest but one.
    pub p99_ms: f64,
    /// Share of all calls that were answered.
    pub answered_share: f64,
}

impl Served {
    fn of(turns: &[Service]) -> Option<Self> {
        let sum = |count: fn(&Service) -> usize| turns.iter().map(count).sum();
        Some(Self {
            p50_ms: rounded(median(turns.iter().map(|turn| turn.p50_ms))?),
            p99_ms: rounded(median(turns.iter().map(|turn| turn.p99_ms))?),
            answered_share: share(sum(|turn| turn.answered), sum(|turn| turn.due)),
        })
    }
}

impl Lost {
    /// Of these turns; none of none.
    pub fn of(loss: Loss, deadline_ms: f64, turns: &[Turn]) -> Option<Self> {
        let sum = |count: fn(&Turn) -> usize| turns.iter().map(count).sum();
        let max = |value: fn(&Turn) -> f64| turns.iter().map(value).fold(0.0, f64::max);
        let served = |service: fn(&Turn) -> Service| {
            let services: Vec<Service> = turns.iter().map(service).collect();
            Served::of(&services)
        };
        let (other, quiet) = (served(|turn| turn.disturbed)?, served(|turn| turn.quiet)?);
        let noticed: Option<Vec<f64>> = turns.iter().map(|turn| turn.noticed_ms).collect();
        Some(Self {
            loss: loss.name(),
            outcomes: turns.iter().map(|turn| turn.lost).reduce(Add::add)?,
            wrong: sum(|turn| turn.faults.len()),
            slowest_ms: rounded(max(|turn| turn.slowest_ms)),
            deadline_ms,
            callers_late_ms: rounded(max(|turn| turn.callers_late_ms)),
            noticed_ms: noticed.and_then(median).map(rounded),
            back_ms: rounded(median(turns.iter().map(|turn| turn.back_ms))?),
            other,
            quiet,
            other_p50_ratio: rounded(other.p50_ms / quiet.p50_ms),
            other_p99_ratio: rounded(other.p99_ms / quiet.p99_ms),
            other_answered_share: other.answered_share,
            front_mib: rounded(median(turns.iter().map(|turn| turn.front.bytes_before / MIB))?),
            front_growth_mib: rounded(max(|turn| (turn.front.bytes_max - turn.front.bytes_before) / MIB)),
            front_calls_max: max(|turn| turn.front.calls_max),
            in_flight: turns.iter().filter_map(|turn| turn.in_flight).reduce(Add::add),
        })
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<8} {}, {} wrong; the slowest {:.0} of {:.0} ms (callers {:.0} ms late at most); ",
            self.loss, self.outcomes, self.wrong, self.slowest_ms, self.deadline_ms, self.callers_late_ms
        )?;
        match self.noticed_ms {
            Some(noticed) => write!(f, "refused at once after {noticed:.0} ms, ")?,
            None => write!(f, "not refused at once in every turn, ")?,
        }
        writeln!(f, "answered {:.0} ms after the return", self.back_ms)?;
        writeln!(
            f,
            "         the other tenant: p50 {:.2} ms, {:.2} of undisturbed; p99 {:.2} ms, {:.2} of it; {:.4} answered, {:.4} undisturbed",
            self.other.p50_ms,
            self.other_p50_ratio,
            self.other.p99_ms,
            self.other_p99_ratio,
            self.other.answered_share,
            self.quiet.answered_share
        )?;
        write!(
            f,
            "         the front: {:.1} MiB, at most {:.1} more while the node was lost, {:.0} calls under way at most",
            self.front_mib, self.front_growth_mib, self.front_calls_max
        )?;
        if let Some(in_flight) = self.in_flight {
            write!(
                f,
                "\n         in flight: {in_flight}; and each import was finished"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} UNAVAILABLE, {} DEADLINE_EXCEEDED, {} untold, {} answered",
            self.unavailable, self.late, self.untold, self.answered
        )
    }
}

/// Enough for a reader.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut samples = Samples::default();
    for value in values {
        samples.push(value);
    }
    samples.quantile(0.5)
}

/// Part of a whole, to a millionth; 1 of nothing.
#[expect(clippy::cast_precision_loss, reason = "calls of a run")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    (part as f64 / whole as f64 * 1e6).round() / 1e6
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
