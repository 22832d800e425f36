//! Tests of the course against simulated galleries: it ends within its scans, and finds a threshold where there is one.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of a test are small"
)]

use super::*;

/// How far a row's bound lies above its score.
const BOUND: f32 = 0.1;
/// Survivors that are listed.
const LISTED_MAX: usize = 16_384;

fn dimension() -> Dimension {
    Dimension::new(256).expect("a dimension")
}

/// Scores of strangers, best first.
fn strangers(count: usize) -> Vec<f32> {
    let normal = Normal::standard();
    let quantile = |rank: usize| normal.inverse_cdf((rank as f64 + 0.5) / count as f64);
    (0..count).map(|rank| (-quantile(rank) / 16.0) as f32).collect()
}

/// Scans made, and whether the question was settled by them.
fn follow(scores: &[f32], wanted: usize) -> (usize, bool) {
    let mut course = Course::new(dimension(), scores.len() as u64, wanted);
    let mut seen: usize = 0;
    let mut scans = 0;
    loop {
        let last = (seen >= wanted)
            .then(|| scores.get(wanted - 1).copied())
            .flatten();
        let Some(threshold) = course.next(last) else {
            return (scans, false);
        };
        scans += 1;
        assert!(scans <= SCANS_MAX);
        assert!(threshold.abs() <= SCORE_MAX, "{threshold}");
        let survivors = scores.partition_point(|score| score + BOUND >= threshold);
        if survivors > LISTED_MAX {
            course.unlisted(threshold);
            continue;
        }
        seen = seen.max(survivors);
        if scores.partition_point(|score| *score >= threshold) >= wanted {
            return (scans, true);
        }
        course.unreached(threshold);
    }
}

#[test]
fn strangers_are_settled_by_one_scan_where_their_survivors_are_listed() {
    assert_eq!(follow(&strangers(10_000), 1), (1, true));
    assert_eq!(follow(&strangers(10_000), 1_000), (1, true));
    assert_eq!(follow(&strangers(1_000_000), 10), (1, true));
}

#[test]
fn a_mate_among_strangers_changes_nothing() {
    let mut scores = strangers(100_000);
    scores.insert(0, 0.9);
    assert_eq!(follow(&scores, 1), (1, true));
}

#[test]
fn scores_below_those_of_strangers_take_two_scans() {
    // A spread half of what is expected: nobody reaches the first threshold, but the survivors tell the second.
    let scores: Vec<f32> = strangers(30_000).iter().map(|score| score / 2.0).collect();
    assert_eq!(follow(&scores, 10), (2, true));
}

#[test]
fn a_gallery_far_away_is_found_by_steps_down() {
    let scores: Vec<f32> = strangers(30_000).iter().map(|score| score / 2.0 - 0.2).collect();
    let (scans, settled) = follow(&scores, 10);
    assert!(settled && scans <= 5, "{scans}");
}

#[test]
fn clusters_around_the_probe_are_found_by_steps_up() {
    let scores: Vec<f32> = strangers(100_000).iter().map(|score| score / 4.0 + 0.6).collect();
    // The best lie close together, so that nearly all of them survive at any threshold that enough reach.
    let (scans, settled) = follow(&scores, 10);
    assert!(!settled && scans <= SCANS_MAX, "{scans}");
    let mut spread: Vec<f32> = (0..100).map(|rank| 0.9 - rank as f32 * 1e-3).collect();
    spread.extend(scores.iter().map(|score| score - 0.2));
    let (scans, settled) = follow(&spread, 50);
    assert!(settled && scans <= 6, "{scans}");
}

#[test]
fn more_than_can_be_listed_ends_early() {
    // A thousand of a million: the bound keeps some hundred thousand rows at every threshold that enough reach.
    let (scans, settled) = follow(&strangers(1_000_000), 1_000);
    assert!(!settled && scans <= 5, "{scans}");
    let equal = vec![0.7; 50_000];
    let (scans, settled) = follow(&equal, 1);
    assert!(!settled && scans <= SCANS_MAX, "{scans}");
}

#[test]
fn nearly_everybody_needs_no_scan() {
    for (subjects, wanted) in [(0, 1), (1, 1), (999, 1_000), (4_000, 1_000)] {
        let mut course = Course::new(dimension(), subjects, wanted);
        assert_eq!(course.next(None), None, "{wanted} of {subjects}");
    }
}
