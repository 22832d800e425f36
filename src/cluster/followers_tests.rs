//! Tests of followers: who is waited for, when a segment goes live, where the feed may be cut.

use std::num::NonZeroU32;

use super::super::course::Arrival;
use super::super::loads::Loads;
use super::super::members::{Life, Suspect};
use super::super::view::{Head, Reading, View};
use super::*;

const EDITION: Edition = Edition {
    incarnation: 3,
    key_generation: 1,
};
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// Two nodes that serve and follow from change 5 on.
fn two() -> (Members, Followers) {
    let (mut members, mut followers) = (Members::default(), Followers::new(EDITION));
    for node in [A, B] {
        let generation = members.register(node, 1);
        members
            .advance(node, generation, Life::Serving)
            .expect("it is current");
        followers
            .follow(&members, follower(node, generation, 1), report(5, &[]))
            .expect("it is current");
    }
    (members, followers)
}

fn report(applied: u64, segments: &[u32]) -> Report {
    Report {
        applied,
        turn: 0,
        wiped: applied,
        since: 0,
        segments: segments.iter().copied().collect(),
        fresh: false,
        tidy: 0,
    }
}

fn follower(node: NodeId, generation: u64, course: u64) -> Follower {
    Follower {
        node,
        edition: EDITION,
        generation,
        course,
    }
}

fn fence(members: &mut Members, node: NodeId) {
    let seen = *members.current(node).expect("it is not gone");
    let (generation, beat) = (seen.generation, seen.beat);
    assert!(members.fence(&Suspect {
        node,
        generation,
        beat
    }));
}

fn enrolment(milliseconds: u64) -> Write {
    Write::Enrolment {
        sequence: 6,
        waited: Duration::from_millis(milliseconds),
    }
}

const ERASURE: Write = Write::Erasure { sequence: 6 };

#[test]
fn an_erasure_waits_for_everybody_who_follows() {
    let (members, mut followers) = two();
    let waits = |followers: &Followers| followers.waits_for(&members, &ERASURE, &[B].into());
    assert_eq!(waits(&followers), [A, B].into());
    followers
        .report(&members, follower(B, 1, 1), report(6, &[]))
        .expect("it is current");
    assert_eq!(waits(&followers), [A].into());
    followers
        .report(&members, follower(A, 1, 1), report(7, &[]))
        .expect("it is current");
    assert_eq!(waits(&followers), [].into());
}

#[test]
fn an_enrolment_waits_for_owners_alone_and_two_seconds() {
    let (members, followers) = two();
    let waits = |milliseconds| followers.waits_for(&members, &enrolment(milliseconds), &[B].into());
    assert_eq!(waits(0), [B].into());
    assert_eq!(waits(1_999), [B].into());
    assert_eq!(waits(2_000), [].into());
}

#[test]
fn nobody_waits_for_who_is_gone_or_begins_anew() {
    let (mut members, followers) = two();
    fence(&mut members, A);
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [B].into()
    );
    // It has nothing in memory until it follows again.
    members.register(A, 1);
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [B].into()
    );
    members.register(B, 1);
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [].into()
    );
}

#[test]
fn who_follows_again_is_waited_for_from_there_on() {
    let (mut members, mut followers) = two();
    fence(&mut members, A);
    let generation = members.register(A, 1);
    followers
        .follow(&members, follower(A, generation, 2), report(6, &[]))
        .expect("it is current");
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [B].into()
    );
    let later = Write::Erasure { sequence: 7 };
    assert_eq!(
        followers.waits_for(&members, &later, &BTreeSet::new()),
        [A, B].into()
    );
    followers.leave(follower(A, 1, 1));
    assert_eq!(
        followers.waits_for(&members, &later, &BTreeSet::new()),
        [A, B].into()
    );
    followers.leave(follower(A, generation, 2));
    assert_eq!(
        followers.waits_for(&members, &later, &BTreeSet::new()),
        [B].into()
    );
}

#[test]
fn a_fenced_node_neither_follows_nor_reports() {
    let (mut members, mut followers) = two();
    fence(&mut members, A);
    assert!(
        followers
            .follow(&members, follower(A, 1, 2), report(5, &[]))
            .is_err()
    );
    assert!(
        followers
            .report(&members, follower(A, 1, 1), report(9, &[]))
            .is_err()
    );
}

