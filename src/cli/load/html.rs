//! The report as one HTML file: figures, latency, throughput and outcomes over time.

use crate::cli::page::Page;
use crate::cli::plot::{self, Series};

use super::report::{Report, as_f64, quantile_ms};
use super::tally::{Slot, Tally};

/// Quantiles of the curve over all answers: as many nines as there can be answers for.
const CURVE: [(f64, &str); 7] = [
    (0.0, "0"),
    (0.5, "50"),
    (0.9, "90"),
    (0.99, "99"),
    (0.999, "99.9"),
    (0.9999, "99.99"),
    (1.0, "100"),
];

/// Colours of what there may be many of.
const COLORS: [&str; 6] = ["#c8553d", "#8d3b72", "#2a9d8f", "#e9c46a", "#5c4d7d", "#6b705c"];

/// The whole file. `tenants` are the tallies of the report's tenants, in its order; `all` is their sum.
pub fn page(report: &Report, all: &Tally, tenants: &[Tally]) -> String {
    let heading = format!(
        "Load on {}: {} s, {} scanners a tenant, deadline {} ms",
        report.server, report.seconds, report.scanners, report.deadline_ms
    );
    let mut page = Page::new("thenar load", &heading);
    if report.all.findings.wrong > 0 {
        page.warn(&format!("{} answers were wrong.", report.all.findings.wrong));
    }
    if report.late {
        page.warn(&report.lateness());
    }
    page.text(&report.text());
    page.plot("Latency over time, ms, from when somebody was due", &latency(all));
    page.plot(
        "Throughput over time, a second",
        &throughput(report, all, tenants),
    );
    page.plot(
        "What became of people, a second, by when it ended",
        &outcomes(all),
    );
    page.plot("Latency of a share of all answers, ms", &curve(all));
    page.finish()
}

fn series(all: &Tally, name: &str, color: &'static str, of: impl Fn(&Slot) -> Option<f64>) -> Series {
    Series {
        name: name.to_owned(),
        color,
        values: all.slots.iter().map(of).collect(),
    }
}

/// Ends of the stretches of time, in seconds.
fn times(all: &Tally) -> Vec<String> {
    let slot = all.slot.as_secs();
    (1..)
        .take(all.slots.len())
        .map(|number: u64| (number * slot).to_string())
        .collect()
}

fn latency(all: &Tally) -> String {
    let of = |quantile| {
        move |slot: &Slot| (!slot.latency_us.is_empty()).then(|| quantile_ms(&slot.latency_us, quantile))
    };
    let lines = [
        series(all, "p50", "#1b6ca8", of(0.5)),
        series(all, "p90", "#2a9d8f", of(0.9)),
        series(all, "p99", "#c8553d", of(0.99)),
    ];
    plot::lines(&times(all), "s", &lines)
}

fn throughput(report: &Report, all: &Tally, tenants: &[Tally]) -> String {
    let seconds = all.slot.as_secs_f64();
    let answered = |slot: &Slot| Some(as_f64(slot.latency_us.len()) / seconds);
    let mut lines = vec![
        series(all, "came", "#888888", |slot| Some(as_f64(slot.due) / seconds)),
        series(all, "answered", "#1b6ca8", answered),
    ];
    if tenants.len() > 1 {
        let named = report.tenants.iter().zip(tenants).zip(COLORS.iter().cycle());
        lines.extend(named.map(|((of, tally), color)| {
            series(tally, &format!("answered to {}", of.tenant), color, answered)
        }));
    }
    plot::lines(&times(all), "s", &lines)
}

fn outcomes(all: &Tally) -> String {
    let seconds = all.slot.as_secs_f64();
    let rate = |count: u64| Some(as_f64(count) / seconds);
    let mut stack = vec![
        series(all, "found", "#1b6ca8", |slot| rate(slot.findings.found)),
        series(all, "nobody", "#7fb3d5", |slot| rate(slot.findings.nobody)),
        series(all, "missed", "#e9c46a", |slot| rate(slot.findings.missed)),
        series(all, "ambiguous", "#f4a261", |slot| rate(slot.findings.ambiguous)),
        series(all, "WRONG", "#000000", |slot| rate(slot.findings.wrong)),
    ];
    for (code, color) in all.refused.keys().zip(COLORS.iter().cycle()) {
        stack.push(series(all, code, color, |slot| {
            rate(slot.refused.get(code).copied().unwrap_or(0))
        }));
    }
    // What never happened takes no room in the legend.
    stack.retain(|one| one.values.iter().flatten().any(|value| *value > 0.0));
    plot::stacked(&times(all), "s", &stack)
}

fn curve(all: &Tally) -> String {
    let labels: Vec<String> = CURVE.iter().map(|(_, label)| (*label).to_owned()).collect();
    let values = CURVE
        .iter()
        .map(|(quantile, _)| (!all.latency_us.is_empty()).then(|| quantile_ms(&all.latency_us, *quantile)));
    let line = Series {
        name: "all answers".to_owned(),
        color: "#1b6ca8",
        values: values.collect(),
    };
    plot::lines(&labels, "%", &[line])
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
