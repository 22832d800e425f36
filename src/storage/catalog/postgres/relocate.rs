//! Rows that come from another engine into a catalog in a database, with their numbers: until the last one is there the catalog has a name that no tenant has, so that
//! nobody lists it, makes it or writes to it. Each piece is a transaction, and what came of a table says where to go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::changes::ReferenceColumns;
use super::head::{self, Head};
use super::register::{sets, uncommitted};
use super::rows::{ReferenceCell, select};
use super::segments::ADD_SEGMENT;
use super::{EpochSeal, Incarnation, Tenant, create_row};
use crate::cluster::view::Segment;
use crate::keys::encoding::to_hex;
use crate::keys::epochs::{Epochs, FIRST_EPOCH};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::{RequestId, TenantId};
use crate::model::subject::Capture;
use crate::model::tenant::TenantSpec;
use crate::model::usage::EventId;
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::rows::{Changes, Erasure};
use crate::storage::catalog::relocate::{EventRow, Piece, ReferenceRow, SubjectRow, Summary, Table};
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::catalog::tables::{NewReference, StoredRequest};
use crate::storage::database::Database;
use crate::storage::database::transaction::{Statement, Transaction, misread, statement};
use crate::storage::error::StorageError;
use crate::storage::place::Place;
use crate::storage::write::EraseAnswer;

/// The version of the list from which on the segments that came count.
const FIRST_LIST: u64 = 1;

const SUBJECTS: &str = select!(
    subject,
    "FROM subject WHERE tenant = $1 AND handle BETWEEN $2 AND $3 ORDER BY handle"
);
const LINKS: &str = select!(
    link,
    "FROM link WHERE tenant = $1 AND subject BETWEEN $2 AND $3 ORDER BY subject, kind"
);
const REFERENCES: &str = select!(
    reference,
    ", p.epoch, p.pending FROM reference r
    LEFT JOIN (SELECT reference, epoch, sealed AS pending FROM pending WHERE tenant = $1) p ON p.reference = r.id
    WHERE r.tenant = $1 AND r.id BETWEEN $2 AND $3 ORDER BY r.id"
);
const SEGMENTS: &str = select!(
    segment,
    "FROM segment WHERE tenant = $1 AND number BETWEEN $2 AND $3 ORDER BY number"
);
const EVENTS: &str = select!(
    event,
    ", told FROM usage WHERE tenant = $1 AND id BETWEEN $2 AND $3 ORDER BY id"
);
const CHECKPOINTS: &str = "SELECT event, checkpoint, signature, public_key FROM checkpoint
    WHERE tenant = $1 AND event BETWEEN $2 AND $3 ORDER BY event";
const ERASURES: &str = select!(
    erasure,
    " FROM erasure WHERE tenant = $1 AND id BETWEEN $2 AND $3 ORDER BY id"
);
const REQUESTS: &str = select!(request, "FROM request WHERE tenant = $1 AND lookup = ANY($2)");
const ADD_CHECKPOINTS: &str = "INSERT INTO checkpoint (tenant, event, checkpoint, signature, public_key)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bytea[], $5::bytea[])";

/// A tenant's catalog that is being filled.
pub(in crate::storage) struct Filling {
    tenant: Arc<Tenant>,
    /// Seals pending rows.
    epoch: EpochSeal,
}

/// The name of a catalog that is being filled. No tenant's id has a slash.
fn name(incarnation: &Incarnation) -> String {
    format!("filling/{}", to_hex(incarnation))
}

/// Begins a catalog that is to be filled. The keys of its first epoch are there.
pub(in crate::storage) fn begin(
    database: &Database,
    spec: &TenantSpec,
    secret: &SecretKey,
    incarnation: &Incarnation,
) -> Result<(), StorageError> {
    create_row(database, (name(incarnation), spec), secret, incarnation)
}

