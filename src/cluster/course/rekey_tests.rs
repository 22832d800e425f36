//! Tests of courses that go on under the next data key: what they answer for, and that nothing of what was under way is lost.

use super::*;
use crate::cluster::course::tests::{HEAD, course, hold, next, read};
use crate::cluster::course::{Arrival, Change, Piece, Reference};
use crate::cluster::placement::Part;
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::Head;

const NEXT: Edition = Edition {
    key_generation: HEAD.edition.key_generation + 1,
    ..HEAD.edition
};

fn scope(edition: Edition, at_least: u64) -> Scope {
    Scope {
        edition,
        at_least,
        list: 0,
        group_segments: HEAD.group_segments,
        parts: [Part::Fresh].into(),
    }
}

fn enrolled(reference: u64) -> Change {
    Change::Enrolled {
        rows: vec![Reference(reference)],
        gone: false,
    }
}

#[test]
fn it_answers_for_the_next_edition_and_not_for_the_former_one() {
    let mut course = course();
    let _ = next(&mut course, &enrolled(1));
    let behind = course
        .may_answer(&scope(NEXT, 1))
        .expect_err("it is of former keys");
    assert!(matches!(behind, Refusal::PartsBehind(_)), "{behind:?}");
    let turn = course.turn();
    assert!(course.rekey(NEXT));
    assert_eq!((course.edition(), course.turn()), (NEXT, turn + 1));
    assert_eq!(
        course.may_answer(&scope(NEXT, 1)).expect("it has it"),
        [Piece::Fresh]
    );
    let gone = course
        .may_answer(&scope(HEAD.edition, 1))
        .expect_err("it has gone on");
    assert_eq!(gone, Refusal::ViewGone);
    // The changes go on where they were.
    let head = Head {
        edition: NEXT,
        sequence: 2,
        ..HEAD
    };
    assert!(
        !course
            .apply(&head, 2, &enrolled(2))
            .expect("the next one")
            .is_empty()
    );
    assert!(course.may_answer(&scope(NEXT, 2)).is_ok());
}

#[test]
fn nothing_but_later_keys_of_the_same_tenant_is_the_next_edition() {
    let mut course = course();
    let others = [
        HEAD.edition,
        Edition {
            key_generation: 0,
            ..HEAD.edition
        },
        Edition {
            incarnation: HEAD.edition.incarnation + 1,
            ..NEXT
        },
    ];
    for other in others {
        assert!(!course.rekey(other), "{other:?}");
        assert_eq!(course.edition(), HEAD.edition);
    }
}

#[test]
fn what_was_under_way_is_of_both() {
    let mut course = course();
    let search = course.begin(&scope(HEAD.edition, 0)).expect("it has it");
    let _ = next(&mut course, &Change::Warming(1));
    let former = read(&course);
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    assert!(course.rekey(NEXT));
    let _ = next_of(&mut course, &Change::Erased(vec![Reference(5)]));
    assert!(course.wiped() < course.applied(), "the load may have the row");
    // A reading of before brings the same rows, but for who was erased since.
    let Arrival::Take { but } = course.loaded(load, &former) else {
        panic!("its rows are the same");
    };
    assert_eq!(but, [Reference(5)].into());
    assert_eq!(course.wiped(), course.applied());
    assert!(course.end(search).is_some(), "its answer counts");
    hold_of_next(&mut course);
}

/// The next change, as it is read with the next keys.
fn next_of(course: &mut Course, change: &Change) -> Vec<crate::cluster::course::Effect> {
    let sequence = course.applied() + 1;
    let head = Head {
        edition: NEXT,
        sequence,
        ..HEAD
    };
    course.apply(&head, sequence, change).expect("the next one")
}

/// What is loaded from now on is read with the next keys alone.
fn hold_of_next(course: &mut Course) {
    let _ = next_of(course, &Change::Warming(2));
    let load = course.load(Piece::Segment(2)).expect("it is listed");
    let former = Head {
        edition: HEAD.edition,
        ..read(course)
    };
    assert!(matches!(course.loaded(load, &former), Arrival::Refuse(_)));
    hold(course, Piece::Segment(2));
}
