//! The catalog in PostgreSQL, sealed before it gets there: made, opened, and named in errors. Repairs nothing that is damaged, and keeps no segment.
//!
//! The database's administrator is trusted for keeping rows and for nothing else: what they mean is sealed or authenticated, and how many there are is counted
//! under a MAC (docs/cluster.md). What has to be forgotten for good is sealed with keys that never get there ([`EpochKeys`]).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use self::columns::clear;
use self::head::{Head, Identity};
use self::read::PostgresReader;
use self::rows::PENDING;
use self::write::PostgresWriter;
use super::seam::OpenCatalog;
use crate::keys::cells::{CellKeys, INCARNATION_LEN};
use crate::keys::epochs::{EpochKeys, FIRST_EPOCH};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::database::transaction::{Uncommitted, misread, statement};
use crate::storage::database::{CatalogKeys, Database};
use crate::storage::error::StorageError;

mod changes;
mod columns;
mod facts;
mod head;
pub(in crate::storage) mod migrate;
mod read;
mod rows;
mod segments;
mod write;

/// The file with the keys of epochs, in a directory of the tenant's.
pub(in crate::storage) const EPOCHS_FILE: &str = "catalog.epochs";

/// Whose catalog it is, where it is, and what seals and signs for it.
struct Tenant {
    database: Database,
    id: TenantId,
    /// Its number in the database.
    number: i64,
    cells: CellKeys,
    epochs: EpochKeys,
    signer: ReceiptSigner,
    /// The most changes that its row was seen with.
    seen: AtomicU64,
}

/// Makes the catalog of a tenant that has no directory under its name yet in a database, and the keys of its epochs in the directory that is to get it; durable
/// when it returns. A row that a making which was cut off left in the database gives way.
pub(in crate::storage) fn create(
    database: &Database,
    dir: &Path,
    spec: &TenantSpec,
    keys: &CatalogKeys,
) -> Result<(), StorageError> {
    migrate::check(database)?;
    let mut incarnation = [0; INCARNATION_LEN];
    rand::fill(&mut incarnation).expect("the operating system's generator answers");
    EpochKeys::create(&dir.join(EPOCHS_FILE), &keys.data_key, incarnation)?;
    // One process at a time takes a number.
    let (transaction, _) =
        database.begin(statement!("SELECT version FROM format WHERE id = 1 FOR UPDATE"))?;
    let name = spec.id.as_str().to_owned();
    // One that nothing was ever written to is of a making that was cut off: its files have no name.
    transaction.execute(statement!(
        "DELETE FROM tenant WHERE name = $1 AND commits = 0",
        name.clone()
    ))?;
    let there = transaction.query(statement!("SELECT tenant FROM tenant WHERE name = $1", name))?;
    if !there.is_empty() {
        return Err(StorageError::TenantExists(spec.id.clone()));
    }
    let next = transaction.query(statement!("SELECT coalesce(max(tenant), 0) + 1 FROM tenant"))?;
    let number = next.first().and_then(|row| row.try_get(0).ok());
    let identity = Identity {
        number: number.ok_or_else(|| misread(database, "its tenants have no numbers"))?,
        cells: CellKeys::new(&keys.secret, incarnation, rows::TABLES),
    };
    let head = Head::new(spec, FIRST_EPOCH);
    let insert = head.insert(&spec.id, &identity, &incarnation);
    transaction.commit(vec![insert]).map_err(|error| match error {
        Uncommitted::Undone(error) => error,
        Uncommitted::Unknown(problem) => StorageError::Poisoned(format!(
            "tenant {} may be there or not ({problem}); open it",
            spec.id
        )),
    })
}

