//! Tests of searches: by hand where palms are axes, and against a plain loop over everybody.

use proptest::prelude::*;

use super::*;
use crate::eval::compare::tests::exact_set;
use crate::eval::set::tests::{capture, failed};
use crate::eval::set::{Capture, Set};
use crate::model::signature::{Dimension, Signature};

const PLAN: Plan = Plan { enrol: 1, seed: 3 };

fn set() -> Set {
    Set::new(vec![
        capture("a", "1", 0),
        capture("a", "2", 0),
        capture("b", "1", 1),
        capture("b", "2", 0),
        capture("c", "1", 2),
        capture("c", "2", 3),
        failed("d", "1", "no-hand"),
        capture("d", "2", 4),
    ])
    .expect("a set")
}

#[test]
fn ranks_are_those_by_hand() {
    let found = all(&set(), PLAN);
    assert_eq!((found.references, found.failed_to_enrol, found.palms), (3, 1, 4));
    // a comes first; b is nearer to a, its own is as far as c; c is as far from everybody, which counts as nearer.
    assert_eq!(found.ranks, [(0, 1), (1, 3), (2, 3)]);
    let missed = |rank_max| -> Vec<(u64, u64)> {
        let tallies = found.missed_by_palm(rank_max).into_iter();
        tallies.map(|tally| (tally.errors, tally.trials)).collect()
    };
    assert_eq!(missed(1), [(0, 1), (1, 1), (1, 1), (0, 0)]);
    assert_eq!(missed(3), [(0, 1), (0, 1), (0, 1), (0, 0)]);
}

#[test]
fn captures_that_failed_are_searches_that_fail_where_the_palm_is_enrolled_and_they_did_not_enrol() {
    let set = Set::new(vec![
        failed("a", "1", "blurred"),
        capture("a", "2", 0),
        capture("a", "3", 0),
        failed("a", "4", "blurred"),
        failed("b", "1", "no-hand"),
        failed("b", "2", "no-hand"),
        failed("b", "3", "no-hand"),
        capture("c", "1", 2),
        failed("c", "2", "no-hand"),
        failed("c", "3", "blurred"),
    ])
    .expect("a set");
    let found = all(&set, Plan { enrol: 2, seed: 1 });
    // Two of a and c enrol them; b's third can't fail to be found since b is not there.
    assert_eq!(
        (found.failed_to_enrol, found.failed_searches, found.ranks.len()),
        (1, 2, 1)
    );
}

#[test]
fn strangers_are_searched_once_and_the_enrolled_in_every_other_gallery() {
    let found = all(&set(), PLAN);
    let open = found.open.expect("three galleries");
    assert_eq!(open.gallery, [2, 2]);
    assert_eq!((open.mated.len(), open.non_mated.len()), (6, 3));
    // Without b or c, a finds itself at 1; b finds nobody of its own; as a stranger it takes itself for a.
    let one = grid::bin(1.0);
    assert_eq!(
        open.mated
            .iter()
            .filter(|(palm, bin)| *palm == 0 && *bin == Some(one))
            .count(),
        2
    );
    assert_eq!(open.false_alarms().at_or_above(one), 1);
    assert_eq!(
        open.non_mated.iter().find(|(palm, _)| *palm == 1),
        Some(&(1, one))
    );
    assert_eq!(open.missed(one), 4);
    let by_palm = open.missed_by_palm(4, one);
    assert_eq!(
        by_palm.iter().map(|tally| tally.errors).collect::<Vec<_>>(),
        [0, 2, 2, 0]
    );
    assert_eq!(
        by_palm.iter().map(|tally| tally.trials).collect::<Vec<_>>(),
        [2, 2, 2, 0]
    );
}

