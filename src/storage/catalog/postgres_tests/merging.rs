//! Merges in two steps: rows of segments that count move into another one, whoever is erased meanwhile, and the former ones are unlisted once nobody has a view with them.

use std::collections::{BTreeMap, BTreeSet};

use ulid::Ulid;

use super::nodes::{Node, Nodes, object};
use super::*;
use crate::cluster::course::{Change, Course, Piece, Reference};
use crate::cluster::view::Segment;
use crate::storage::cluster::SegmentObject;
use crate::storage::place::RowId;

/// Two nodes, the first of which follows; each of these is in a segment of its own, from 1 on, and nobody has a view before.
struct Ground {
    nodes: Nodes,
    one: Node,
    other: Node,
    course: Course,
    ids: Vec<RowId>,
    from: BTreeMap<u32, Ulid>,
}

impl Ground {
    fn new(subjects: &[&str]) -> Option<Self> {
        let nodes = Nodes::new()?;
        let (one, other) = (nodes.node(1), nodes.node(2));
        let mut course = one.follow();
        let (mut ids, mut from) = (Vec::new(), BTreeMap::new());
        for subject in subjects {
            other.enroll(subject);
            let fresh = other.fresh();
            let file = object(fresh.len());
            let (segment, _) = other.warm(file, &fresh).expect("listed");
            one.catch_up(&mut course);
            one.load(&mut course, Piece::Segment(segment));
            assert!(other.catalog.go_live(segment).expect("asked"));
            ids.extend(fresh);
            from.insert(segment, file.ulid);
        }
        let mut ground = Self {
            nodes,
            one,
            other,
            course,
            ids,
            from,
        };
        ground.settle();
        Some(ground)
    }

    /// The node that follows has what there is, and gives up former views.
    fn settle(&mut self) {
        self.one.catch_up(&mut self.course);
        let _ = self.course.leave_former_views();
        self.one.catch_up(&mut self.course);
    }

    fn segments(&self) -> BTreeSet<u32> {
        self.from.keys().copied().collect()
    }

    /// The first step, of an object that is this node's to list.
    fn warm(&self, by: &Node, file: SegmentObject) -> Result<u32, StorageError> {
        let _ = by.catalog.intend(file.ulid);
        by.catalog.warm_merged(file, &self.ids, &self.from)
    }

    /// Whether all of them may be.
    fn is_mergeable(&self) -> bool {
        let segments = self.segments();
        self.other.catalog.mergeable(&segments).expect("asked") == segments
    }

    #[track_caller]
    fn refuses(&self, file: SegmentObject) {
        assert!(!self.is_mergeable());
        let refused = self.warm(&self.other, file).expect_err("it is not as it was");
        assert!(matches!(refused, StorageError::RowsMoved(_)), "{refused}");
    }

    fn listed(&self, segment: u32) -> (Segment, BTreeMap<u32, Reference>, BTreeMap<u32, Reference>) {
        let (_, listed) = self.other.catalog.load_segment(segment).expect("read");
        let listed = listed.expect("listed");
        (listed.state, listed.members, listed.dead)
    }
}

fn rows(of: &[(u32, u64)]) -> BTreeMap<u32, Reference> {
    of.iter()
        .map(|(row, reference)| (*row, Reference(*reference)))
        .collect()
}

