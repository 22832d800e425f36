//! Rows in a database as values of the model and back: which cells are sealed, with which clear columns of their row. Sends no statement.
//!
//! What is seldom changed is sealed with the clear columns as associated data. What often is (when a subject was last seen, where a reference's row is) has a
//! MAC of its own, so that it is changed without the rest being read.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use ulid::Ulid;
use zeroize::Zeroizing;

use super::Owner;
use super::columns::clear;
use crate::cluster::view::Segment;
use crate::model::consent::Consent;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::subject::{Capture, Hand, PadVerdict};
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;
use crate::storage::catalog::chain::{Digest, Salt};
use crate::storage::catalog::code::Coded;
use crate::storage::catalog::draft::rows::{Erasure, Subject};
use crate::storage::catalog::request::Method;
use crate::storage::catalog::segments::{SegmentEntry, Tombstone};
use crate::storage::catalog::tables::{RecordedEvent, StoredRequest};
use crate::storage::error::StorageError;
use crate::storage::place::Place;
use crate::storage::write::EraseAnswer;

/// Tables that have keys for cells, lookups or MACs.
pub(super) const TABLES: [&str; 11] = [
    "tenant",
    "subject",
    "reference",
    "link",
    "segment",
    "erasure",
    "tombstone",
    "usage",
    "request",
    "change",
    "follower",
];
/// The one that has a key an epoch.
pub(super) const PENDING: &str = "pending";

/// Selects the columns of a row, in the order in which it is read, and what is told behind them.
macro_rules! select {
    (subject, $($rest:expr),+) => { concat!("SELECT handle, lookup, consent_expires_at, sealed, last_used, seen ", $($rest),+) };
    (place, $($rest:expr),+) => { concat!("SELECT id, subject, segment, slot, placed", $($rest),+) };
    (reference, $($rest:expr),+) => { concat!("SELECT id, subject, segment, slot, placed, sequence, sealed ", $($rest),+) };
    (link, $($rest:expr),+) => { concat!("SELECT subject, kind, lookup, sealed ", $($rest),+) };
    (segment, $($rest:expr),+) => { concat!("SELECT number, ulid, rows, holes, live_from, retired_from, mac ", $($rest),+) };
    (tombstone, $($rest:expr),+) => { concat!("SELECT reference, erasure, segment, slot, placed ", $($rest),+) };
    (event, $($rest:expr),+) => { concat!("SELECT id, subject, commitment, sealed ", $($rest),+) };
    (request, $($rest:expr),+) => { concat!("SELECT lookup, method, at, subject, sealed ", $($rest),+) };
    (erasure, $($rest:expr),+) => { concat!("SELECT id, lookup, purged, sequence, sealed", $($rest),+) };
}
pub(super) use select;

#[derive(Serialize, Deserialize)]
struct SubjectCell {
    subject_id: SubjectId,
    created_at: Timestamp,
    consent: Consent,
}

/// What is sealed of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReferenceCell {
    pub(super) hand: Hand,
    pub(super) quality: u8,
    pub(super) captured_at: Timestamp,
    pub(super) pad: PadVerdict,
    pub(super) enrolled_at: Timestamp,
}