#[test]
fn more_captures_are_averaged_into_one_reference() {
    let set = Set::new(vec![
        capture("a", "1", 0),
        capture("a", "2", 1),
        capture("a", "3", 0),
        capture("b", "1", 2),
        failed("b", "2", "blurred"),
        capture("b", "3", 2),
    ])
    .expect("a set");
    let gallery = Gallery::new(&set, Plan { enrol: 2, seed: 1 });
    assert_eq!(gallery.palms, [0, 1]);
    let half = 0.5_f32.sqrt();
    assert!((gallery.vectors[[0, 0]] - half).abs() < 1e-6 && (gallery.vectors[[0, 1]] - half).abs() < 1e-6);
    assert!(
        (gallery.vectors[[1, 2]] - 1.0).abs() < 1e-6,
        "one capture of two failed"
    );
    assert_eq!(gallery.searches, [(2, 0), (4, 1)]);
}

#[test]
fn signatures_that_cancel_out_enrol_nobody() {
    let mut against = capture("a", "2", 0);
    let values: Vec<f32> = capture_values(&against).iter().map(|value| -value).collect();
    against.outcome = Ok(Signature::new(values, Dimension::new(32).expect("valid")).expect("of unit norm"));
    let set = Set::new(vec![
        capture("a", "1", 0),
        against,
        capture("a", "3", 0),
        capture("b", "1", 1),
        capture("b", "2", 1),
        capture("b", "3", 1),
    ])
    .expect("a set");
    let found = all(&set, Plan { enrol: 2, seed: 1 });
    assert_eq!((found.references, found.failed_to_enrol), (1, 1));
    assert_eq!(found.ranks, [(1, 1)], "the third of a is no search");
}

fn capture_values(capture: &Capture) -> &[f32] {
    capture.outcome.as_ref().expect("a signature").values()
}

#[test]
fn everybody_enrolled_by_all_captures_leaves_nobody_to_search_for() {
    let found = all(&exact_set(4, 2, 10, 1), Plan { enrol: 2, seed: 1 });
    assert!(found.ranks.is_empty() && found.open.is_none());
}

#[test]
fn palms_are_dealt_into_equal_folds_at_random() {
    let set = exact_set(23, 2, 10, 1);
    let folds = |seed| Gallery::new(&set, Plan { enrol: 1, seed }).folds;
    assert_eq!(folds(1), folds(1));
    assert_ne!(folds(1), folds(2));
    let size = |fold: usize| folds(1).iter().filter(|other| **other == fold).count();
    assert_eq!([0, 1, 2, 3, 4].map(size), [5, 5, 5, 4, 4]);
}

/// Scores of a row with every reference, in order.
fn scores(set: &Set, gallery: &Gallery, row: usize) -> Vec<f32> {
    let references = gallery.vectors.rows();
    let products = references.into_iter().map(|reference| {
        let probe = set.rows().row(row);
        probe.iter().zip(reference).map(|(a, b)| a * b).sum()
    });
    products.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn searches_agree_with_a_plain_loop(
        palms in 2_usize..12, samples in 2_usize..5, flips in 0_u64..110, seed in any::<u64>(),
    ) {
        let set = exact_set(palms, samples, flips, seed);
        let plan = Plan { enrol: 1, seed };
        let (gallery, found) = (Gallery::new(&set, plan), all(&set, plan));
        let open = found.open.expect("two palms or more");
        let (mut ranks, mut mated, mut non_mated) = (Vec::new(), Vec::new(), Vec::new());
        for (row, own) in &gallery.searches {
            let scores = scores(&set, &gallery, *row);
            let nearer = |other: &usize| other != own && scores[*other] >= scores[*own];
            ranks.push((gallery.palms[*own], (0..palms).filter(nearer).count() + 1));
            for fold in 0..gallery.fold_count {
                let there = (0..palms).filter(|other| gallery.folds[*other] != fold);
                let best = there.clone().filter(|other| other != own).map(|other| scores[other]);
                let best = best.fold(f32::NEG_INFINITY, f32::max);
                let palm = gallery.palms[*own];
                if there.clone().any(|other| other == *own) {
                    mated.push((palm, (scores[*own] > best).then(|| grid::bin(scores[*own]))));
                } else {
                    non_mated.push((palm, grid::bin(best)));
                }
            }
        }
        prop_assert_eq!(found.ranks, ranks);
        prop_assert_eq!(open.mated, mated);
        prop_assert_eq!(open.non_mated, non_mated);
    }
}
