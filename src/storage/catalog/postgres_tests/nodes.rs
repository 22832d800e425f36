//! Several nodes of a cluster that share a tenant's catalog: who writes, who follows, who is fenced, and flushes in two steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::cluster::course::{Arrival, Change, Course, Piece, Reference};
use crate::cluster::followers::{Follower, Report, Write as Waiting};
use crate::cluster::loads::Loads;
use crate::cluster::members::{Life, Suspect};
use crate::cluster::placement::NodeId;
use crate::cluster::view::Segment;
use crate::keys::epochs::Epochs;
use crate::storage::catalog::seam::ReadCatalog;
use crate::storage::cluster::{Cluster, SegmentObject, SharedCatalog, Standing};
use crate::storage::on_cluster::KEY_GENERATION;
use crate::storage::place::RowId;
use crate::storage::write::Committed;

/// Several nodes, and the keys of epochs that they have in common.
pub(super) struct Nodes {
    pub(super) kept: Kept,
    epochs: Arc<dyn Epochs>,
}

/// A node with connections of its own.
pub(super) struct Node {
    pub(super) cluster: Cluster,
    pub(super) standing: Standing,
    pub(super) catalog: SharedCatalog,
}

impl Nodes {
    pub(super) fn new() -> Option<Self> {
        let kept = Kept::new()?;
        let epochs = Arc::new(kept.epochs());
        Some(Self { kept, epochs })
    }

    /// Registers a node, which serves at once, and opens the tenant there.
    pub(super) fn node(&self, number: u128) -> Node {
        let cluster = Cluster::new(&connect(&self.kept.address), 2).expect("there are tables");
        let standing = cluster.register(NodeId(number), 1, "here").expect("registered");
        cluster.advance(standing, Life::Serving).expect("it is new");
        let catalog = cluster.open(
            standing,
            &id("acme"),
            &keys().secret,
            (KEY_GENERATION, Arc::clone(&self.epochs)),
            signer(),
        );
        Node {
            cluster,
            standing,
            catalog: catalog.expect("opened"),
        }
    }
}

impl Node {
    pub(super) fn write(&self, write: Write) -> Result<Committed, StorageError> {
        let sealed = |object: &SegmentObject, row| Ok(format!("{}/{row}", object.ulid).into_bytes());
        let mut answers = self.catalog.commit(&[write], Timestamp::now(), &sealed)?;
        Ok(answers.remove(0).expect("it is possible"))
    }

    /// Enrols one reference of a subject; gives it, and the change.
    pub(super) fn enroll(&self, subject: &str) -> (u64, u64) {
        let write = Write::Enroll(enroll(&format!("enroll-{subject}"), subject, &[1]));
        let Committed::Enrolled { answer, .. } = self.write(write).expect("the server works") else {
            panic!("another answer")
        };
        (answer.references[0], answer.sequence)
    }

    pub(super) fn erase(&self, subject: &str) {
        self.write(erase(&format!("erase-{subject}"), subject))
            .expect("the server works");
    }

    /// Follows the gallery with nothing loaded.
    pub(super) fn follow(&self) -> Course {
        let mut course = None;
        let begun = self.catalog.follow(&mut |reading| {
            let course = course.insert(Course::new(reading, Loads::default()));
            (self.follower(course), Report::of(course))
        });
        begun.expect("taken in");
        course.expect("begun")
    }

    pub(super) fn follower(&self, course: &Course) -> Follower {
        Follower {
            node: self.standing.node,
            edition: course.edition(),
            generation: self.standing.generation,
            course: course.number(),
        }
    }

    fn report(&self, course: &Course) -> Result<(), StorageError> {
        self.catalog.report(self.follower(course), &Report::of(course))
    }

    /// Takes all changes that there are, and says so.
    pub(super) fn catch_up(&self, course: &mut Course) {
        let (head, feed) = self.catalog.feed(course.applied(), 100).expect("read");
        for (sequence, change) in &feed {
            course.apply(&head, *sequence, change).expect("it comes next");
        }
        self.report(course).expect("it is current");
    }

    pub(super) fn load(&self, course: &mut Course, piece: Piece) {
        let load = course.load(piece).expect("it is not there");
        let (head, _) = self.catalog.load_fresh(None).expect("read");
        let arrived = course.loaded(load, &head);
        assert!(matches!(arrived, Arrival::Take { .. }), "{arrived:?}");
        self.report(course).expect("it is current");
    }

    /// The first step of a flush, of an object that is this node's to list.
    pub(super) fn warm(&self, object: SegmentObject, ids: &[RowId]) -> Result<(u32, Vec<u32>), StorageError> {
        // One that is listed is nobody's to list again.
        let _ = self.catalog.intend(object.ulid);
        self.catalog.warm(object, ids)
    }

