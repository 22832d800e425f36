//! The catalog in a file of `SQLite` in a tenant's directory, with its mark: made, opened, and named in errors. Repairs nothing that is damaged.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use self::read::LocalReader;
use self::write::LocalWriter;
use super::code::to_json;
use super::connection::{self, Readers, Writer};
use super::page::PageSeal;
use super::pending::PendingSeal;
use super::seam::OpenCatalog;
use super::{schema, segments};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::mark::{MARK_FILE, Mark};
use crate::storage::store::{CATALOG_FILE, LOG_FILE};

pub(in crate::storage) mod erasure;
pub(in crate::storage) mod fill;
pub(in crate::storage) mod history;
mod next;
mod read;
pub(in crate::storage) mod relocate;
mod request;
pub(super) mod subject;
pub(super) mod tables;
mod tenant;
mod write;

/// Whose catalog it is, and what seals and signs for it.
struct Tenant {
    /// As it was when the catalog was opened; of that, nothing but the policy changes while it is open.
    spec: TenantSpec,
    signer: ReceiptSigner,
    /// Seals pending rows.
    seal: PendingSeal,
}

/// Makes the catalog of a tenant in its directory; durable when it returns, its name when the directory is.
pub(in crate::storage) fn create(
    dir: &Path,
    spec: &TenantSpec,
    data_key: &SecretKey,
) -> Result<(), StorageError> {
    let catalog = dir.join(CATALOG_FILE);
    // SQLite gives the files beside it the mode that it finds.
    durable::create_file(&catalog)?;
    let conn = connection::create_writer(&catalog, &Arc::new(PageSeal::new(data_key)))?;
    schema::create(&conn)?;
    conn.execute("INSERT INTO tenant (id, spec) VALUES (1, ?)", [to_json(spec)])?;
    conn.close().map_err(|(_, e)| e)?;
    Mark::create(dir, data_key, 0)
}

/// Opens the catalog of this tenant, one that was closed or crashed: checks key and mark, and brings its tables to this release's. What was written and not
/// fsynced is durable from then on.
pub(in crate::storage) fn open(
    dir: &Path,
    id: &TenantId,
    data_key: &SecretKey,
    signer: ReceiptSigner,
) -> Result<OpenCatalog, StorageError> {
    let catalog = dir.join(CATALOG_FILE);
    if !catalog.exists() {
        return Err(StorageError::damaged(&catalog, "the file is missing"));
    }
    // What a killed process wrote and did not fsync is recovered from the log as if it were durable; from here on it is.
    durable::sync_if_there(&dir.join(LOG_FILE))?;
    durable::sync_dir(dir)?;
    let seal = Arc::new(PageSeal::new(data_key));
    let located = |error| name_catalog(error, &catalog);
    let opened = connection::open_writer(&catalog, &seal).map_err(located);
    let (conn, (mark, marked)) = match (opened, Mark::open(dir, data_key)) {
        (Ok(conn), mark) => (conn, mark?),
        // Where nothing opens it is the key that is wrong, not both files.
        (Err(StorageError::Damaged { .. }), Err(StorageError::Damaged { .. }))
            if dir.join(MARK_FILE).exists() =>
        {
            return Err(StorageError::WrongKey(id.clone()));
        }
        (Err(error), _) => return Err(error),
    };
    let read = || {
        schema::check(&conn, &catalog)?;
        let spec = read_spec(&conn, &catalog, id)?;
        schema::migrate(&conn, id)?;
        Ok((spec, segments::list(&conn)?, segments::tombstones(&conn)?))
    };
    let (spec, segments, tombstones) = read().map_err(located)?;
    let writer = Writer::new(conn, mark, marked).map_err(located)?;
    let tenant = Arc::new(Tenant {
        spec: spec.clone(),
        signer,
        seal: PendingSeal::new(id, data_key),
    });
    let writer = LocalWriter::new(writer, catalog.clone(), Arc::clone(&seal), Arc::clone(&tenant));
    let readers = Readers::new(catalog, seal);
    Ok(OpenCatalog {
        spec,
        segments,
        tombstones,
        reader: Box::new(LocalReader::new(readers, tenant)),
        writer: Box::new(writer),
    })
}

/// The tenant, which must be this one.
pub(in crate::storage) fn read_spec(
    conn: &Connection,
    catalog: &Path,
    id: &TenantId,
) -> Result<TenantSpec, StorageError> {
    let spec = tenant::spec(conn)?;
    if spec.id != *id {
        return Err(StorageError::damaged(
            catalog,
            format!("it is the catalog of tenant {}", spec.id),
        ));
    }
    Ok(spec)
}

/// At a start the whole path helps; and what `SQLite` can't make sense of there is damage.
pub(in crate::storage) fn name_catalog(error: StorageError, catalog: &Path) -> StorageError {
    match error {
        StorageError::Damaged { path, fault } if path == Path::new(CATALOG_FILE) => {
            StorageError::damaged(catalog, fault)
        }
        StorageError::Catalog(error) if is_sense(&error) => StorageError::damaged(catalog, error.to_string()),
        other => other,
    }
}

/// Whether an error is about what was read, and not about reading.
fn is_sense(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    !matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseLocked
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure
        )
    )
}
