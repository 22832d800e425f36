//! The rules that count a broken promise, case by case.

use super::*;

const PRESENT: (State, State) = (State::Present, State::Present);
const ERASED: (State, State) = (State::Erased, State::Erased);

fn judged(states: (State, State), found: Option<&str>, when: When) -> Vec<Wrong> {
    judge("acme", 7, states, found, when)
}

#[test]
fn the_right_answers_break_nothing() {
    for when in [When::JustWritten, When::Meanwhile, When::AtTheEnd] {
        assert_eq!(judged(PRESENT, Some("acme-7"), when), []);
        assert_eq!(judged(ERASED, None, when), []);
    }
}

#[test]
fn somebody_enrolled_has_to_be_found() {
    assert_eq!(judged(PRESENT, None, When::Meanwhile), [Wrong::NoMatch]);
    assert_eq!(
        judged(PRESENT, None, When::JustWritten),
        [Wrong::NoMatch, Wrong::Stale]
    );
    assert_eq!(judged(PRESENT, None, When::AtTheEnd), [Wrong::Lost]);
}

#[test]
fn somebody_erased_must_not_be_found() {
    assert_eq!(
        judged(ERASED, Some("acme-7"), When::Meanwhile),
        [Wrong::Resurrected]
    );
    assert_eq!(
        judged(ERASED, Some("acme-7"), When::JustWritten),
        [Wrong::Resurrected, Wrong::Stale]
    );
}

#[test]
fn either_answer_is_right_while_somebody_comes_or_goes() {
    for states in [
        (State::Enrolling, State::Enrolling),
        (State::Enrolling, State::Present),
        (State::Present, State::Erasing),
        (State::Erasing, State::Erased),
        (State::Present, State::Erased),
        (State::Unknown, State::Unknown),
    ] {
        assert_eq!(judged(states, None, When::Meanwhile), []);
        assert_eq!(judged(states, Some("acme-7"), When::Meanwhile), []);
    }
}

#[test]
fn a_name_of_the_other_tenant_is_crossed_whatever_the_state() {
    for states in [PRESENT, ERASED, (State::Erasing, State::Erased)] {
        assert_eq!(judged(states, Some("beta-7"), When::Meanwhile), [Wrong::Crossed]);
    }
    assert_eq!(judge_stranger("beta", Some("acme-1")), Some(Wrong::Crossed));
    // The beginning of a name is not the name.
    assert_eq!(judge_stranger("acme", Some("acmes-1")), Some(Wrong::Crossed));
}

#[test]
fn somebody_else_is_wrong() {
    assert_eq!(
        judged(PRESENT, Some("acme-8"), When::Meanwhile),
        [Wrong::Unexpected]
    );
    assert_eq!(judge_stranger("acme", Some("acme-1")), Some(Wrong::Unexpected));
    assert_eq!(judge_stranger("acme", None), None);
}
