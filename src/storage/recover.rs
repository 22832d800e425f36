//! From a directory to a store: makes a new tenant's files, and brings back one that was closed or crashed. Repairs nothing that is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::catalog::code::to_json;
use super::catalog::connection::{self, Readers, Writer};
use super::catalog::page::PageSeal;
use super::catalog::pending::PendingSeal;
use super::catalog::{schema, segments, tenant};
use super::durable;
use super::error::StorageError;
use super::mark::{MARK_FILE, Mark};
use super::segment::format::SegmentContext;
use super::store::{CATALOG_FILE, Gallery, LOG_FILE, SEGMENTS_DIR, Shared, Store, Upkeep};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;

/// Makes the files of a tenant in an empty directory.
pub(super) fn build(path: &Path, spec: &TenantSpec, data_key: &SecretKey) -> Result<(), StorageError> {
    durable::create_dir(&path.join(SEGMENTS_DIR))?;
    let catalog = path.join(CATALOG_FILE);
    // SQLite gives the files beside it the mode that it finds.
    durable::create_file(&catalog)?;
    let conn = connection::create_writer(&catalog, &Arc::new(PageSeal::new(data_key)))?;
    schema::create(&conn)?;
    conn.execute("INSERT INTO tenant (id, spec) VALUES (1, ?)", [to_json(spec)])?;
    conn.close().map_err(|(_, e)| e)?;
    Mark::create(path, data_key, 0)
}

/// Opens a tenant's directory, ends interrupted purges and signs for the history as far as it came.
pub(super) fn open(
    path: &Path,
    id: &TenantId,
    data_key: &SecretKey,
    signer: ReceiptSigner,
) -> Result<Store, StorageError> {
    let store = open_files(path, id, data_key, signer)?;
    match store.finish_purges().and_then(|_| store.checkpoint_if_ahead()) {
        // A full disk must not keep a gallery from being searched; the next purge and the next checkpoint try again.
        Ok(()) | Err(StorageError::Full(_)) => Ok(store),
        Err(error) => Err(error),
    }
}

/// Opens a tenant's directory.
pub(super) fn open_files(
    path: &Path,
    id: &TenantId,
    data_key: &SecretKey,
    signer: ReceiptSigner,
) -> Result<Store, StorageError> {
    if !path.exists() {
        return Err(StorageError::TenantUnknown(id.clone()));
    }
    let catalog = path.join(CATALOG_FILE);
    if !catalog.exists() {
        return Err(StorageError::damaged(&catalog, "the file is missing"));
    }
    // What a killed process wrote and did not fsync is recovered from the log as if it were durable; from here on it is.
    durable::sync_if_there(&path.join(LOG_FILE))?;
    durable::sync_dir(path)?;
    let located = |error| name_catalog(error, &catalog);
    let seal = Arc::new(PageSeal::new(data_key));
    let opened = connection::open_writer(&catalog, &seal).map_err(located);
    let (conn, (mark, marked)) = match (opened, Mark::open(path, data_key)) {
        (Ok(conn), mark) => (conn, mark?),
        // Where nothing opens it is the key that is wrong, not both files.
        (Err(StorageError::Damaged { .. }), Err(StorageError::Damaged { .. }))
            if path.join(MARK_FILE).exists() =>
        {
            return Err(StorageError::WrongKey(id.clone()));
        }
        (Err(error), _) => return Err(error),
    };
    schema::check(&conn, &catalog).map_err(located)?;
    let spec = read_spec(&conn, &catalog, id).map_err(located)?;
    schema::migrate(&conn, id).map_err(located)?;
    let entries = segments::list(&conn).map_err(|e| located(e.into()))?;
    let mut dead: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for tombstone in segments::tombstones(&conn).map_err(|e| located(e.into()))? {
        dead.entry(tombstone.segment).or_default().insert(tombstone.row);
    }
    let writer = Writer::new(conn, mark, marked).map_err(located)?;
    let shared = Shared {
        context: SegmentContext::new(id, spec.dimension, data_key),
        spec,
        segments_path: path.join(SEGMENTS_DIR),
        pending_seal: PendingSeal::new(id, data_key),
        signer,
        readers: Readers::new(catalog, seal),
        state: Mutex::new(writer.state()),
        writer: Mutex::new(writer),
        gallery: ArcSwap::default(),
        upkeep: Mutex::new(Upkeep::default()),
        importing: Mutex::default(),
    };
    let mut gallery = Gallery::new();
    for entry in entries {
        let dead = dead.remove(&entry.number).unwrap_or_default();
        gallery.insert(entry.number, shared.map(entry, Arc::new(RwLock::new(dead)))?);
    }
    shared.gallery.store(Arc::new(gallery));
    Ok(Store(Arc::new(shared)))
}

/// The tenant, which must be this one.
pub(super) fn read_spec(
    conn: &rusqlite::Connection,
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
pub(super) fn name_catalog(error: StorageError, catalog: &Path) -> StorageError {
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

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
