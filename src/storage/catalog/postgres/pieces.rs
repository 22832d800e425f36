//! Rows of a catalog in a database as pieces, by ranges of their numbers. What moment they are of is for whoever reads them to see to. Changes nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tokio_postgres::Row;

use super::register::sets;
use super::rows::select;
use super::{EpochSeal, Tenant};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::RequestId;
use crate::model::subject::Capture;
use crate::model::usage::EventId;
use crate::storage::catalog::code::int;
use crate::storage::catalog::relocate::{ErasureRow, EventRow, Piece, ReferenceRow, SubjectRow, Table};
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::catalog::tables::{NewReference, StoredRequest};
use crate::storage::database::transaction::{Statement, statement};
use crate::storage::error::StorageError;
use crate::storage::place::Place;

const SUBJECTS: &str = select!(
    subject,
    "FROM subject WHERE tenant = $1 AND handle BETWEEN $2 AND $3 ORDER BY handle LIMIT $4"
);
const LINKS: &str = select!(
    link,
    "FROM link WHERE tenant = $1 AND subject BETWEEN $2 AND $3 ORDER BY subject, kind"
);
const REFERENCES: &str = select!(
    reference,
    ", p.epoch, p.pending FROM reference r
    LEFT JOIN (SELECT reference, epoch, sealed AS pending FROM pending WHERE tenant = $1) p ON p.reference = r.id
    WHERE r.tenant = $1 AND r.id BETWEEN $2 AND $3 ORDER BY r.id LIMIT $4"
);
const SEGMENTS: &str = select!(
    segment,
    "FROM segment WHERE tenant = $1 AND number BETWEEN $2 AND $3 ORDER BY number LIMIT $4"
);
const EVENTS: &str = select!(
    event,
    ", told FROM usage WHERE tenant = $1 AND id BETWEEN $2 AND $3 ORDER BY id LIMIT $4"
);
const CHECKPOINTS: &str = "SELECT event, checkpoint, signature, public_key FROM checkpoint
    WHERE tenant = $1 AND event BETWEEN $2 AND $3 ORDER BY event LIMIT $4";
const ERASURES: &str = select!(
    erasure,
    " FROM erasure WHERE tenant = $1 AND id BETWEEN $2 AND $3 ORDER BY id LIMIT $4"
);
const TOMBSTONES: &str = select!(
    tombstone,
    "FROM tombstone WHERE tenant = $1 AND erasure BETWEEN $2 AND $3 ORDER BY erasure, reference"
);
const REQUESTS: &str = select!(request, "FROM request WHERE tenant = $1 AND lookup = ANY($2)");
const REQUESTS_AFTER: &str = select!(
    request,
    "FROM request WHERE tenant = $1 AND (at, lookup) > ($2, $3) ORDER BY at, lookup LIMIT $4"
);

/// Asks the database: at once, or within a transaction.
type Read<'a> = dyn Fn(Vec<Statement>) -> Result<Vec<Vec<Row>>, StorageError> + 'a;

/// Reads pieces of one tenant.
pub(super) struct Pieces<'a> {
    tenant: &'a Tenant,
    read: &'a Read<'a>,
}

/// The first rows of a range of numbers.
#[derive(Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
    limit: u64,
}

/// Where a page of requests ended: the time and the lookup of its last one.
pub(super) type RequestPlace = (i64, Vec<u8>);

/// Requests, and where they ended.
type RequestPage = (Vec<(RequestId, StoredRequest)>, RequestPlace);

impl<'a> Pieces<'a> {
    pub(super) fn new(tenant: &'a Tenant, read: &'a Read<'a>) -> Self {
        Self { tenant, read }
    }

    /// The first rows of a table whose numbers are in a range, up to `limit` of them; not of requests, which have none.
    pub(super) fn between(
        &self,
        table: Table,
        (first, last): (u64, u64),
        limit: u64,
    ) -> Result<Piece, StorageError> {
        let range = Range { first, last, limit };
        Ok(match table {
            Table::Subjects => Piece::Subjects(self.subjects(range)?),
            Table::References => Piece::References(self.references(range)?),
            Table::Segments => Piece::Segments(self.segments(range)?),
            Table::Events => Piece::Events(self.events(range)?),
            Table::Checkpoints => Piece::Checkpoints(self.checkpoints(range)?),
            Table::Erasures => Piece::Erasures(self.erasures(range)?),
            Table::Requests => unreachable!("requests are read by their lookups, or page by page"),
        })
    }