impl ReferenceCell {
    pub(super) fn new(hand: Hand, capture: &Capture, enrolled_at: Timestamp) -> Self {
        Self {
            hand,
            quality: capture.quality,
            captured_at: capture.captured_at,
            pad: capture.pad,
            enrolled_at,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct EventCell {
    event: UsageEvent,
    salt: Salt,
}

#[derive(Serialize, Deserialize)]
struct RequestCell {
    request_id: RequestId,
    digest: Vec<u8>,
    answer: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ErasureCell {
    subject_id: SubjectId,
    receipt: crate::model::erasure::SignedReceipt,
}

/// A reference of a subject, as it stands in its row.
pub(super) struct ReferenceRow {
    pub(super) id: u64,
    pub(super) subject: u64,
    pub(super) cell: ReferenceCell,
    pub(super) place: Place,
}

impl Owner {
    pub(super) fn seal_cell(&self, table: &'static str, clear: &[&[u8]], cell: &impl Serialize) -> Vec<u8> {
        let text = Zeroizing::new(serde_json::to_vec(cell).expect("plain values have a JSON form"));
        self.cells.seal(table, clear, &text)
    }

    pub(super) fn open_cell<T: DeserializeOwned>(
        &self,
        table: &'static str,
        clear: &[&[u8]],
        sealed: &[u8],
    ) -> Result<T, StorageError> {
        let text = self
            .cells
            .open(table, clear, sealed)
            .map_err(|_| self.damaged(table, "a row fails authentication"))?;
        // Without what is there: it may name a subject.
        serde_json::from_slice(&text).map_err(|_| self.damaged(table, "a row can't be read"))
    }

    pub(super) fn subject_lookup(&self, id: &SubjectId) -> [u8; 32] {
        self.cells.lookup("subject", &[id.as_str().as_bytes()])
    }

    /// Of the subject of an erasure.
    pub(super) fn erased_lookup(&self, id: &SubjectId) -> [u8; 32] {
        self.cells.lookup("erasure", &[id.as_str().as_bytes()])
    }

    pub(super) fn request_lookup(&self, id: &RequestId) -> [u8; 32] {
        self.cells.lookup("request", &[id.as_str().as_bytes()])
    }

    pub(super) fn link_lookup(&self, kind: LinkKind, lookup: &[u8; 32]) -> [u8; 32] {
        self.cells.lookup("link", &[&[kind.code()], lookup])
    }

    /// The cell of a subject whose row has this lookup.
    pub(super) fn seal_subject(&self, handle: u64, lookup: &[u8; 32], subject: &Subject) -> Vec<u8> {
        let cell = SubjectCell {
            subject_id: subject.id.clone(),
            created_at: subject.created_at,
            consent: subject.consent.clone(),
        };
        let expires_at = subject.consent.expires_at.0;
        self.seal_cell("subject", clear![handle, lookup[..], expires_at], &cell)
    }

    /// What binds the time when it was last seen to a subject.
    pub(super) fn bind_last_used(&self, handle: u64, last_used: Timestamp) -> [u8; 32] {
        self.cells.mac("subject", clear![handle, last_used.0])
    }

    /// Of `select!(subject)`.
    pub(super) fn subject_row(&self, row: &Row) -> Result<(u64, Subject), StorageError> {
        let columns = self.columns("subject", row);
        let handle = columns.uint(0)?;
        let (lookup, expires_at): (&[u8], i64) = (columns.get(1)?, columns.get(2)?);
        let cell: SubjectCell =
            self.open_cell("subject", clear![handle, lookup[..], expires_at], columns.get(3)?)?;
        let last_used: i64 = columns.get(4)?;
        if !self
            .cells
            .verify("subject", clear![handle, last_used], columns.get(5)?)
        {
            return Err(columns.fault("the time of the last use was changed"));
        }
        let subject = Subject {
            id: cell.subject_id,
            created_at: cell.created_at,
            consent: cell.consent,
            last_used: Timestamp(last_used),
        };
        Ok((handle, subject))
    }

    /// The cell of a reference.
    pub(super) fn seal_reference(&self, [id, subject, sequence]: [u64; 3], cell: &ReferenceCell) -> Vec<u8> {
        self.seal_cell("reference", clear![id, subject, sequence], cell)
    }

    /// What binds a place to a row: of a reference and its subject, or of a tombstone and its erasure.
    pub(super) fn placed(
        &self,
        table: &str,
        [of, subject_or_erasure]: [u64; 2],
        place: Option<(u32, u32)>,
    ) -> [u8; 32] {
        let place = place.map(|(segment, slot)| (u64::from(segment), u64::from(slot)));
        self.cells.mac(
            table,
            clear![of, subject_or_erasure, place.map(|at| at.0), place.map(|at| at.1)],
        )
    }

    /// Of `select!(place)`, or of a reference.
    pub(super) fn reference_place(&self, row: &Row) -> Result<(u64, u64, Place), StorageError> {
        let columns = self.columns("reference", row);
        let (reference, subject) = (columns.uint(0)?, columns.uint(1)?);
        let place = match columns.place([2, 3, 4], [reference, subject])? {
            Some((segment, row)) => Place::Segment { segment, row },
            None => Place::Pending { reference },
        };
        Ok((reference, subject, place))
    }

    /// Of `select!(reference)`.
    pub(super) fn reference_row(&self, row: &Row) -> Result<ReferenceRow, StorageError> {
        let (id, subject, place) = self.reference_place(row)?;
        let columns = self.columns("reference", row);
        let clear: &[&[u8]] = clear![id, subject, columns.uint(5)?];
        Ok(ReferenceRow {
            id,
            subject,
            cell: self.open_cell("reference", clear, columns.get(6)?)?,
            place,
        })
    }

    /// The cell of a link of a subject: the front's keyed hash, and what it sealed.
    pub(super) fn seal_link(&self, subject: u64, lookup: &[u8; 32], link: &SealedLink) -> Vec<u8> {
        let kind = u64::from(link.kind.code());
        let plain = [&link.lookup[..], &link.sealed].concat();
        self.cells.seal("link", clear![subject, kind, lookup[..]], &plain)
    }

    /// Of `select!(link)`.
    pub(super) fn link_row(&self, row: &Row) -> Result<(u64, SealedLink), StorageError> {
        let columns = self.columns("link", row);
        let (subject, lookup): (u64, &[u8]) = (columns.uint(0)?, columns.get(2)?);
        let code: i16 = columns.get(1)?;
        let kind = u8::try_from(code).ok().and_then(LinkKind::from_code);
        let kind = kind.ok_or_else(|| columns.fault("a link is of no kind"))?;
        let plain = self
            .cells
            .open(
                "link",
                clear![subject, u64::from(kind.code()), lookup[..]],
                columns.get(3)?,
            )
            .map_err(|_| columns.fault("a row fails authentication"))?;
        let (lookup, sealed) = plain
            .split_first_chunk()
            .ok_or_else(|| columns.fault("a row can't be read"))?;
        let link = SealedLink {
            kind,
            lookup: *lookup,
            sealed: sealed.to_vec(),
        };
        Ok((subject, link))
    }

    /// What binds the columns of a segment together.
    pub(super) fn segment_mac(&self, entry: &SegmentEntry, state: Segment) -> [u8; 32] {
        let [number, rows, holes] = [entry.number, entry.rows, entry.holes].map(u64::from);
        let (ulid, (live_from, retired_from)) = (entry.ulid.to_bytes(), versions(state));
        let clear: &[&[u8]] = clear![number, ulid[..], rows, holes, live_from, retired_from];
        self.cells.mac("segment", clear)
    }

    /// Of `select!(segment)`.
    pub(super) fn segment_row(&self, row: &Row) -> Result<(SegmentEntry, Segment), StorageError> {
        let columns = self.columns("segment", row);
        let ulid: &[u8] = columns.get(1)?;
        let ulid: [u8; 16] = ulid
            .try_into()
            .map_err(|_| columns.fault("a file's name is none"))?;
        let entry = SegmentEntry {
            number: columns.small(0)?,
            ulid: Ulid::from_bytes(ulid),
            rows: columns.small(2)?,
            holes: columns.small(3)?,
        };
        let state = match (columns.uint_or_null(4)?, columns.uint_or_null(5)?) {
            (None, None) => Some(Segment::Warming),
            (Some(from), None) => Some(Segment::Live { from }),
            (Some(from), Some(until)) => Some(Segment::Retired { from, until }),
            (None, Some(_)) => None,
        };
        let [number, rows, holes] = [entry.number, entry.rows, entry.holes].map(u64::from);
        match state {
            Some(state) => {
                let (live_from, retired_from) = versions(state);
                let clear: &[&[u8]] = clear![number, ulid[..], rows, holes, live_from, retired_from];
                let fits = self.cells.verify("segment", clear, columns.get(6)?);
                fits.then_some((entry, state))
            }
            None => None,
        }
        .ok_or_else(|| columns.fault("a row fails authentication"))
    }

    /// Of `select!(tombstone)`. `None` for one that is in no segment.
    pub(super) fn tombstone_row(&self, row: &Row) -> Result<Option<Tombstone>, StorageError> {
        let columns = self.columns("tombstone", row);
        let reference = columns.uint(0)?;
        let place = columns.place([2, 3, 4], [reference, columns.uint(1)?])?;
        Ok(place.map(|(segment, row)| Tombstone {
            reference,
            segment,
            row,
        }))
    }

    /// The cell of an event.
    pub(super) fn seal_event(&self, recorded: &RecordedEvent) -> Vec<u8> {
        let cell = EventCell {
            event: recorded.event.clone(),
            salt: recorded.salt,
        };
        let clear: &[&[u8]] = clear![recorded.number, recorded.subject, recorded.commitment[..]];
        self.seal_cell("usage", clear, &cell)
    }

    /// Of `select!(event)`.
    pub(super) fn event_row(&self, row: &Row) -> Result<RecordedEvent, StorageError> {
        let columns = self.columns("usage", row);
        let (number, subject) = (columns.uint(0)?, columns.uint_or_null(1)?);
        let commitment: Digest = columns.digest(2)?;
        let clear: &[&[u8]] = clear![number, subject, commitment[..]];
        let EventCell { event, salt } = self.open_cell("usage", clear, columns.get(3)?)?;
        Ok(RecordedEvent {
            number,
            subject,
            event,
            salt,
            commitment,
            // What is read is not asked for by it.
            told: None,
        })
    }

    /// The cell of a request whose row has this lookup.
    pub(super) fn seal_request(&self, lookup: &[u8; 32], id: &RequestId, kept: &StoredRequest) -> Vec<u8> {
        let cell = RequestCell {
            request_id: id.clone(),
            digest: kept.digest.clone(),
            answer: kept.answer.clone(),
        };
        let clear: &[&[u8]] = clear![lookup[..], kept.method.code(), kept.at.0, kept.subject];
        self.seal_cell("request", clear, &cell)
    }

    /// Of `select!(request)`. The id is `None` once the answer is scrubbed.
    pub(super) fn request_row(&self, row: &Row) -> Result<(Option<RequestId>, StoredRequest), StorageError> {
        let columns = self.columns("request", row);
        let lookup: &[u8] = columns.get(0)?;
        let code: i16 = columns.get(1)?;
        let method = Method::CODES.iter().find(|(_, of)| *of == i64::from(code));
        let (method, code) = *method.ok_or_else(|| columns.fault("a request is of no method"))?;
        let (at, subject): (i64, _) = (columns.get(2)?, columns.uint_or_null(3)?);
        let kept = |digest, answer| StoredRequest {
            method,
            digest,
            answer,
            subject,
            at: Timestamp(at),
        };
        let Some(sealed) = columns.get::<Option<&[u8]>>(4)? else {
            return Ok((None, kept(Vec::new(), None)));
        };
        let cell: RequestCell = self.open_cell("request", clear![lookup[..], code, at, subject], sealed)?;
        Ok((Some(cell.request_id), kept(cell.digest, cell.answer)))
    }

    /// The cell of an erasure whose row has this lookup.
    pub(super) fn seal_erasure(&self, lookup: &[u8; 32], erasure: &Erasure) -> Vec<u8> {
        let answer = &erasure.answer;
        let cell = ErasureCell {
            subject_id: answer.subject_id.clone(),
            receipt: answer.receipt.clone(),
        };
        let clear: &[&[u8]] = clear![answer.erasure, lookup[..], answer.purged, answer.sequence];
        self.seal_cell("erasure", clear, &cell)
    }

    /// Of `select!(erasure)`.
    pub(super) fn erasure_row(&self, row: &Row) -> Result<EraseAnswer, StorageError> {
        let columns = self.columns("erasure", row);
        let (erasure, lookup): (u64, &[u8]) = (columns.uint(0)?, columns.get(1)?);
        let (purged, sequence): (bool, u64) = (columns.get(2)?, columns.uint(3)?);
        let clear: &[&[u8]] = clear![erasure, lookup[..], purged, sequence];
        let cell: ErasureCell = self.open_cell("erasure", clear, columns.get(4)?)?;
        Ok(EraseAnswer {
            erasure,
            sequence,
            subject_id: cell.subject_id,
            purged,
            receipt: cell.receipt,
        })
    }
}

/// The versions of the list from which on a segment counts, and no longer does.
pub(super) fn versions(state: Segment) -> (Option<u64>, Option<u64>) {
    match state {
        Segment::Warming => (None, None),
        Segment::Live { from } => (Some(from), None),
        Segment::Retired { from, until } => (Some(from), Some(until)),
    }
}
