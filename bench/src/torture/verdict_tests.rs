//! That the checker can fail: each broken promise is counted as what it is.

use super::{Seen, State, Wrong, is_of, judge, judge_live, number_of, subject_id};

fn seen(found: Option<&str>, references: Option<usize>) -> Seen {
    Seen {
        found: found.map(str::to_owned),
        references,
    }
}

#[test]
fn what_was_acknowledged_and_is_not_there_is_lost() {
    for gone in [
        seen(None, None),
        seen(None, Some(1)),
        seen(Some("acme-7"), None),
        seen(Some("acme-8"), Some(1)),
    ] {
        assert_eq!(
            judge("acme", 7, State::Present, &gone),
            Err(Wrong::Lost),
            "{gone:?}"
        );
    }
    assert_eq!(
        judge("acme", 7, State::Present, &seen(Some("acme-7"), Some(1))),
        Ok(true)
    );
}

#[test]
fn what_was_erased_or_never_came_and_is_there_is_resurrected() {
    for state in [State::Erased, State::Absent] {
        for back in [
            seen(Some("acme-7"), None),
            seen(None, Some(1)),
            seen(Some("acme-7"), Some(1)),
        ] {
            assert_eq!(
                judge("acme", 7, state, &back),
                Err(Wrong::Resurrected),
                "{state:?} {back:?}"
            );
        }
        assert_eq!(judge("acme", 7, state, &seen(None, None)), Ok(false));
    }
}

#[test]
fn what_is_in_doubt_may_be_either_but_not_half() {
    for state in [State::Enrolling, State::Erasing] {
        assert_eq!(judge("acme", 7, state, &seen(Some("acme-7"), Some(1))), Ok(true));
        assert_eq!(judge("acme", 7, state, &seen(None, None)), Ok(false));
        assert_eq!(judge("acme", 7, state, &seen(None, Some(1))), Err(Wrong::Lost));
        assert_eq!(
            judge("acme", 7, state, &seen(Some("acme-7"), None)),
            Err(Wrong::Resurrected)
        );
    }
}

#[test]
fn a_repetition_that_enrolled_twice_is_told() {
    let twice = seen(Some("acme-7"), Some(2));
    assert_eq!(judge("acme", 7, State::Present, &twice), Err(Wrong::Unexpected));
}

#[test]
fn another_tenants_subject_is_crossed_whatever_the_state() {
    for state in [
        State::Enrolling,
        State::Present,
        State::Erasing,
        State::Erased,
        State::Absent,
    ] {
        assert_eq!(
            judge("acme", 7, state, &seen(Some("beta-7"), Some(1))),
            Err(Wrong::Crossed)
        );
        assert_eq!(
            judge_live("acme", 7, (state, state), Some("beta-7")),
            Some(Wrong::Crossed)
        );
    }
    assert!(!is_of("acme", "acme2-7") && is_of("acme", "acme-7"));
}

#[test]
fn answers_given_meanwhile_are_held_to_both_ends() {
    let live = |before, after, found| judge_live("acme", 7, (before, after), found);
    let own = Some("acme-7");
    assert_eq!(live(State::Present, State::Present, None), Some(Wrong::Lost));
    assert_eq!(live(State::Present, State::Erasing, None), None);
    assert_eq!(live(State::Present, State::Erased, own), None);
    assert_eq!(live(State::Erased, State::Erased, own), Some(Wrong::Resurrected));
    assert_eq!(live(State::Absent, State::Present, own), None);
    assert_eq!(
        live(State::Erased, State::Erased, Some("acme-8")),
        Some(Wrong::Unexpected)
    );
}

#[test]
fn a_name_tells_its_number() {
    assert_eq!(number_of("acme", &subject_id("acme", 12)), Some(12));
    assert_eq!(number_of("acme", "beta-12"), None);
}
