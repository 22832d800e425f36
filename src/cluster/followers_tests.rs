//! Tests of followers: who is waited for, when a segment goes live, where the feed may be cut.

use std::num::NonZeroU32;

use super::super::members::{Life, Suspect};
use super::super::view::{Head, View};
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
            .follow(&members, node, generation, 5)
            .expect("it is current");
    }
    (members, followers)
}

fn report(applied: u64, segments: &[u32]) -> Report {
    Report {
        edition: EDITION,
        applied,
        segments: segments.iter().copied().collect(),
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
    assert_eq!(waits(&followers), [A, B]);
    followers
        .report(&members, B, 1, report(6, &[]))
        .expect("it is current");
    assert_eq!(waits(&followers), [A]);
    followers
        .report(&members, A, 1, report(7, &[]))
        .expect("it is current");
    assert_eq!(waits(&followers), []);
}

#[test]
fn an_enrolment_waits_for_owners_alone_and_two_seconds() {
    let (members, followers) = two();
    let waits = |milliseconds| followers.waits_for(&members, &enrolment(milliseconds), &[B].into());
    assert_eq!(waits(0), [B]);
    assert_eq!(waits(1_999), [B]);
    assert_eq!(waits(2_000), []);
}

#[test]
fn nobody_waits_for_who_is_gone_or_begins_anew() {
    let (mut members, followers) = two();
    fence(&mut members, A);
    assert_eq!(followers.waits_for(&members, &ERASURE, &BTreeSet::new()), [B]);
    // It has nothing in memory until it follows again.
    members.register(A, 1);
    assert_eq!(followers.waits_for(&members, &ERASURE, &BTreeSet::new()), [B]);
    members.register(B, 1);
    assert_eq!(followers.waits_for(&members, &ERASURE, &BTreeSet::new()), []);
}

#[test]
fn who_follows_again_is_waited_for_from_there_on() {
    let (mut members, mut followers) = two();
    fence(&mut members, A);
    let generation = members.register(A, 1);
    followers
        .follow(&members, A, generation, 6)
        .expect("it is current");
    assert_eq!(followers.waits_for(&members, &ERASURE, &BTreeSet::new()), [B]);
    let later = Write::Erasure { sequence: 7 };
    assert_eq!(followers.waits_for(&members, &later, &BTreeSet::new()), [A, B]);
    followers.leave(A);
    assert_eq!(followers.waits_for(&members, &later, &BTreeSet::new()), [B]);
}

#[test]
fn a_fenced_node_neither_follows_nor_reports() {
    let (mut members, mut followers) = two();
    fence(&mut members, A);
    assert!(followers.follow(&members, A, 1, 5).is_err());
    assert!(followers.report(&members, A, 1, report(9, &[])).is_err());
}

#[test]
fn late_reports_and_those_of_others_say_nothing() {
    let (mut members, mut followers) = two();
    followers
        .report(&members, A, 1, report(7, &[1]))
        .expect("it is current");
    let before = followers.clone();
    followers
        .report(&members, A, 1, report(6, &[]))
        .expect("it is current");
    let other = Report {
        edition: Edition {
            incarnation: 2,
            ..EDITION
        },
        ..report(9, &[])
    };
    followers.report(&members, A, 1, other).expect("it is current");
    // A new generation that has not begun to follow.
    let generation = members.register(A, 1);
    followers
        .report(&members, A, generation, report(9, &[]))
        .expect("it is current");
    assert_eq!(followers, before);
    followers.leave(A);
    followers
        .report(&members, A, generation, report(9, &[]))
        .expect("it is current");
    assert_eq!(followers.feed_floor(&members, 9), 5);
}

#[test]
fn a_segment_goes_live_when_all_its_owners_have_loaded_it() {
    let (mut members, mut followers) = two();
    let both = [A, B].into();
    followers
        .report(&members, A, 1, report(6, &[1]))
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
        .report(&members, A, 1, report(9, &[]))
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
        list: 1,
    };
    let mut view = View::default();
    for number in 1..=2 {
        view.warm(number).expect("a new number");
    }
    let mut course = Course::new(head, view, NonZeroU32::MIN);
    let load = course.load(Piece::Segment(1)).expect("it is listed");
    course.load(Piece::Segment(2)).expect("it is listed");
    course.loaded(&load, 1);
    assert_eq!(Report::of(&course), report(4, &[1]));
}
