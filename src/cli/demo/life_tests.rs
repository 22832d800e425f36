//! Tests of the checks on coming and going: each one can fail by itself.

use super::*;

fn good() -> Life {
    Life {
        unknown_before: true,
        found_after_enrol: true,
        known_before: true,
        found_after_erase: false,
        purge: Ok(Duration::from_secs(1)),
    }
}

fn passed(life: &Life) -> Vec<bool> {
    life.checks().iter().map(|check| check.passed).collect()
}

#[test]
fn all_holds_when_all_is_well() {
    assert_eq!(passed(&good()), [true, true, true]);
}

#[test]
fn an_enrolment_that_is_not_found_fails() {
    let life = Life {
        found_after_enrol: false,
        ..good()
    };
    assert_eq!(passed(&life), [false, true, true]);
}

#[test]
fn an_erasure_proves_nothing_about_a_person_never_found() {
    let found = Life {
        found_after_erase: true,
        ..good()
    };
    assert_eq!(passed(&found), [true, false, true]);
    let never = Life {
        known_before: false,
        ..good()
    };
    assert_eq!(passed(&never), [true, false, true]);
}

#[test]
fn files_that_are_not_clean_in_time_fail() {
    let life = Life {
        purge: Err("not yet".into()),
        ..good()
    };
    assert_eq!(passed(&life), [true, true, false]);
}
