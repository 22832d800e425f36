//! Tests of courses: what a node answers for, and what becomes of changes, loads and searches.

use super::*;

const GROUP: NonZeroU32 = NonZeroU32::MIN;
pub(super) const HEAD: Head = Head {
    edition: EDITION,
    sequence: 0,
    list: 0,
    group_segments: GROUP,
};
const EDITION: Edition = Edition {
    incarnation: 2,
    key_generation: 1,
};

/// Follows an empty gallery from its beginning, with the fresh part.
pub(super) fn course() -> Course {
    let reading = Reading::new(HEAD, View::default()).expect("of one reading");
    let mut course = Course::new(reading, Loads::default());
    hold(&mut course, Piece::Fresh);
    course
}

pub(super) fn hold(course: &mut Course, piece: Piece) {
    let load = course.load(piece).expect("it is not there");
    let read = read(course);
    assert!(matches!(course.loaded(load, &read), Arrival::Take { .. }));
}

/// A head that is as far as the course.
pub(super) fn read(course: &Course) -> Head {
    Head {
        edition: course.edition(),
        sequence: course.applied(),
        list: course.view().list(),
        group_segments: course.group_segments(),
    }
}

fn at(sequence: u64, list: u64) -> Head {
    Head {
        sequence,
        list,
        ..HEAD
    }
}

pub(super) fn next(course: &mut Course, change: &Change) -> Vec<Effect> {
    let sequence = course.applied() + 1;
    let list = course.view().list() + 1;
    course
        .apply(&at(sequence, list), sequence, change)
        .expect("it is the next one")
}

fn live(segment: u32) -> Change {
    let retired = BTreeSet::new();
    Change::Live { segment, retired }
}

/// A segment that is written, loaded and live.
pub(super) fn flush(course: &mut Course, segment: u32) -> Vec<Effect> {
    next(course, &Change::Warming(segment));
    hold(course, Piece::Segment(segment));
    next(course, &live(segment))
}

pub(super) fn enrolled(rows: &[u64]) -> Change {
    Change::Enrolled {
        rows: rows.iter().copied().map(Reference).collect(),
        gone: false,
    }
}

const GONE: Change = Change::Enrolled {
    rows: Vec::new(),
    gone: true,
};

/// What a front asks for that read the head when the course was as it is.
pub(super) fn scope(course: &Course, parts: impl IntoIterator<Item = Part>) -> Scope {
    Scope {
        edition: course.edition(),
        at_least: course.applied(),
        list: course.view().list(),
        group_segments: GROUP,
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
        course.apply(&HEAD, 1, &enrolled(&[1])),
        Ok(Vec::new()),
        "it has it already"
    );
    let gap = course
        .apply(&at(3, 0), 3, &enrolled(&[3]))
        .expect_err("2 is missing");
    assert_eq!(gap, CourseError::Gap { expected: 2, came: 3 });
    assert_eq!(course.applied(), 1);
}

#[test]
fn a_change_that_does_not_fit_is_not_applied() {
    let mut course = course();
    let refused = course
        .apply(&at(1, 0), 1, &live(7))
        .expect_err("there is no such segment");
    assert_eq!(refused, CourseError::List(ListError::NotWarming(7)));
    assert_eq!(course.applied(), 0);
}

#[test]
fn it_answers_for_what_it_has_applied() {
    let mut course = course();
    let mut later = scope(&course, [Part::Fresh]);
    later.at_least += 1;
    assert_eq!(
        course.begin(&later),
        Err(Refusal::PartsBehind([Part::Fresh].into()))
    );
    next(&mut course, &enrolled(&[1]));
    let search = course.begin(&later).expect("it has come so far");
    assert_eq!(search.pieces(), [Piece::Fresh]);
}

#[test]
fn it_answers_for_its_edition_alone() {
    let course = course();
    let asked = |incarnation, key_generation| Scope {
        edition: of(incarnation, key_generation).edition,
        ..scope(&course, [Part::Fresh])
    };
    assert_eq!(course.may_answer(&asked(1, 9)), Err(Refusal::ViewGone));
    assert_eq!(course.may_answer(&asked(2, 0)), Err(Refusal::ViewGone));
    let behind = Refusal::PartsBehind([Part::Fresh].into());
    assert_eq!(course.may_answer(&asked(2, 2)), Err(behind.clone()));
    assert_eq!(course.may_answer(&asked(3, 0)), Err(behind));
}

