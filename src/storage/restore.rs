//! Tenants out of a backup into a directory that is no data directory yet: files, then what was erased since, then a check of all of it. Reads no journal
//! and writes no keyring; whoever calls makes the directory a data directory last.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use ulid::Ulid;

use super::archive::ArchiveReader;
use super::backup::Snapshot;
use super::catalog::page::PageSeal;
use super::catalog::state::State;
use super::catalog::{connection, local, schema, segments};
use super::error::StorageError;
use super::files::SEGMENTS_DIR;
use super::journal::entry::ErasureEntry;
use super::mark::Mark;
use super::segment::format::file_name;
use super::store::{CATALOG_FILE, Store};
use super::verify::{Verification, verify};
use super::{data_dir, durable, recover};
use crate::keys::receipt::{ReceiptSigner, SignerKeys};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;

/// Writes a segment's file from the present entry of a backup.
pub fn write_segment(
    data: &Path,
    tenant: &TenantId,
    ulid: Ulid,
    from: &mut ArchiveReader<'_>,
) -> Result<(), StorageError> {
    let dir = data_dir::tenant_path(data, tenant).join(SEGMENTS_DIR);
    durable::create_dir(&dir)?;
    write_file(&dir.join(file_name(ulid)), from)
}

/// Writes a tenant's catalog from the present entry of a backup, and its mark, and says what the catalog says of itself.
pub fn write_catalog(
    data: &Path,
    tenant: &TenantId,
    data_key: &SecretKey,
    from: &mut ArchiveReader<'_>,
) -> Result<Snapshot, StorageError> {
    let dir = data_dir::tenant_path(data, tenant);
    durable::create_dir(&dir.join(SEGMENTS_DIR))?;
    let path = dir.join(CATALOG_FILE);
    write_file(&path, from)?;
    let read = || {
        let conn = connection::open_reader(&path, &Arc::new(PageSeal::new(data_key)))?;
        schema::check(&conn, &path)?;
        let spec = local::read_spec(&conn, &path, tenant)?;
        let segments = segments::list(&conn)?.len();
        Ok(Snapshot::new(&spec, &State::load(&conn)?, segments))
    };
    let snapshot = read().map_err(|error| local::name_catalog(error, &path))?;
    Mark::create(&dir, data_key, snapshot.commits)?;
    durable::sync_dir(&dir.join(SEGMENTS_DIR))?;
    durable::sync_dir(&dir)?;
    Ok(snapshot)
}

/// Removes what was written of a tenant.
pub fn discard(data: &Path, tenant: &TenantId) -> Result<(), StorageError> {
    data_dir::remove_tree(&data_dir::tenant_path(data, tenant))
}

/// Tenants of which something was written.
pub fn written(data: &Path) -> Result<Vec<TenantId>, StorageError> {
    data_dir::written_tenants(data)
}

/// Opens a written tenant, erases who was erased since, takes their rows out of the files and verifies everything. `erasures` are those of this tenant
/// with numbers above the catalog's last, in order; where some may be missing, their numbers are passed over too. Gives how many persons the backup still had, and what was verified.
pub fn finish(
    data: &Path,
    tenant: &TenantId,
    data_key: &SecretKey,
    (signer, signers): (&ReceiptSigner, &SignerKeys),
    erasures: &[ErasureEntry],
    may_miss_erasures: bool,
) -> Result<(u64, Verification), StorageError> {
    let dir = data_dir::tenant_path(data, tenant);
    // Opening destroys the segments that the catalog does not name.
    let store = recover::open(&dir, tenant, data_key, signer.clone())?;
    let erased = store.catch_up(erasures, may_miss_erasures)?;
    store.purge()?;
    if store.erasures_pending() > 0 {
        let fault = "erased rows can't be taken out of its files";
        return Err(StorageError::damaged(&dir.join(CATALOG_FILE), fault));
    }
    drop(store);
    Ok((erased, verify(data, tenant, data_key, signers)))
}

impl Store {
    /// Does erasures again under their numbers and with their times. Counts who was erased.
    fn catch_up(&self, erasures: &[ErasureEntry], may_miss_erasures: bool) -> Result<u64, StorageError> {
        let shared = &*self.0;
        let trace = |segment, row| shared.trace_of(&[], (segment, row));
        shared.change(|catalog| catalog.catch_up(erasures, may_miss_erasures, Timestamp::now(), &trace))
    }
}

/// Writes a new file; durable when it returns, its name when the directory is.
fn write_file(path: &Path, from: &mut ArchiveReader<'_>) -> Result<(), StorageError> {
    let failed = |e| StorageError::io("write", path, e);
    let mut file = durable::create_file(path)?;
    from.pieces(|piece| file.write_all(piece).map_err(failed))?;
    file.sync_all().map_err(failed)
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
