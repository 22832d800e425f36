//! Two nodes that do the same work, one of them late; and what a node does not take from a list that was changed.

use std::collections::BTreeMap;

use super::nodes::{Nodes, object};
use super::*;
use crate::cluster::course::{Course, Piece, Reference};
use crate::cluster::followers::Report;
use crate::cluster::loads::Loads;
use crate::cluster::members::Suspect;
use crate::cluster::placement::NodeId;
use crate::storage::cluster::SegmentObject;

/// Objects that nobody lists, in order; of the first keys.
fn unlisted(node: &super::nodes::Node) -> Vec<ulid::Ulid> {
    let mut unlisted = node.catalog.unlisted().expect("read");
    unlisted.sort();
    assert!(
        unlisted
            .iter()
            .all(|(_, generation)| *generation == crate::storage::on_cluster::KEY_GENERATION)
    );
    unlisted.into_iter().map(|(ulid, _)| ulid).collect()
}

#[test]
fn a_purge_that_is_late_puts_back_no_row_that_a_later_one_took_out() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    for subject in ["s1", "s2", "s3"] {
        one.enroll(subject);
    }
    let mut course = one.follow();
    let first = object(3);
    let (segment, _) = one.warm(first, &one.fresh()).expect("listed");
    one.catch_up(&mut course);
    one.load(&mut course, Piece::Segment(segment));
    assert!(one.catalog.go_live(segment).expect("asked"));
    one.erase("s1");
    one.erase("s2");
    let without = |holes| SegmentObject { holes, ..object(3) };
    let [both, one_alone] = [
        BTreeMap::from([(0, Reference(1)), (1, Reference(2))]),
        BTreeMap::from([(0, Reference(1))]),
    ];
    let replace = |from: SegmentObject, to: SegmentObject, gone| {
        one.catalog.intend(to.ulid).expect("recorded");
        one.catalog.replace(segment, from.ulid, to, gone)
    };
    let unfit = replace(first, without(1), &both).expect_err("it has one more row than it is said to");
    assert!(matches!(unfit, StorageError::CatalogDamaged { .. }), "{unfit}");
    let second = without(2);
    replace(first, second, &both).expect("replaced");
    let late = replace(first, without(1), &one_alone).expect_err("it has a row that went");
    assert!(matches!(late, StorageError::RowsMoved(_)), "{late}");
    let (_, listed) = one.catalog.load_segment(segment).expect("read");
    let listed = listed.expect("listed");
    assert_eq!(listed.object, second);
    assert_eq!(listed.members, BTreeMap::from([(2, Reference(3))]));
    assert_eq!(listed.dead, BTreeMap::new());
}

#[test]
fn what_is_nobodys_is_listed_by_nobody() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = (nodes.node(1), nodes.node(2));
    for subject in ["s1", "s2"] {
        one.enroll(subject);
    }
    let [unsaid, given_up, late, listed] = [(); 4].map(|()| object(2));
    let ids = one.fresh();
    let refused = |node: &super::nodes::Node, object| {
        let refused = node.catalog.warm(object, &ids).expect_err("it is not to list it");
        matches!(refused, StorageError::RowsMoved(_))
    };
    assert!(refused(&one, unsaid), "it was not recorded");
    for object in [given_up, late, listed] {
        one.catalog.intend(object.ulid).expect("recorded");
    }
    assert!(refused(&other, late), "it is another node's");
    assert!(one.catalog.abandon(given_up.ulid).expect("given up"));
    assert!(refused(&one, given_up));
    assert_eq!(unlisted(&other), [given_up.ulid]);
    let (segment, _) = one.catalog.warm(listed, &ids).expect("listed");
    assert!(!one.catalog.abandon(listed.ulid).expect("asked"), "it is listed");
    other
        .catalog
        .removed(&[given_up.ulid, late.ulid])
        .expect("removed");
    assert_eq!(unlisted(&other), []);
    // What was of a node that is gone is nobody's, and so is what another object was put in the place of.
    one.erase("s1");
    let without = SegmentObject {
        holes: 1,
        ..object(2)
    };
    let gone = BTreeMap::from([(0, Reference(1))]);
    let replaced = one.catalog.replace(segment, listed.ulid, without, &gone);
    assert!(matches!(replaced, Err(StorageError::RowsMoved(_))));
    one.catalog.intend(without.ulid).expect("recorded");
    let replaced = one.catalog.replace(segment, listed.ulid, without, &gone);
    replaced.expect("replaced");
    let suspect = Suspect {
        node: one.standing.node,
        generation: one.standing.generation,
        beat: 0,
    };
    assert!(other.cluster.fence(other.standing, &suspect).expect("asked"));
    // Who is fenced may write nothing, and must not take what it has listed for given up.
    assert!(!one.catalog.abandon(without.ulid).expect("asked"), "it is listed");
    assert!(
        one.catalog.abandon(late.ulid).expect("asked"),
        "it is not, and never will be"
    );
    let left = unlisted(&other);
    let mut expected = [late.ulid, listed.ulid];
    expected.sort();
    assert_eq!(left, expected);
    let late = one.catalog.warm(late, &ids).expect_err("it is gone");
    assert!(matches!(late, StorageError::Fenced(_)), "{late}");
    other.catalog.removed(&left).expect("removed");
    assert_eq!(unlisted(&other), []);
}