impl Filling {
    /// Goes on with one that was begun; `None` where it is not there any more, or made.
    pub(in crate::storage) fn resume(
        database: &Database,
        id: &TenantId,
        secret: &SecretKey,
        (epochs, signer): (Arc<dyn Epochs>, ReceiptSigner),
    ) -> Result<Option<Self>, StorageError> {
        let name = name(&epochs.incarnation());
        let tenant = match Tenant::named(database, (&name, id), secret, epochs, signer) {
            Err(StorageError::TenantUnknown(_)) => return Ok(None),
            found => found?,
        };
        let epoch = tenant.epoch(FIRST_EPOCH)?;
        Ok(Some(Self { tenant, epoch }))
    }

    /// The place of the last row of a table that came; 0 where none did.
    pub(in crate::storage) fn place(&self, table: Table) -> Result<u64, StorageError> {
        let sql = match table {
            Table::Subjects => "SELECT coalesce(max(handle), 0) FROM subject WHERE tenant = $1",
            Table::References => "SELECT coalesce(max(id), 0) FROM reference WHERE tenant = $1",
            Table::Segments => "SELECT coalesce(max(number), 0) FROM segment WHERE tenant = $1",
            Table::Events => "SELECT coalesce(max(id), 0) FROM usage WHERE tenant = $1",
            Table::Checkpoints => "SELECT coalesce(max(event), 0) FROM checkpoint WHERE tenant = $1",
            Table::Erasures => "SELECT coalesce(max(id), 0) FROM erasure WHERE tenant = $1",
            Table::Requests => "SELECT count(*) FROM request WHERE tenant = $1",
        };
        let tenant = &*self.tenant;
        let [rows] = self.read([statement!(sql, tenant.number)])?;
        let place = rows.first().map(|row| tenant.columns("tenant", row).uint(0));
        place.unwrap_or_else(|| Err(misread(&tenant.database, "it counts no rows")))
    }

    /// Adds the next piece of a table, whole or not at all.
    pub(in crate::storage) fn put(&self, piece: &Piece) -> Result<(), StorageError> {
        let (transaction, head) = self.lock()?;
        transaction.execute_all(self.additions(&head, piece))?;
        transaction.commit(Vec::new()).map_err(uncommitted)
    }

    /// The rows that are where those of a piece are to be.
    pub(in crate::storage) fn read_back(&self, piece: &Piece) -> Result<Piece, StorageError> {
        Ok(match piece {
            Piece::Subjects(_) => Piece::Subjects(self.subjects(piece)?),
            Piece::References(_) => Piece::References(self.references(piece)?),
            Piece::Segments(_) => Piece::Segments(self.segments(piece)?),
            Piece::Events(_) => Piece::Events(self.events(piece)?),
            Piece::Checkpoints(_) => Piece::Checkpoints(self.checkpoints(piece)?),
            Piece::Erasures(_) => Piece::Erasures(self.erasures(piece)?),
            Piece::Requests(before, rows) => Piece::Requests(*before, self.requests(rows)?),
        })
    }

    /// Refuses what [`Filling::make`] would refuse now.
    pub(in crate::storage) fn check(&self, summary: &Summary) -> Result<(), StorageError> {
        self.checked(summary).map(drop)
    }

    /// Makes the tenant: from then on it is listed by its name, with what is said of it. Rows that are not as many as that are refused, and so is a name that somebody has taken.
    pub(in crate::storage) fn make(&self, summary: &Summary) -> Result<(), StorageError> {
        let tenant = &*self.tenant;
        let (transaction, head) = self.checked(summary)?;
        let rename = "UPDATE tenant SET name = $2 WHERE tenant = $1";
        let name = tenant.id.as_str().to_owned();
        transaction
            .commit(vec![head.update(tenant), statement!(rename, tenant.number, name)])
            .map_err(uncommitted)
    }