#[test]
fn it_answers_for_what_it_has_loaded() {
    let mut course = course();
    next(&mut course, &Change::Warming(1));
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    next(&mut course, &live(1));
    let asked = scope(&course, [Part::Fresh, Part::Group(0)]);
    let behind = Refusal::PartsBehind([Part::Group(0)].into());
    assert_eq!(course.may_answer(&asked), Err(behind));
    assert!(matches!(course.loaded(load, &at(2, 1)), Arrival::Take { .. }));
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
        ..scope(&course, [Part::Fresh, Part::Group(0)])
    };
    let all = Refusal::PartsBehind(ahead.parts.clone());
    assert_eq!(course.may_answer(&ahead), Err(all));
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
    assert_eq!(course.loaded(load, &at(1, 0)), Arrival::Take { but });
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
    assert_eq!(course.wiped(), 1, "its rows are still on their way");
    assert_eq!(course.loaded(load, &at(3, 0)), Arrival::Refuse(Vec::new()));
    assert_eq!(course.wiped(), 3);
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
    assert_eq!(course.loaded(former, &at(1, 0)), Arrival::Refuse(Vec::new()));
    assert!(matches!(course.loaded(latter, &at(1, 0)), Arrival::Take { .. }));
    assert_eq!(course.load(Piece::Segment(9)), None, "there is no such segment");
}

