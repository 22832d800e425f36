//! Tests of the expected time of rounds.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nothing_is_expected_before_a_round_ran() {
    assert_eq!(Pace::default().expect(1, 1_000), None);
}

/// As much work as a round itself takes.
const UNIT: u64 = ROUND_WORK;

#[test]
fn what_ran_is_expected_again_in_proportion_to_the_work() {
    let pace = Pace::default();
    pace.learn(4, 3 * UNIT, SECOND);
    assert_eq!(pace.expect(4, 3 * UNIT), Some(SECOND));
    assert_eq!(pace.expect(5, 7 * UNIT), Some(2 * SECOND));
}

#[test]
fn a_larger_size_that_never_ran_is_expected_as_the_smaller_and_the_other_way_round() {
    let pace = Pace::default();
    pace.learn(16, 3 * UNIT, SECOND);
    assert_eq!(pace.expect(256, 7 * UNIT), Some(2 * SECOND));
    assert_eq!(pace.expect(1, 7 * UNIT), Some(2 * SECOND));
}

#[test]
fn small_rounds_say_little_of_large_ones() {
    let pace = Pace::default();
    // A thousandth of the work of a round, and as long as one.
    pace.learn(1, UNIT / 1_000, SECOND / 10_000);
    let large = pace.expect(1, 1_000 * UNIT).expect("known");
    assert!(large < SECOND / 5, "{large:?}");
}

#[test]
fn one_odd_round_of_a_size_is_outvoted_by_smaller_ones() {
    let pace = Pace::default();
    pace.learn(64, UNIT, 30 * SECOND);
    pace.learn(1, UNIT, SECOND);
    assert_eq!(pace.expect(64, UNIT), Some(SECOND));
}

#[test]
fn a_new_pace_is_learned() {
    let pace = Pace::default();
    pace.learn(1, UNIT, SECOND);
    pace.learn(1, UNIT, 3 * SECOND);
    assert_eq!(pace.expect(1, UNIT), Some(SECOND + SECOND / 4));
    for _ in 0..100 {
        pace.learn(1, UNIT, 3 * SECOND);
    }
    let learned = pace.expect(1, UNIT).expect("known");
    assert!(learned.abs_diff(3 * SECOND) < SECOND / 1_000, "{learned:?}");
}