    /// A transaction, and the head that the tenant is made with.
    fn checked(&self, summary: &Summary) -> Result<(Transaction, Head), StorageError> {
        let tenant = &*self.tenant;
        let (transaction, mut head) = self.lock()?;
        let name = tenant.id.as_str().to_owned();
        let [taken, counts] = sets(
            &tenant.database,
            transaction.query_all(vec![
                statement!("SELECT 1 FROM tenant WHERE name = $1", name),
                head::counts(tenant.number),
            ])?,
        )?;
        if !taken.is_empty() {
            return Err(StorageError::TenantExists(tenant.id.clone()));
        }
        head.spec = summary.spec.clone();
        head.state = summary.state;
        head.state.commits = head.state.commits.max(1);
        head.chain = summary.chain;
        head.segments = summary.segments;
        head.list = if summary.segments > 0 { FIRST_LIST } else { 0 };
        head.check_counts(tenant, counts.first())?;
        Ok((transaction, head))
    }

    /// Begins a transaction that nobody else fills the catalog beside.
    fn lock(&self) -> Result<(Transaction, Head), StorageError> {
        let (transaction, rows) = self.tenant.database.begin(head::lock(self.tenant.number))?;
        let head = Head::of(&self.tenant, rows.first())?;
        if head.state.commits > 0 {
            return Err(StorageError::TenantExists(self.tenant.id.clone()));
        }
        Ok((transaction, head))
    }

    fn additions(&self, head: &Head, piece: &Piece) -> Vec<Statement> {
        let tenant = &*self.tenant;
        let mut changes = Changes::default();
        match piece {
            Piece::Subjects(rows) => {
                for row in rows {
                    changes.subjects_added.push((row.handle, row.subject.clone()));
                    let links = row.links.iter().map(|link| (row.handle, link.clone()));
                    changes.links_added.extend(links);
                }
            }
            Piece::References(rows) => return self.add_references(head, rows),
            Piece::Segments(entries) => {
                let state = Segment::Live { from: FIRST_LIST };
                let add = |entry| tenant.segment_statement(ADD_SEGMENT, entry, state);
                return entries.iter().map(add).collect();
            }
            Piece::Events(rows) => {
                for row in rows {
                    match row {
                        EventRow::Whole(event) => changes.events_added.push((**event).clone()),
                        EventRow::Erased(number, left) => changes.commitments_left.push((*number, *left)),
                    }
                }
            }
            Piece::Checkpoints(rows) => {
                let signed = |row: fn(&SignedCheckpoint) -> Vec<u8>| -> Vec<Vec<u8>> {
                    rows.iter().map(|(_, signed)| row(signed)).collect()
                };
                let events: Vec<i64> = rows.iter().map(|(event, _)| int(*event)).collect();
                let texts = rows.iter().map(|(_, signed)| signed.checkpoint_json.clone());
                return vec![statement!(
                    ADD_CHECKPOINTS,
                    tenant.number,
                    events,
                    texts.collect::<Vec<String>>(),
                    signed(|signed| signed.signature.clone()),
                    signed(|signed| signed.public_key.clone()),
                )];
            }
            Piece::Erasures(rows) => {
                let closed = rows.iter().map(|answer| Erasure {
                    answer: answer.clone(),
                    is_held: false,
                });
                changes.erasures_added.extend(closed);
            }
            Piece::Requests(_, rows) => changes.requests_added.clone_from(rows),
        }
        tenant.additions(head, &changes)
    }

    fn add_references(&self, head: &Head, rows: &[ReferenceRow]) -> Vec<Statement> {
        let tenant = &*self.tenant;
        let (mut columns, mut changes) = (ReferenceColumns::default(), Changes::default());
        for ReferenceRow {
            reference: new,
            place,
            exact,
        } in rows
        {
            let cell = ReferenceCell::new(new.hand, &new.capture, new.enrolled_at);
            columns.push(tenant, [new.reference, new.subject, new.sequence], &cell, *place);
            let sealed = exact.as_ref().map(|exact| self.epoch.seal(new.reference, exact));
            changes
                .pending_added
                .extend(sealed.map(|sealed| (new.reference, sealed)));
        }
        let mut statements = vec![columns.statement(tenant)];
        statements.extend(tenant.additions(head, &changes));
        statements
    }
}

