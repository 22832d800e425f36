//! For tests: a catalog in memory that decides by the rules of `crate::cluster`, with segments that may be slow or fail. Keeps every gallery that there was, to compare with.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use half::f16;
use parking_lot::{Condvar, Mutex};

use super::catalog::{CatalogError, GalleryCatalog, ListedGallery, Register, SegmentCopy};
use crate::cluster::course::{Change, Reference};
use crate::cluster::followers::{Follower, Followers, Report, Write};
use crate::cluster::members::{Life, Members, Suspect};
use crate::cluster::placement::{Gallery, NodeId, Part, Placement};
use crate::cluster::view::{Edition, Head, Reading, View};
use crate::engine::canonical;
use crate::matcher::apply::{exact_bytes, exact_values};
use crate::matcher::fixture::{DIM, tenant, transform};
use crate::matcher::load::encode_planes;
use crate::matcher::node::NodeError;
use crate::matcher::placed::heads::{GalleryHead, Heads, HeadsRead};
use crate::model::id::{SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::signature::{Dimension, Signature};
use crate::model::subject::Hand;
use crate::model::timestamp::Timestamp;
use crate::storage::place::{RowId, StoredRow};
use crate::storage::write::CandidateInfo;

pub(super) const REPLICAS: usize = 2;
/// Segments of a group.
const GROUP: NonZeroU32 = NonZeroU32::new(2).expect("not 0");

/// A reference in the catalog.
#[derive(Clone)]
struct Row {
    subject: u64,
    exact: Vec<u8>,
}

/// Who is enrolled: by reference the subject and its row.
pub(super) type People = BTreeMap<u64, (String, Vec<u8>)>;

/// Scores by name.
pub(super) type Scores = BTreeMap<String, Vec<f32>>;

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
    /// The gallery after each change, from that of no change on.
    history: Vec<People>,
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
            history: vec![People::new()],
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
        self.history.push(people);
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

/// What a test does to the gallery.
impl Catalog {
    pub(super) fn head(&self) -> Head {
        self.db.lock().head()
    }

    pub(super) fn generation(&self) -> u64 {
        self.db.lock().members.generation()
    }

    pub(super) fn members(&self) -> Members {
        self.db.lock().members.clone()
    }

    /// New references of a subject, known or not.
    pub(super) fn enrol(&self, name: &str, signatures: &[Signature]) -> u64 {
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
        db.commit(Change::Enrolled { rows, gone: false })
    }

    /// Erases a subject. Its handle is never used again.
    pub(super) fn erase(&self, name: &str) -> Option<(u64, Vec<u64>)> {
        let mut db = self.db.lock();
        let subject = *db.subjects.iter().find(|(_, known)| *known == name)?.0;
        let theirs = db.live.iter().copied();
        let theirs: Vec<u64> = theirs.filter(|row| db.rows[row].subject == subject).collect();
        db.live.retain(|row| !theirs.contains(row));
        db.subjects.insert(subject, format!("erased-{subject}"));
        let sequence = db.commit(Change::Erased(theirs.iter().copied().map(Reference).collect()));
        Some((sequence, theirs))
    }

    /// The first step of a flush, of the oldest rows; `None` where there are none, or another flush is under way.
    pub(super) fn warm(&self, rows_max: usize) -> Option<u32> {
        let mut db = self.db.lock();
        let is_warming = db.view.segments().values().any(|s| s.live_from().is_none());
        let fresh = db.live.iter().copied().filter(|row| db.is_fresh(*row));
        let rows: Vec<u64> = fresh.take(rows_max).collect();
        if rows.is_empty() || is_warming {
            return None;
        }
        let number = u32::try_from(db.objects.len()).expect("few") + 1;
        db.view.warm(number).expect("a new number");
        db.objects.insert(number, rows);
        db.commit(Change::Warming(number));
        Some(number)
    }

    /// The second one, where it may be taken now (F1).
    pub(super) fn go_live(&self, segment: u32) -> bool {
        let mut db = self.db.lock();
        let owners = db.owners(Part::of_segment(segment, GROUP));
        let may = db.followers.may_go_live(&db.members, segment, &owners);
        if may {
            let retired = BTreeSet::new();
            db.view.go_live(segment, &retired).expect("it is warming");
            db.commit(Change::Live { segment, retired });
        }
        may
    }

    /// Whether an erasure still waits for somebody (W3).
    pub(super) fn erasure_waits(&self, sequence: u64) -> bool {
        let db = self.db.lock();
        let waits = db
            .followers
            .waits_for(&db.members, &Write::Erasure { sequence }, &BTreeSet::new());
        !waits.is_empty()
    }

    /// Takes a node for gone, whatever its beat.
    pub(super) fn fence_now(&self, node: NodeId) -> bool {
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

    pub(super) fn life(&self, node: NodeId) -> Option<Life> {
        self.db.lock().members.current(node).map(|node| node.life)
    }

    /// The scores of everybody at or above the threshold, by name, found the plain way: of references that were there after each of the changes, and of those that were
    /// after any of them.
    pub(super) fn scores(&self, from: u64, to: u64, probe: &Signature, threshold: f32) -> [Scores; 2] {
        let db = self.db.lock();
        let [from, to] = [from, to].map(|at| usize::try_from(at).expect("few"));
        let moments = &db.history[from..=to];
        let [mut always, mut ever] = [Scores::new(), Scores::new()];
        let known: BTreeMap<&u64, &(String, Vec<u8>)> = moments.iter().flatten().collect();
        for (reference, (name, exact)) in known {
            let bits = exact_values(exact);
            let score = canonical::score(probe.values(), bytemuck::cast_slice::<_, f16>(&bits));
            if score >= threshold {
                ever.entry(name.clone()).or_default().push(score);
                if moments.iter().all(|people| people.contains_key(reference)) {
                    always.entry(name.clone()).or_default().push(score);
                }
            }
        }
        [always, ever]
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

pub(super) fn unreachable() -> NodeError {
    NodeError::NodeUnavailable {
        node: "objects".to_owned(),
        reason: "connection refused".to_owned(),
    }
}

/// The catalog as a node has it.
#[derive(Clone)]
pub(super) struct Shared(pub(super) Arc<Catalog>);

impl Register for Shared {
    fn register(&self, node: NodeId, weight: u32) -> Result<u64, CatalogError> {
        Ok(self.0.db.lock().members.register(node, weight))
    }

    fn beat(&self, node: NodeId, generation: u64) -> Result<Members, CatalogError> {
        let mut db = self.0.db.lock();
        db.members.beat(node, generation)?;
        Ok(db.members.clone())
    }

    fn advance(&self, node: NodeId, generation: u64, to: Life) -> Result<(), CatalogError> {
        Ok(self.0.db.lock().members.advance(node, generation, to)?)
    }

    fn fence(&self, suspect: &Suspect) -> Result<bool, CatalogError> {
        Ok(self.0.db.lock().members.fence(suspect))
    }

    fn galleries(&self) -> Result<Vec<ListedGallery>, CatalogError> {
        let db = self.0.db.lock();
        Ok(vec![ListedGallery {
            tenant: tenant(),
            gallery: gallery(),
            dimension: Dimension::new(DIM).expect("a dimension"),
            transform: transform(7),
            head: db.head(),
            view: db.view.clone(),
        }])
    }

    fn open(&self, _tenant: &TenantId) -> Arc<dyn GalleryCatalog> {
        Arc::new(self.clone())
    }
}

impl GalleryCatalog for Shared {
    fn follow(&self, begin: &mut dyn FnMut(Reading) -> (Follower, Report)) -> Result<(), CatalogError> {
        let mut db = self.0.db.lock();
        let reading = || Reading::new(db.head(), db.view.clone()).expect("of one moment");
        // As after a serialisation failure.
        let _ = begin(reading());
        let (follower, report) = begin(reading());
        let members = db.members.clone();
        Ok(db.followers.follow(&members, follower, report)?)
    }

    fn report(&self, follower: Follower, report: &Report) -> Result<(), CatalogError> {
        let mut db = self.0.db.lock();
        let members = db.members.clone();
        Ok(db.followers.report(&members, follower, report.clone())?)
    }

    fn leave(&self, follower: Follower) -> Result<(), CatalogError> {
        self.0.db.lock().followers.leave(follower);
        Ok(())
    }

    fn followers(&self) -> Result<Vec<(Follower, Report)>, CatalogError> {
        let db = self.0.db.lock();
        Ok(db.followers.all(&db.members))
    }

    fn feed(&self, after: u64, limit: usize) -> Result<(Head, Vec<(u64, Change)>), CatalogError> {
        let db = self.0.db.lock();
        let numbered = (1..).zip(&db.feed).skip(usize::try_from(after).expect("few"));
        let changes = numbered.take(limit).map(|(number, change)| match change {
            Change::Enrolled { rows, .. } => {
                let here = rows.iter().copied().filter(|row| db.is_fresh(row.0));
                let here: Vec<Reference> = here.collect();
                let gone = here.len() < rows.len();
                (number, Change::Enrolled { rows: here, gone })
            }
            other => (number, other.clone()),
        });
        Ok((db.head(), changes.collect()))
    }

    fn fresh(
        &self,
        only: Option<&[Reference]>,
        _deadline: Instant,
    ) -> Result<(Head, Vec<StoredRow>), CatalogError> {
        let (head, rows) = {
            let db = self.0.db.lock();
            let is_asked = |row: &u64| only.is_none_or(|only| only.contains(&Reference(*row)));
            let rows = db.live.iter().copied();
            let rows = rows.filter(|row| is_asked(row) && db.is_fresh(*row));
            (db.head(), rows.map(|row| db.stored(row)).collect())
        };
        if only.is_none() {
            self.0.load()?;
        }
        Ok((head, rows))
    }

    fn segment(&self, number: u32, _deadline: Instant) -> Result<(Head, SegmentCopy), CatalogError> {
        let (head, copy) = {
            let db = self.0.db.lock();
            let rows = db.objects.get(&number).ok_or_else(unreachable)?;
            let exact: Vec<u8> = rows.iter().flat_map(|row| db.rows[row].exact.clone()).collect();
            let references = rows
                .iter()
                .map(|row| if db.live.contains(row) { *row } else { 0 });
            let copy = SegmentCopy {
                planes: encode_planes(Dimension::new(DIM).expect("a dimension"), &exact),
                references: references.collect(),
            };
            (db.head(), copy)
        };
        self.0.load()?;
        Ok((head, copy))
    }

    fn members(&self, segment: u32) -> Result<Vec<Reference>, CatalogError> {
        let db = self.0.db.lock();
        let rows = db.objects.get(&segment).into_iter().flatten();
        Ok(rows
            .filter(|row| db.live.contains(row))
            .copied()
            .map(Reference)
            .collect())
    }

    fn exact(&self, segment: u32, rows: &[u32]) -> Result<Vec<Option<StoredRow>>, CatalogError> {
        let db = self.0.db.lock();
        let object = db.objects.get(&segment).ok_or_else(unreachable)?;
        let stored = |row: &u32| object.get(*row as usize).map(|row| db.stored(*row));
        Ok(rows.iter().map(stored).collect())
    }

    fn references(&self, subject: &SubjectId) -> Result<Vec<Reference>, CatalogError> {
        let db = self.0.db.lock();
        let is_theirs = |row: &&u64| db.subjects[&db.rows[row].subject] == subject.as_str();
        Ok(db.live.iter().filter(is_theirs).copied().map(Reference).collect())
    }

    fn describe(
        &self,
        ids: &[RowId],
        _links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, CatalogError> {
        let mut script = self.0.script.lock();
        script.held += usize::from(script.holds_descriptions);
        self.0.changed.notify_all();
        self.0
            .changed
            .wait_while(&mut script, |script| script.holds_descriptions);
        drop(script);
        let db = self.0.db.lock();
        let info = |id: &RowId| {
            let is_live = db.live.contains(&id.reference);
            is_live.then(|| CandidateInfo {
                subject_id: db.subjects[&id.subject].parse().expect("an id"),
                created_at: Timestamp(1),
                hand: Hand::Left,
                links: Vec::new(),
            })
        };
        Ok(ids.iter().map(info).collect())
    }
}

#[async_trait]
impl Heads for Shared {
    async fn read(&self, tenants: &BTreeSet<TenantId>) -> Result<HeadsRead, NodeError> {
        let db = self.0.db.lock();
        let head = Arc::new(GalleryHead {
            gallery: gallery(),
            head: db.head(),
            view: db.view.clone(),
        });
        let known = tenants.iter().filter(|id| **id == tenant());
        Ok(known.map(|id| (id.clone(), Arc::clone(&head))).collect())
    }
}
