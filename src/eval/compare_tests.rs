//! Tests of all pairs against a plain loop over them, on signatures whose scores are exact in single precision.

use proptest::prelude::*;

use super::*;
use crate::eval::report::tests::simulated;
use crate::eval::set::Capture;
use crate::model::signature::{Dimension, Signature};

/// Signatures of coordinates ±1/16: a score is a multiple of 1/128 whatever the order of summation.
pub fn exact_set(palms: usize, samples: usize, flips: u64, seed: u64) -> Set {
    let captures = (0..palms).flat_map(|palm| {
        (0..samples).map(move |sample| {
            let mut mixed = u64::from(hash(palm, 1_000)) ^ seed.rotate_left(7);
            let mut values: Vec<f32> = (0..256)
                .map(|_| {
                    mixed = mixed
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    if mixed >> 63 == 0 { 0.062_5 } else { -0.062_5 }
                })
                .collect();
            for flip in 0..flips {
                let at = hash(
                    palm * 100 + sample,
                    usize::try_from(flip + seed % 1_000).expect("small"),
                ) % 256;
                let value = &mut values[at as usize];
                *value = -*value;
            }
            let dim = Dimension::new(256).expect("valid");
            Capture {
                palm: palm.to_string(),
                sample: sample.to_string(),
                outcome: Ok(Signature::new(values, dim).expect("of unit norm")),
            }
        })
    });
    Set::new(captures.collect()).expect("a set")
}

/// A step and a palm.
type MatedRow = (u32, u32);
/// A step and two palms.
type NonMatedRow = (u32, u32, u32);

/// Every pair, sorted.
fn plain(set: &Set) -> (Vec<MatedRow>, Vec<NonMatedRow>) {
    let (mut mated, mut non_mated) = (Vec::new(), Vec::new());
    for upper in 0..set.rows().nrows() {
        for lower in 0..upper {
            let score: f32 = set
                .rows()
                .row(upper)
                .iter()
                .zip(set.rows().row(lower))
                .map(|(a, b)| a * b)
                .sum();
            let (a, b) = (set.palm_of(lower), set.palm_of(upper));
            if a == b {
                mated.push((grid::bin(score), a));
            } else {
                non_mated.push((grid::bin(score), a, b));
            }
        }
    }
    mated.sort_unstable();
    non_mated.sort_unstable();
    (mated, non_mated)
}

fn sorted_mated(compared: &Comparisons) -> Vec<MatedRow> {
    let mut mated: Vec<MatedRow> = compared.mated.iter().map(|pair| (pair.bin, pair.palm)).collect();
    mated.sort_unstable();
    mated
}

fn sorted_pairs(sampled: &Sampled) -> Vec<NonMatedRow> {
    let pairs = sampled
        .pairs
        .iter()
        .map(|pair| (pair.bin, pair.palms[0], pair.palms[1]));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    pairs
}

fn agree(set: &Set) {
    let (mated, non_mated) = plain(set);
    let compared = all(set);
    assert_eq!(sorted_mated(&compared), mated);
    assert_eq!(
        compared.non_mated,
        Counts::of(non_mated.iter().map(|pair| pair.0))
    );
    assert_eq!(
        (mated.len() as u64, non_mated.len() as u64),
        (set.mated(), set.non_mated())
    );
    let everything = sample(set, &compared.non_mated, non_mated.len() as u64);
    assert_eq!((everything.all_from, everything.weight_below), (0, 1));
    assert_eq!(sorted_pairs(&everything), non_mated);
}

#[test]
fn several_blocks_agree_with_a_plain_loop() {
    // 600 rows are two blocks and a part of one, and palms lie across their borders.
    agree(&exact_set(200, 3, 40, 5));
    agree(&exact_set(2, 300, 40, 6));
}

#[test]
fn a_sample_has_all_of_the_top_and_a_part_of_the_rest() {
    let set = exact_set(90, 6, 40, 7);
    let compared = all(&set);
    let total = compared.non_mated.total();
    let sampled = sample(&set, &compared.non_mated, 20_000);
    let (_, non_mated) = plain(&set);
    let top = |pairs: &[NonMatedRow]| -> Vec<NonMatedRow> {
        pairs
            .iter()
            .copied()
            .filter(|pair| pair.0 >= sampled.all_from)
            .collect()
    };
    let pairs = sorted_pairs(&sampled);
    assert_eq!(top(&pairs), top(&non_mated));
    assert!(
        top(&pairs).len() <= 10_000 && top(&pairs).len() > 5_000,
        "{}",
        top(&pairs).len()
    );
    let below = (pairs.len() - top(&pairs).len()) as u64;
    let stands_for = below * u64::from(sampled.weight_below);
    let rest = total - top(&pairs).len() as u64;
    assert!(sampled.weight_below > 5 && below <= 11_000, "{below}");
    assert!(stands_for.abs_diff(rest) < rest / 20, "{stands_for} for {rest}");
}

#[test]
fn a_sample_has_all_from_its_threshold_on() {
    // So many scores lie close together that there are some at the threshold itself.
    let set = Set::new(simulated(70, 5, 64)).expect("a set");
    let non_mated = all(&set).non_mated;
    let sampled = sample(&set, &non_mated, 50_000);
    let from = sampled.all_from;
    assert!(
        non_mated.at_or_above(from) > non_mated.at_or_above(from + 1),
        "{from}"
    );
    let there = sampled.pairs.iter().filter(|pair| pair.bin >= from).count();
    assert_eq!(there as u64, non_mated.at_or_above(from));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_small_set_agrees_with_a_plain_loop(
        palms in 2_usize..9, samples in 2_usize..7, flips in 0_u64..80, seed in any::<u64>(),
    ) {
        agree(&exact_set(palms, samples, flips, seed));
    }
}
