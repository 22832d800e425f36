//! What a node of a cluster has of a tenant's catalog: its feed, its followers, its rows and its writes.
//! Calls block. Decides nothing that `cluster` has a rule for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use ulid::Ulid;

use super::changes::ints;
use super::feed::FEED_MAX;
use super::head::{self, Head};
use super::read::{PostgresReader, while_epochs_end};
use super::register::{self, Standing};
use super::rows::select;
use super::sealing::with_keys;
use super::write::{Mode, PostgresWriter};
use super::{EpochSeal, Tenant};
use crate::cluster::course::{Change, Reference};
use crate::cluster::followers::{Follower, Report, Write as Waiting};
use crate::cluster::placement::NodeId;
use crate::cluster::view::{self, Reading, Segment};
use crate::keys::receipt::ReceiptSigner;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::LinkKind;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::erase::Trace;
use crate::storage::catalog::import::ImportedRows;
use crate::storage::catalog::seam::{ReadCatalog, WriteCatalog};
use crate::storage::catalog::segments::{Located, SegmentEntry, Tombstone};
use crate::storage::database::transaction::statement;
use crate::storage::error::StorageError;
use crate::storage::journal::entry::Entry;
use crate::storage::place::{Place, RowId, StoredRow};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{Answers, CandidateInfo, ImportAnswer, Write};

pub mod reads;

const FRESH: &str = select!(place, ", p.epoch, p.sealed FROM reference r
    LEFT JOIN pending p ON p.tenant = r.tenant AND p.reference = r.id WHERE r.tenant = $1 AND r.segment IS NULL ORDER BY r.id");
const FRESH_OF: &str = select!(
    place,
    ", p.epoch, p.sealed FROM reference r
    LEFT JOIN pending p ON p.tenant = r.tenant AND p.reference = r.id
    WHERE r.tenant = $1 AND r.id = ANY($2) AND r.segment IS NULL ORDER BY r.id"
);
const SEGMENT: &str = select!(segment, "FROM segment WHERE tenant = $1 AND number = $2");
pub(super) const TOMBSTONES: &str = select!(
    tombstone,
    "FROM tombstone WHERE tenant = $1 AND segment = $2 ORDER BY slot"
);
/// Of a segment that is loaded: with those of rows that are on their way into it from another one.
const DEAD: &str = select!(
    tombstone,
    "FROM tombstone WHERE tenant = $1 AND segment = $2
    UNION ALL SELECT t.reference, t.erasure, w.segment, w.slot, w.placed FROM warming w
    JOIN tombstone t ON t.tenant = w.tenant AND t.reference = w.reference WHERE w.tenant = $1 AND w.segment = $2"
);
/// Rows that are in a segment, or are to be once it is live.
const MEMBERS: &str = select!(
    place,
    " FROM reference WHERE tenant = $1 AND segment = $2
    UNION ALL SELECT r.id, r.subject, w.segment, w.slot, w.placed FROM warming w
    JOIN reference r ON r.tenant = w.tenant AND r.id = w.reference WHERE w.tenant = $1 AND w.segment = $2"
);

/// Gives a sealed row as it stands in an object.
pub type SealedRow<'a> = dyn Fn(&SegmentObject, u32) -> Result<Vec<u8>, StorageError> + 'a;

/// A segment's object as whoever wrote it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentObject {
    /// Its name.
    pub ulid: Ulid,
    /// Rows, holes included.
    pub rows: u32,
    /// Holes.
    pub holes: u32,
}

impl SegmentObject {
    /// As whoever writes files has it; there is no file of it.
    pub(in crate::storage) fn written(self) -> WrittenSegment {
        WrittenSegment {
            ulid: self.ulid,
            path: std::path::PathBuf::new(),
            rows: self.rows,
            holes: self.holes,
        }
    }
}

