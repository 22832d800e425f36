//! Tests of steps and counts: a score reaches its step and not the next one, and counts read back are those that were written.

use proptest::prelude::*;

use super::*;

#[test]
fn the_ends_of_the_scale_are_steps() {
    assert_eq!(bin(-1.0), 0);
    assert_eq!(bin(0.0), STEPS);
    assert_eq!(bin(1.0), UNREACHED - 1);
    assert_eq!(bin(1.000_001), UNREACHED - 1, "rounding of a product");
    assert_eq!(bin(-1.000_001), 0);
    assert!((score(bin(0.5)) - 0.5).abs() < f64::EPSILON);
    assert!(score(UNREACHED) > 1.0);
}

#[test]
fn counts_are_of_scores_that_reach_a_threshold() {
    let counts = Counts::of([5, 5, 7]);
    let at = [0, 5, 6, 7, 8, UNREACHED].map(|bin| counts.at_or_above(bin));
    assert_eq!(at, [3, 3, 1, 1, 0, 0]);
    assert_eq!([5, 6].map(|bin| counts.below(bin)), [0, 2]);
    assert_eq!(counts.lowest(|count| count <= 1), 6);
    assert_eq!(counts.lowest_at_share(1.0 / 3.0), 6);
    assert_eq!(counts.lowest_at_share(0.33), 8);
    assert_eq!(Counts::of([UNREACHED - 1]).lowest_at_share(0.5), UNREACHED);
}

#[test]
fn a_share_of_a_round_number_is_not_lost_to_rounding() {
    // 0.000_1 · 30,000 is 3.000_000_000_000_000_4 or 2.999_999_999_999_999_6; 0.07 · 100 is 7.000_000_000_000_001.
    for (share, total, allowed) in [
        (1e-4, 30_000, 3),
        (0.07, 100, 7),
        (1e-3, 3_000, 3),
        (0.29, 100, 29),
    ] {
        let low = std::iter::repeat_n(0, total - allowed);
        let counts = Counts::of(low.chain(std::iter::repeat_n(10, allowed)));
        assert_eq!(counts.lowest_at_share(share), 1, "{share} of {total}");
    }
}

#[test]
fn scores_lie_in_the_middle_of_their_stretch() {
    let zero = STEPS;
    let counts = Counts::of([0, zero, zero + 1, zero + 2 * STRETCH + 5]);
    let unit = f64::from(STRETCH) / f64::from(STEPS);
    assert_eq!(counts.stretches(zero), [(0.5 * unit, 2), (2.5 * unit, 1)]);
    assert_eq!(counts.stretches(zero + STRETCH), [(2.5 * unit, 1)]);
}

#[test]
fn edges_are_rounded_up_to() {
    assert_eq!(edge(0), 0);
    assert_eq!(edge(1), STRETCH);
    assert_eq!(edge_above(-1.0), 0);
    assert_eq!(edge_above(0.0), STEPS);
    assert_eq!(edge_above(0.000_001), STEPS + STRETCH);
    assert_eq!(edge_above(1.0), 2 * STEPS);
    assert!(edge_above(1.000_001) >= UNREACHED && edge_above(7.0) >= UNREACHED);
}

#[test]
fn what_is_no_histogram_of_ours_is_refused() {
    let sound = Counts::of([70_000, 70_100]).histogram();
    assert!(sound.counts().is_some());
    let with = |change: fn(&mut Histogram)| {
        let mut changed = sound.clone();
        change(&mut changed);
        changed.counts()
    };
    assert_eq!(with(|h| h.step *= 2.0), None);
    assert_eq!(with(|h| h.step = f64::NAN), None);
    assert_eq!(with(|h| h.first += 1e-5), None);
    assert_eq!(with(|h| h.first = -1.5), None);
    assert_eq!(
        with(|h| h.counts.extend(vec![0; 9_000])),
        with(|h| h.counts.push(0))
    );
    assert_eq!(with(|h| h.counts.extend(vec![1; 9_000])), None, "beyond 1");
    assert_eq!(
        with(|h| h.counts.extend([u64::MAX, 1])),
        None,
        "more than can be counted"
    );
}

proptest! {
    #[test]
    fn a_score_reaches_its_step_and_not_the_next(value in -1.0_f32..=1.0) {
        let bin = bin(value);
        prop_assert!(score(bin) <= f64::from(value));
        prop_assert!(f64::from(value) < score(bin + 1));
    }

    #[test]
    fn a_histogram_keeps_what_lies_at_its_edges(bins in prop::collection::vec(0..UNREACHED, 1..60)) {
        let counts = Counts::of(bins.iter().copied());
        let read = counts.histogram().counts().expect("a histogram of ours");
        for bin in bins.iter().flat_map(|bin| [*bin, edge(*bin)]) {
            prop_assert_eq!(read.at_or_above(edge(bin)), counts.at_or_above(edge(bin)));
            prop_assert!(read.at_or_above(bin) >= counts.at_or_above(bin));
        }
        prop_assert_eq!(read.total(), counts.total());
    }
}