    pub(super) fn fresh(&self) -> Vec<RowId> {
        let (_, rows) = self.catalog.load_fresh(None).expect("read");
        assert!(rows.iter().all(|row| *row.exact == exact(1)));
        rows.into_iter().map(|row| row.id).collect()
    }
}

pub(super) fn object(rows: usize) -> SegmentObject {
    SegmentObject {
        ulid: ulid::Ulid::generate(),
        rows: u32::try_from(rows).expect("few"),
        holes: 0,
    }
}

#[test]
fn nodes_that_write_at_once_give_each_change_one_number_and_the_feed_has_all_in_order() {
    const EACH: u64 = 12;
    let Some(nodes) = Nodes::new() else { return };
    let both = [nodes.node(1), nodes.node(2)];
    let written: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let running = both.iter().zip(["one", "two"]).map(|(node, name)| {
            scope.spawn(move || {
                let each = (0..EACH).map(|n| node.enroll(&format!("{name}-{n}")));
                each.collect::<Vec<_>>()
            })
        });
        let running: Vec<_> = running.collect();
        running
            .into_iter()
            .flat_map(|one| one.join().expect("no panic"))
            .collect()
    });
    let by_sequence: BTreeMap<u64, u64> = written
        .iter()
        .map(|(reference, sequence)| (*sequence, *reference))
        .collect();
    let references: BTreeSet<u64> = by_sequence.values().copied().collect();
    assert_eq!(references.len() as u64, 2 * EACH, "no number twice");
    assert!(by_sequence.keys().copied().eq(1..=2 * EACH), "and no gap");
    let (head, feed) = both[0].catalog.feed(0, 100).expect("read");
    assert_eq!(head.sequence, 2 * EACH);
    let expected = by_sequence.iter().map(|(sequence, reference)| {
        let rows = vec![Reference(*reference)];
        (*sequence, Change::Enrolled { rows, gone: false })
    });
    assert_eq!(feed, expected.collect::<Vec<_>>());
    let (_, page) = both[1].catalog.feed(5, 3).expect("read");
    assert_eq!(page, feed[5..8]);
    // One chain of history, whoever signs for it.
    let [one, other] = both.map(|node| node.catalog.checkpoint().expect("signed"));
    let chain = |text: &str| {
        let signed: serde_json::Value = serde_json::from_str(text).expect("readable");
        ["event", "head"].map(|field| signed[field].clone())
    };
    assert_eq!(chain(&one.checkpoint_json), chain(&other.checkpoint_json));
    assert_eq!(chain(&one.checkpoint_json)[0], 2 * EACH);
    // Counted against its head.
    assert_eq!(nodes.kept.open().writer.state().subjects, 2 * EACH);
}

#[test]
fn numbers_that_nodes_reserve_never_overlap() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = (nodes.node(1), nodes.node(2));
    let taken = [&one, &other, &one].map(|node| node.catalog.reserve(10).expect("given out").0);
    assert_eq!(taken, [0, 10, 20]);
    assert_eq!(other.enroll("s1").0, 31);
}

#[test]
fn an_erasure_waits_for_whoever_follows() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = (nodes.node(1), nodes.node(2));
    one.enroll("s1");
    let mut course = one.follow();
    assert_eq!((course.applied(), course.view().list()), (1, 0));
    other.erase("s1");
    let waits = || {
        other
            .catalog
            .waits_for(&Waiting::Erasure { sequence: 2 })
            .expect("read")
    };
    assert_eq!(waits(), BTreeSet::from([NodeId(1)]));
    let (head, feed) = one.catalog.feed(1, 10).expect("read");
    assert_eq!(feed, [(2, Change::Erased(vec![Reference(1)]))]);
    course.apply(&head, 2, &feed[0].1).expect("it comes next");
    one.report(&course).expect("current");
    assert_eq!(waits(), BTreeSet::new());
    // Late: no step back.
    let late = Report {
        wiped: 1,
        applied: 1,
        ..Report::of(&course)
    };
    one.catalog.report(one.follower(&course), &late).expect("taken");
    assert_eq!(waits(), BTreeSet::new());
    other.enroll("s2");
    let enrolment = Waiting::Enrolment {
        sequence: 3,
        waited: std::time::Duration::ZERO,
    };
    assert_eq!(
        other.catalog.waits_for(&enrolment).expect("read"),
        BTreeSet::from([NodeId(1)])
    );
    one.catalog.leave(one.follower(&course)).expect("let go");
    assert_eq!(
        other.catalog.waits_for(&enrolment).expect("read"),
        BTreeSet::new()
    );
    // What a follower said is noticed where it was changed.
    one.follow();
    nodes.kept.sql("UPDATE follower SET course = course + 1");
    let refused = other.catalog.waits_for(&enrolment).expect_err("changed");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
}

