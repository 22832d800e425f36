//! Tests of the words: every figure of a report stands in them, and what can't be said is said to be so.

use super::*;
use crate::cli::eval::tests::report_of;

#[test]
fn the_figures_are_there_with_their_intervals() {
    let report = report_of(40, 4);
    let text = super::report(&report);
    for words in [
        "test/1, 64 dimensions: 40 palms, 160 captures",
        "240 mated and 12480 non-mated comparisons",
        &format!("EER {} (", percent(report.summary.eer)),
        "1.00 %",
        "0.10 % *",
        "rank 1: ",
        "in galleries of 32 references:",
    ] {
        assert!(text.contains(words), "{words} is missing in {text}");
    }
    assert!(!text.contains("failed to acquire"), "{text}");
}

#[test]
fn failures_are_told_with_their_reasons() {
    let mut report = report_of(4, 3);
    report.failures = [("no-hand".to_owned(), 2), ("blank".to_owned(), 1)].into();
    report.fta = Share::new(3, 15);
    let text = super::report(&report);
    assert!(
        text.contains("failed to acquire: 3 of 15 (20.00 %) (blank 1, no-hand 2)"),
        "{text}"
    );
}

#[test]
fn searches_that_failed_are_told_apart_and_counted() {
    let mut report = report_of(40, 4);
    assert!(!super::report(&report).contains("as searches that fail"));
    report.identification.fta = Share::new(7, 127);
    report.summary.rank1_with_fta = Some(0.876_5);
    report.identification.points[0].fnir_with_fta = 0.123_4;
    let text = super::report(&report);
    assert!(
        text.contains("rank 1 with 7 captures that gave no signature as searches that fail: 87.65 %"),
        "{text}"
    );
    assert!(text.contains("with FTA") && text.contains("12.34 %"), "{text}");
}

#[test]
fn too_few_pairs_are_said_to_be_too_few() {
    let text = super::report(&report_of(3, 2));
    assert!(
        text.contains("too few non-mated comparisons") && text.contains("too few searches"),
        "{text}"
    );
}

#[test]
fn shares_have_the_digits_they_need() {
    let shown = [0.0, 1.0, 0.012_34, 0.000_5, 1.5e-6].map(percent);
    assert_eq!(shown, ["0.00 %", "100.00 %", "1.23 %", "0.0500 %", "1.5e-4 %"]);
    assert_eq!(interval([0.0, 0.5]), "0.00 % to 50.00 %");
    assert_eq!(threshold(None), "above 1");
}