#[test]
fn a_fresh_part_that_took_too_long_is_loaded_anew() {
    let mut course = course();
    assert_eq!(course.let_go(Piece::Fresh).len(), 1);
    let load = course.load(Piece::Fresh).expect("it was given up");
    flush(&mut course, 1);
    flush(&mut course, 2);
    assert_eq!(
        course.loaded(load, &HEAD),
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
    assert_eq!(course.let_go(Piece::Fresh), [Effect::Unload(Piece::Fresh)]);
    hold(&mut course, Piece::Fresh);
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
    assert!(course.may_answer(&scope(&course, [Part::Fresh])).is_ok());
}

#[test]
fn rows_that_were_flushed_before_they_came_make_former_views_gone() {
    let mut course = course();
    let before = scope(&course, [Part::Fresh]);
    next(&mut course, &GONE);
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
    assert_eq!(course.let_go(Piece::Fresh), [Effect::Unload(Piece::Fresh)]);
    let load = course.load(Piece::Fresh).expect("it was given up");
    let before = scope(&course, [Part::Fresh]);
    next(&mut course, &GONE);
    assert!(matches!(course.loaded(load, &HEAD), Arrival::Take { .. }));
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
}

#[test]
fn without_the_fresh_part_nothing_is_placed() {
    let mut course = course();
    assert_eq!(course.let_go(Piece::Fresh), [Effect::Unload(Piece::Fresh)]);
    assert_eq!(next(&mut course, &enrolled(&[1])), []);
    flush(&mut course, 1);
    assert_eq!(flush(&mut course, 2), []);
}

/// With nothing loaded, at a head of so many changes.
fn begun(sequence: u64, loads: Loads) -> Course {
    let reading = Reading::new(at(sequence, 0), View::default()).expect("of one reading");
    Course::new(reading, loads)
}

fn of(incarnation: u64, key_generation: u32) -> Head {
    let mut head = at(9, 0);
    head.edition.incarnation = incarnation;
    head.edition.key_generation = key_generation;
    head
}

#[test]
fn a_change_of_a_former_incarnation_is_nothing_new_and_a_later_one_ends_the_course() {
    let mut course = course();
    let change = enrolled(&[1]);
    assert_eq!(course.apply(&of(1, 9), 1, &change), Ok(Vec::new()));
    for later in [of(3, 1), of(2, 2)] {
        assert_eq!(
            course.apply(&later, 1, &change),
            Err(CourseError::Edition(EDITION))
        );
    }
    assert_eq!(course.applied(), 0);
    assert_eq!(
        course.apply(&of(2, 1), 1, &change).map(|effects| effects.len()),
        Ok(1)
    );
}

#[test]
fn a_change_and_an_earlier_head_are_not_of_one_reading() {
    let mut course = course();
    let mixed = CourseError::Mixed { sequence: 1, head: 0 };
    assert_eq!(course.apply(&HEAD, 1, &enrolled(&[1])), Err(mixed));
    assert_eq!(course.applied(), 0);
}

#[test]
fn groups_of_another_size_end_the_course_and_are_not_answered_for() {
    let mut course = course();
    let two = NonZeroU32::new(2).expect("not 0");
    let read = Head {
        group_segments: two,
        ..at(1, 0)
    };
    let other = CourseError::Groups {
        read: two,
        here: GROUP,
    };
    assert_eq!(course.apply(&read, 1, &enrolled(&[1])), Err(other));
    let asked = Scope {
        group_segments: two,
        ..scope(&course, [Part::Fresh])
    };
    assert_eq!(course.may_answer(&asked), Err(Refusal::ViewGone));
}

#[test]
fn rows_of_an_earlier_reading_or_another_edition_are_refused() {
    for (reading, is_taken) in [
        (at(3, 0), false),
        (of(1, 1), false),
        (of(2, 2), false),
        (at(4, 0), true),
    ] {
        let mut course = begun(4, Loads::default());
        let load = course.load(Piece::Fresh).expect("it is not there");
        assert_eq!(load.may_read(&reading), is_taken);
        let taken = matches!(course.loaded(load, &reading), Arrival::Take { .. });
        assert_eq!(
            (taken, course.knows(Piece::Fresh)),
            (is_taken, is_taken),
            "{reading:?}"
        );
    }
}

#[test]
fn a_load_that_is_lost_is_no_empty_piece() {
    let mut course = course();
    next(&mut course, &Change::Warming(1));
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    assert_eq!(course.lost(load), [Effect::Unload(Piece::Segment(1))]);
    assert!(!course.held().contains(&Piece::Segment(1)));
    assert!(course.loads().is_idle());
    assert!(course.load(Piece::Segment(1)).is_some());
}

#[test]
fn the_loads_of_a_former_course_hold_erasures_back_until_they_end() {
    let mut former = begun(4, Loads::default());
    let load = former.load(Piece::Fresh).expect("it is not there");
    let loads = former.give_up();
    assert!(!loads.is_idle());
    let mut course = begun(7, loads);
    let latter = course.load(Piece::Fresh).expect("it is not there");
    assert_eq!((course.applied(), course.wiped()), (7, 4));
    assert_eq!(course.loaded(load, &at(7, 0)), Arrival::Refuse(Vec::new()));
    assert_eq!(course.wiped(), 7);
    assert!(matches!(course.loaded(latter, &at(7, 0)), Arrival::Take { .. }));
}

#[test]
fn what_is_erased_during_a_load_is_wiped_when_it_has_come() {
    let mut course = begun(4, Loads::default());
    let load = course.load(Piece::Fresh).expect("it is not there");
    for row in [1, 2] {
        next(&mut course, &Change::Erased(vec![Reference(row)]));
    }
    assert_eq!((course.applied(), course.wiped()), (6, 4));
    let but = [1, 2].map(Reference).into();
    assert_eq!(course.loaded(load, &at(4, 0)), Arrival::Take { but });
    assert_eq!(course.wiped(), 6);
}

#[test]
fn a_search_of_a_former_course_ends_nothing() {
    let mut former = course();
    let asked = scope(&former, [Part::Fresh]);
    let search = former.begin(&asked).expect("it has it");
    let mut latter = begun(0, former.give_up());
    hold(&mut latter, Piece::Fresh);
    let own = latter.begin(&asked).expect("it has it");
    assert_eq!(latter.end(search), None);
    assert_eq!(flush(&mut latter, 1), []);
    assert_eq!(flush(&mut latter, 2), [], "its own search is under way");
    assert_eq!(latter.end(own), Some(vec![Effect::LeaveFresh(1)]));
}

/// The next generation's rows are a course of their own, by the changes of the present one.
#[test]
fn a_rotation_follows_beside_the_present_rows() {
    let next_keys = |sequence| at(sequence, 0).of_next_keys();
    let reading = Reading::new(next_keys(4), View::default()).expect("of one reading");
    let mut beside = Course::new(reading, Loads::default());
    let load = beside.load(Piece::Fresh).expect("it is not there");
    assert!(!load.may_read(&at(4, 0)), "those are under the present keys");
    let erased = Change::Erased(vec![Reference(1)]);
    let effects = beside.apply(&at(5, 0), 5, &erased).expect("it is the next one");
    assert_eq!(effects, [Effect::Wipe(vec![Reference(1)])]);
    assert_eq!(beside.wiped(), 4);
    let but = [Reference(1)].into();
    assert_eq!(beside.loaded(load, &next_keys(4)), Arrival::Take { but });
    assert_eq!(
        beside.goes_on(&next_keys(5)),
        Ok(()),
        "the keys were changed over"
    );
    assert_eq!((beside.applied(), beside.wiped()), (5, 5));
}
