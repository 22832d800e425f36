//! Tests of the budget: never more than its share.

use super::*;

#[test]
fn it_begins_full_and_is_empty_in_the_end() {
    let budget = Budget::new();
    let spent = (0..10 * EXTRAS_MAX).filter(|_| budget.spend(1)).count();
    assert_eq!(spent as u64, EXTRAS_MAX);
}

#[test]
fn a_tenth_of_the_calls_is_repeated_and_no_more() {
    let budget = Budget::new();
    while budget.spend(1) {}
    let mut spent = 0;
    for _ in 0..100 {
        budget.earn(3);
        spent += u64::from(budget.spend(1));
    }
    assert_eq!(spent, 300 / CALLS_PER_EXTRA);
}

#[test]
fn several_are_taken_together_or_not_at_all() {
    let budget = Budget::new();
    assert!(!budget.spend(usize::try_from(EXTRAS_MAX).expect("small") + 1));
    assert!(budget.spend(usize::try_from(EXTRAS_MAX).expect("small")));
    assert!(!budget.spend(1));
}

#[test]
fn quiet_times_save_up_no_more_than_the_most() {
    let budget = Budget::new();
    budget.earn(1_000_000);
    let spent = (0..10 * EXTRAS_MAX).filter(|_| budget.spend(1)).count();
    assert_eq!(spent as u64, EXTRAS_MAX);
}
