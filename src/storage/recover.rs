//! From a directory to a store: makes a new tenant's files, and brings back one that was closed or crashed. Repairs nothing that is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::catalog::seam::OpenCatalog;
use super::catalog::{local, postgres};
use super::database::{CatalogKeys, Database};
use super::error::StorageError;
use super::files::{self, SegmentFiles};
use super::on_database::Engines;
use super::relocate;
use super::segment::format::SegmentContext;
use super::store::{Gallery, Shared, Store, Upkeep};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;

/// Makes the files of a tenant in an empty directory.
pub(super) fn build(path: &Path, spec: &TenantSpec, data_key: &SecretKey) -> Result<(), StorageError> {
    files::build(path, None)?;
    local::create(path, spec, data_key)
}

/// Makes the files of a tenant in an empty directory but its catalog, which is made in a database. Its segments are objects where there is a store.
pub(super) fn build_on(
    engines: &Engines,
    path: &Path,
    spec: &TenantSpec,
    keys: &CatalogKeys,
) -> Result<postgres::Incarnation, StorageError> {
    files::build(path, engines.objects.as_ref())?;
    postgres::create(&engines.database, path, spec, keys)
}

/// Opens a tenant's directory, ends interrupted purges and signs for the history as far as it came.
pub(super) fn open(
    path: &Path,
    id: &TenantId,
    data_key: &SecretKey,
    signer: ReceiptSigner,
) -> Result<Store, StorageError> {
    mended(open_files(path, id, data_key, signer)?)
}

/// The same for one whose catalog is in a database.
pub(super) fn open_on(
    engines: &Engines,
    path: &Path,
    id: &TenantId,
    keys: &CatalogKeys,
    signer: ReceiptSigner,
) -> Result<Store, StorageError> {
    if !path.exists() {
        return Err(StorageError::TenantUnknown(id.clone()));
    }
    // What is missing here is told before the catalog is taken up, which ends the writes of whoever has it.
    let kept = engines.kept(path, id)?;
    let catalog = postgres::open(&engines.database, path, id, keys, signer.clone())?;
    let context = SegmentContext::new(id, catalog.spec.dimension, &keys.data_key);
    let files = SegmentFiles::new(path, context, kept);
    mended(assemble(files, signer, catalog, Some(engines.database.clone()))?)
}

fn mended(store: Store) -> Result<Store, StorageError> {
    let cleared = store.0.files.clear_beginnings();
    match cleared
        .and_then(|()| store.finish_purges())
        .and_then(|_| store.checkpoint_if_ahead())
    {
        // A full disk, or a store that is out of reach, must not keep a gallery from being searched; the next purge and the next checkpoint try again.
        Ok(()) | Err(StorageError::Full(_)) => Ok(store),
        Err(StorageError::Object(error)) if error.is_away() => Ok(store),
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
    relocate::refuse(path, id)?;
    let catalog = local::open(path, id, data_key, signer.clone())?;
    let context = SegmentContext::new(id, catalog.spec.dimension, data_key);
    let files = SegmentFiles::new(path, context, None);
    assemble(files, signer, catalog, None)
}

/// Joins a catalog with its segments.
fn assemble(
    files: SegmentFiles,
    signer: ReceiptSigner,
    catalog: OpenCatalog,
    database: Option<Database>,
) -> Result<Store, StorageError> {
    let shared = Shared {
        files,
        spec: catalog.spec,
        signer,
        database,
        readers: catalog.reader,
        state: Mutex::new(catalog.writer.state()),
        log_is_long: AtomicBool::new(false),
        writer: Mutex::new(catalog.writer),
        gallery: ArcSwap::default(),
        moving: Mutex::default(),
        upkeep: Mutex::new(Upkeep::default()),
        importing: Mutex::default(),
    };
    let mut dead: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for tombstone in catalog.tombstones {
        dead.entry(tombstone.segment).or_default().insert(tombstone.row);
    }
    let mut gallery = Gallery::new();
    for entry in catalog.segments {
        let dead = dead.remove(&entry.number).unwrap_or_default();
        gallery.insert(entry.number, shared.map(entry, Arc::new(RwLock::new(dead)))?);
    }
    shared.gallery.store(Arc::new(gallery));
    Ok(Store(Arc::new(shared)))
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
