//! Tests of the page: it stands by itself, has every plot, and a histogram loses no score.

use super::*;
use crate::cli::eval::tests::report_of;

#[test]
fn it_stands_by_itself_with_all_plots() {
    let page = page(&report_of(30, 4));
    for foreign in ["http", "src=", "href", "url(", "<script", "@import"] {
        assert!(!page.contains(foreign), "{foreign} in the page");
    }
    assert_eq!(page.matches("<svg").count(), 5);
    assert!(page.contains("FNIR over FPIR, 24 references"), "{page}");
}

#[test]
fn names_stay_text() {
    let mut report = report_of(4, 3);
    report.failures = [("<script>".to_owned(), 1)].into();
    assert!(!page(&report).contains("<script"));
}

#[test]
fn an_outline_has_all_of_the_scores() {
    let scores = Histogram {
        first: 0.0,
        step: 1.0 / 4_096.0,
        counts: vec![3; 4_097],
    };
    let curve = histogram("a", BLUE, &scores);
    assert_eq!(curve.points.len(), 2 * BARS);
    let sum: f64 = curve.points.iter().map(|point| point[1] / 2.0).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    assert!(
        curve
            .points
            .iter()
            .filter(|point| point[0] < -0.01)
            .all(|point| point[1] == 0.0)
    );
}

#[test]
fn scales_reach_as_far_as_one_of_all() {
    assert_eq!(decades(1_000), Scale::Decades { low: -4, high: 0 });
    assert_eq!(decades(999), Scale::Decades { low: -3, high: 0 });
    assert_eq!(decades(0), Scale::Decades { low: -1, high: 0 });
}