#[test]
fn late_reports_and_those_of_others_say_nothing() {
    let (mut members, mut followers) = two();
    followers
        .report(&members, follower(A, 1, 1), report(7, &[1]))
        .expect("it is current");
    let before = followers.clone();
    followers
        .report(&members, follower(A, 1, 1), report(6, &[]))
        .expect("it is current");
    let former = Follower {
        edition: Edition {
            incarnation: 2,
            ..EDITION
        },
        ..follower(A, 1, 1)
    };
    for other in [former, follower(A, 1, 2)] {
        followers
            .report(&members, other, report(9, &[]))
            .expect("it is current");
    }
    // A new generation that has not begun to follow.
    let generation = members.register(A, 1);
    followers
        .report(&members, follower(A, generation, 1), report(9, &[]))
        .expect("it is current");
    assert_eq!(followers, before);
    followers.leave(follower(A, 1, 1));
    followers
        .report(&members, follower(A, generation, 1), report(9, &[]))
        .expect("it is current");
    assert_eq!(followers.feed_floor(&members, 9), 5);
}

#[test]
fn a_segment_goes_live_when_all_its_owners_have_loaded_it() {
    let (mut members, mut followers) = two();
    let both = [A, B].into();
    followers
        .report(&members, follower(A, 1, 1), report(6, &[1]))
        .expect("it is current");
    assert!(!followers.may_go_live(&members, 1, &both));
    assert!(followers.may_go_live(&members, 1, &[A].into()));
    fence(&mut members, B);
    assert!(followers.may_go_live(&members, 1, &both));
}

#[test]
fn a_segment_that_nobody_has_does_not_go_live() {
    let (mut members, followers) = two();
    assert!(!followers.may_go_live(&members, 1, &BTreeSet::new()));
    for node in [A, B] {
        fence(&mut members, node);
    }
    assert!(!followers.may_go_live(&members, 1, &[A, B].into()));
}

#[test]
fn the_feed_stays_from_where_the_last_one_is() {
    let (mut members, mut followers) = two();
    followers
        .report(&members, follower(A, 1, 1), report(9, &[]))
        .expect("it is current");
    assert_eq!(followers.feed_floor(&members, 12), 5);
    fence(&mut members, B);
    assert_eq!(followers.feed_floor(&members, 12), 9);
    fence(&mut members, A);
    assert_eq!(followers.feed_floor(&members, 12), 12);
}

#[test]
fn a_report_has_what_a_course_holds() {
    let head = Head {
        edition: EDITION,
        sequence: 4,
        list: 0,
        group_segments: NonZeroU32::MIN,
    };
    let mut view = View::default();
    for number in 1..=2 {
        view.warm(number).expect("a new number");
    }
    let mut course = Course::new(
        Reading::new(head, view).expect("of one reading"),
        Loads::default(),
    );
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    let _under_way = course.load(Piece::Segment(2)).expect("it is listed");
    assert!(matches!(course.loaded(load, &head), Arrival::Take { .. }));
    let turn = course.turn();
    assert_eq!(
        Report::of(&course),
        Report {
            turn,
            ..report(4, &[1])
        }
    );
}

#[test]
fn reports_are_ordered_by_what_was_held_then() {
    let (members, mut followers) = two();
    let mut later = Report {
        turn: 2,
        ..report(6, &[1])
    };
    let mut tell = |report: &Report| {
        followers
            .report(&members, follower(A, 1, 1), report.clone())
            .expect("it is current");
        followers.may_go_live(&members, 1, &[A].into())
    };
    assert!(tell(&later));
    let before = Report {
        turn: 1,
        ..report(6, &[])
    };
    assert!(tell(&before), "it was sent before the segment was loaded");
    later.turn = 3;
    later.segments.clear();
    assert!(!tell(&later));
}