#[test]
fn who_is_fenced_writes_nothing_and_nobody_waits_for_it() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = (nodes.node(1), nodes.node(2));
    one.enroll("s1");
    let course = one.follow();
    let seen = Suspect {
        node: NodeId(1),
        generation: one.standing.generation,
        beat: 0,
    };
    one.cluster.beat(one.standing).expect("it lives");
    assert!(
        !other.cluster.fence(other.standing, &seen).expect("asked"),
        "it gave a sign of life"
    );
    assert!(
        other
            .cluster
            .fence(other.standing, &Suspect { beat: 1, ..seen })
            .expect("asked")
    );
    other.erase("s1");
    let waits = other
        .catalog
        .waits_for(&Waiting::Erasure { sequence: 2 })
        .expect("read");
    assert_eq!(waits, BTreeSet::new());
    let write = || one.write(Write::Enroll(enroll("r2", "s2", &[1]))).map(drop);
    let refused = [
        write(),
        one.report(&course),
        one.catalog.cut_feed().map(drop),
        one.catalog.reserve(1).map(drop),
        one.cluster.beat(one.standing),
        one.cluster.advance(one.standing, Life::Draining),
        one.cluster.fence(one.standing, &seen).map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StorageError::Fenced(_))), "{refused:?}");
    }
    let members = other.cluster.nodes().expect("read").members;
    assert_eq!(
        members.now().iter().map(|member| member.id.0).collect::<Vec<_>>(),
        [2]
    );
    // Nothing of its course is here any more: it says so, or it could begin none anew.
    one.catalog
        .leave(one.follower(&course))
        .expect("a fenced node may leave");
    // It registers again, and begins anew.
    let again = nodes.node(1);
    assert!(again.standing.generation > one.standing.generation);
    assert!(matches!(write(), Err(StorageError::Fenced(_))));
    again.enroll("s3");
}

/// Three enrolments, of which no row is in the fresh part any more, and what came after.
fn whole_feed() -> Vec<Change> {
    let (rows, retired) = (Vec::new(), BTreeSet::new());
    let mut feed = vec![Change::Enrolled { rows, gone: true }; 3];
    feed.extend([
        Change::Warming(1),
        Change::Erased(vec![Reference(2)]),
        Change::Live { segment: 1, retired },
    ]);
    feed
}

#[test]
fn a_flush_has_two_steps_and_an_erasure_between_them_is_dead_in_the_segment() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = (nodes.node(1), nodes.node(2));
    for subject in ["s1", "s2", "s3"] {
        one.enroll(subject);
    }
    let mut course = one.follow();
    one.load(&mut course, Piece::Fresh);
    let ids = one.fresh();
    let file = object(3);
    let refused = one.warm(object(4), &ids).expect_err("of other rows");
    assert!(matches!(refused, StorageError::Rows(_)), "{refused}");
    // As after a commit of unknown outcome.
    for _ in 0..2 {
        let (segment, dead) = one.warm(file, &ids).expect("listed");
        assert_eq!((segment, dead), (1, Vec::new()));
    }
    let segment = 1;
    assert_eq!(one.fresh(), ids, "they count where they were");
    let moved = other.warm(object(3), &ids).expect_err("they are on their way");
    assert!(matches!(moved, StorageError::RowsMoved(_)), "{moved}");
    other.erase("s2");
    let listed = || {
        other
            .catalog
            .load_segment(segment)
            .expect("read")
            .1
            .expect("listed")
    };
    assert_eq!(listed().state, Segment::Warming);
    assert_eq!(listed().dead, BTreeMap::from([(1, Reference(2))]));
    let members = BTreeMap::from([(0, Reference(1)), (2, Reference(3))]);
    assert_eq!(listed().members, members);
    assert_eq!(other.warm(file, &ids).expect("listed"), (segment, vec![1]));
    assert!(!other.catalog.go_live(segment).expect("asked"), "nobody has it");
    one.catch_up(&mut course);
    one.load(&mut course, Piece::Segment(segment));
    assert!(other.catalog.may_go_live(segment).expect("asked"));
    // Whoever wrote it may be gone.
    drop(one);
    assert!(other.catalog.go_live(segment).expect("asked"));
    assert!(other.catalog.go_live(segment).expect("asked"), "it is");
    assert_eq!(listed().state, Segment::Live { from: 1 });
    assert_eq!(listed().members, members);
    assert_eq!(other.fresh(), []);
    let (head, feed) = other.catalog.feed(0, 100).expect("read");
    assert_eq!((head.sequence, head.list), (6, 1));
    assert_eq!(
        feed.into_iter().map(|(_, change)| change).collect::<Vec<_>>(),
        whole_feed()
    );
    let moved = other.warm(object(3), &ids).expect_err("they are in a segment");
    assert!(matches!(moved, StorageError::RowsMoved(_)), "{moved}");
    let catalog = nodes.kept.open();
    let state = catalog.writer.state();
    assert_eq!(
        (state.pending, state.references, catalog.segments.len()),
        (0, 2, 1)
    );
    assert_eq!(catalog.reader.tombstones().expect("read").len(), 1);
}

