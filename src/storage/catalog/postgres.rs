//! The catalog in PostgreSQL, sealed before it gets there: made, opened, and named in errors. Repairs nothing that is damaged, and keeps no segment.
//!
//! The database's administrator is trusted for keeping rows and for nothing else: what they mean is sealed or authenticated, and how many there are is counted
//! under a MAC (docs/cluster.md). What has to be forgotten for good is sealed with keys that never get there ([`EpochKeys`]).

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand;

use self::head::{Head, Identity};
use self::read::PostgresReader;
use self::sealing::EpochSeal;
use self::write::{Mode, PostgresWriter};
use super::seam::OpenCatalog;
use crate::cluster::view::Segment;
use crate::keys::cells::{CellKeys, INCARNATION_LEN};
use crate::keys::epochs::{EpochKeys, Epochs, FIRST_EPOCH};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::database::transaction::{Statement, Uncommitted, misread, statement};
use crate::storage::database::{CatalogKeys, Database};
use crate::storage::error::StorageError;

mod changes;
mod columns;
pub(in crate::storage) mod dump;
mod facts;
pub(in crate::storage) mod feed;
mod followers;
mod head;
pub(in crate::storage) mod heads;
mod loose;
mod merging;
pub(in crate::storage) mod migrate;
mod opening;
mod pieces;
mod read;
pub(in crate::storage) mod register;
pub(in crate::storage) mod relocate;
pub(in crate::storage) mod rotate;
mod rows;
mod sealing;
mod segments;
pub(in crate::storage) mod shared;
mod warming;
mod write;

/// The file with the keys of epochs, in a directory of the tenant's.
pub(in crate::storage) const EPOCHS_FILE: &str = "catalog.epochs";

/// Whose rows they are, where they are, and what seals them.
struct Owner {
    database: Database,
    id: TenantId,
    /// Its number in the database, which no other tenant ever had or gets.
    number: i64,
    cells: CellKeys,
}

/// An owner whose catalog is open: what seals pending rows and signs is there as well.
struct Tenant {
    owner: Owner,
    epochs: Arc<dyn Epochs>,
    signer: ReceiptSigner,
    /// Of its keys, by the row that it was found by.
    key_generation: u32,
    /// The most changes that its row was seen with.
    seen: AtomicU64,
    /// The last epoch that its row was seen with.
    epoch_seen: AtomicU64,
}

impl Deref for Tenant {
    type Target = Owner;

    fn deref(&self) -> &Owner {
        &self.owner
    }
}

/// Which making of a tenant a row is of. Random, so that it is also the mark of whoever makes it.
pub(in crate::storage) type Incarnation = [u8; INCARNATION_LEN];

/// Makes the catalog of a tenant that has no directory under its name yet in a database, and the keys of its epochs in the directory that is to get it; durable
/// when it returns. Until it is opened by whoever has these keys it is *in the making*: nobody else may make one of the name, nor take this one for left over.
pub(in crate::storage) fn create(
    database: &Database,
    dir: &Path,
    spec: &TenantSpec,
    keys: &CatalogKeys,
) -> Result<Incarnation, StorageError> {
    migrate::check(database)?;
    let mut incarnation = [0; INCARNATION_LEN];
    rand::fill(&mut incarnation).expect("the operating system's generator answers");
    EpochKeys::create(&dir.join(EPOCHS_FILE), &keys.data_key, incarnation)?;
    create_row(
        database,
        (spec.id.as_str().to_owned(), spec),
        &keys.secret,
        &incarnation,
    )?;
    Ok(incarnation)
}

/// Adds the row of a tenant in the making, under this name.
fn create_row(
    database: &Database,
    (name, spec): (String, &TenantSpec),
    secret: &SecretKey,
    incarnation: &Incarnation,
) -> Result<(), StorageError> {
    // One process at a time takes a number, and none is given out again.
    let numbers = statement!("SELECT last_tenant FROM cluster WHERE id = 1 FOR UPDATE");
    let (transaction, numbers) = database.begin(numbers)?;
    let there = transaction.query(statement!(
        "SELECT commits FROM tenant WHERE name = $1",
        name.clone()
    ))?;
    if let Some(there) = there.first() {
        return Err(match there.try_get::<_, i64>(0) {
            Ok(0) => StorageError::InTheMaking {
                server: database.server().to_owned(),
                tenant: spec.id.clone(),
            },
            _ => StorageError::TenantExists(spec.id.clone()),
        });
    }
    let last = numbers.first().and_then(|row| row.try_get::<_, i64>(0).ok());
    let last = last.ok_or_else(|| misread(database, "its tenants have no numbers"))?;
    let identity = Identity {
        number: last + 1,
        cells: CellKeys::new(secret, *incarnation, rows::TABLES),
    };
    let head = Head::new(spec, FIRST_EPOCH);
    let take = statement!(
        "UPDATE cluster SET last_tenant = $1 WHERE id = 1",
        identity.number
    );
    let insert = head.insert((name, &spec.id), &identity, incarnation);
    transaction
        .commit(vec![take, insert])
        .map_err(|error| match error {
            Uncommitted::Undone(error) => error,
            Uncommitted::Unknown(problem) => StorageError::Uncertain(problem),
        })
}

