//! For tests: a catalog in memory that decides by the rules of `crate::cluster`, with segments that may be slow or fail. Keeps every gallery that there was, to compare with.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use self::shared::Shared;
use super::catalog::{CatalogError, Register};
use super::ground::Ground;
use super::truth::{History, Scores};
use crate::cluster::course::{Change, Reference};
use crate::cluster::followers::{Followers, Write};
use crate::cluster::members::{Members, Suspect};
use crate::cluster::placement::{Gallery, NodeId, Part, Placement};
use crate::cluster::view::{Edition, Head, Segment, View};
use crate::matcher::apply::exact_bytes;
use crate::matcher::fixture::tenant;
use crate::matcher::node::NodeError;
use crate::model::signature::Signature;
use crate::model::timestamp::Timestamp;
use crate::storage::place::{RowId, SegmentSize, StoredRow};

pub(super) mod shared;

pub(super) const REPLICAS: usize = 2;
/// Segments of a group.
const GROUP: NonZeroU32 = NonZeroU32::new(2).expect("not 0");

/// A reference in the catalog.
#[derive(Clone)]
struct Row {
    subject: u64,
    exact: Vec<u8>,
}

/// What the next calls do.
#[derive(Default)]
pub(super) struct Script {
    /// So many loads fail.
    pub(super) failures: usize,
    /// Loads take this long.
    pub(super) load: Duration,
    /// Nobody is described until this is false.
    pub(super) holds_descriptions: bool,
    /// How many are held.
    pub(super) held: usize,
    /// What comes of asking for galleries.
    pub(super) galleries: Galleries,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Galleries {
    #[default]
    Told,
    /// There are none.
    Hidden,
    /// Whoever asks waits, as where an object store hangs.
    Held,
    /// Whoever asks panics.
    Broken,
}

#[derive(Default)]
pub(super) struct Catalog {
    db: Mutex<Database>,
    pub(super) script: Mutex<Script>,
    pub(super) changed: Condvar,
}

struct Database {
    members: Members,
    edition: Edition,
    view: View,
    followers: Followers,
    feed: Vec<Change>,
    /// All that ever were, also those that are erased: their rows are still in objects.
    rows: BTreeMap<u64, Row>,
    live: BTreeSet<u64>,
    subjects: BTreeMap<u64, String>,
    objects: BTreeMap<u32, Vec<u64>>,
    history: History,
}

impl Default for Database {
    fn default() -> Self {
        let edition = Edition {
            incarnation: 1,
            key_generation: 1,
        };
        Self {
            members: Members::default(),
            edition,
            view: View::default(),
            followers: Followers::new(edition),
            feed: Vec::new(),
            rows: BTreeMap::new(),
            live: BTreeSet::new(),
            subjects: BTreeMap::new(),
            objects: BTreeMap::new(),
            history: History::default(),
        }
    }
}

impl Database {
    fn head(&self) -> Head {
        Head {
            edition: self.edition,
            sequence: self.feed.len() as u64,
            list: self.view.list(),
            group_segments: GROUP,
        }
    }

    fn commit(&mut self, change: Change) -> u64 {
        self.feed.push(change);
        let person = |reference: &u64| {
            let row = &self.rows[reference];
            (
                *reference,
                (self.subjects[&row.subject].clone(), row.exact.clone()),
            )
        };
        let people = self.live.iter().map(person).collect();
        self.history.add(self.feed.len() as u64, people);
        self.feed.len() as u64
    }

    fn is_fresh(&self, reference: u64) -> bool {
        let is_live = |number: &u32| {
            let segment = self.view.segments().get(number);
            segment.is_some_and(|segment| segment.live_from().is_some())
        };
        let mut objects = self.objects.iter();
        self.live.contains(&reference)
            && !objects.any(|(number, rows)| is_live(number) && rows.contains(&reference))
    }

    /// Lists a segment of fresh rows; `None` where there are none, or another flush is under way.
    fn warm(&mut self, rows: Vec<u64>) -> Option<u32> {
        let is_warming = self.view.segments().values().any(|s| s.live_from().is_none());
        if rows.is_empty() || is_warming {
            return None;
        }
        let number = u32::try_from(self.objects.len()).expect("few") + 1;
        self.view.warm(number).expect("a new number");
        self.objects.insert(number, rows);
        self.commit(Change::Warming(number));
        Some(number)
    }