    /// Those of these requests that are there, in their order. The id of one whose answer is scrubbed is known by its lookup alone.
    pub(super) fn requests_of(
        &self,
        asked: &[(RequestId, StoredRequest)],
    ) -> Result<Vec<(RequestId, StoredRequest)>, StorageError> {
        let tenant = self.tenant;
        let lookups = asked.iter().map(|(id, _)| tenant.request_lookup(id).to_vec());
        let lookups: Vec<Vec<u8>> = lookups.collect();
        let [rows] = self.rows([statement!(REQUESTS, tenant.number, lookups.clone())])?;
        let mut found: BTreeMap<Vec<u8>, _> = BTreeMap::new();
        for row in &rows {
            let lookup: &[u8] = tenant.columns("request", row).get(0)?;
            found.insert(lookup.to_vec(), tenant.request_row(row)?);
        }
        let there = asked.iter().zip(&lookups).filter_map(|((id, _), lookup)| {
            let (read, kept) = found.remove(lookup)?;
            Some((read.unwrap_or_else(|| id.clone()), kept))
        });
        Ok(there.collect())
    }

    /// The next requests by time that still have their ids, and where they ended; `None` where there is none any more. One whose answer is scrubbed has no id that could be told.
    pub(super) fn requests_after(
        &self,
        (at, lookup): &RequestPlace,
        limit: u64,
    ) -> Result<Option<RequestPage>, StorageError> {
        let tenant = self.tenant;
        let page = statement!(REQUESTS_AFTER, tenant.number, *at, lookup.clone(), int(limit));
        let [rows] = self.rows([page])?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let columns = tenant.columns("request", last);
        let ended = (columns.get(2)?, columns.get::<&[u8]>(0)?.to_vec());
        let mut requests = Vec::new();
        for row in &rows {
            let (id, kept) = tenant.request_row(row)?;
            requests.extend(id.map(|id| (id, kept)));
        }
        Ok(Some((requests, ended)))
    }

    fn rows<const N: usize>(&self, statements: [Statement; N]) -> Result<[Vec<Row>; N], StorageError> {
        sets(&self.tenant.database, (self.read)(Vec::from(statements))?)
    }

    fn in_range(&self, sql: &'static str, range: Range) -> Statement {
        let [first, last, limit] = [range.first, range.last, range.limit].map(int);
        statement!(sql, self.tenant.number, first, last, limit)
    }

    /// Rows that stand beside the ones that came.
    fn beside(&self, sql: &'static str, first: u64, last: u64) -> Result<Vec<Row>, StorageError> {
        let [rows] = self.rows([statement!(sql, self.tenant.number, int(first), int(last))])?;
        Ok(rows)
    }

    fn subjects(&self, range: Range) -> Result<Vec<SubjectRow>, StorageError> {
        let [rows] = self.rows([self.in_range(SUBJECTS, range)])?;
        let mut subjects = Vec::with_capacity(rows.len());
        for row in &rows {
            let (handle, subject) = self.tenant.subject_row(row)?;
            subjects.push(SubjectRow {
                handle,
                subject,
                links: Vec::new(),
            });
        }
        let (Some(first), Some(last)) = (subjects.first(), subjects.last()) else {
            return Ok(subjects);
        };
        let mut of: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for row in &self.beside(LINKS, first.handle, last.handle)? {
            let (subject, link) = self.tenant.link_row(row)?;
            of.entry(subject).or_default().push(link);
        }
        for subject in &mut subjects {
            subject.links = of.remove(&subject.handle).unwrap_or_default();
        }
        Ok(subjects)
    }

    fn references(&self, range: Range) -> Result<Vec<ReferenceRow>, StorageError> {
        let [rows] = self.rows([self.in_range(REFERENCES, range)])?;
        let mut seals = BTreeMap::new();
        rows.iter().map(|row| self.reference(row, &mut seals)).collect()
    }