/// A segment as the catalog lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSegment {
    /// Its number.
    pub number: u32,
    /// What holds it now.
    pub object: SegmentObject,
    /// Where it stands.
    pub state: Segment,
    /// Rows in it that must not be found, with who was there.
    pub dead: BTreeMap<u32, Reference>,
    /// All other rows but holes: those that count in it, or will once it is live; none once it is retired.
    pub members: BTreeMap<u32, Reference>,
}

/// One tenant's catalog as a node of a cluster has it. Any number of threads may call it; writes go one at a time.
pub struct SharedCatalog {
    pub(super) tenant: Arc<Tenant>,
    pub(super) standing: Standing,
    replicas: usize,
    pub(super) reader: PostgresReader,
    pub(super) writer: Mutex<PostgresWriter>,
}

impl SharedCatalog {
    pub(super) fn open(
        tenant: Arc<Tenant>,
        standing: Standing,
        replicas: usize,
    ) -> Result<Self, StorageError> {
        // An epoch may end between the reading of the head and that of its key.
        let writer = while_epochs_end(|| {
            let head = tenant.join(standing)?;
            tenant.writer(head, Mode::Shared(standing))
        })?;
        Ok(Self {
            reader: PostgresReader::new(Arc::clone(&tenant)),
            tenant,
            standing,
            replicas,
            writer: Mutex::new(writer),
        })
    }

    /// Takes this node in among the gallery's followers, in the transaction that reads head and view: `begin` begins a course by them, and gives who follows and its first report. Where the
    /// server calls the transaction off `begin` is asked again, and the course before is to be given up.
    pub fn follow(&self, begin: &mut dyn FnMut(Reading) -> (Follower, Report)) -> Result<(), StorageError> {
        self.tenant.follow(self.standing, begin)
    }

    /// How far a course has come.
    pub fn report(&self, follower: Follower, report: &Report) -> Result<(), StorageError> {
        self.tenant.report(follower, report)
    }

    /// A course that has no row of the gallery any more, nor one on its way, ends.
    pub fn leave(&self, follower: Follower) -> Result<(), StorageError> {
        self.tenant.leave(follower)
    }

    /// Whom a committed write still waits for; it may be acknowledged when there is nobody.
    pub fn waits_for(&self, write: &Waiting) -> Result<BTreeSet<NodeId>, StorageError> {
        Ok(self.tenant.watched()?.waits_for(write, self.replicas))
    }

    /// Whether a warming segment may go live now. [`Self::go_live`] asks again.
    pub fn may_go_live(&self, segment: u32) -> Result<bool, StorageError> {
        Ok(self.tenant.watched()?.may_go_live(segment, self.replicas))
    }

    /// Tombstones that stand in segments.
    pub(super) fn tombstones(&self) -> Result<Vec<Tombstone>, StorageError> {
        self.reader.tombstones()
    }

    /// Up to `limit` changes after one ([`FEED_MAX`] at most), in their order, and the head of the same reading. [`StorageError::FeedCut`] where the next one is not there any more.
    pub fn feed(&self, after: u64, limit: usize) -> Result<(view::Head, Vec<(u64, Change)>), StorageError> {
        self.tenant.feed(after, limit.min(FEED_MAX))
    }

    /// Cuts the feed as far as no follower needs it; gives the last change that may be missing.
    pub fn cut_feed(&self) -> Result<u64, StorageError> {
        self.tenant.cut_feed(self.standing)
    }

    /// The followers that stand, and how far they are.
    pub fn followers(&self) -> Result<Vec<(Follower, Report)>, StorageError> {
        Ok(self.tenant.watched()?.followers())
    }

