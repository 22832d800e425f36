//! Tests of rates on sets small enough to count by hand, and against a plain search over all thresholds.

use proptest::prelude::*;

use super::*;
use crate::eval::grid;

fn rates(mated: &[f32], non_mated: &[f32]) -> Rates {
    let counts = |scores: &[f32]| Counts::of(scores.iter().map(|score| grid::bin(*score)));
    Rates {
        mated: counts(mated),
        non_mated: counts(non_mated),
    }
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
}

#[test]
fn a_score_at_the_threshold_matches() {
    let rates = rates(&[0.5, 0.75], &[0.25, 0.5, 0.0, 0.0]);
    let at = grid::bin(0.5);
    close(rates.fmr(at), 0.25);
    close(rates.fnmr(at), 0.0);
    close(rates.fmr(at + 1), 0.0);
    close(rates.fnmr(at + 1), 0.5);
}

#[test]
fn equal_errors_are_equal_where_they_can_be() {
    // At 0.5: one of four mated scores is below, one of four others is not.
    let found = rates(&[0.25, 0.5, 0.75, 1.0], &[0.0, 0.125, 0.375, 0.5]).equal_error();
    close(found.rate, 0.25);
    assert_eq!(found.bin, grid::bin(0.375) + 1);
    // Nothing overlaps.
    close(rates(&[0.75, 1.0], &[0.0, 0.5]).equal_error().rate, 0.0);
    // Everything is the wrong way round.
    close(rates(&[0.0, 0.25], &[0.5, 0.75]).equal_error().rate, 1.0);
    close(rates(&[0.5], &[0.5]).equal_error().rate, 0.5);
}

#[test]
fn unequal_errors_are_averaged_where_their_sum_is_least() {
    // Up to 0.5: FMR 1/2, FNMR 0. Above: FMR 0, FNMR 1/3. The second sum is less.
    let found = rates(&[0.5, 0.75, 0.75], &[0.0, 0.5]).equal_error();
    close(found.rate, 1.0 / 6.0);
    assert_eq!(found.bin, grid::bin(0.5) + 1);
    // Up to 0.5: FMR 1/3, FNMR 0. Above: FMR 0, FNMR 1/2. The first is less.
    let found = rates(&[0.5, 0.75], &[0.0, 0.0, 0.5]).equal_error();
    close(found.rate, 1.0 / 6.0);
    assert_eq!(found.bin, grid::bin(0.5));
}

proptest! {
    #[test]
    fn the_equal_error_is_where_a_plain_search_finds_it(
        mated in prop::collection::vec(-16_i8..=16, 1..40),
        non_mated in prop::collection::vec(-16_i8..=16, 1..40),
    ) {
        let scores = |of: &[i8]| of.iter().map(|score| f32::from(*score) / 16.0).collect::<Vec<_>>();
        let rates = rates(&scores(&mated), &scores(&non_mated));
        // Rates change just above a score alone, so that these are all there are.
        let thresholds: Vec<u32> = (-16_i8..=16)
            .flat_map(|score| {
                let bin = grid::bin(f32::from(score) / 16.0);
                [bin, bin + 1]
            })
            .collect();
        let errors: Vec<[f64; 2]> = thresholds.iter().map(|bin| [rates.fmr(*bin), rates.fnmr(*bin)]).collect();
        let last = errors.iter().rfind(|[fmr, fnmr]| fnmr <= fmr).expect("at −1");
        let first = errors.iter().find(|[fmr, fnmr]| fnmr >= fmr).expect("above 1");
        let least = (last[0] + last[1]).min(first[0] + first[1]) / 2.0;
        prop_assert!((rates.equal_error().rate - least).abs() < 1e-12);
    }
}
