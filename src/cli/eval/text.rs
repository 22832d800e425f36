//! An evaluation in words and tables. Computes nothing.

use crate::cli::output::table;
use crate::eval::report::{Report, Share};

/// Everything that a person reads at a glance.
pub fn report(report: &Report) -> String {
    let summary = &report.summary;
    let encoder = report
        .encoder
        .as_ref()
        .map_or_else(|| "unknown encoder".to_owned(), ToString::to_string);
    let mut lines = vec![
        format!(
            "{encoder}, {} dimensions: {} palms, {} captures",
            report.dimension, summary.palms, summary.captures
        ),
        format!(
            "{} mated and {} non-mated comparisons",
            summary.mated, summary.non_mated
        ),
    ];
    let reasons = report.failures.iter();
    let reasons: Vec<String> = reasons
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    if !reasons.is_empty() {
        lines.push(format!(
            "failed to acquire: {} ({}); failed to enrol: {} palms",
            share(&report.fta),
            reasons.join(", "),
            share(&report.fte)
        ));
    }
    let eer_interval = summary.eer_interval.map(|ends| format!(" ({})", interval(ends)));
    lines.extend([
        String::new(),
        format!(
            "EER {}{} at {:.4}",
            percent(summary.eer),
            eer_interval.unwrap_or_default(),
            report.eer_threshold
        ),
        String::new(),
        verification(report),
        identification(report),
        "95 % intervals, by drawing palms again; without any error, of so many palms. * too few pairs for a rate that is known to within a third (rule of 30)"
            .to_owned(),
    ]);
    lines.join("\n")
}

fn verification(report: &Report) -> String {
    if report.verification.is_empty() {
        return "too few non-mated comparisons for any FMR: 1 % takes 300\n".to_owned();
    }
    let mut rows = vec![words(&[
        "FMR",
        "threshold",
        "false matches",
        "FNMR",
        "95 %",
        "FRR",
        "GFRR",
    ])];
    for point in &report.verification {
        rows.push(vec![
            marked(point.fmr_max, point.rule_of_30),
            threshold(point.threshold),
            point.fmr.count.to_string(),
            percent(point.fnmr.share),
            interval(point.fnmr.shown_interval()),
            percent(point.frr),
            percent(point.gfrr),
        ]);
    }
    table(&rows)
}

fn identification(report: &Report) -> String {
    let found = &report.identification;
    let mut lines = vec![format!(
        "1:N, {} captures a reference: {} references, {} searches",
        report.summary.enrol, found.references, found.searches
    )];
    for (rank, hits) in &found.ranks {
        lines.push(format!(
            "rank {rank}: {} ({})",
            percent(hits.share),
            interval(hits.shown_interval())
        ));
    }
    if let Some(rank1) = report.summary.rank1_with_fta.filter(|_| found.fta.count > 0) {
        lines.push(format!(
            "rank 1 with {} captures that gave no signature as searches that fail: {}",
            found.fta.count,
            percent(rank1)
        ));
    }
    let Some([least, most]) = found.gallery.filter(|_| !found.points.is_empty()) else {
        lines.push("too few searches by strangers for any FPIR: 10 % takes 30\n".to_owned());
        return lines.join("\n");
    };
    let size = if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    };
    let mut rows = vec![words(&[
        "FPIR",
        "threshold",
        "false positives",
        "FNIR",
        "95 %",
        "with FTA",
    ])];
    for point in &found.points {
        rows.push(vec![
            marked(point.fpir_max, point.rule_of_30),
            threshold(point.threshold),
            point.fpir.count.to_string(),
            percent(point.fnir.share),
            interval(point.fnir.shown_interval()),
            percent(point.fnir_with_fta),
        ]);
    }
    lines.push(format!("in galleries of {size} references:"));
    lines.push(table(&rows));
    lines.join("\n")
}

/// A rate, with a mark where too few errors are to be expected to know it well.
fn marked(rate: f64, well_known: bool) -> String {
    percent(rate) + if well_known { "" } else { " *" }
}

fn share(share: &Share) -> String {
    format!("{} of {} ({})", share.count, share.of, percent(share.share))
}

/// A share in percent, with as many digits as it takes.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 0.1 {
        format!("{percent:.2} %")
    } else if percent >= 0.001 {
        format!("{percent:.4} %")
    } else {
        format!("{percent:.1e} %")
    }
}

/// An interval of shares.
pub fn interval([low, high]: [f64; 2]) -> String {
    format!("{} to {}", percent(low), percent(high))
}

fn threshold(score: Option<f64>) -> String {
    score.map_or_else(|| "above 1".to_owned(), |score| format!("{score:.4}"))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