    /// Lists a segment of the rows of these, where all of them count and nobody moves rows into one of them any more; `None` where they do not, or another segment is warming.
    fn merge(&mut self, segments: &BTreeSet<u32>) -> Option<u32> {
        let mut rows = Vec::new();
        for number in segments {
            if !self.is_settled(*number) {
                return None;
            }
            rows.extend(
                self.objects[number]
                    .iter()
                    .copied()
                    .filter(|row| self.live.contains(row)),
            );
        }
        self.warm(rows)
    }

    /// Whether a segment counts in every view that anybody has.
    fn is_settled(&self, number: u32) -> bool {
        let Some(Segment::Live { from }) = self.view.segments().get(&number) else {
            return false;
        };
        self.followers.have_left_views_before(&self.members, *from)
    }

    /// The segments that rows of this one count in.
    fn merged_from(&self, segment: u32) -> BTreeSet<u32> {
        let rows = &self.objects[&segment];
        let is_former = |number: &u32| self.objects[number].iter().any(|row| rows.contains(row));
        self.view.holding(self.view.list()).filter(is_former).collect()
    }

    /// Lets a warming segment count, and those no more whose rows it takes over.
    fn go_live(&mut self, segment: u32) {
        let retired = self.merged_from(segment);
        self.view.go_live(segment, &retired).expect("it is warming");
        self.commit(Change::Live { segment, retired });
    }

    fn sizes(&self) -> BTreeMap<u32, SegmentSize> {
        let size = |number: u32| {
            let rows = u32::try_from(self.objects[&number].len()).expect("few");
            (number, SegmentSize { rows, holes: 0 })
        };
        self.view.holding(self.view.list()).map(size).collect()
    }

    fn has_retired(&self) -> bool {
        let mut states = self.view.segments().values();
        states.any(|state| matches!(state, Segment::Retired { .. }))
    }

    /// Lists those no more that are retired, once nobody has a view with any of them.
    fn forget_retired(&mut self) -> bool {
        let stays = |state: &Segment| {
            let is_retired = matches!(state, Segment::Retired { .. });
            is_retired && !self.followers.may_delete(&self.members, *state)
        };
        let is_over = !self.view.segments().values().any(stays);
        if is_over {
            self.view.forget(self.view.list());
        }
        is_over
    }

    /// The rows of an object, also those that are erased; it is deleted once it is not listed any more.
    fn object(&self, number: u32) -> Result<&[u64], CatalogError> {
        let is_listed = self.view.segments().contains_key(&number);
        let object = self.objects.get(&number).filter(|_| is_listed);
        Ok(object.ok_or_else(unreachable)?)
    }

    fn is_retired(&self, number: u32) -> bool {
        matches!(self.view.segments().get(&number), Some(Segment::Retired { .. }))
    }

    fn stored(&self, reference: u64) -> StoredRow {
        let row = &self.rows[&reference];
        let subject = row.subject;
        StoredRow {
            id: RowId { reference, subject },
            exact: row.exact.clone().into(),
        }
    }

    fn owners(&self, part: Part) -> BTreeSet<NodeId> {
        let both = [self.members.now(), self.members.next()].into_iter();
        let owners = both.filter_map(|members| Placement::new(members).ok());
        owners
            .flat_map(|placement| placement.owners(gallery(), part, REPLICAS))
            .collect()
    }
}

pub(super) fn gallery() -> Gallery {
    Gallery::of(&tenant(), Timestamp(1))
}

impl Catalog {
    /// The tenant is dropped and made anew, empty.
    pub(super) fn make_anew(&self) {
        let mut db = self.db.lock();
        let mut edition = db.edition;
        edition.incarnation += 1;
        *db = Database {
            members: db.members.clone(),
            edition,
            followers: Followers::new(edition),
            ..Database::default()
        };
    }

    fn load(&self) -> Result<(), CatalogError> {
        let took = {
            let mut script = self.script.lock();
            if script.failures > 0 {
                script.failures -= 1;
                self.changed.notify_all();
                return Err(unreachable().into());
            }
            script.load
        };
        // What a slow object store does.
        std::thread::sleep(took);
        Ok(())
    }
}

impl Ground for Catalog {
    type Heads = Shared;

