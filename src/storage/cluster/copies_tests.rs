//! Tests of when a node is tidy: once what was read before is gone, and never because somebody was not asked.

use std::collections::HashSet;

use ulid::Ulid;

use super::*;
use crate::keys::cells::INCARNATION_LEN;
use crate::model::signature::Dimension;
use crate::storage::cluster::SegmentObject;
use crate::storage::cluster::segments::{SegmentKeys, Segments};
use crate::storage::objects::Objects;
use crate::storage::objects::testing::{cache_config, directory};
use crate::storage::place::RowId;
use crate::storage::testing::{DIM, id, key, rows};

struct Node {
    segments: Segments,
    keys: SegmentKeys,
    _tmp: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let store = directory(&tmp.path().join("store"));
        let objects = Objects::of(store, &cache_config(tmp.path(), 1 << 20)).expect("opened");
        Self {
            segments: Segments::open(&objects, tmp.path().join("staging")).expect("opened"),
            keys: SegmentKeys {
                home: Home::of(&id("acme"), &[7; INCARNATION_LEN]),
                generation: 3,
                dimension: Dimension::new(DIM).expect("valid"),
                data_key: key(1),
            },
            _tmp: tmp,
        }
    }

    fn put(&self) -> SegmentObject {
        let ids: Vec<RowId> = (1..=4)
            .map(|reference| RowId {
                reference,
                subject: reference,
            })
            .collect();
        let put = self.segments.put(&self.keys, &rows(&ids), |_| Ok(()));
        put.expect("stored")
    }

    fn listed(&self) -> SegmentObject {
        let object = self.put();
        self.segments.settle(&self.keys, object.ulid);
        object
    }

    /// A reading that finds these objects listed, after so many changes.
    fn read(&self, look: &Look, listed: &[SegmentObject], commits: u64) -> u64 {
        let key = |object: &SegmentObject| self.keys.key(object.ulid);
        let listed: HashSet<ObjectKey> = listed.iter().map(key).collect();
        self.read_but(look, &listed, &HashSet::new(), commits)
    }

    fn read_but(
        &self,
        look: &Look,
        listed: &HashSet<ObjectKey>,
        staying: &HashSet<ObjectKey>,
        commits: u64,
    ) -> u64 {
        self.copies()
            .tidy_up(look, &self.keys.home, (listed, staying), commits)
    }

    fn round(&self, listed: &[SegmentObject], commits: u64) -> u64 {
        self.read(&self.copies().look(), listed, commits)
    }

    fn copies(&self) -> &Copies {
        self.segments.copies()
    }

    fn has(&self, object: &SegmentObject) -> bool {
        !self.copies().cache.is_gone(&self.keys.key(object.ulid))
    }
}

#[test]
fn what_is_not_listed_goes_and_the_next_round_says_so() {
    let node = Node::new();
    let [former, other] = [node.listed(), node.listed()];
    assert_eq!(node.round(&[former, other], 5), 0, "nobody read before");
    assert!(node.has(&former));
    assert_eq!(node.round(&[other], 8), 5);
    assert!(!node.has(&former) && node.has(&other));
    assert_eq!(node.round(&[other], 9), 8);
    let refused = node.segments.fetch(&node.keys, &former).map(drop);
    assert!(refused.is_err(), "it is brought by nobody any more");
    node.segments.fetch(&node.keys, &other).expect("it is listed");
}

#[test]
fn what_is_being_put_stays() {
    let node = Node::new();
    let object = node.put();
    node.round(&[], 5);
    assert!(node.has(&object));
    // It is listed after the reading that lacks it, and before that is looked at.
    let look = node.copies().look();
    node.segments.settle(&node.keys, object.ulid);
    node.read(&look, &[], 6);
    assert!(node.has(&object));
    node.round(&[object], 7);
    assert!(node.has(&object));
    node.round(&[], 8);
    assert!(!node.has(&object));
}

