//! Tests of the checks on coming and going: each one can fail by itself.

use super::*;

const COMES: Found = Found {
    before: false,
    after: true,
};
const LEAVES: Found = Found {
    before: true,
    after: false,
};
const STAYS: Found = Found {
    before: true,
    after: true,
};
const NEVER: Found = Found {
    before: false,
    after: false,
};

fn passed(newcomer: Found, leaver: Found, purge: Result<Duration, String>) -> Vec<bool> {
    let life = Life {
        newcomer,
        leaver,
        purge,
    };
    life.checks().iter().map(|check| check.passed).collect()
}

const CLEAN: Result<Duration, String> = Ok(Duration::from_secs(1));

#[test]
fn all_holds_when_all_is_well() {
    assert_eq!(passed(COMES, LEAVES, CLEAN), [true, true, true]);
}

#[test]
fn an_enrolment_that_is_not_found_fails() {
    assert_eq!(passed(NEVER, LEAVES, CLEAN), [false, true, true]);
    assert_eq!(
        passed(STAYS, LEAVES, CLEAN),
        [false, true, true],
        "was there before"
    );
}

#[test]
fn an_erasure_proves_nothing_about_a_person_never_found() {
    assert_eq!(passed(COMES, STAYS, CLEAN), [true, false, true]);
    assert_eq!(passed(COMES, NEVER, CLEAN), [true, false, true]);
}

#[test]
fn files_that_are_not_clean_in_time_fail() {
    assert_eq!(passed(COMES, LEAVES, Err("not yet".into())), [true, true, false]);
}