    /// The rows of the fresh part by reference, all or those of these that are in it, and the head of the same reading.
    pub fn load_fresh(
        &self,
        only: Option<&[Reference]>,
    ) -> Result<(view::Head, Vec<StoredRow>), StorageError> {
        let tenant = &*self.tenant;
        let asked = only.map(|only| only.iter().map(|reference| reference.0).collect::<Vec<u64>>());
        while_epochs_end(|| {
            let seen = tenant.seen();
            let fresh = match &asked {
                None => statement!(FRESH, tenant.number),
                Some(asked) => statement!(FRESH_OF, tenant.number, ints(asked)),
            };
            let read = vec![head::select(tenant.number), fresh];
            let [head, rows] = register::sets(&tenant.database, tenant.database.read(read)?)?;
            let head = tenant.of_these_keys(tenant.look(Head::of(tenant, head.first())?, seen)?)?;
            if asked.is_none() && rows.len() as u64 != head.state.pending {
                let fault = format!(
                    "it has {} rows; its counters say {}",
                    rows.len(),
                    head.state.pending
                );
                return Err(tenant.damaged("pending", &fault));
            }
            let mut seals = BTreeMap::new();
            let fresh = rows
                .iter()
                .map(|row| match self.reader.located(row, &mut seals)? {
                    Located::Pending(row) => Ok(row),
                    Located::Placed { .. } => Err(tenant.damaged("reference", "a pending row has a place")),
                });
            Ok((head.of_gallery(tenant), fresh.collect::<Result<_, _>>()?))
        })
    }

    /// What lists a segment, and the head of the same reading; `None` where there is no such segment.
    pub fn load_segment(&self, number: u32) -> Result<(view::Head, Option<ListedSegment>), StorageError> {
        let tenant = &*self.tenant;
        let (seen, segment) = (tenant.seen(), i64::from(number));
        let read = vec![
            head::select(tenant.number),
            statement!(SEGMENT, tenant.number, segment),
            statement!(DEAD, tenant.number, segment),
            statement!(MEMBERS, tenant.number, segment),
        ];
        let [head, listed, tombstones, members] =
            register::sets(&tenant.database, tenant.database.read(read)?)?;
        let head = tenant.of_these_keys(tenant.look(Head::of(tenant, head.first())?, seen)?)?;
        let Some(row) = listed.first() else {
            return Ok((head.of_gallery(tenant), None));
        };
        let (entry, state) = tenant.segment_row(row)?;
        let dead = tombstones
            .iter()
            .filter_map(|row| tenant.tombstone_row(row).transpose());
        let dead = dead.map(|dead| dead.map(|tombstone| (tombstone.row, Reference(tombstone.reference))));
        let members = members.iter().map(|row| match tenant.reference_place(row)? {
            (reference, _, Place::Segment { row, .. }) => Ok((row, Reference(reference))),
            (_, _, Place::Pending { .. }) => {
                Err(tenant.damaged("reference", "a row of a segment has no place"))
            }
        });
        let listed = ListedSegment {
            number,
            object: SegmentObject {
                ulid: entry.ulid,
                rows: entry.rows,
                holes: entry.holes,
            },
            state,
            dead: dead.collect::<Result<_, _>>()?,
            members: members.collect::<Result<_, StorageError>>()?,
        };
        if let Some(row) = listed.dead.keys().find(|row| listed.members.contains_key(row)) {
            let fault =
                format!("row {row} of segment {number} is of one who is erased and of one who is not");
            return Err(tenant.damaged("segment", &fault));
        }
        let told = listed.members.len() + listed.dead.len() + entry.holes as usize;
        let is_retired = matches!(state, Segment::Retired { .. });
        if told != entry.rows as usize && !is_retired {
            let fault = format!(
                "segment {number} has {} rows, of which {told} are told of",
                entry.rows
            );
            return Err(tenant.damaged("segment", &fault));
        }
        Ok((head.of_gallery(tenant), Some(listed)))
    }

    /// The references of a subject, ascending; none where it is unknown.
    pub fn references(&self, subject: &SubjectId) -> Result<Vec<Reference>, StorageError> {
        self.reader.references(subject)
    }