    fn reference(
        &self,
        row: &Row,
        seals: &mut BTreeMap<u64, EpochSeal>,
    ) -> Result<ReferenceRow, StorageError> {
        let tenant = self.tenant;
        let columns = tenant.columns("reference", row);
        let (read, sequence) = (tenant.reference_row(row)?, columns.uint(5)?);
        let cell = read.cell;
        let exact = match (columns.uint_or_null(7)?, columns.get::<Option<&[u8]>>(8)?) {
            (Some(epoch), Some(sealed)) => {
                let seal = match seals.entry(epoch) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(tenant.epoch(epoch)?),
                };
                let opened = seal.open(read.id, sealed);
                Some(opened.ok_or_else(|| tenant.damaged("pending", "a row fails authentication"))?)
            }
            (None, None) => None,
            _ => return Err(tenant.damaged("pending", "a row can't be read")),
        };
        let place = match read.place {
            Place::Segment { segment, row } => Some((segment, row)),
            Place::Pending { .. } => None,
        };
        if place.is_some() == exact.is_some() {
            return Err(tenant.damaged("pending", "a reference is in a segment and pending, or neither"));
        }
        Ok(ReferenceRow {
            reference: NewReference {
                reference: read.id,
                subject: read.subject,
                hand: cell.hand,
                capture: Capture {
                    hand: Some(cell.hand),
                    quality: cell.quality,
                    captured_at: cell.captured_at,
                    pad: cell.pad,
                },
                enrolled_at: cell.enrolled_at,
                sequence,
            },
            place,
            exact,
        })
    }

    fn segments(&self, range: Range) -> Result<Vec<SegmentEntry>, StorageError> {
        let [rows] = self.rows([self.in_range(SEGMENTS, range)])?;
        let entries = rows.iter().map(|row| Ok(self.tenant.segment_row(row)?.0));
        entries.collect()
    }

    fn events(&self, range: Range) -> Result<Vec<EventRow>, StorageError> {
        let [rows] = self.rows([self.in_range(EVENTS, range)])?;
        let events = rows.iter().map(|row| {
            let columns = self.tenant.columns("usage", row);
            if columns.get::<Option<&[u8]>>(3)?.is_none() {
                return Ok(EventRow::Erased(columns.uint(0)?, columns.digest(2)?));
            }
            let mut event = self.tenant.event_row(row)?;
            let told: Option<&[u8]> = columns.get(4)?;
            let told = told.map(<[u8; 16]>::try_from).transpose();
            event.told = told
                .map_err(|_| columns.fault("what an event was told under has not 16 bytes"))?
                .map(EventId);
            Ok(EventRow::Whole(Box::new(event)))
        });
        events.collect()
    }

    fn checkpoints(&self, range: Range) -> Result<Vec<(u64, SignedCheckpoint)>, StorageError> {
        let [rows] = self.rows([self.in_range(CHECKPOINTS, range)])?;
        let checkpoints = rows.iter().map(|row| {
            let columns = self.tenant.columns("checkpoint", row);
            let signed = SignedCheckpoint {
                checkpoint_json: columns.get(1)?,
                signature: columns.get(2)?,
                public_key: columns.get(3)?,
            };
            Ok((columns.uint(0)?, signed))
        });
        checkpoints.collect()
    }

    fn erasures(&self, range: Range) -> Result<Vec<ErasureRow>, StorageError> {
        let tenant = self.tenant;
        let [rows] = self.rows([self.in_range(ERASURES, range)])?;
        let mut erasures = Vec::with_capacity(rows.len());
        for row in &rows {
            let (answer, buried) = (tenant.erasure_row(row)?, Vec::new());
            erasures.push(ErasureRow { answer, buried });
        }
        let (Some(first), Some(last)) = (erasures.first(), erasures.last()) else {
            return Ok(erasures);
        };
        let mut of: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for row in &self.beside(TOMBSTONES, first.answer.erasure, last.answer.erasure)? {
            let columns = tenant.columns("tombstone", row);
            let place = tenant
                .tombstone_row(row)?
                .map(|buried| (buried.segment, buried.row));
            of.entry(columns.uint(1)?)
                .or_default()
                .push((columns.uint(0)?, place));
        }
        for erasure in &mut erasures {
            erasure.buried = of.remove(&erasure.answer.erasure).unwrap_or_default();
        }
        Ok(erasures)
    }
}
