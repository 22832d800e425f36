//! The report as one HTML file: figures, score histograms, DET, FNIR over FPIR.

use crate::cli::page::Page;
use crate::cli::plot::curves::{self, Curve, Scale};
use crate::eval::grid::Histogram;
use crate::eval::report::Report;

/// Bars of a histogram.
const BARS: usize = 100;
const BLUE: &str = "#1b6ca8";
const RED: &str = "#c8553d";
const SCORES: Scale = Scale::Even { low: -1.0, high: 1.0 };

/// The whole file.
pub fn page(report: &Report) -> String {
    let summary = &report.summary;
    let heading = format!(
        "Accuracy over {} palms, {} captures, {} comparisons",
        summary.palms,
        summary.captures,
        summary.mated + summary.non_mated
    );
    let mut page = Page::new("thenar eval", &heading);
    page.text(&super::text::report(report));
    let scores = [
        histogram("mated", BLUE, &report.scores.mated),
        histogram("non-mated", RED, &report.scores.non_mated),
    ];
    let top = scores
        .iter()
        .flat_map(|curve| curve.points.iter().map(|point| point[1]));
    let top = top.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let even = Scale::Even { low: 0.0, high: top };
    page.plot(
        "Share of the scores in each stretch of 0.02",
        &curves::draw("over score", SCORES, even, &scores),
    );
    page.plot(
        "The same, in powers of ten",
        &curves::draw("over score", SCORES, decades(summary.non_mated), &scores),
    );
    let over_threshold = |column: usize| {
        report
            .det
            .iter()
            .filter_map(move |point| Some([point[0], *point.get(column)?]))
    };
    let rates = [
        Curve {
            name: "FMR",
            color: RED,
            points: over_threshold(1).collect(),
        },
        Curve {
            name: "FNMR",
            color: BLUE,
            points: over_threshold(2).collect(),
        },
    ];
    page.plot(
        "Error rates over threshold",
        &curves::draw("over threshold", SCORES, decades(summary.non_mated), &rates),
    );
    page.plot(
        "DET: FNMR over FMR",
        &trade("FNMR", "over FMR", &report.det, summary.non_mated, summary.mated),
    );
    let found = &report.identification;
    if let Some([least, _]) = found.gallery {
        page.plot(
            &format!("FNIR over FPIR, {least} references"),
            &trade("FNIR", "over FPIR", &found.curve, found.searches, found.searches),
        );
    }
    page.finish()
}

/// One rate over the other, in powers of ten as far as the counts go.
fn trade(name: &'static str, over: &str, points: &[[f64; 3]], x_count: u64, y_count: u64) -> String {
    let points = points.iter().map(|[_, x, y]| [*x, *y]).collect();
    let curve = Curve {
        name,
        color: BLUE,
        points,
    };
    curves::draw(over, decades(x_count), decades(y_count), &[curve])
}

/// From one of so many up to 1.
fn decades(count: u64) -> Scale {
    let digits = i32::try_from(count.max(2).ilog10() + 1).expect("at most 20");
    Scale::Decades {
        low: -digits,
        high: 0,
    }
}

/// The outline of a histogram.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bar's number, and counts far below 2⁵³"
)]
fn histogram(name: &'static str, color: &'static str, scores: &Histogram) -> Curve {
    let mut bars = [0_u64; BARS];
    let width = 2.0 / BARS as f64;
    for (number, count) in scores.counts.iter().enumerate() {
        let score = scores.first + scores.step * number as f64;
        let bar = ((score + 1.0) / width) as usize;
        if let Some(bar) = bars.get_mut(bar.min(BARS - 1)) {
            *bar += count;
        }
    }
    let total = bars.iter().sum::<u64>().max(1) as f64;
    let outline = |(number, count): (usize, &u64)| {
        let low = -1.0 + width * number as f64;
        let share = *count as f64 / total;
        [[low, share], [low + width, share]]
    };
    Curve {
        name,
        color,
        points: bars.iter().enumerate().flat_map(outline).collect(),
    }
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