#[test]
fn a_purge_waits_for_who_follows_and_is_not_tidy() {
    let (mut members, mut followers) = two();
    assert_eq!(followers.untidy(&members, 8), BTreeSet::from([A, B]));
    let tell = |followers: &mut Followers, tidy| {
        let tidied = Report {
            tidy,
            ..report(5, &[])
        };
        let told = followers.report(&members, follower(A, 1, 1), tidied);
        told.expect("it is current");
    };
    // Nothing else is news in it.
    tell(&mut followers, 8);
    assert_eq!(followers.untidy(&members, 8), BTreeSet::from([B]));
    assert_eq!(followers.untidy(&members, 9), BTreeSet::from([A, B]));
    tell(&mut followers, 7);
    assert_eq!(
        followers.untidy(&members, 8),
        BTreeSet::from([B]),
        "one that is late is no step back"
    );
    fence(&mut members, B);
    assert_eq!(followers.untidy(&members, 8), BTreeSet::new());
}

#[test]
fn a_late_follow_or_leave_of_a_former_course_changes_nothing() {
    let (members, mut followers) = two();
    let later = follower(A, 1, 2);
    followers
        .follow(&members, later, report(5, &[]))
        .expect("it is current");
    followers
        .follow(&members, follower(A, 1, 1), report(9, &[]))
        .expect("it is current");
    followers.leave(follower(A, 1, 1));
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [A, B].into()
    );
    followers.leave(later);
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [B].into()
    );
}

#[test]
fn an_erasure_waits_for_what_is_on_its_way() {
    let (members, mut followers) = two();
    let on_its_way = Report {
        wiped: 5,
        ..report(6, &[])
    };
    for report in [on_its_way, report(6, &[])] {
        assert_eq!(
            followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
            [A, B].into()
        );
        followers
            .report(&members, follower(A, 1, 1), report)
            .expect("it is current");
        assert_eq!(
            followers.waits_for(&members, &enrolment(0), &[A].into()),
            [].into()
        );
    }
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [B].into()
    );
}

/// Both of a node's courses are waited for, before and after.
#[test]
fn an_erasure_waits_for_the_rows_of_a_rotation() {
    let (members, mut followers) = two();
    let next = Edition {
        key_generation: 2,
        ..EDITION
    };
    let beside = Follower {
        edition: next,
        ..follower(A, 1, 1)
    };
    followers
        .follow(&members, beside, report(5, &[]))
        .expect("it is current");
    for present in [A, B] {
        followers
            .report(&members, follower(present, 1, 1), report(6, &[1]))
            .expect("it is current");
    }
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [A].into()
    );
    assert_eq!(followers.feed_floor(&members, 6), 5);
    assert!(followers.may_go_live(&members, 1, &[A].into()));
    followers.change_over(next);
    assert!(!followers.may_go_live(&members, 1, &[A].into()));
    followers
        .report(&members, beside, report(6, &[]))
        .expect("it is current");
    assert_eq!(
        followers.waits_for(&members, &ERASURE, &BTreeSet::new()),
        [].into()
    );
    let later = Write::Erasure { sequence: 7 };
    followers
        .report(&members, beside, report(7, &[]))
        .expect("it is current");
    assert_eq!(
        followers.waits_for(&members, &later, &BTreeSet::new()),
        [A, B].into()
    );
    followers.leave(follower(A, 1, 1));
    assert_eq!(
        followers.waits_for(&members, &later, &BTreeSet::new()),
        [B].into()
    );
}

#[test]
fn an_object_is_deleted_when_nobody_has_a_view_with_it() {
    let (mut members, mut followers) = two();
    let retired = Segment::Retired { from: 1, until: 3 };
    assert!(!followers.may_delete(&members, retired));
    for (node, since) in [(A, 3), (B, 2)] {
        let report = Report {
            since,
            ..report(6, &[])
        };
        followers
            .report(&members, follower(node, 1, 1), report)
            .expect("it is current");
    }
    assert!(!followers.may_delete(&members, retired), "B has view 2");
    fence(&mut members, B);
    assert!(followers.may_delete(&members, retired));
    assert!(!followers.may_delete(&members, Segment::Live { from: 1 }));
    assert!(!followers.may_delete(&members, Segment::Warming));
}

#[test]
fn a_report_of_a_later_release_is_read_as_far_as_it_is_known() {
    let known = report(6, &[3]);
    let mut told = serde_json::to_value(&known).expect("plain values");
    told["later"] = serde_json::json!({ "field": 1 });
    let read: Report = serde_json::from_value(told).expect("it is a report");
    assert_eq!(read, known);
}
