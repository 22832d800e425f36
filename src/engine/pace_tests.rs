//! Tests of the expected time of rounds.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nothing_is_expected_before_a_round_ran() {
    assert_eq!(Pace::default().expect(1, 1_000), None);
}

#[test]
fn what_ran_is_expected_again_in_proportion_to_the_work() {
    let pace = Pace::default();
    pace.learn(4, 4_000, SECOND);
    assert_eq!(pace.expect(4, 4_000), Some(SECOND));
    assert_eq!(pace.expect(5, 8_000), Some(2 * SECOND));
}

#[test]
fn the_nearest_size_speaks_and_the_smaller_one_first() {
    let pace = Pace::default();
    pace.learn(1, 1_000, SECOND);
    pace.learn(64, 64_000, 4 * SECOND);
    assert_eq!(pace.expect(32, 32_000), Some(32 * SECOND));
    assert_eq!(pace.expect(256, 256_000), Some(16 * SECOND));
    let large = Pace::default();
    large.learn(64, 64_000, 4 * SECOND);
    assert_eq!(large.expect(1, 64_000), Some(4 * SECOND));
}

#[test]
fn a_round_that_was_held_up_changes_little_and_a_new_pace_is_learned() {
    let pace = Pace::default();
    pace.learn(1, 1_000, SECOND);
    pace.learn(1, 1_000, 3 * SECOND);
    assert_eq!(pace.expect(1, 1_000), Some(SECOND + SECOND / 4));
    for _ in 0..100 {
        pace.learn(1, 1_000, 3 * SECOND);
    }
    let learned = pace.expect(1, 1_000).expect("known");
    assert!(learned.abs_diff(3 * SECOND) < SECOND / 1_000, "{learned:?}");
}