#[test]
fn a_list_that_lacks_a_segment_is_followed_by_nobody() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    one.enroll("s1");
    one.warm(object(1), &one.fresh()).expect("listed");
    nodes.kept.sql("DELETE FROM segment");
    let begun = one.catalog.follow(&mut |reading| {
        let course = Course::new(reading, Loads::default());
        (one.follower(&course), Report::of(&course))
    });
    let refused = begun.expect_err("the head counts one");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
}

#[test]
fn a_row_of_a_segment_that_is_hidden_is_noticed_when_it_is_loaded() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    for subject in ["s1", "s2"] {
        one.enroll(subject);
    }
    let (segment, _) = one.warm(object(2), &one.fresh()).expect("listed");
    nodes.kept.sql("DELETE FROM warming WHERE reference = 1");
    let refused = one
        .catalog
        .load_segment(segment)
        .map(drop)
        .expect_err("one row is told of by nobody");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
}

#[test]
fn who_waits_for_a_suspect_that_was_stopped_keeps_nobody_else_out() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, _stopped) = (nodes.node(1), nodes.node(2));
    let database = connect(&nodes.kept.address);
    let within = statement!(
        "SELECT 1 FROM node WHERE node = $1 FOR KEY SHARE",
        super::super::register::bytes(NodeId(2))
    );
    let (transaction, _) = database.begin(within).expect("begun");
    let members = one.cluster.nodes().expect("read").members;
    let seen = members.current(NodeId(2)).expect("it is there");
    let suspect = Suspect {
        node: NodeId(2),
        generation: seen.generation,
        beat: seen.beat,
    };
    std::thread::scope(|scope| {
        let fencing = scope.spawn(|| one.cluster.fence(one.standing, &suspect));
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while nodes.kept.sql(waiting) == "0" {
            assert!(!fencing.is_finished(), "it waits");
            std::thread::yield_now();
        }
        nodes.node(3);
        assert!(!fencing.is_finished(), "it still waits");
        transaction.commit(Vec::new()).expect("done");
        assert!(fencing.join().expect("no panic").expect("asked"));
    });
}

#[test]
fn a_course_that_has_no_later_number_is_not_taken_in() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    let begin = |loads| {
        let (mut loads, mut begun) = (Some(loads), None);
        let taken = one.catalog.follow(&mut |reading| {
            let course = Course::new(reading, loads.take().expect("asked once"));
            let told = (one.follower(&course), Report::of(&course));
            begun = Some(course);
            told
        });
        taken.map(|()| begun.expect("begun").number())
    };
    assert_eq!(begin(Loads::after(4)).expect("taken in"), 5);
    let refused = begin(Loads::default()).expect_err("number 5 stands");
    assert!(matches!(refused, StorageError::CourseTaken(_)), "{refused}");
    assert_eq!(begin(Loads::after(5)).expect("taken in"), 6);
}

#[test]
fn what_is_known_of_a_subject_and_of_some_rows_is_read_of_one_moment() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    for subject in ["s1", "s2", "s3"] {
        one.enroll(subject);
    }
    let references = |subject: &str| one.catalog.references(&id(subject)).expect("read");
    assert_eq!(references("s2"), [Reference(2)]);
    assert_eq!(references("nobody"), []);
    let ids = one.fresh();
    one.erase("s3");
    let asked = [3, 9, 1].map(Reference);
    let (head, rows) = one.catalog.load_fresh(Some(&asked)).expect("read");
    assert_eq!(head.sequence, 4);
    let rows: Vec<_> = rows.into_iter().map(|row| row.id).collect();
    assert_eq!(rows, ids[..1]);
}
