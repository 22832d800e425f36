//! Tests of courses: what a node answers for, what it keeps and what it lets go of.

use super::*;

const GROUP: NonZeroU32 = NonZeroU32::MIN;
const EDITION: Edition = Edition {
    incarnation: 2,
    key_generation: 1,
};

/// Follows an empty gallery from its beginning, with the fresh part.
fn course() -> Course {
    let head = Head {
        edition: EDITION,
        sequence: 0,
        list: 0,
    };
    let mut course = Course::new(head, View::default(), GROUP);
    hold(&mut course, Piece::Fresh);
    course
}

fn hold(course: &mut Course, piece: Piece) {
    let load = course.load(piece).expect("it is not there");
    let list = course.view().list();
    assert!(matches!(course.loaded(&load, list), Arrival::Take { .. }));
}

fn next(course: &mut Course, change: &Change) -> Vec<Effect> {
    let sequence = course.applied() + 1;
    course.apply(sequence, change).expect("it is the next one")
}

fn live(segment: u32) -> Change {
    let retired = BTreeSet::new();
    Change::Live { segment, retired }
}

/// A segment that is written, loaded and live.
fn flush(course: &mut Course, segment: u32) -> Vec<Effect> {
    next(course, &Change::Warming(segment));
    hold(course, Piece::Segment(segment));
    next(course, &live(segment))
}

fn enrolled(rows: &[u64]) -> Change {
    Change::Enrolled {
        rows: rows.iter().copied().map(Reference).collect(),
        gone_by: None,
    }
}

/// What a front asks for that read the head when the course was as it is.
fn scope(course: &Course, parts: impl IntoIterator<Item = Part>) -> Scope {
    Scope {
        edition: course.edition(),
        at_least: course.applied(),
        list: course.view().list(),
        parts: parts.into_iter().collect(),
    }
}

#[test]
fn changes_come_one_by_one() {
    let mut course = course();
    assert_eq!(
        next(&mut course, &enrolled(&[1])),
        [Effect::Place(vec![Reference(1)])]
    );
    assert_eq!(
        course.apply(1, &enrolled(&[1])),
        Ok(Vec::new()),
        "it has it already"
    );
    let gap = course.apply(3, &enrolled(&[3])).expect_err("2 is missing");
    assert_eq!(gap, CourseError::Gap { expected: 2, came: 3 });
    assert_eq!(course.applied(), 1);
}

#[test]
fn a_change_that_does_not_fit_is_not_applied() {
    let mut course = course();
    let refused = course.apply(1, &live(7)).expect_err("there is no such segment");
    assert_eq!(refused, CourseError::List(ListError::NotWarming(7)));
    assert_eq!(course.applied(), 0);
}

#[test]
fn it_answers_for_what_it_has_applied() {
    let mut course = course();
    let mut later = scope(&course, [Part::Fresh]);
    later.at_least += 1;
    assert_eq!(course.begin(&later), Err(Refusal::PartBehind(Part::Fresh)));
    next(&mut course, &enrolled(&[1]));
    assert_eq!(course.begin(&later), Ok(vec![Piece::Fresh]));
}

#[test]
fn it_answers_for_its_edition_alone() {
    let course = course();
    let of = |incarnation, key_generation| Scope {
        edition: Edition {
            incarnation,
            key_generation,
        },
        ..scope(&course, [Part::Fresh])
    };
    assert_eq!(course.may_answer(&of(1, 9)), Err(Refusal::ViewGone));
    assert_eq!(course.may_answer(&of(2, 0)), Err(Refusal::ViewGone));
    assert_eq!(
        course.may_answer(&of(2, 2)),
        Err(Refusal::PartBehind(Part::Fresh))
    );
    assert_eq!(
        course.may_answer(&of(3, 0)),
        Err(Refusal::PartBehind(Part::Fresh))
    );
}

#[test]
fn it_answers_for_what_it_has_loaded() {
    let mut course = course();
    next(&mut course, &Change::Warming(1));
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    next(&mut course, &live(1));
    let asked = scope(&course, [Part::Fresh, Part::Group(0)]);
    assert_eq!(
        course.may_answer(&asked),
        Err(Refusal::PartBehind(Part::Group(0)))
    );
    course.loaded(&load, 1);
    assert_eq!(
        course.may_answer(&asked),
        Ok(vec![Piece::Fresh, Piece::Segment(1)])
    );
}

#[test]
fn a_scope_whose_list_it_does_not_know_is_ahead() {
    let course = course();
    let ahead = Scope {
        list: 1,
        ..scope(&course, [Part::Group(0)])
    };
    assert_eq!(
        course.may_answer(&ahead),
        Err(Refusal::PartBehind(Part::Group(0)))
    );
}

#[test]
fn flushed_rows_stay_fresh_until_the_list_moves_again() {
    let mut course = course();
    let before = scope(&course, [Part::Fresh]);
    assert_eq!(flush(&mut course, 1), []);
    assert!(course.may_answer(&before).is_ok());
    assert_eq!(flush(&mut course, 2), [Effect::LeaveFresh(1)]);
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
    assert_eq!(flush(&mut course, 3), [Effect::LeaveFresh(2)]);
}

#[test]
fn a_search_under_way_keeps_what_it_needs() {
    let mut course = course();
    let before = scope(&course, [Part::Fresh]);
    for _ in 0..2 {
        course.begin(&before).expect("it has it");
    }
    assert_eq!(flush(&mut course, 1), []);
    assert_eq!(flush(&mut course, 2), []);
    assert_eq!(course.end(&before), [], "one is still under way");
    assert_eq!(course.end(&before), [Effect::LeaveFresh(1)]);
}

