//! What a run ends with: text for people and one JSON object for machines. Measures nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cli::output::table;

use super::tally::{Findings, Tally};

/// Calls that begin within this are in time whatever the latencies are.
const LATE_MS_FREE: f64 = 1.0;
/// Largest share of the latency that may be the generator's own.
const LATE_SHARE_MAX: f64 = 0.1;

/// Figures of one tenant, or of all. Scripts rely on these names.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// People who came.
    pub due: u64,
    /// The same in a second.
    pub due_per_s: f64,
    /// Those for whom no call was made.
    pub unsent: u64,
    /// Those whose call their scanner held back.
    pub held_back: u64,
    /// Answers within the deadline.
    pub answered: u64,
    /// The same in a second, from the beginning to the last answer.
    pub answered_per_s: f64,
    /// Answers by what they were worth.
    #[serde(flatten)]
    pub findings: Findings,
    /// Calls without an answer, by gRPC code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Latency of the answers, from when somebody was due.
    pub p50_ms: f64,
    /// As above.
    pub p90_ms: f64,
    /// As above.
    pub p99_ms: f64,
    /// As above.
    pub p999_ms: f64,
    /// As above.
    pub max_ms: f64,
}

impl Figures {
    /// The figures of a run of this length.
    pub fn of(tally: &Tally, length: Duration) -> Self {
        let millis = |quantile| quantile_ms(&tally.latency_us, quantile);
        let seconds = length.max(tally.last_answer).as_secs_f64();
        Self {
            due: tally.due,
            due_per_s: rounded(as_f64(tally.due) / length.as_secs_f64()),
            unsent: tally.unsent,
            held_back: tally.held_back,
            answered: tally.answered(),
            answered_per_s: rounded(as_f64(tally.answered()) / seconds),
            findings: tally.findings,
            refused: tally.refused.clone(),
            p50_ms: millis(0.5),
            p90_ms: millis(0.9),
            p99_ms: millis(0.99),
            p999_ms: millis(0.999),
            max_ms: millis(1.0),
        }
    }
}

/// A tenant's figures.
#[derive(Debug, Clone, Serialize)]
pub struct TenantFigures {
    /// Which tenant.
    pub tenant: String,
    /// Palms in its gallery.
    pub palms: u64,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Everything but the plots. Scripts rely on these names.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The server, as it was told, and its address.
    pub server: String,
    /// Time in which people came.
    pub seconds: f64,
    /// Scanners of each tenant.
    pub scanners: u32,
    /// From when somebody is due to when they give up.
    pub deadline_ms: u64,
    /// How late calls began, of a hundred the latest but one.
    pub late_p99_ms: f64,
    /// Whether that spoils the figures.
    pub late: bool,
    /// All tenants together.
    pub all: Figures,
    /// Each tenant.
    pub tenants: Vec<TenantFigures>,
    /// The first call without an answer, in words.
    #[serde(skip)]
    pub refusal: Option<String>,
}

impl Report {
    /// Whether the generator's own lateness, or calls that it could not make, are a part of the figures that counts.
    pub fn is_late(late_p99_ms: f64, all: &Figures) -> bool {
        let allowed = LATE_MS_FREE.max(all.p99_ms * LATE_SHARE_MAX);
        late_p99_ms > allowed || all.unsent > 0
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers, truth values and text are JSON")
    }

    /// Tables and a sentence on the generator itself.
    pub fn text(&self) -> String {
        let mut rows = vec![words(&[
            "tenant",
            "palms",
            "came/s",
            "answered/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
        ])];
        let mut outcomes = vec![words(&[
            "tenant",
            "came",
            "found",
            "nobody",
            "missed",
            "ambiguous",
            "wrong",
            "unsent",
            "held back",
            "refused",
        ])];
        for one in &self.tenants {
            rows.push(speeds(&one.tenant, &one.palms.to_string(), &one.figures));
            outcomes.push(ends(&one.tenant, &one.figures));
        }
        if self.tenants.len() > 1 {
            rows.push(speeds("all", "", &self.all));
            outcomes.push(ends("all", &self.all));
        }
        let refusal = match &self.refusal {
            Some(refusal) => format!("\nfirst refusal: {refusal}"),
            None => String::new(),
        };
        let (speeds, ends) = (table(&rows), table(&outcomes));
        format!("\n{speeds}\n{ends}{refusal}\n{}", self.lateness())
    }

    /// What to think of the generator itself.
    pub fn lateness(&self) -> String {
        let told = format!("calls began up to {:.2} ms late (p99)", self.late_p99_ms);
        if self.late {
            format!(
                "{told}, {} were not sent: the generator was too slow, and these latencies are its own in part; run it on another machine or with a lower rate",
                self.all.unsent
            )
        } else {
            format!("{told}: the generator kept up")
        }
    }
}

fn speeds(name: &str, palms: &str, figures: &Figures) -> Vec<String> {
    let millis = |value: f64| format!("{value:.2}");
    vec![
        name.to_owned(),
        palms.to_owned(),
        figures.due_per_s.to_string(),
        figures.answered_per_s.to_string(),
        millis(figures.p50_ms),
        millis(figures.p90_ms),
        millis(figures.p99_ms),
        millis(figures.p999_ms),
        millis(figures.max_ms),
    ]
}

fn ends(name: &str, figures: &Figures) -> Vec<String> {
    let found = &figures.findings;
    let counts = [
        figures.due,
        found.found,
        found.nobody,
        found.missed,
        found.ambiguous,
        found.wrong,
        figures.unsent,
        figures.held_back,
    ];
    let refused: Vec<String> = figures
        .refused
        .iter()
        .map(|(code, count)| format!("{code} {count}"))
        .collect();
    let mut row = vec![name.to_owned()];
    row.extend(counts.map(|count| count.to_string()));
    row.push(if refused.is_empty() {
        "none".to_owned()
    } else {
        refused.join(", ")
    });
    row
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A quantile of times in microseconds, in milliseconds.
pub fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    as_f64(histogram.value_at_quantile(quantile)) / 1_000.0
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "counts of a run stay far below 2⁵³")]
pub fn as_f64(count: u64) -> f64 {
    count as f64
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
#[path = "report_tests.rs"]
pub(super) mod tests;