#[test]
fn a_segment_that_lost_a_row_on_its_way_does_not_go_live() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    for subject in ["s1", "s2"] {
        one.enroll(subject);
    }
    let mut course = one.follow();
    let (segment, _) = one.warm(object(2), &one.fresh()).expect("listed");
    one.catch_up(&mut course);
    one.load(&mut course, Piece::Segment(segment));
    nodes.kept.sql("DELETE FROM warming WHERE reference = 1");
    let refused = one
        .catalog
        .go_live(segment)
        .expect_err("an erasure would not find it there");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
    assert_eq!(one.fresh().len(), 2, "nothing was changed");
}

#[test]
fn the_feed_is_cut_as_far_as_all_have_it_and_who_comes_late_is_told() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = (nodes.node(1), nodes.node(2));
    one.enroll("s1");
    let mut course = one.follow();
    one.enroll("s2");
    one.enroll("s3");
    assert_eq!(other.catalog.cut_feed().expect("cut"), 1);
    let (_, feed) = one.catalog.feed(1, 10).expect("it still needs them");
    assert_eq!(feed.len(), 2);
    let refused = other.catalog.feed(0, 10).expect_err("cut");
    assert!(
        matches!(refused, StorageError::FeedCut { after: 0, .. }),
        "{refused}"
    );
    one.catch_up(&mut course);
    assert_eq!(other.catalog.cut_feed().expect("cut"), 3);
    assert_eq!(one.catalog.feed(3, 10).expect("read").1, []);
    assert!(one.catalog.feed(2, 10).is_err());
    one.enroll("s4");
    nodes
        .kept
        .sql("UPDATE change SET payload = '{1}' WHERE sequence = 4");
    let refused = one.catalog.feed(3, 10).expect_err("changed");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
}

#[test]
fn a_node_goes_on_after_the_server_was_gone() {
    let Some(server) = Server::start() else { return };
    let kept = Kept {
        address: server.fresh(),
        server: Box::leak(Box::new(server)),
        dir: TempDir::new().expect("a temporary directory"),
    };
    create(&connect(&kept.address), kept.dir.path(), &spec("acme"), &keys()).expect("made");
    let epochs = Arc::new(kept.epochs());
    let nodes = Nodes { kept, epochs };
    let (one, other) = (nodes.node(1), nodes.node(2));
    one.enroll("s1");
    nodes.kept.server.kill();
    let write = Write::Enroll(enroll("enroll-s2", "s2", &[1]));
    one.write(write).map(drop).expect_err("it is gone");
    nodes.kept.server.up();
    other.enroll("s3");
    one.enroll("s2");
    assert_eq!(one.catalog.feed(0, 10).expect("read").1.len(), 3);
    nodes.kept.server.kill();
}

#[test]
fn nodes_that_forget_copies_end_one_epoch_each_and_lose_nothing() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = (nodes.node(1), nodes.node(2));
    one.enroll("s1");
    assert!(one.catalog.forget_copies().expect("done"));
    assert_eq!(other.fresh().len(), 1);
    assert!(other.catalog.forget_copies().expect("done"));
    assert_eq!(one.fresh().len(), 1);
    one.enroll("s2");
    assert_eq!(other.fresh().len(), 2);
}

#[test]
fn nobody_is_due_by_a_clock_that_is_ahead_and_no_page_is_too_large() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    one.enroll("s1");
    let due = |as_of| Due {
        retention: Retention {
            idle_days_max: Some(1),
            consent_end: false,
        },
        as_of,
    };
    let by_catalog = one
        .catalog
        .reader
        .due(&due(Timestamp(i64::MAX)), 9)
        .expect("read");
    assert_eq!(by_catalog.len(), 1, "by that clock it is");
    let found = one.catalog.due(due(Timestamp(i64::MAX)), 9).expect("read");
    assert!(found.is_empty(), "{found:?}");
    let (events, next) = one.catalog.usage(None, None, usize::MAX).expect("read");
    // The enrolment.
    assert!(events.len() == 1 && next.is_none());
}
