//! Tests of draws: palms as they are give the rates as they are, weighted ones those of a plain loop, and intervals are those of the draws.

use proptest::prelude::*;

use super::*;
use crate::eval::compare::tests::exact_set;
use crate::eval::compare::{self, Comparisons};
use crate::eval::grid::Counts;
use crate::eval::interval::clopper_pearson;
use crate::eval::rates::Rates;

const FMR: [f64; 3] = [0.5, 0.1, 0.01];

fn pairs(set: &Set, compared: &Comparisons, kept: u64) -> Pairs {
    Pairs::new(
        set,
        &compared.mated,
        &compare::sample(set, &compared.non_mated, kept),
    )
}

/// The rates of a set in which each palm is there so many times; copies of a palm are not compared with each other.
fn repeated(set: &Set, pairs: &Pairs, weights: &[u64]) -> Rates {
    let mut mated = Vec::new();
    let mut non_mated = Vec::new();
    for event in &pairs.events {
        let weight = weights[event.palm as usize];
        if event.other == MATED {
            mated.extend((0..weight).map(|_| event.bin));
        } else {
            let weight = weight * weights[event.other as usize];
            non_mated.extend((0..weight).map(|_| event.bin));
        }
    }
    assert_eq!(pairs.events.len() as u64, set.mated() + set.non_mated());
    Rates {
        mated: Counts::of(mated),
        non_mated: Counts::of(non_mated),
    }
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_draw_has_the_rates_of_palms_that_are_there_so_often(
        weights in prop::collection::vec(0_u64..4, 6), flips in 10_u64..120, seed in any::<u64>(),
    ) {
        prop_assume!(weights.iter().filter(|weight| **weight > 0).count() > 1);
        let set = exact_set(6, 4, flips, seed);
        let pairs = pairs(&set, &compare::all(&set), u64::MAX);
        let drawn = pairs.draw(&weights, &FMR).expect("pairs of both kinds are left");
        let rates = repeated(&set, &pairs, &weights);
        close(drawn.eer, rates.equal_error().rate);
        for (fmr, fnmr) in FMR.into_iter().zip(drawn.fnmr) {
            close(fnmr, rates.fnmr(rates.non_mated.lowest_at_share(fmr)));
        }
    }
}

#[test]
fn a_sample_of_the_pairs_gives_about_the_same() {
    let set = exact_set(80, 5, 92, 3);
    let compared = compare::all(&set);
    let once = vec![1; 80];
    let all = pairs(&set, &compared, u64::MAX).draw(&once, &FMR).expect("pairs");
    let part = pairs(&set, &compared, 16_000).draw(&once, &FMR).expect("pairs");
    assert!(all.eer > 0.01, "{}", all.eer);
    assert!(
        (part.eer / all.eer - 1.0).abs() < 0.05,
        "{} for {}",
        part.eer,
        all.eer
    );
    // The highest scores are all there.
    close(part.fnmr[2], all.fnmr[2]);
}

/// Two palms of two captures; scores of their own pairs, and of the four others.
fn two_palms(mated: [u32; 2], others: &[u32], all_from: u32, weight_below: u64) -> Pairs {
    let mates = (0..).zip(mated).map(|(palm, bin)| Event {
        bin,
        palm,
        other: MATED,
    });
    let others = others.iter().map(|bin| Event {
        bin: *bin,
        palm: 0,
        other: 1,
    });
    let mut events: Vec<Event> = mates.chain(others).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.bin));
    Pairs {
        rows: vec![2, 2],
        mated: vec![1, 1],
        events,
        all_from,
        weight_below,
    }
}

#[test]
fn equal_rates_are_the_equal_error_even_where_others_are_less_together() {
    // From above: 0 and 1/2, then 1/2 and 1/2, then 1/2 and 0.
    let pairs = two_palms([40, 10], &[30, 30, 5, 5], 0, 1);
    close(pairs.draw(&[1, 1], &[]).expect("pairs").eer, 0.5);
    // From above: 0 and 1/2, then 3/4 and 1/2: never equal.
    let pairs = two_palms([40, 10], &[30, 30, 30, 5], 0, 1);
    close(pairs.draw(&[1, 1], &[]).expect("pairs").eer, 0.25);
}

#[test]
fn a_sampled_pair_counts_for_those_that_were_left_out() {
    let fnmr = |all_from| {
        let pairs = two_palms([40, 10], &[30, 5], all_from, 3);
        pairs.draw(&[1, 1], &[0.5]).expect("pairs").fnmr
    };
    // One of four at 30, and three at 5 with those it stands for: below 5 more than a half match.
    assert_eq!(fnmr(30), [0.0]);
    // Three of four at 30.
    assert_eq!(fnmr(31), [0.5]);
}

#[test]
fn the_interval_lies_around_the_rate_and_is_the_same_for_the_same_seed() {
    let set = exact_set(30, 4, 92, 3);
    let compared = compare::all(&set);
    let pairs = pairs(&set, &compared, u64::MAX);
    let rate = pairs.draw(&[1; 30], &FMR).expect("pairs").eer;
    let found = pairs.intervals(&FMR, 7);
    let [low, high] = found.eer.expect("drawn");
    assert!(
        0.0 < low && low < rate && rate < high && high < 0.5,
        "{low} {rate} {high}"
    );
    assert_eq!(found.fnmr.len(), 3);
    assert!(found.fnmr[2].expect("drawn")[1] > found.fnmr[0].expect("drawn")[1]);
    assert_eq!(found, pairs.intervals(&FMR, 7));
    assert_ne!(found, pairs.intervals(&FMR, 8));
}

#[test]
fn errors_of_one_palm_are_less_certain_than_errors_of_many() {
    let tally = |errors| Tally { errors, trials: 10 };
    let one: Vec<Tally> = (0..50)
        .map(|palm| tally(if palm == 0 { 10 } else { 0 }))
        .collect();
    let many: Vec<Tally> = (0..50).map(|palm| tally(u64::from(palm % 5 == 0))).collect();
    let width = |[low, high]: [f64; 2]| high - low;
    let clustered = share(&one, 1).expect("drawn");
    assert!(
        width(clustered) > 1.5 * width(clopper_pearson(10, 500)),
        "{clustered:?}"
    );
    let spread = share(&many, 1).expect("drawn");
    assert!(width(spread) < width(clopper_pearson(10, 500)), "{spread:?}");
    assert_eq!(share(&[tally(0); 5], 1), Some([0.0, 0.0]));
    assert_eq!(share(&[Tally::default(); 5], 1), None);
    assert_eq!(share(&[], 1), None);
}

#[test]
fn the_interval_leaves_two_and_a_half_percent_out_on_both_sides() {
    assert_eq!(
        quantiles((0..=1_000).rev().map(f64::from).collect()),
        Some([25.0, 975.0])
    );
    assert_eq!(quantiles(vec![3.0]), Some([3.0, 3.0]));
    assert_eq!(quantiles(Vec::new()), None);
}

#[test]
fn every_draw_has_as_many_palms() {
    let drawn = weights(40, 1, 5);
    assert_eq!(drawn.iter().sum::<u64>(), 40);
    assert!(drawn.iter().any(|weight| *weight > 1));
    assert_ne!(drawn, weights(40, 1, 6));
    assert_eq!(drawn, weights(40, 1, 5));
}
