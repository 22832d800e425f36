//! Rows of a catalog on their way into another engine, or into a backup: in pieces of one table each, ascending, so that whoever goes on tells by what came where to begin. Knows no engine.

use zeroize::Zeroizing;

use super::chain::{Chain, Digest};
use super::draft::rows::Subject;
use super::segments::SegmentEntry;
use super::state::State;
use super::tables::{NewReference, RecordedEvent, StoredRequest};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::RequestId;
use crate::model::link::SealedLink;
use crate::model::tenant::TenantSpec;
use crate::storage::write::EraseAnswer;

/// The tables, in an order in which no row names one that has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Table {
    /// Subjects with their links, by handle.
    Subjects,
    /// References with the rows of those that are pending, by number.
    References,
    /// Segments by number.
    Segments,
    /// Events, and what erasures left of some, by number.
    Events,
    /// Checkpoints by their last event.
    Checkpoints,
    /// Erasures by number, with the tombstones of those that are open. Of a tenant that is relocated none is.
    Erasures,
    /// Requests in the order in which they were answered. They have no number that every engine keeps, so that a place is how many came before.
    Requests,
}

impl Table {
    /// All of them.
    pub(in crate::storage) const ALL: [Self; 7] = [
        Self::Subjects,
        Self::References,
        Self::Segments,
        Self::Events,
        Self::Checkpoints,
        Self::Erasures,
        Self::Requests,
    ];
}

/// Consecutive rows of one table.
#[derive(PartialEq)]
pub(in crate::storage) enum Piece {
    Subjects(Vec<SubjectRow>),
    References(Vec<ReferenceRow>),
    Segments(Vec<SegmentEntry>),
    Events(Vec<EventRow>),
    Checkpoints(Vec<(u64, SignedCheckpoint)>),
    Erasures(Vec<ErasureRow>),
    /// The place before the first one, and the rows.
    Requests(u64, Vec<(RequestId, StoredRequest)>),
}

/// A subject.
#[derive(PartialEq)]
pub(in crate::storage) struct SubjectRow {
    pub(in crate::storage::catalog) handle: u64,
    pub(in crate::storage::catalog) subject: Subject,
    /// By kind.
    pub(in crate::storage::catalog) links: Vec<SealedLink>,
}

/// A reference.
#[derive(PartialEq)]
pub(in crate::storage) struct ReferenceRow {
    pub(in crate::storage::catalog) reference: NewReference,
    /// Segment and row; `None` where it is pending.
    pub(in crate::storage::catalog) place: Option<(u32, u32)>,
    /// The row of one that is pending.
    pub(in crate::storage::catalog) exact: Option<Zeroizing<Vec<u8>>>,
}

/// An event, or what an erasure left of one.
#[derive(PartialEq)]
pub(in crate::storage) enum EventRow {
    Whole(Box<RecordedEvent>),
    Erased(u64, Digest),
}

/// An erasure.
#[derive(PartialEq)]
pub(in crate::storage) struct ErasureRow {
    pub(in crate::storage) answer: EraseAnswer,
    /// References that it removed, each with segment and row where it has any.
    pub(in crate::storage::catalog) buried: Vec<(u64, Option<(u32, u32)>)>,
}

impl EventRow {
    /// The event's number.
    pub(in crate::storage) fn number(&self) -> u64 {
        match self {
            Self::Whole(event) => event.number,
            Self::Erased(number, _) => *number,
        }
    }
}

impl Piece {
    /// Of which table it is.
    pub(in crate::storage) fn table(&self) -> Table {
        match self {
            Self::Subjects(_) => Table::Subjects,
            Self::References(_) => Table::References,
            Self::Segments(_) => Table::Segments,
            Self::Events(_) => Table::Events,
            Self::Checkpoints(_) => Table::Checkpoints,
            Self::Erasures(_) => Table::Erasures,
            Self::Requests(..) => Table::Requests,
        }
    }

    /// The place of its first row; `None` where it has none.
    pub(in crate::storage) fn first(&self) -> Option<u64> {
        match self {
            Self::Subjects(rows) => rows.first().map(|row| row.handle),
            Self::References(rows) => rows.first().map(|row| row.reference.reference),
            Self::Segments(rows) => rows.first().map(|entry| u64::from(entry.number)),
            Self::Events(rows) => rows.first().map(EventRow::number),
            Self::Checkpoints(rows) => rows.first().map(|(event, _)| *event),
            Self::Erasures(rows) => rows.first().map(|row| row.answer.erasure),
            Self::Requests(before, rows) => (!rows.is_empty()).then(|| before + 1),
        }
    }

    /// The place of its last row, from which on the next piece goes; `None` where it has none.
    pub(in crate::storage) fn last(&self) -> Option<u64> {
        match self {
            Self::Subjects(rows) => rows.last().map(|row| row.handle),
            Self::References(rows) => rows.last().map(|row| row.reference.reference),
            Self::Segments(rows) => rows.last().map(|entry| u64::from(entry.number)),
            Self::Events(rows) => rows.last().map(EventRow::number),
            Self::Checkpoints(rows) => rows.last().map(|(event, _)| *event),
            Self::Erasures(rows) => rows.last().map(|row| row.answer.erasure),
            Self::Requests(before, rows) => (!rows.is_empty()).then(|| before + rows.len() as u64),
        }
    }

    /// How many rows of the table it has.
    pub(in crate::storage) fn len(&self) -> usize {
        match self {
            Self::Subjects(rows) => rows.len(),
            Self::References(rows) => rows.len(),
            Self::Segments(rows) => rows.len(),
            Self::Events(rows) => rows.len(),
            Self::Checkpoints(rows) => rows.len(),
            Self::Erasures(rows) => rows.len(),
            Self::Requests(_, rows) => rows.len(),
        }
    }
}

/// What a catalog says of its tenant beside its rows.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::storage) struct Summary {
    pub(in crate::storage) spec: TenantSpec,
    pub(in crate::storage) state: State,
    pub(in crate::storage) chain: Chain,
    /// Segments.
    pub(in crate::storage) segments: u64,
}