#[test]
fn a_retired_segment_stays_for_the_former_view() {
    let mut course = course();
    flush(&mut course, 1);
    let before = scope(&course, [Part::Group(0)]);
    next(&mut course, &Change::Warming(2));
    hold(&mut course, Piece::Segment(2));
    let retired = [1].into();
    assert_eq!(
        next(&mut course, &Change::Live { segment: 2, retired }),
        [Effect::LeaveFresh(1)]
    );
    assert!(course.may_answer(&before).is_ok());
    let effects = flush(&mut course, 3);
    assert_eq!(
        effects,
        [Effect::Unload(Piece::Segment(1)), Effect::LeaveFresh(2)]
    );
    assert!(!course.held().contains(&Piece::Segment(1)));
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
}

#[test]
fn an_erasure_reaches_what_is_on_its_way() {
    let mut course = course();
    next(&mut course, &Change::Warming(1));
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    let erased = vec![Reference(4)];
    assert_eq!(
        next(&mut course, &Change::Erased(erased.clone())),
        [Effect::Wipe(erased)]
    );
    let but = [Reference(4)].into();
    assert_eq!(course.loaded(&load, 0), Arrival::Take { but });
}

#[test]
fn a_load_that_would_have_to_remember_too_much_is_given_up() {
    let mut course = course();
    next(&mut course, &Change::Warming(1));
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    let many: Vec<Reference> = (0..LOAD_ERASED_MAX as u64).map(Reference).collect();
    assert_eq!(next(&mut course, &Change::Erased(many)).len(), 1);
    let effects = next(&mut course, &Change::Erased(vec![Reference(u64::MAX)]));
    assert_eq!(effects.last(), Some(&Effect::Unload(Piece::Segment(1))));
    assert_eq!(course.loaded(&load, 0), Arrival::Refuse(Vec::new()));
    assert!(course.load(Piece::Segment(1)).is_some());
}

#[test]
fn the_rows_of_a_load_that_was_given_up_are_refused() {
    let mut course = course();
    next(&mut course, &Change::Warming(1));
    let former = course.load(Piece::Segment(1)).expect("it is listed");
    assert_eq!(course.load(Piece::Segment(1)), None);
    assert_eq!(
        course.let_go(Piece::Segment(1)),
        [Effect::Unload(Piece::Segment(1))]
    );
    let latter = course.load(Piece::Segment(1)).expect("it was given up");
    assert_eq!(course.loaded(&former, 0), Arrival::Refuse(Vec::new()));
    assert!(matches!(course.loaded(&latter, 0), Arrival::Take { .. }));
    assert_eq!(
        course.loaded(&latter, 0),
        Arrival::Refuse(Vec::new()),
        "they came twice"
    );
    assert_eq!(course.load(Piece::Segment(9)), None, "there is no such segment");
}

#[test]
fn a_fresh_part_that_took_too_long_is_loaded_anew() {
    let mut course = course();
    course.let_go(Piece::Fresh);
    let load = course.load(Piece::Fresh).expect("it was given up");
    flush(&mut course, 1);
    flush(&mut course, 2);
    assert_eq!(
        course.loaded(&load, 0),
        Arrival::Refuse(vec![Effect::Unload(Piece::Fresh)])
    );
    assert!(!course.knows(Piece::Fresh));
}

#[test]
fn a_fresh_part_has_no_view_before_it_was_read() {
    let mut course = course();
    flush(&mut course, 1);
    let before = Scope {
        list: 0,
        ..scope(&course, [Part::Fresh])
    };
    assert!(course.may_answer(&before).is_ok());
    course.let_go(Piece::Fresh);
    hold(&mut course, Piece::Fresh);
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
    assert!(course.may_answer(&scope(&course, [Part::Fresh])).is_ok());
}

#[test]
fn rows_that_were_flushed_before_they_came_make_former_views_gone() {
    let mut course = course();
    let before = scope(&course, [Part::Fresh]);
    let gone = Change::Enrolled {
        rows: Vec::new(),
        gone_by: Some(1),
    };
    next(&mut course, &gone);
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
    flush(&mut course, 1);
    assert!(
        course
            .may_answer(&scope(&course, [Part::Fresh, Part::Group(0)]))
            .is_ok()
    );
}

#[test]
fn rows_that_were_flushed_during_a_load_make_former_views_gone() {
    let mut course = course();
    course.let_go(Piece::Fresh);
    let load = course.load(Piece::Fresh).expect("it was given up");
    let before = scope(&course, [Part::Fresh]);
    let gone = Change::Enrolled {
        rows: Vec::new(),
        gone_by: Some(1),
    };
    next(&mut course, &gone);
    course.loaded(&load, 0);
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
}

#[test]
fn a_piece_that_moves_away_stays_for_the_searches_under_way() {
    let mut course = course();
    let asked = scope(&course, [Part::Fresh]);
    course.begin(&asked).expect("it has it");
    assert_eq!(course.let_go(Piece::Fresh), []);
    assert_eq!(course.may_answer(&asked), Err(Refusal::PartBehind(Part::Fresh)));
    assert_eq!(
        next(&mut course, &enrolled(&[1])),
        [],
        "nobody will look for it here"
    );
    assert_eq!(course.end(&asked), [Effect::Unload(Piece::Fresh)]);
}

#[test]
fn without_the_fresh_part_nothing_is_placed() {
    let mut course = course();
    course.let_go(Piece::Fresh);
    assert_eq!(next(&mut course, &enrolled(&[1])), []);
    flush(&mut course, 1);
    assert_eq!(flush(&mut course, 2), []);
}
