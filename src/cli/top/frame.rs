//! What is shown of the time between two readings, as lines of text. Asks nobody, draws nothing.

use super::since::{Histogram, Quantile, Since};
use crate::cli::output::table;
use crate::cli::show::printable;
use crate::telemetry;

const DAY_SECONDS: f64 = 86_400.0;
/// What stands for a figure that there is none of.
const NONE: &str = "-";

/// All figures; `unix_seconds` is the time of the later reading.
pub fn figures(since: &Since, unix_seconds: f64) -> String {
    format!(
        "{}\n{}\n{}",
        table(&counted(since)),
        table(&timed(since)),
        table(&state(since, unix_seconds))
    )
}

/// What is counted, a second.
fn counted(since: &Since) -> Vec<Vec<String>> {
    let split = |what: &str, name: &str, label: &str| {
        let parts = since.rates_by(name, label);
        let all = parts.iter().fold(0.0, |sum, (_, rate)| sum + rate);
        let grown = parts.iter().filter(|(_, rate)| *rate > 0.0);
        row([
            what,
            &rate(all),
            &list(grown.map(|(part, value)| format!("{part} {}", rate(*value)))),
        ])
    };
    let searched = since.rate(telemetry::ROWS_SEARCHED, &[]);
    let survived = since.rate(telemetry::SURVIVORS, &[]);
    let share = if searched > 0.0 {
        format!("{:.4} % survived", 100.0 * survived / searched)
    } else {
        NONE.to_owned()
    };
    vec![
        row(["a second", "all", "of these"]),
        split("calls", telemetry::REQUESTS_TOTAL, "method"),
        split("codes", telemetry::REQUESTS_TOTAL, "code"),
        split("refused at a limit", telemetry::REFUSALS, "limit"),
        split("decisions", telemetry::DECISIONS, "decision"),
        split("recent matches", telemetry::RECENT_MATCHES, "outcome"),
        row(["rows searched", &rate(searched), &share]),
        row([
            "handshakes refused",
            &rate(since.rate(telemetry::HANDSHAKES_REFUSED, &[])),
            &format!("{:.0} in all", since.now.sum(telemetry::HANDSHAKES_REFUSED, &[])),
        ]),
    ]
}

/// How long things took, and how many went together.
fn timed(since: &Since) -> Vec<Vec<String>> {
    let of = |what: &str, histogram: &Histogram, form: fn(f64) -> String| {
        let quantile = |q| match histogram.quantile(q) {
            None => NONE.to_owned(),
            Some(Quantile::About(value)) => form(value),
            Some(Quantile::Above(limit)) => format!("> {}", form(limit)),
        };
        row([
            what,
            &rate(histogram.count / since.seconds),
            &histogram.mean().map_or_else(|| NONE.to_owned(), form),
            &quantile(0.5),
            &quantile(0.9),
            &quantile(0.99),
        ])
    };
    let method = |method| since.histogram(telemetry::REQUEST_SECONDS, &[("method", method)]);
    let all = |name| since.histogram(name, &[]);
    vec![
        row(["", "a second", "mean", "p50", "p90", "p99"]),
        of("Identify", &method("Identify"), duration),
        of("IdentifyStream", &method("IdentifyStream"), duration),
        of("queue wait", &all(telemetry::QUEUE_SECONDS), duration),
        of("scan", &all(telemetry::SCAN_SECONDS), duration),
        of("rescore", &all(telemetry::RESCORE_SECONDS), duration),
        of("commit", &all(telemetry::COMMIT_SECONDS), duration),
        of("probes of a batch", &all(telemetry::BATCH_PROBES), amount),
        of("writes of a commit", &all(telemetry::COMMIT_WRITES), amount),
    ]
}

/// How things are now.
fn state(since: &Since, unix_seconds: f64) -> Vec<Vec<String>> {
    let by = |name, label| since.now.by(name, label).into_iter();
    let tenants = by(telemetry::TENANTS, "state").map(|(state, count)| format!("{count:.0} {state}"));
    let nodes = by(telemetry::NODE_UP, "node").map(|(node, up)| format!("{node} {}", up_or_down(up)));
    let ends = by(telemetry::CERTIFICATE_EXPIRY, "which").map(|(which, at)| match at - unix_seconds {
        left if left > 0.0 => format!("{which} in {:.1} days", left / DAY_SECONDS),
        _ => format!("{which} HAS ENDED"),
    });
    let devices = by(telemetry::DEVICE_UP, "device").map(|(device, up)| {
        let of = |name| since.now.sum(name, &[("device", device)]);
        let full = if of(telemetry::DEVICE_FULL) > 0.0 {
            ", FULL"
        } else {
            ""
        };
        format!(
            "{device} {}{full}, {} rows, {:.0} MiB, lost {:.0} times",
            up_or_down(up),
            amount(of(telemetry::DEVICE_ROWS)),
            of(telemetry::DEVICE_BYTES) / f64::from(1 << 20),
            of(telemetry::DEVICE_LOSSES),
        )
    });
    vec![
        row(["tenants", &list(tenants)]),
        row(["match nodes", &list(nodes)]),
        row(["GPUs", &list(devices)]),
        row(["certificates end", &list(ends)]),
    ]
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// One after the other, without what would move a terminal's cursor.
fn list(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.map(|part| printable(&part)).collect();
    if parts.is_empty() {
        return NONE.to_owned();
    }
    parts.join(", ")
}

fn up_or_down(up: f64) -> &'static str {
    if up > 0.0 { "up" } else { "DOWN" }
}

fn rate(value: f64) -> String {
    if value > 0.0 && value < 10.0 {
        format!("{value:.1}")
    } else {
        amount(value)
    }
}

/// Three digits or so, with k, M or G.
fn amount(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2} G", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.1} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

/// Seconds as µs, ms or s.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