    /// Who rows belong to, one answer a row; `None` for one that is not enrolled any more.
    pub fn candidates(
        &self,
        ids: &[RowId],
        links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, StorageError> {
        self.reader.candidates(ids, links)
    }

    /// Whoever of these is enrolled, the first of them.
    pub fn first_known(&self, subjects: &[SubjectId]) -> Result<Option<SubjectId>, StorageError> {
        self.reader.first_known(subjects)
    }

    /// Does a group of writes, one answer a write, from the catalog as it is. `sealed` gives a sealed row as it stands in the object that holds its segment now, where an erasure
    /// did not read it ahead. Where [`StorageError::Uncertain`] comes, the same group again is answered.
    pub fn commit(
        &self,
        group: &[Write],
        now: Timestamp,
        sealed: &SealedRow<'_>,
    ) -> Result<Answers, StorageError> {
        let ahead = group.iter().filter_map(|write| match write {
            Write::Erase(erase) => Some(&erase.ahead.0),
            _ => None,
        });
        let ahead: BTreeMap<&(u32, u32), &(Ulid, Trace)> = ahead.flatten().collect();
        let known = ahead.keys().map(|(segment, _)| *segment).collect();
        let trace = |entry: &SegmentEntry, row| match ahead.get(&(entry.number, row)) {
            Some((ulid, trace)) if *ulid == entry.ulid => Ok(trace.clone()),
            _ => Ok(Trace::of(&sealed(&SegmentObject::from(*entry), row)?)),
        };
        with_keys(&self.tenant, || {
            self.writer.lock().commit_shared(group, now, &known, &trace)
        })
    }

    /// The last erasure by now.
    pub fn last_erasure(&self) -> Result<u64, StorageError> {
        Ok(self.tenant.head()?.state.last_erasure)
    }

    /// The lines of these erasures for the erasure journal, by number.
    pub(in crate::storage) fn journal_lines(
        &self,
        erasures: &[u64],
    ) -> Result<Vec<(u64, String)>, StorageError> {
        let (Some(first), Some(last)) = (erasures.iter().min(), erasures.iter().max()) else {
            return Ok(Vec::new());
        };
        let (after, many) = (first.saturating_sub(1), usize::MAX);
        let mut entries = self.reader.erasures_between(after, *last, many)?;
        entries.retain(|entry| erasures.contains(&entry.erasure));
        let lines = entries.into_iter().map(|entry| {
            let number = entry.erasure;
            (number, Entry::Erasure(entry).line(self.signer()))
        });
        Ok(lines.collect())
    }

    /// Signs for it.
    pub(in crate::storage) fn signer(&self) -> &ReceiptSigner {
        &self.tenant.signer
    }

    /// The answer to an import, for as long as it is remembered; of another content than this digest's it is an error.
    pub fn imported(
        &self,
        request: &RequestId,
        digest: Option<&[u8; 32]>,
    ) -> Result<Option<ImportAnswer>, StorageError> {
        self.reader.imported(request, digest)
    }

    /// Takes in the rows of segments that are objects, all or none, as live ones; gives their numbers. None, with the answer, where the request was done before.
    pub(in crate::storage) fn import(
        &self,
        imported: &ImportedRows<'_>,
    ) -> Result<(ImportAnswer, Vec<u32>), StorageError> {
        let standing = self.standing;
        let (answer, entries) = self.writer.lock().transact(
            |tenant, transaction, head| {
                let told = tenant.import(transaction, head, imported, Timestamp::now(), true)?;
                for entry in &told.1 {
                    tenant.take_loose(transaction, standing, entry.ulid)?;
                }
                Ok(told)
            },
            |_| Ok(false),
        )?;
        Ok((answer, entries.iter().map(|entry| entry.number).collect()))
    }

    /// Signs for the history as far as it is.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, StorageError> {
        self.writer.lock().checkpoint()
    }

    /// Gives out so many reference numbers and subject handles; the last ones before them.
    pub fn reserve(&self, count: u64) -> Result<(u64, u64), StorageError> {
        self.writer.lock().reserve(count)
    }