#[test]
fn a_merge_has_two_steps_and_an_erasure_between_them_is_dead_in_both() {
    let Some(mut ground) = Ground::new(&["s1", "s2", "s3"]) else {
        return;
    };
    assert!(ground.is_mergeable());
    let file = object(3);
    // As after a commit of unknown outcome.
    for _ in 0..2 {
        assert_eq!(ground.warm(&ground.other, file).expect("listed"), 4);
    }
    ground.refuses(object(3));
    assert_eq!(
        ground.listed(2),
        (Segment::Live { from: 2 }, rows(&[(0, 2)]), rows(&[]))
    );
    assert_eq!(
        ground.listed(4),
        (Segment::Warming, rows(&[(0, 1), (1, 2), (2, 3)]), rows(&[]))
    );
    ground.other.erase("s2");
    assert_eq!(
        ground.listed(2),
        (Segment::Live { from: 2 }, rows(&[]), rows(&[(0, 2)]))
    );
    let (members, dead) = (rows(&[(0, 1), (2, 3)]), rows(&[(1, 2)]));
    assert_eq!(
        ground.listed(4),
        (Segment::Warming, members.clone(), dead.clone())
    );
    // Its row is in both, and stays where it is until the second step.
    let catalog = &ground.other.catalog;
    assert_eq!(catalog.buried().expect("read"), BTreeSet::new());
    assert_eq!(catalog.purgeable().expect("read"), [0; 0]);
    let hole = SegmentObject {
        holes: 1,
        ..object(1)
    };
    catalog.intend(hole.ulid).expect("noted");
    let refused = catalog.replace(2, ground.from[&2], hole, &rows(&[(0, 2)]));
    let refused = refused.expect_err("it is on its way");
    assert!(matches!(refused, StorageError::RowsMoved(_)), "{refused}");
    assert!(!catalog.go_live(4).expect("asked"), "nobody has it");
    ground.one.catch_up(&mut ground.course);
    ground.one.load(&mut ground.course, Piece::Segment(4));
    // Whoever wrote it may be gone.
    let catalog = &ground.one.catalog;
    for _ in 0..2 {
        assert!(catalog.go_live(4).expect("asked"));
    }
    assert_eq!(ground.listed(4), (Segment::Live { from: 4 }, members, dead));
    for number in [1_u32, 2, 3] {
        let (from, until) = (u64::from(number), 4);
        let retired = Segment::Retired { from, until };
        assert_eq!(ground.listed(number), (retired, rows(&[]), rows(&[])));
    }
    let (head, feed) = catalog.feed(ground.course.applied(), 9).expect("read");
    let (segment, retired) = (4, BTreeSet::from([1, 2, 3]));
    assert_eq!(
        feed.last().expect("one came").1,
        Change::Live { segment, retired }
    );
    assert_eq!(head.list, 4);
    assert_eq!(catalog.buried().expect("read"), BTreeSet::from([4]));
}

#[test]
fn retired_segments_are_unlisted_once_nobody_has_a_view_with_them_and_no_erasure_is_purged_before() {
    let Some(mut ground) = Ground::new(&["s1", "s2"]) else {
        return;
    };
    ground.warm(&ground.other, object(2)).expect("listed");
    ground.one.catch_up(&mut ground.course);
    ground.one.load(&mut ground.course, Piece::Segment(3));
    assert!(ground.other.catalog.go_live(3).expect("asked"));
    // The row is in a retired object as well.
    ground.other.erase("s1");
    let file = SegmentObject {
        holes: 1,
        ..object(2)
    };
    let catalog = &ground.other.catalog;
    catalog.intend(file.ulid).expect("noted");
    let former = catalog.objects(&BTreeSet::from([3])).expect("read")[&3].ulid;
    catalog
        .replace(3, former, file, &rows(&[(0, 1)]))
        .expect("replaced");
    assert_eq!(catalog.purgeable().expect("read"), [0; 0]);
    assert_eq!(catalog.mark_purged(&[1], Timestamp::now()).expect("asked"), 0);
    assert!(
        !catalog.forget_retired().expect("asked"),
        "a node has a view with them"
    );
    ground.one.catch_up(&mut ground.course);
    assert!(
        !ground.other.catalog.forget_retired().expect("asked"),
        "it still has"
    );
    ground.settle();
    let catalog = &ground.other.catalog;
    assert!(catalog.forget_retired().expect("asked"));
    assert!(catalog.forget_retired().expect("asked"), "there are none");
    assert_eq!(catalog.purgeable().expect("read"), [1]);
    let unlisted = catalog.unlisted().expect("read").into_iter();
    let unlisted: BTreeSet<Ulid> = unlisted.map(|(ulid, _)| ulid).collect();
    let expected = ground.from.values().copied().chain([former]);
    assert_eq!(unlisted, expected.collect());
    assert_eq!(catalog.load_segment(1).expect("read").1, None);
    assert_eq!(catalog.mark_purged(&[1], Timestamp::now()).expect("asked"), 1);
    // Counted against its head.
    let opened = ground.nodes.kept.open();
    assert_eq!(opened.segments.len(), 1);
    let state = opened.writer.state();
    assert_eq!((state.pending, state.references), (0, 1));
}

