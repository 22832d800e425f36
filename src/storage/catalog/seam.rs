//! What a catalog does for the tenant whose it is: one method a transaction, each whole or not at all. Knows no engine; calls block.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::connection::LogCopy;
use super::erase::Trace;
use super::import::ImportedRows;
use super::segments::{Located, SegmentEntry, Tombstone};
use super::state::State;
use crate::keys::secret::SecretKey;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::LinkKind;
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;
use crate::storage::error::StorageError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::{Place, RowId};
use crate::storage::rotate::{Convert, Copied};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{Answers, CandidateInfo, EraseAnswer, ImportAnswer, SubjectKey, Write};

/// What a restore adds to numbers that callers were told of: more than can have been given out since the backup, so that none is given out twice.
pub(in crate::storage) const NUMBERS_PASSED: u64 = 1 << 32;

/// References to locate at a time: for as long rows are held in memory beside those that they are copied to, and a moment is held fast.
pub(in crate::storage) const LOCATED_MAX: usize = 1_024;

/// A catalog that was opened, and what it says at that moment.
pub(in crate::storage) struct OpenCatalog {
    /// Whose it is.
    pub(in crate::storage) spec: TenantSpec,
    /// Its segments by number.
    pub(in crate::storage) segments: Vec<SegmentEntry>,
    /// Rows in them that must not be found, by segment and row.
    pub(in crate::storage) tombstones: Vec<Tombstone>,
    /// Reads it. To be dropped before the writer.
    pub(in crate::storage) reader: Box<dyn ReadCatalog>,
    /// Writes it.
    pub(in crate::storage) writer: Box<dyn WriteCatalog>,
}

/// A flush that is about to be true.
pub(in crate::storage) struct Flushed {
    /// The new segment.
    pub(in crate::storage) entry: SegmentEntry,
    /// Rows of it that are not to be found, ascending: holes, and those of [`Self::buried`].
    pub(in crate::storage) dead: Vec<u32>,
    /// Rows of references that were erased since they were read.
    pub(in crate::storage) buried: BTreeSet<u32>,
}

/// The next generation of a tenant's files, which lacks its catalog.
pub(in crate::storage) struct NextGeneration<'a> {
    /// Its directory.
    pub(in crate::storage) path: &'a Path,
    /// The key that it is sealed with.
    pub(in crate::storage) data_key: &'a SecretKey,
    /// Its segments by number.
    pub(in crate::storage) segments: &'a BTreeMap<u32, Copied>,
    /// What becomes of the rows.
    pub(in crate::storage) convert: Option<&'a dyn Convert>,
}

/// Told, once at most, what a transaction is about to make true, before any reader can find it so; an error undoes the transaction.
pub(in crate::storage) type Before<'a, T> = dyn FnMut(&T) -> Result<(), StorageError> + 'a;

/// What a receipt says of a sealed row (segment, row) as it stands in its file.
pub(in crate::storage) type TraceOf<'a> = dyn Fn(u32, u32) -> Result<Trace, StorageError> + 'a;

/// Reads of a catalog, by any number of threads. What a method gives is how things were at one moment, after every write that had returned before it was called.
pub(in crate::storage) trait ReadCatalog: Send + Sync {
    /// The tenant as it is now.
    fn spec(&self) -> Result<TenantSpec, StorageError>;

    /// Tombstones in segments, by segment and row.
    fn tombstones(&self) -> Result<Vec<Tombstone>, StorageError>;

    /// References that are in no segment, ascending.
    fn pending(&self) -> Result<Vec<u64>, StorageError>;

    /// One answer a reference, in their order; `None` for one that was erased or never was.
    fn locate(&self, references: &[u64]) -> Result<Vec<Option<Located>>, StorageError>;

    /// The first of these who is enrolled.
    fn first_known(&self, subjects: &[SubjectId]) -> Result<Option<SubjectId>, StorageError>;

    /// Where a subject's references are, oldest first; `None` when the subject is unknown.
    fn subject_rows(&self, subject: &SubjectId) -> Result<Option<Vec<Place>>, StorageError>;

    /// All that is held on a subject, without signatures; `None` when it is unknown.
    fn subject(&self, key: &SubjectKey) -> Result<Option<SubjectRecord>, StorageError>;

