//! Tests of refusals: they name where and why, and stay short.

use super::*;

#[test]
fn a_refusal_says_where_and_why() {
    let refusal = Rejected::new("margin", "2 is not from 0 to 0.5").within("policy");
    assert_eq!(refusal.to_string(), "policy.margin: 2 is not from 0 to 0.5");
}

#[test]
fn what_came_is_repeated_up_to_a_length() {
    let long = Rejected::new("encoder.name", "ä".repeat(10_000));
    assert!(long.problem.len() <= PROBLEM_LEN_MAX + '…'.len_utf8());
    assert!(long.problem.ends_with('…'));
    let short = Rejected::new("encoder.name", "x".repeat(PROBLEM_LEN_MAX));
    assert_eq!(short.problem.len(), PROBLEM_LEN_MAX);
}