#[test]
fn what_is_not_as_it_was_read_is_not_merged() {
    let Some(mut ground) = Ground::new(&["s1", "s2"]) else {
        return;
    };
    let ids = ground.ids.clone();
    ground.ids.pop();
    let few = ground
        .warm(&ground.other, object(1))
        .expect_err("a row is missing");
    assert!(matches!(few, StorageError::RowsMoved(_)), "{few}");
    let twice = [ids[0], ids[0]];
    ground.ids = twice.to_vec();
    let twice = ground
        .warm(&ground.other, object(2))
        .expect_err("a row is there twice");
    assert!(matches!(twice, StorageError::RowsMoved(_)), "{twice}");
    ground.ids = ids;
    let unnoted = ground
        .other
        .catalog
        .warm_merged(object(2), &ground.ids, &ground.from);
    assert!(matches!(unnoted, Err(StorageError::RowsMoved(_))), "{unnoted:?}");
    // A purge has put another object in the place of one.
    let stale = ground.from.insert(1, Ulid::generate()).expect("there");
    let read_before = ground.warm(&ground.other, object(2)).expect_err("another one");
    assert!(matches!(read_before, StorageError::RowsMoved(_)), "{read_before}");
    ground.from.insert(1, stale);
    ground.other.erase("s2");
    ground.refuses(object(2));
    let mergeable = ground.other.catalog.mergeable(&ground.segments());
    assert_eq!(
        mergeable.expect("asked"),
        BTreeSet::from([1]),
        "nobody was erased from it"
    );
    let [(_, feed), _] = [0, 0].map(|after| ground.other.catalog.feed(after, 100).expect("read"));
    let last = feed.last().expect("some came").1.clone();
    assert_eq!(last, Change::Erased(vec![Reference(2)]), "nothing was changed");
}

#[test]
fn a_segment_into_which_somebody_still_moves_rows_is_not_merged() {
    let Some(mut ground) = Ground::new(&["s1", "s2"]) else {
        return;
    };
    // It follows anew, as of before the last segment counted.
    let (one, mut course) = (&ground.one, ground.one.follow());
    one.catch_up(&mut course);
    ground.other.enroll("s3");
    let fresh = ground.other.fresh();
    let (segment, _) = ground.other.warm(object(1), &fresh).expect("listed");
    one.catch_up(&mut course);
    one.load(&mut course, Piece::Segment(segment));
    assert!(ground.other.catalog.go_live(segment).expect("asked"));
    ground.ids.extend(fresh);
    let object_of = ground.other.catalog.objects(&BTreeSet::from([segment]));
    let ulid = object_of.expect("read")[&segment].ulid;
    ground.from.insert(segment, ulid);
    ground.refuses(object(3));
    one.catch_up(&mut course);
    ground.refuses(object(3));
    let _ = course.leave_former_views();
    one.catch_up(&mut course);
    assert!(ground.is_mergeable());
    ground.warm(&ground.other, object(3)).expect("listed");
}

/// A segment whose last row was purged is retired with the next merge.
#[test]
fn what_has_no_row_any_more_goes_with_the_next_merge() {
    let Some(mut ground) = Ground::new(&["s1", "s2", "s3"]) else {
        return;
    };
    ground.other.erase("s3");
    let hole = SegmentObject {
        holes: 1,
        ..object(1)
    };
    let catalog = &ground.other.catalog;
    catalog.intend(hole.ulid).expect("noted");
    let former = ground.from.remove(&3).expect("there");
    catalog
        .replace(3, former, hole, &rows(&[(0, 3)]))
        .expect("replaced");
    ground.ids.pop();
    ground.settle();
    ground.warm(&ground.other, object(2)).expect("listed");
    ground.one.catch_up(&mut ground.course);
    ground.one.load(&mut ground.course, Piece::Segment(4));
    assert!(ground.other.catalog.go_live(4).expect("asked"));
    let (from, until) = (3, 4);
    assert_eq!(ground.listed(3).0, Segment::Retired { from, until });
    ground.settle();
    assert!(ground.other.catalog.forget_retired().expect("asked"));
    assert_eq!(ground.nodes.kept.open().segments.len(), 1);
}