    /// Who rows belong to, one answer a row, with links of the kinds asked for; `None` for one that is not enrolled (any more).
    fn candidates(
        &self,
        ids: &[RowId],
        links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, StorageError>;

    /// Up to `limit` events, of this subject alone where one is named, numbered below `before`, newest first, and what to ask for next; `None` on the last
    /// page. An unknown subject has no events.
    fn usage(
        &self,
        subject: Option<&SubjectId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<UsageEvent>, Option<u64>), StorageError>;

    /// Up to `limit` subjects who are due, those first who have been for longest.
    fn due(&self, due: &Due, limit: usize) -> Result<Vec<SubjectId>, StorageError>;

    /// An erasure as it is now; `None` when the number was never given out.
    fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError>;

    /// Numbers of the erasures of a subject of this id, ascending.
    fn erasures_of(&self, subject: &SubjectId) -> Result<Vec<u64>, StorageError>;

    /// Numbers of the erasures that are not purged, ascending.
    fn erasures_open(&self) -> Result<Vec<u64>, StorageError>;

    /// Up to `limit` erasures numbered above `after` and up to `to`, ascending, as the erasure journal has them.
    fn erasures_between(&self, after: u64, to: u64, limit: usize) -> Result<Vec<ErasureEntry>, StorageError>;

    /// The answer to an import, for as long as it is remembered; `None` for one that was not done. Where the digest of what was asked is given, an answer to
    /// something else is [`WriteError::RequestIdReused`](crate::storage::error::WriteError::RequestIdReused).
    fn imported(
        &self,
        request: &RequestId,
        digest: Option<&[u8; 32]>,
    ) -> Result<Option<ImportAnswer>, StorageError>;

    /// Whether there are events that no checkpoint is over.
    fn is_ahead(&self) -> Result<bool, StorageError>;

    /// Opens all that reads need: from then on they find this catalog, whatever is put in the place of its files.
    fn hold_open(&self) -> Result<(), StorageError>;
}

/// Writes to a catalog, one at a time. Each method is one transaction, unless it says otherwise: on an error nothing was changed, and otherwise all of it is
/// durable when it returns. Where it can't be told which of the two it is, the error is [`StorageError::Poisoned`], and every later transaction is refused.
pub(in crate::storage) trait WriteCatalog: Send {
    /// Counters after the last transaction.
    fn state(&self) -> State;

    /// Refuses when every write is refused.
    fn check(&self) -> Result<(), StorageError>;

    /// Makes sure that nobody else has taken the catalog up since this did; refuses otherwise, and every later write too.
    fn confirm(&mut self) -> Result<(), StorageError>;

    /// Refuses all writes from now on; the first reason stays.
    fn poison(&mut self, reason: &str);

    /// Gives out `count` reference numbers and as many subject handles, without a transaction; returns the last ones before them. They need not be durable before the next
    /// transaction is: what a crash gives out again was nowhere used.
    fn reserve(&mut self, count: u64) -> Result<(u64, u64), StorageError>;

    /// Does the writes in their order, one answer a write. A write that is not possible fails alone and changes nothing. An answered write is as durable as
    /// [`Write::durability`] says.
    fn commit(
        &mut self,
        group: Vec<Write>,
        now: Timestamp,
        trace: &TraceOf<'_>,
    ) -> Result<Answers, StorageError>;

    /// A checkpoint of the history, kept where there are events that no other one is over.
    fn checkpoint(&mut self) -> Result<SignedCheckpoint, StorageError>;

    /// Gives a segment its number, and pending rows their places in it: row i is that of `ids[i]`, or a hole. What was erased since it was read gets a
    /// tombstone there.
    fn flush(
        &mut self,
        written: &WrittenSegment,
        ids: &[RowId],
        before: &mut Before<'_, Flushed>,
    ) -> Result<Flushed, StorageError>;

    /// Takes in the rows of segments that are written, all or none, or answers as before, then without segments.
    fn import(
        &mut self,
        imported: &ImportedRows<'_>,
        now: Timestamp,
        before: &mut Before<'_, [SegmentEntry]>,
    ) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError>;

    /// Points a segment to another file of as many rows, in which those of these tombstones are holes.
    fn replace(
        &mut self,
        segment: u32,
        written: &WrittenSegment,
        gone: &[Tombstone],
    ) -> Result<(), StorageError>;

    /// Sees to it that of rows which were pending, and are not any more, nothing is left where the catalog is kept; `false` when that could not be done now.
    /// Changes nothing that is read, and may be done in part on an error.
    fn forget_copies(&mut self) -> Result<bool, StorageError>;

    /// Whether it has a write-ahead log that has grown long: then [`Self::copy_log`] is worth its time.
    fn log_is_long(&self) -> bool {
        false
    }

    /// Whether the next transaction, of uses alone, waits neither for a network nor for a sync of a disk.
    fn is_prompt(&self) -> bool {
        false
    }

    /// What puts the log into the catalog beside reads and writes; `None` where there is no log, or no write any more. To be given back to [`Self::log_copied`].
    fn copy_log(&mut self) -> Result<Option<LogCopy>, StorageError> {
        Ok(None)
    }

    /// Takes note of how [`LogCopy::run`] went, and gives its error back: one that leaves it open what the disk holds has all later writes refused.
    fn log_copied(&mut self, _copy: LogCopy, done: Result<bool, StorageError>) -> Result<(), StorageError> {
        done.map(drop)
    }

    /// Marks erasures purged of which no segment holds a row, signs their receipts anew and counts them.
    fn mark_purged(&mut self, erasures: &[u64], now: Timestamp) -> Result<usize, StorageError>;

    /// Does erasures again under their numbers and with their times, and passes over the other numbers that were given out since ([`NUMBERS_PASSED`]); where
    /// some erasures may be missing, over theirs too. Who is not there leaves the number of the erasure unused. Nobody counts as unseen before `now`. Counts
    /// who was erased.
    fn catch_up(
        &mut self,
        erasures: &[ErasureEntry],
        may_miss_erasures: bool,
        now: Timestamp,
        trace: &TraceOf<'_>,
    ) -> Result<u64, StorageError>;

    /// Makes the catalog of the next generation, durable but for its name: as this one is, but for what the next generation has otherwise. This one stays as it is.
    fn copy_to(&self, next: &NextGeneration<'_>) -> Result<(), StorageError>;
}