#[test]
fn who_reads_since_before_keeps_the_node_from_being_tidy() {
    let node = Node::new();
    let late = node.copies().begin(&node.keys.home);
    assert_eq!(node.round(&[], 5), 0);
    assert_eq!(node.round(&[], 6), 0);
    let other = node
        .copies()
        .begin(&Home::of(&id("other"), &[8; INCARNATION_LEN]));
    drop(late);
    assert_eq!(node.round(&[], 7), 6, "uses of others don't matter");
    drop(other);
    let reads = node.copies().begin(&node.keys.home);
    assert_eq!(node.round(&[], 9), 6);
    assert_eq!(node.round(&[], 10), 6);
    drop(reads);
    assert_eq!(node.round(&[], 11), 10);
}

#[test]
fn what_was_read_and_is_not_here_yet_is_brought_no_more() {
    let node = Node::new();
    let object = node.listed();
    node.copies()
        .cache
        .let_go(&node.keys.key(object.ulid))
        .expect("destroyed");
    let reads = node.copies().begin(&node.keys.home);
    node.segments.know(&node.keys, &object);
    node.round(&[], 5);
    let late = node.segments.fetch(&node.keys, &object).map(drop);
    assert!(late.is_err(), "it was replaced meanwhile");
    drop(reads);
    assert!(!node.has(&object));
}

#[test]
fn a_file_that_is_read_is_waited_for() {
    let node = Node::new();
    let object = node.listed();
    let file = node.segments.fetch(&node.keys, &object).expect("read");
    node.round(&[], 5);
    assert_eq!(node.round(&[], 6), 0, "it is on the disk");
    drop(file);
    assert_eq!(node.round(&[], 7), 6);
}

#[test]
fn who_leaves_has_nothing_and_may_come_back() {
    let node = Node::new();
    let (object, home) = (node.listed(), &node.keys.home);
    let reads = node.copies().begin(home);
    assert!(!node.copies().clear(home).expect("asked"));
    assert!(node.has(&object));
    drop(reads);
    assert!(node.copies().clear(home).expect("destroyed"));
    assert!(!node.has(&object));
    node.segments
        .fetch(&node.keys, &object)
        .expect("it is still listed");
    node.copies()
        .keep_only(&BTreeSet::from([home.clone()]))
        .expect("nothing to do");
    assert!(node.has(&object));
    node.copies().keep_only(&BTreeSet::new()).expect("destroyed");
    assert!(!node.has(&object));
}

#[test]
fn nothing_is_kept_of_what_was_given_up() {
    let node = Node::new();
    let object = node.put();
    node.segments.discard(&node.keys, object.ulid).expect("deleted");
    assert!(!node.has(&object));
    let ulid = Ulid::generate();
    node.copies().give_up(&node.keys.key(ulid));
    node.copies().give_up(&node.keys.key(object.ulid));
    assert_eq!(node.round(&[], 3), 0);
    assert_eq!(node.round(&[], 4), 3);
}

#[test]
fn a_copy_that_stays_keeps_the_node_untidy_until_it_goes() {
    let node = Node::new();
    let (former, next) = (node.listed(), node.listed());
    let key = |object: &SegmentObject| node.keys.key(object.ulid);
    let (listed, stays) = (HashSet::from([key(&next)]), HashSet::from([key(&former)]));
    let read = |staying: &HashSet<ObjectKey>, commits| {
        let look = node.copies().look();
        node.read_but(&look, &listed, staying, commits)
    };
    // However often it is read.
    assert_eq!([5, 6, 7].map(|commits| read(&stays, commits)), [0; 3]);
    assert!(node.copies().here().contains(&key(&former)));
    let tidy = [8, 9].map(|commits| read(&HashSet::new(), commits));
    assert!(tidy[1] >= 7, "{tidy:?}");
    assert!(!node.copies().here().contains(&key(&former)));
    assert!(node.copies().here().contains(&key(&next)));
}
