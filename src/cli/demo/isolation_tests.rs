//! Tests of the checks on separation.

use super::*;

fn passed(isolation: &Isolation) -> [bool; 2] {
    let checks = isolation.checks();
    [checks[0].passed, checks[1].passed]
}

#[test]
fn a_match_a_way_in_or_nothing_shown_fails() {
    let mut isolation = Isolation {
        shown: 500,
        matches: 0,
        trespass: Err(Code::PermissionDenied),
    };
    assert_eq!(passed(&isolation), [true, true]);
    isolation.matches = 1;
    isolation.trespass = Ok(());
    assert_eq!(passed(&isolation), [false, false]);
    isolation.trespass = Err(Code::Internal);
    assert_eq!(
        passed(&isolation),
        [false, false],
        "any other failure is no separation"
    );
    isolation.matches = 0;
    isolation.shown = 0;
    assert_eq!(passed(&isolation), [false, false], "nothing shown");
}
