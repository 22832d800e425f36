//! Tests of the checks after the restart.

use super::*;

#[test]
fn one_lost_or_one_back_fails() {
    let passed = |asked, lost, erased_found| {
        let restart = Restart {
            asked,
            lost,
            erased_found,
        };
        restart.checks().iter().map(|c| c.passed).collect::<Vec<_>>()
    };
    assert_eq!(passed(2_000, 0, false), [true, true]);
    assert_eq!(passed(2_000, 1, true), [false, false]);
    assert_eq!(passed(0, 0, false), [false, true], "nobody was asked for");
}