/// What is where a piece's rows are to be.
impl Filling {
    fn read<const N: usize>(&self, statements: [Statement; N]) -> Result<[Vec<Row>; N], StorageError> {
        let database = &self.tenant.database;
        sets(database, database.read(Vec::from(statements))?)
    }

    /// From the first row of a piece to its last one.
    fn between(&self, sql: &'static str, piece: &Piece) -> Statement {
        let [first, last] = [piece.first(), piece.last()].map(|at| int(at.unwrap_or_default()));
        statement!(sql, self.tenant.number, first, last)
    }

    fn subjects(&self, piece: &Piece) -> Result<Vec<SubjectRow>, StorageError> {
        let [subjects, links] = self.read([self.between(SUBJECTS, piece), self.between(LINKS, piece)])?;
        let mut of: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for row in &links {
            let (subject, link) = self.tenant.link_row(row)?;
            of.entry(subject).or_default().push(link);
        }
        let rows = subjects.iter().map(|row| {
            let (handle, subject) = self.tenant.subject_row(row)?;
            Ok(SubjectRow {
                handle,
                subject,
                links: of.remove(&handle).unwrap_or_default(),
            })
        });
        rows.collect()
    }

    fn references(&self, piece: &Piece) -> Result<Vec<ReferenceRow>, StorageError> {
        let [rows] = self.read([self.between(REFERENCES, piece)])?;
        rows.iter().map(|row| self.reference(row)).collect()
    }

    fn reference(&self, row: &Row) -> Result<ReferenceRow, StorageError> {
        let tenant = &*self.tenant;
        let columns = tenant.columns("reference", row);
        let (read, sequence) = (tenant.reference_row(row)?, columns.uint(5)?);
        let cell = read.cell;
        let exact = match (columns.uint_or_null(7)?, columns.get::<Option<&[u8]>>(8)?) {
            (Some(FIRST_EPOCH), Some(sealed)) => {
                let opened = self.epoch.open(read.id, sealed);
                Some(opened.ok_or_else(|| tenant.damaged("pending", "a row fails authentication"))?)
            }
            (None, None) => None,
            _ => return Err(tenant.damaged("pending", "a row is of another epoch")),
        };
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
            place: match read.place {
                Place::Segment { segment, row } => Some((segment, row)),
                Place::Pending { .. } => None,
            },
            exact,
        })
    }

    fn segments(&self, piece: &Piece) -> Result<Vec<SegmentEntry>, StorageError> {
        let [rows] = self.read([self.between(SEGMENTS, piece)])?;
        let entries = rows.iter().map(|row| Ok(self.tenant.segment_row(row)?.0));
        entries.collect()
    }

    fn events(&self, piece: &Piece) -> Result<Vec<EventRow>, StorageError> {
        let [rows] = self.read([self.between(EVENTS, piece)])?;
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

    fn checkpoints(&self, piece: &Piece) -> Result<Vec<(u64, SignedCheckpoint)>, StorageError> {
        let [rows] = self.read([self.between(CHECKPOINTS, piece)])?;
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

    fn erasures(&self, piece: &Piece) -> Result<Vec<EraseAnswer>, StorageError> {
        let [rows] = self.read([self.between(ERASURES, piece)])?;
        rows.iter().map(|row| self.tenant.erasure_row(row)).collect()
    }

    /// Those of these that are there, in their order. The id of one whose answer is scrubbed is known by its lookup alone.
    fn requests(
        &self,
        asked: &[(RequestId, StoredRequest)],
    ) -> Result<Vec<(RequestId, StoredRequest)>, StorageError> {
        let tenant = &*self.tenant;
        let lookups: Vec<Vec<u8>> = asked
            .iter()
            .map(|(id, _)| tenant.request_lookup(id).to_vec())
            .collect();
        let [rows] = self.read([statement!(REQUESTS, tenant.number, lookups.clone())])?;
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
}