/// Opens the catalog of this tenant: checks that it is this incarnation's, that its rows are as many as its row counts, and ends an epoch whose end was cut off.
pub(in crate::storage) fn open(
    database: &Database,
    dir: &Path,
    id: &TenantId,
    keys: &CatalogKeys,
    signer: ReceiptSigner,
) -> Result<OpenCatalog, StorageError> {
    migrate::check(database)?;
    let epochs = EpochKeys::open(&dir.join(EPOCHS_FILE), &keys.data_key)?;
    let rows = database.read(vec![head::by_name(id)])?;
    let Some(row) = rows.first().and_then(|rows| rows.first()) else {
        return Err(StorageError::TenantUnknown(id.clone()));
    };
    let (Identity { number, cells }, incarnation) = Identity::of(database, (id, row), &keys.secret)?;
    if epochs.incarnation() != incarnation {
        return Err(StorageError::Incarnation {
            path: epochs.path().to_owned(),
            tenant: id.clone(),
            server: database.server().to_owned(),
        });
    }
    let tenant = Arc::new(Tenant {
        database: database.clone(),
        id: id.clone(),
        number,
        cells,
        epochs,
        signer,
        seen: AtomicU64::new(0),
    });
    let mut reader = PostgresReader::new(Arc::clone(&tenant));
    let (head, segments, tombstones) = reader.all()?;
    if tenant.epochs.get(head.epoch)?.is_none() {
        return Err(StorageError::damaged(
            tenant.epochs.path(),
            format!("it lacks the key of epoch {}", head.epoch),
        ));
    }
    tenant.epochs.end_before(head.epoch)?;
    Ok(OpenCatalog {
        spec: head.spec.clone(),
        segments,
        tombstones,
        reader: Box::new(reader),
        writer: Box::new(PostgresWriter::new(tenant, head)),
    })
}

impl Tenant {
    /// What is sealed with the key of an epoch that has not ended.
    fn epoch(&self, epoch: u64) -> Result<EpochSeal, StorageError> {
        let key = self.epochs.get(epoch)?.ok_or_else(|| {
            let fault = format!("it lacks the key of epoch {epoch}, which pending rows are sealed with");
            StorageError::damaged(self.epochs.path(), fault)
        })?;
        Ok(EpochSeal::new(&key, epoch, self.epochs.incarnation()))
    }

    /// The most changes that its row was seen with by now. Asked before it is read again.
    fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Takes a head that was read. One with fewer changes than were seen before is an older one that somebody put back.
    fn look(&self, head: Head, seen: u64) -> Result<Head, StorageError> {
        let commits = head.state.commits;
        self.seen.fetch_max(commits, Ordering::SeqCst);
        if seen > commits {
            let fault = format!("it ends with change {commits}, but {seen} were seen");
            return Err(self.damaged("tenant", &fault));
        }
        Ok(head)
    }

    /// What is kept is not what was written.
    fn damaged(&self, table: &str, fault: &str) -> StorageError {
        damaged(&self.database, &self.id, table, fault)
    }
}

fn damaged(database: &Database, tenant: &TenantId, table: &str, fault: &str) -> StorageError {
    StorageError::CatalogDamaged {
        server: database.server().to_owned(),
        tenant: tenant.clone(),
        fault: format!("table {table}: {fault}"),
    }
}

/// Seals pending rows of one epoch.
struct EpochSeal {
    epoch: u64,
    cells: CellKeys,
}

impl EpochSeal {
    fn new(key: &SecretKey, epoch: u64, incarnation: [u8; INCARNATION_LEN]) -> Self {
        Self {
            epoch,
            cells: CellKeys::new(key, incarnation, [PENDING]),
        }
    }

    /// Nonce, ciphertext, tag; bound to incarnation, epoch and reference.
    fn seal(&self, reference: u64, exact: &[u8]) -> Vec<u8> {
        self.cells.seal(PENDING, clear![self.epoch, reference], exact)
    }

    /// Opens what [`EpochSeal::seal`] made; `None` for anything else.
    fn open(&self, reference: u64, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let opened = self.cells.open(PENDING, clear![self.epoch, reference], sealed);
        opened.ok()
    }
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
