//! Rows that come from another engine into a catalog in a database, with their numbers: until the last one is there the catalog has a name that no tenant has, so that
//! nobody lists it, makes it or writes to it. Each piece is a transaction, and what came of a table says where to go on.

use std::sync::Arc;

use tokio_postgres::Row;

use super::changes::ReferenceColumns;
use super::head::{self, Head};
use super::pieces::Pieces;
use super::register::{sets, uncommitted};
use super::rows::ReferenceCell;
use super::segments::ADD_SEGMENT;
use super::{EpochSeal, Incarnation, Tenant, create_row};
use crate::cluster::view::Segment;
use crate::keys::encoding::to_hex;
use crate::keys::epochs::{Epochs, FIRST_EPOCH};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::rows::{Changes, Erasure};
use crate::storage::catalog::relocate::{EventRow, Piece, ReferenceRow, Summary, Table};
use crate::storage::database::Database;
use crate::storage::database::transaction::{Statement, Transaction, misread, statement};
use crate::storage::error::StorageError;

/// The version of the list from which on the segments that came count.
const FIRST_LIST: u64 = 1;

const ADD_CHECKPOINTS: &str = "INSERT INTO checkpoint (tenant, event, checkpoint, signature, public_key)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bytea[], $5::bytea[])";

/// As many rows as there are in a range.
const ALL: u64 = i64::MAX.cast_unsigned();

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
        let database = &self.tenant.database;
        let read = |statements| database.read(statements);
        let pieces = Pieces::new(&self.tenant, &read);
        if let Piece::Requests(before, rows) = piece {
            return Ok(Piece::Requests(*before, pieces.requests_of(rows)?));
        }
        let [first, last] = [piece.first(), piece.last()].map(Option::unwrap_or_default);
        pieces.between(piece.table(), (first, last), ALL)
    }

    fn read<const N: usize>(&self, statements: [Statement; N]) -> Result<[Vec<Row>; N], StorageError> {
        let database = &self.tenant.database;
        sets(database, database.read(Vec::from(statements))?)
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
                let closed = rows.iter().map(|row| Erasure {
                    answer: row.answer.clone(),
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