    fn register(self: &Arc<Self>, _node: NodeId) -> Arc<dyn Register> {
        Arc::new(Shared(Arc::clone(self)))
    }

    fn heads(self: &Arc<Self>) -> Shared {
        Shared(Arc::clone(self))
    }

    fn head(&self) -> Head {
        self.db.lock().head()
    }

    fn members(&self) -> Members {
        self.db.lock().members.clone()
    }

    fn enrol(&self, name: &str, signatures: &[Signature]) {
        let mut db = self.db.lock();
        let known = db.subjects.iter().find(|(_, known)| *known == name);
        let subject = known.map_or(db.subjects.len() as u64 + 1, |(subject, _)| *subject);
        db.subjects.insert(subject, name.to_owned());
        let mut rows = Vec::new();
        for signature in signatures {
            let reference = db.rows.len() as u64 + 1;
            let exact = exact_bytes(signature).to_vec();
            db.rows.insert(reference, Row { subject, exact });
            db.live.insert(reference);
            rows.push(Reference(reference));
        }
        db.commit(Change::Enrolled { rows, gone: false });
    }

    fn erase(&self, name: &str) -> Option<(u64, Vec<u64>)> {
        let mut db = self.db.lock();
        let subject = *db.subjects.iter().find(|(_, known)| *known == name)?.0;
        let theirs = db.live.iter().copied();
        let theirs: Vec<u64> = theirs.filter(|row| db.rows[row].subject == subject).collect();
        db.live.retain(|row| !theirs.contains(row));
        db.subjects.insert(subject, format!("erased-{subject}"));
        let sequence = db.commit(Change::Erased(theirs.iter().copied().map(Reference).collect()));
        Some((sequence, theirs))
    }

    fn warm(&self, rows_max: usize) -> Option<u32> {
        let mut db = self.db.lock();
        let fresh = db.live.iter().copied().filter(|row| db.is_fresh(*row));
        let rows = fresh.take(rows_max).collect();
        db.warm(rows)
    }

    fn go_live(&self, segment: u32) -> bool {
        let mut db = self.db.lock();
        let state = db.view.segments().get(&segment);
        if state.is_some_and(|state| state.live_from().is_some()) {
            return true;
        }
        let owners = db.owners(Part::of_segment(segment, GROUP));
        let may = db.followers.may_go_live(&db.members, segment, &owners);
        if may {
            db.go_live(segment);
        }
        may
    }

    fn merge(&self, segments: &BTreeSet<u32>) -> Option<u32> {
        self.db.lock().merge(segments)
    }

    fn withdraw(&self, segment: u32) -> bool {
        let mut db = self.db.lock();
        let may = !db.merged_from(segment).is_empty() && db.view.withdraw(segment).is_ok();
        if may {
            db.commit(Change::Withdrawn(segment));
        }
        may
    }

    fn live(&self) -> BTreeSet<u32> {
        let db = self.db.lock();
        db.view.holding(db.view.list()).collect()
    }

    fn erasure_waits(&self, sequence: u64) -> bool {
        let db = self.db.lock();
        let waits = db
            .followers
            .waits_for(&db.members, &Write::Erasure { sequence }, &BTreeSet::new());
        !waits.is_empty()
    }

    fn fence_now(&self, node: NodeId) -> bool {
        let mut db = self.db.lock();
        let Some(now) = db.members.current(node).copied() else {
            return false;
        };
        let (generation, beat) = (now.generation, now.beat);
        db.members.fence(&Suspect {
            node,
            generation,
            beat,
        })
    }

    fn scores(&self, from: u64, to: u64, probe: &Signature, threshold: f32) -> [Scores; 2] {
        self.db.lock().history.scores(from, to, probe, threshold)
    }

    fn disturb(&self, rng: &mut ChaCha12Rng) {
        let mut script = self.script.lock();
        script.failures = rng.random_range(0..3);
        script.load = Duration::from_millis(rng.random_range(0..8));
    }

    fn calm(&self) {
        *self.script.lock() = Script::default();
    }
}

pub(super) fn unreachable() -> NodeError {
    NodeError::NodeUnavailable {
        node: "objects".to_owned(),
        reason: "connection refused".to_owned(),
    }
}