#[test]
fn a_merge_that_lost_a_row_on_its_way_does_not_go_live() {
    let Some(mut ground) = Ground::new(&["s1", "s2"]) else {
        return;
    };
    ground.warm(&ground.other, object(2)).expect("listed");
    ground.one.catch_up(&mut ground.course);
    ground.one.load(&mut ground.course, Piece::Segment(3));
    ground.nodes.kept.sql("DELETE FROM warming WHERE reference = 1");
    let refused = ground.other.catalog.go_live(3).expect_err("it has lost one");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
    assert_eq!(ground.listed(1).1, rows(&[(0, 1)]), "nothing was changed");
}

#[test]
fn a_merge_that_is_taken_back_leaves_all_as_it_was() {
    let Some(mut ground) = Ground::new(&["s1", "s2"]) else {
        return;
    };
    let file = object(2);
    assert_eq!(ground.warm(&ground.other, file).expect("listed"), 3);
    ground.other.erase("s2");
    let catalog = &ground.one.catalog;
    assert!(catalog.is_merge(3).expect("asked"));
    for is_there in [true, false] {
        assert_eq!(catalog.withdraw(3).expect("asked"), is_there);
    }
    assert!(!catalog.withdraw(1).expect("asked"), "it counts");
    assert!(!catalog.is_merge(3).expect("asked"));
    assert_eq!(
        ground.listed(1),
        (Segment::Live { from: 1 }, rows(&[(0, 1)]), rows(&[]))
    );
    assert_eq!(
        ground.listed(2),
        (Segment::Live { from: 2 }, rows(&[]), rows(&[(0, 2)]))
    );
    assert_eq!(catalog.load_segment(3).expect("read").1, None);
    let unlisted = catalog.unlisted().expect("read");
    assert_eq!(unlisted, [(file.ulid, 1)]);
    // Its tombstone is a purge's again, and whoever follows has heard of it.
    assert_eq!(catalog.buried().expect("read"), BTreeSet::from([2]));
    ground.one.catch_up(&mut ground.course);
    assert!(!ground.course.view().segments().contains_key(&3));
    let opened = ground.nodes.kept.open();
    assert_eq!((opened.segments.len(), opened.writer.state().references), (2, 1));
}

/// A flush on its way is no merge, and is not taken back.
#[test]
fn a_flush_is_not_taken_back() {
    let Some(ground) = Ground::new(&["s1"]) else {
        return;
    };
    ground.other.enroll("s2");
    let (segment, _) = ground
        .other
        .warm(object(1), &ground.other.fresh())
        .expect("listed");
    assert!(!ground.other.catalog.is_merge(segment).expect("asked"));
    assert!(!ground.other.catalog.withdraw(segment).expect("asked"));
    assert_eq!(ground.listed(segment).0, Segment::Warming);
}

#[test]
fn a_row_that_was_put_elsewhere_on_its_way_is_noticed() {
    let Some(ground) = Ground::new(&["s1", "s2"]) else {
        return;
    };
    ground.warm(&ground.other, object(2)).expect("listed");
    ground
        .nodes
        .kept
        .sql("UPDATE warming SET slot = 7 WHERE reference = 2");
    let refused = ground
        .other
        .write(erase("erase-s2", "s2"))
        .expect_err("it is elsewhere");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
    let refused = ground.other.catalog.load_segment(3).expect_err("likewise");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
}

#[test]
fn what_is_loaded_waits_for_no_segment_whose_rows_moved_on() {
    let Some(mut ground) = Ground::new(&["s1", "s2"]) else {
        return;
    };
    ground.warm(&ground.other, object(2)).expect("listed");
    assert!(ground.other.catalog.is_loaded(1).expect("asked"));
    assert!(!ground.other.catalog.is_loaded(3).expect("asked"));
    ground.one.catch_up(&mut ground.course);
    ground.one.load(&mut ground.course, Piece::Segment(3));
    assert!(ground.other.catalog.go_live(3).expect("asked"));
    ground.settle();
    for segment in [1, 3, 9] {
        assert!(
            ground.other.catalog.is_loaded(segment).expect("asked"),
            "{segment}"
        );
    }
}
