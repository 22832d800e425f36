//! Tests of suspicion: who is taken for gone, and who is not.

use super::*;

const NODE: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn two() -> Members {
    let mut members = Members::default();
    members.register(NODE, 8);
    members.register(OTHER, 8);
    members
}

/// Looks once a second, `looks` times, while the other node beats. Gives the last look's suspects.
fn look(watch: &mut Watch, members: &mut Members, from: u64, looks: u64) -> Vec<NodeId> {
    let mut suspects = Vec::new();
    for second in from..from + looks {
        members.beat(OTHER, 1).expect("it is current");
        suspects = watch.look(Duration::from_secs(second), members);
    }
    suspects.into_iter().map(|suspect| suspect.node).collect()
}

#[test]
fn who_stands_still_for_ten_looks_after_the_first_is_suspected() {
    let (mut watch, mut members) = (Watch::default(), two());
    assert_eq!(look(&mut watch, &mut members, 0, 10), []);
    assert_eq!(look(&mut watch, &mut members, 10, 1), [NODE]);
}

#[test]
fn a_suspect_can_be_fenced_by_what_was_seen() {
    let (mut watch, mut members) = (Watch::default(), two());
    look(&mut watch, &mut members, 0, 10);
    let suspects = watch.look(Duration::from_secs(10), &members);
    assert!(suspects.iter().all(|suspect| members.fence(suspect)));
    assert_eq!(members.current(NODE), None);
    assert_eq!(watch.look(Duration::from_secs(11), &members), []);
}

#[test]
fn a_beat_begins_the_count_anew() {
    let (mut watch, mut members) = (Watch::default(), two());
    look(&mut watch, &mut members, 0, 10);
    members.beat(NODE, 1).expect("it is current");
    assert_eq!(look(&mut watch, &mut members, 10, 10), []);
    assert_eq!(look(&mut watch, &mut members, 20, 1), [NODE]);
}

#[test]
fn a_new_registration_begins_the_count_anew() {
    let (mut watch, mut members) = (Watch::default(), two());
    look(&mut watch, &mut members, 0, 10);
    members.register(NODE, 8);
    assert_eq!(look(&mut watch, &mut members, 10, 10), []);
}

#[test]
fn many_looks_at_once_are_one() {
    let (mut watch, members) = (Watch::default(), two());
    for millisecond in 0..900 {
        assert_eq!(watch.look(Duration::from_millis(millisecond), &members), []);
    }
}

#[test]
fn who_could_not_look_for_an_hour_suspects_nobody_for_it() {
    let (mut watch, mut members) = (Watch::default(), two());
    look(&mut watch, &mut members, 0, 2);
    assert_eq!(look(&mut watch, &mut members, 3_600, 1), []);
}

#[test]
fn who_beats_between_the_last_look_and_the_fence_is_not_fenced() {
    let (mut watch, mut members) = (Watch::default(), two());
    look(&mut watch, &mut members, 0, 10);
    let suspects = watch.look(Duration::from_secs(10), &members);
    assert!(!suspects.is_empty());
    members.beat(NODE, 1).expect("it is current");
    let fenced: Vec<NodeId> = suspects
        .iter()
        .filter(|seen| members.fence(seen))
        .map(|seen| seen.node)
        .collect();
    assert!(!fenced.contains(&NODE));
    assert!(members.current(NODE).is_some());
    assert_eq!(look(&mut watch, &mut members, 11, 10), []);
}