/// Takes back a making of this process's, unless anything was written to it. Says whether it did.
pub(in crate::storage) fn take_back(
    database: &Database,
    id: &TenantId,
    made: &Incarnation,
) -> Result<bool, StorageError> {
    // Its first change is that it is made.
    remove(
        database,
        statement!(
            "DELETE FROM tenant WHERE name = $1 AND incarnation = $2 AND commits <= 1",
            id.as_str().to_owned(),
            made.to_vec()
        ),
    )
}

/// Removes what a making of a tenant that was cut off left in a database; `false` where there is none. Whoever still makes it finds it gone, and has nothing.
/// A tenant that is made is left as it is.
pub fn give_up_making(database: &Database, id: &TenantId) -> Result<bool, StorageError> {
    migrate::check(database)?;
    let sql = "DELETE FROM tenant WHERE name = $1 AND commits = 0";
    remove(database, statement!(sql, id.as_str().to_owned()))
}

fn remove(database: &Database, delete: Statement) -> Result<bool, StorageError> {
    let (transaction, _) = database.begin(statement!("SELECT 1 FROM cluster WHERE id = 1 FOR UPDATE"))?;
    let removed = transaction.execute(delete)?;
    transaction.commit(Vec::new()).map_err(|error| match error {
        Uncommitted::Undone(error) => error,
        Uncommitted::Unknown(problem) => StorageError::Uncertain(problem),
    })?;
    Ok(removed > 0)
}

/// Opens the catalog of this tenant for one process: checks that it is this incarnation's, that its rows are as many as its row counts, and ends an epoch whose end
/// was cut off. Whoever opens one in the making has its keys, by which it is made.
pub(in crate::storage) fn open(
    database: &Database,
    dir: &Path,
    id: &TenantId,
    keys: &CatalogKeys,
    signer: ReceiptSigner,
) -> Result<OpenCatalog, StorageError> {
    migrate::check(database)?;
    let epochs = EpochKeys::open(&dir.join(EPOCHS_FILE), &keys.data_key)?;
    let tenant = Tenant::find(database, id, &keys.secret, Arc::new(epochs), signer)?;
    let (head, listed, tombstones) = tenant.take_up()?;
    if listed
        .iter()
        .any(|(_, state)| !matches!(state, Segment::Live { .. }))
    {
        return Err(StorageError::NotBuilt(
            "serving a tenant from one process, whose segments the nodes of a cluster move,",
        ));
    }
    let segments = listed.into_iter().map(|(entry, _)| entry).collect();
    let writer = tenant.writer(head, Mode::Alone)?;
    Ok(OpenCatalog {
        spec: writer.spec().clone(),
        segments,
        tombstones,
        reader: Box::new(PostgresReader::new(tenant)),
        writer: Box::new(writer),
    })
}

impl Tenant {
    /// The tenant of this name, which must be of the incarnation that these keys of epochs are of.
    fn find(
        database: &Database,
        id: &TenantId,
        secret: &SecretKey,
        epochs: Arc<dyn Epochs>,
        signer: ReceiptSigner,
    ) -> Result<Arc<Self>, StorageError> {
        Self::named(database, (id.as_str(), id), secret, epochs, signer)
    }

    /// The same where the row has another name, since it is none of a tenant that is made.
    fn named(
        database: &Database,
        (name, id): (&str, &TenantId),
        secret: &SecretKey,
        epochs: Arc<dyn Epochs>,
        signer: ReceiptSigner,
    ) -> Result<Arc<Self>, StorageError> {
        let rows = database.read(vec![head::by_name(name)])?;
        let Some(row) = rows.first().and_then(|rows| rows.first()) else {
            return Err(StorageError::TenantUnknown(id.clone()));
        };
        let (Identity { number, cells }, incarnation) = Identity::of(database, (id, row), secret)?;
        if epochs.incarnation() != incarnation {
            return Err(StorageError::Incarnation {
                path: epochs.path().to_owned(),
                tenant: id.clone(),
                server: database.server().to_owned(),
            });
        }
        let owner = Owner {
            database: database.clone(),
            id: id.clone(),
            number,
            cells,
        };
        Ok(Arc::new(Self {
            key_generation: Head::of(&owner, Some(row))?.key_generation,
            owner,
            epochs,
            signer,
            seen: AtomicU64::new(0),
            epoch_seen: AtomicU64::new(0),
        }))
    }

    /// Writes to it from a head that it was taken up with, and ends an epoch whose end was cut off.
    fn writer(self: &Arc<Self>, head: Head, mode: Mode) -> Result<PostgresWriter, StorageError> {
        self.epoch(head.epoch)?;
        self.epochs.end_before(head.epoch)?;
        Ok(PostgresWriter::new(Arc::clone(self), head, mode))
    }

    /// The most changes that its row was seen with by now. Asked before it is read again.
    fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Refuses a head of other keys than it was opened for.
    fn of_these_keys(&self, head: Head) -> Result<Head, StorageError> {
        if head.key_generation == self.key_generation {
            return Ok(head);
        }
        Err(StorageError::KeysRotated(self.id.clone()))
    }

    /// Takes a head that was read. One with fewer changes than were seen before is an older one that somebody put back.
    fn look(&self, head: Head, seen: u64) -> Result<Head, StorageError> {
        let commits = head.state.commits;
        self.seen.fetch_max(commits, Ordering::SeqCst);
        self.epoch_seen.fetch_max(head.epoch, Ordering::SeqCst);
        if seen > commits {
            let fault = format!("it ends with change {commits}, but {seen} were seen");
            return Err(self.damaged("tenant", &fault));
        }
        Ok(head)
    }
}

impl Owner {
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

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
