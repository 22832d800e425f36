//! What a node of a cluster reads of a tenant for whoever asks about subjects, erasures and the history, and what it reads for an erasure before it keeps anybody waiting. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;

use super::{SegmentObject, SharedCatalog};
use crate::cluster::followers::Write as Waiting;
use crate::cluster::placement::NodeId;
use crate::model::id::SubjectId;
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;
use crate::storage::catalog::erase::Trace;
use crate::storage::catalog::seam::ReadCatalog;
use crate::storage::catalog::segments::{Located, SegmentEntry};
use crate::storage::cluster::segments::{SegmentKeys, Segments};
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::place::{Place, StoredRow};
use crate::storage::read::USAGE_PAGE_MAX;
use crate::storage::write::{EraseAnswer, EraseWrite, SubjectKey};

/// How often the rows of an erasure are read ahead whose segments are exchanged meanwhile.
const READINGS_MAX: usize = 3;

/// The rows of a subject, or where they are.
#[derive(Default)]
pub struct SubjectRows {
    /// Those that are in no segment.
    pub pending: Vec<StoredRow>,
    /// The others by segment: row, and reference.
    pub placed: BTreeMap<u32, Vec<(u32, u64)>>,
}

impl From<SegmentEntry> for SegmentObject {
    fn from(entry: SegmentEntry) -> Self {
        Self {
            ulid: entry.ulid,
            rows: entry.rows,
            holes: entry.holes,
        }
    }
}

impl SharedCatalog {
    /// Which of those that had its id the tenant is, as editions have it.
    pub fn incarnation(&self) -> u64 {
        self.tenant.incarnation()
    }

    /// The tenant as it is now.
    pub fn spec(&self) -> Result<TenantSpec, StorageError> {
        self.reader.spec()
    }

    /// All that is held on a subject, without signatures; `None` when it is unknown.
    pub fn subject(&self, key: &SubjectKey) -> Result<Option<SubjectRecord>, StorageError> {
        self.reader.subject(key)
    }

    /// Up to `limit` (1 to 1,000) events, of this subject alone where one is named, numbered below `before`, newest first, and what to ask for next; `None` on the last page.
    pub fn usage(
        &self,
        subject: Option<&SubjectId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<UsageEvent>, Option<u64>), StorageError> {
        self.reader.usage(subject, before, limit.clamp(1, USAGE_PAGE_MAX))
    }

    /// Up to `limit` subjects who are due by this node's clock too, those first who have been for longest.
    pub fn due(&self, due: Due, limit: usize) -> Result<Vec<SubjectId>, StorageError> {
        self.reader.due(&due.no_later_than(Timestamp::now()), limit)
    }

    /// An erasure as it is now; `None` when the number was never given out.
    pub fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError> {
        self.reader.erasure(erasure)
    }

    /// Numbers of the erasures of a subject of this id, ascending.
    pub fn erasures_of(&self, subject: &SubjectId) -> Result<Vec<u64>, StorageError> {
        self.reader.erasures_of(subject)
    }

    /// Whom each of these committed writes still waits for, by one reading.
    pub fn wait_for_each(&self, writes: &[Waiting]) -> Result<Vec<BTreeSet<NodeId>>, StorageError> {
        let watched = self.tenant.watched()?;
        let waits = writes.iter().map(|write| watched.waits_for(write, self.replicas));
        Ok(waits.collect())
    }

    /// The objects that hold these segments now. One that is not listed is missing.
    pub fn objects(&self, segments: &BTreeSet<u32>) -> Result<BTreeMap<u32, SegmentObject>, StorageError> {
        if segments.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = self.tenant.database.read(vec![self.tenant.these(segments)])?;
        let rows: Vec<Row> = rows.into_iter().flatten().collect();
        let entries = self.tenant.entries_of(&rows)?.into_iter();
        Ok(entries.map(|(number, entry)| (number, entry.into())).collect())
    }

    /// The rows of a subject, or where they are; `None` when it is unknown.
    pub fn rows_of(&self, subject: &SubjectId) -> Result<Option<SubjectRows>, StorageError> {
        let references = self.reader.references(subject)?;
        if references.is_empty() {
            return Ok(None);
        }
        let references: Vec<u64> = references.iter().map(|reference| reference.0).collect();
        let mut rows = SubjectRows::default();
        for (reference, located) in references.iter().zip(self.reader.locate(&references)?) {
            match located {
                Some(Located::Pending(row)) => rows.pending.push(row),
                Some(Located::Placed { segment, row }) => {
                    rows.placed.entry(segment).or_default().push((row, *reference));
                }
                // It was erased since.
                None => {}
            }
        }
        Ok(Some(rows))
    }

    /// Reads what the receipt of an erasure will say of rows that are in segments, and has the write carry it: before the erasure is among those that wait for a transaction. What has moved on
    /// by then is read in that.
    pub fn read_ahead(
        &self,
        erase: &mut EraseWrite,
        segments: &Segments,
        keys: &SegmentKeys,
    ) -> Result<(), StorageError> {
        let subject = match &erase.subject {
            SubjectKey::Id(id) => Some(id.clone()),
            link @ SubjectKey::Link { .. } => self.reader.subject(link)?.map(|record| record.subject_id),
        };
        let Some(subject) = subject else {
            return Ok(());
        };
        let mut tried = 0;
        loop {
            tried += 1;
            match self.read_rows_ahead(&subject, erase, segments, keys) {
                // Another object may hold it by now.
                Err(StorageError::Object(ObjectError::Missing { .. } | ObjectError::Forgotten { .. }))
                    if tried < READINGS_MAX => {}
                read => return read,
            }
        }
    }

    fn read_rows_ahead(
        &self,
        subject: &SubjectId,
        erase: &mut EraseWrite,
        segments: &Segments,
        keys: &SegmentKeys,
    ) -> Result<(), StorageError> {
        let places = self.reader.subject_rows(subject)?.unwrap_or_default();
        let placed = places.into_iter().filter_map(|place| match place {
            Place::Segment { segment, row } => Some((segment, row)),
            Place::Pending { .. } => None,
        });
        let placed: Vec<(u32, u32)> = placed.collect();
        let numbers = placed.iter().map(|(segment, _)| *segment).collect();
        let objects = self.objects(&numbers)?;
        for (segment, row) in placed {
            let Some(object) = objects.get(&segment) else {
                continue;
            };
            let trace = Trace::of(&segments.sealed(keys, object, row)?);
            erase.ahead.0.insert((segment, row), (object.ulid, trace));
        }
        Ok(())
    }
}
