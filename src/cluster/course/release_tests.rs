//! Tests of what a course keeps and what it lets go of.

use super::*;
use crate::cluster::course::tests::{course, enrolled, flush, hold, next, read, scope};
use crate::cluster::course::{Arrival, Change};
use crate::cluster::placement::Part;
use crate::cluster::question::Refusal;

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
    let [first, second] = [(); 2].map(|()| course.begin(&before).expect("it has it"));
    assert_eq!(flush(&mut course, 1), []);
    assert_eq!(flush(&mut course, 2), []);
    assert_eq!(course.end(first), Some(vec![]), "one is still under way");
    assert_eq!(course.end(second), Some(vec![Effect::LeaveFresh(1)]));
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
fn a_former_view_is_given_up_once_no_search_needs_it() {
    let mut course = course();
    assert_eq!(course.leave_former_views(), [], "there is none");
    let before = scope(&course, [Part::Fresh]);
    let search = course.begin(&before).expect("it has it");
    assert_eq!(flush(&mut course, 1), []);
    assert_eq!(course.leave_former_views(), [], "a search needs it");
    assert_eq!(course.end(search), Some(vec![]), "and the former one stays");
    let turn = course.turn();
    assert_eq!(course.leave_former_views(), [Effect::LeaveFresh(1)]);
    assert_eq!((course.view().since(), course.turn()), (1, turn + 1));
    assert_eq!(course.may_answer(&before), Err(Refusal::ViewGone));
    assert!(course.may_answer(&scope(&course, [Part::Fresh])).is_ok());
    assert_eq!(course.leave_former_views(), [], "there is none any more");
}

#[test]
fn a_piece_that_moves_away_stays_for_the_searches_under_way() {
    let mut course = course();
    let asked = scope(&course, [Part::Fresh]);
    let search = course.begin(&asked).expect("it has it");
    assert_eq!(course.let_go(Piece::Fresh), []);
    assert_eq!(
        course.may_answer(&asked),
        Err(Refusal::PartsBehind([Part::Fresh].into()))
    );
    assert_eq!(
        next(&mut course, &enrolled(&[1])),
        [],
        "nobody will look for it here"
    );
    assert_eq!(course.end(search), Some(vec![Effect::Unload(Piece::Fresh)]));
}

#[test]
fn a_segment_that_is_taken_back_goes_wherever_it_is() {
    let mut course = course();
    for segment in [1, 2] {
        next(&mut course, &Change::Warming(segment));
    }
    hold(&mut course, Piece::Segment(1));
    let late = course.load(Piece::Segment(2)).expect("it is listed");
    for segment in [1, 2] {
        let turn = course.turn();
        let effects = next(&mut course, &Change::Withdrawn(segment));
        assert_eq!(effects, [Effect::Unload(Piece::Segment(segment))]);
        assert_eq!(course.turn(), turn + 1);
    }
    assert_eq!(course.load(Piece::Segment(1)), None, "it is not listed");
    let read = read(&course);
    assert!(matches!(course.loaded(late, &read), Arrival::Refuse(_)));
    assert!(course.loads().is_idle() && course.view().segments().is_empty());
    let (sequence, list) = (course.applied() + 1, course.view().list());
    let head = crate::cluster::view::Head {
        sequence,
        list,
        ..read
    };
    let refused = course.apply(&head, sequence, &Change::Withdrawn(1));
    assert!(refused.is_err(), "it is taken back already");
}