    /// The first step of a flush: lists an object whose row i is that of `ids[i]`, or a hole, under a new number. Gives the number, and the rows of references that are erased already; the
    /// same again where the object is listed, as after [`StorageError::Uncertain`]. [`StorageError::RowsMoved`] where another node was faster, or the object is none that this node is to list
    /// ([`SharedCatalog::intend`]).
    pub fn warm(&self, object: SegmentObject, ids: &[RowId]) -> Result<(u32, Vec<u32>), StorageError> {
        let written = object.written();
        let by = Some(self.standing);
        let warmed = self.writer.lock().transact(
            |tenant, transaction, head| tenant.warm(transaction, head, &written, (ids, by)),
            |_| Ok(false),
        )?;
        Ok((warmed.entry.number, warmed.buried.into_iter().collect()))
    }

    /// The second step: its rows count there from now on, or did before. `false` where its owners have not loaded it.
    pub fn go_live(&self, segment: u32) -> Result<bool, StorageError> {
        let replicas = self.replicas;
        self.writer.lock().transact(
            |tenant, transaction, head| {
                let is_warming = tenant.listed(transaction, segment)?.1 == Segment::Warming;
                let watched = tenant.watched_within(transaction, head)?;
                if is_warming && !watched.may_go_live(segment, replicas) {
                    return Ok(false);
                }
                tenant.go_live(transaction, head, segment)?;
                Ok(true)
            },
            |_| Ok(false),
        )
    }

    /// Points a segment to another object of as many rows, in which these dead rows are holes. `from` is the object that was read for it: where another one is listed by now, that is
    /// [`StorageError::RowsMoved`], and so is an object that this node is not to list ([`SharedCatalog::intend`]). The former object is one of [`SharedCatalog::unlisted`] from then on.
    pub fn replace(
        &self,
        segment: u32,
        from: Ulid,
        object: SegmentObject,
        gone: &BTreeMap<u32, Reference>,
    ) -> Result<(), StorageError> {
        let written = object.written();
        let gone = gone.iter().map(|(row, reference)| Tombstone {
            reference: reference.0,
            segment,
            row: *row,
        });
        let gone: Vec<Tombstone> = gone.collect();
        let standing = self.standing;
        self.writer.lock().transact(
            |tenant, transaction, head| {
                tenant.replace(transaction, head, (segment, Some(from)), &written, &gone)?;
                tenant.take_loose(transaction, standing, object.ulid)?;
                tenant.let_loose(transaction, &[from], tenant.key_generation)
            },
            |()| Ok(false),
        )
    }

    /// Begins the next epoch of pending rows and ends the one before; `false` where another node did.
    pub fn forget_copies(&self) -> Result<bool, StorageError> {
        let epoch = self.tenant.head()?.epoch;
        let turn = |seal: &EpochSeal| self.writer.lock().turn(epoch, seal);
        self.tenant.forget_copies(epoch, turn)
    }

    /// Whether the key of the next epoch is to be read, so that nobody waits for it once another node has begun it.
    pub fn may_look_ahead(&self) -> bool {
        let epoch = self.tenant.epoch_seen.load(Ordering::SeqCst);
        self.tenant.epochs.may_look_ahead(epoch)
    }

    /// Reads it.
    pub fn look_ahead(&self) -> Result<(), StorageError> {
        Ok(self.tenant.epochs.look_ahead()?)
    }

    /// Marks erasures purged of which no segment holds a row, and counts them.
    pub fn mark_purged(&self, erasures: &[u64], now: Timestamp) -> Result<usize, StorageError> {
        self.writer.lock().mark_purged(erasures, now)
    }
}

#[cfg(test)]
impl SharedCatalog {
    /// What reads it.
    pub(in crate::storage) fn reader(&self) -> &dyn ReadCatalog {
        &self.reader
    }

    /// For the behaviours of all engines.
    pub(in crate::storage) fn into_seam(self) -> crate::storage::catalog::seam::OpenCatalog {
        let (head, listed, tombstones) = self.tenant.take_up().expect("read");
        crate::storage::catalog::seam::OpenCatalog {
            spec: head.spec,
            segments: listed.into_iter().map(|(entry, _)| entry).collect(),
            tombstones,
            reader: Box::new(self.reader),
            writer: Box::new(self.writer.into_inner()),
        }
    }
}
