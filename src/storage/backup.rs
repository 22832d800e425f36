//! A snapshot of one tenant into a backup, beside a running server or without one. Holds up nothing of it but that the log is not cut while the catalog is
//! copied. Changes nothing; knows no other tenant, no keyring and no file of the backup.
//!
//! The copy of the catalog is the snapshot; segments are copied after it and never change. One that a purge replaced meanwhile is left behind, and a newer
//! copy of the catalog takes the place of the first.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::archive::{ArchiveWriter, EntryName};
use super::catalog::connection::{self, CopyTarget};
use super::catalog::local;
use super::catalog::page::PageSeal;
use super::catalog::schema;
use super::catalog::segments::{self, SegmentEntry};
use super::catalog::state::State;
use super::error::StorageError;
use super::files::SEGMENTS_DIR;
use super::segment::format::SegmentContext;
use super::segment::reader::SegmentReader;
use super::store::CATALOG_FILE;
use super::{data_dir, durable, mark, relocate};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;

/// How often a catalog is copied anew because a purge replaced segments meanwhile. Each time the segments that are left are fewer.
pub(super) const TRIES: usize = 10;
/// Begins the name of a file in the data directory that is unlinked as soon as it is open.
const COPY_PREFIX: &str = ".backup-";
/// Bytes copied at a time.
const COPY_LEN: usize = 256 << 10;

/// What a backup holds of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The tenant.
    pub tenant: TenantId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Durable transactions of its catalog.
    pub commits: u64,
    /// Number of the last change to its gallery.
    pub sequence: u64,
    /// Number of the last erasure.
    pub last_erasure: u64,
    /// Subjects enrolled.
    pub subjects: u64,
    /// References enrolled.
    pub references: u64,
    /// Segments.
    pub segments: u64,
}

impl Snapshot {
    pub(super) fn new(spec: &TenantSpec, state: &State, segments: usize) -> Self {
        Self {
            tenant: spec.id.clone(),
            created_at: spec.created_at,
            commits: state.commits,
            sequence: state.sequence,
            last_erasure: state.last_erasure,
            subjects: state.subjects,
            references: state.references,
            segments: segments as u64,
        }
    }
}

/// Writes a tenant of the data directory at `data`: its segments, then its catalog. Every page and block is authenticated on the way; damage is an error
/// that names it. `None` when the tenant was dropped meanwhile.
pub fn backup(
    data: &Path,
    tenant: &TenantId,
    data_key: &SecretKey,
    archive: &mut ArchiveWriter<'_>,
) -> Result<Option<Snapshot>, StorageError> {
    let dir = data_dir::tenant_path(data, tenant);
    let catalog = dir.join(CATALOG_FILE);
    match copy(data, tenant, data_key, archive) {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(StorageError::Full(what)) => Err(StorageError::Full(what)),
        // A drop takes the directory away first.
        Err(_) if !dir.exists() => archive.fill().map(|()| None),
        Err(error) => Err(local::name_catalog(error, &catalog)),
    }
}

fn copy(
    data: &Path,
    tenant: &TenantId,
    data_key: &SecretKey,
    archive: &mut ArchiveWriter<'_>,
) -> Result<Snapshot, StorageError> {
    let dir = data_dir::tenant_path(data, tenant);
    relocate::refuse(&dir, tenant)?;
    let path = dir.join(CATALOG_FILE);
    let seal = Arc::new(PageSeal::new(data_key));
    let conn = connection::open_reader(&path, &seal)?;
    schema::check(&conn, &path)?;
    let spec = local::read_spec(&conn, &path, tenant)?;
    let mut segments = Segments {
        tenant,
        dir: &dir.join(SEGMENTS_DIR),
        context: SegmentContext::new(tenant, spec.dimension, data_key),
        copied: BTreeSet::new(),
    };
    for _ in 0..TRIES {
        // Read before the catalog, which may go on: it is never behind its mark.
        let marked = mark::read(&dir, data_key)?;
        let copy = CatalogCopy::take(data, &conn, &seal)?;
        copy.state.check_mark(marked)?;
        let mut is_whole = true;
        for entry in &copy.segments {
            if let Err(error) = segments.copy(*entry, archive) {
                // What the catalog names at this moment was replaced by nobody.
                let is_damage = matches!(error, StorageError::Damaged { .. });
                let is_named =
                    || segments::list(&conn).map(|now| now.iter().any(|now| now.ulid == entry.ulid));
                if !is_damage || is_named()? {
                    return Err(error);
                }
                is_whole = false;
            }
        }
        if is_whole {
            copy.write(tenant, archive)?;
            return Ok(Snapshot::new(&spec, &copy.state, copy.segments.len()));
        }
    }
    Err(StorageError::Restless(tenant.clone()))
}

/// The segments of a tenant on their way into the backup.
struct Segments<'a> {
    tenant: &'a TenantId,
    dir: &'a Path,
    context: SegmentContext,
    copied: BTreeSet<Ulid>,
}

impl Segments<'_> {
    /// Copies a segment, unless it was copied before. One that turns out not to be authentic is filled up with zeros: no catalog of the backup will name it.
    fn copy(&mut self, entry: SegmentEntry, archive: &mut ArchiveWriter<'_>) -> Result<(), StorageError> {
        if self.copied.contains(&entry.ulid) {
            return Ok(());
        }
        let reader = SegmentReader::open(self.dir, &self.context, entry.ulid, entry.rows)?;
        let name = EntryName::Segment(self.tenant.clone(), entry.ulid);
        archive.begin(&name, reader.file_len())?;
        match reader.copy(|piece| archive.push(piece)) {
            Ok(()) => {
                self.copied.insert(entry.ulid);
                Ok(())
            }
            Err(error @ StorageError::Damaged { .. }) => archive.fill().and(Err(error)),
            Err(error) => Err(error),
        }
    }
}

/// A copy of a catalog as it was at one moment, in a file without a name.
pub(super) struct CatalogCopy {
    file: File,
    pub(super) state: State,
    pub(super) segments: Vec<SegmentEntry>,
}

impl CatalogCopy {
    pub(super) fn take(
        data: &Path,
        conn: &rusqlite::Connection,
        seal: &Arc<PageSeal>,
    ) -> Result<Self, StorageError> {
        let path = unnamed(data);
        let file = durable::create_file(&path)?;
        let target = CopyTarget::open(&path, seal);
        fs::remove_file(&path).map_err(|e| StorageError::io("remove", &path, e))?;
        // One moment for the copy and for what is said of it.
        let tx = conn.unchecked_transaction()?;
        let state = State::load(&tx)?;
        let segments = segments::list(&tx)?;
        target?.fill(&tx)?;
        Ok(Self {
            file,
            state,
            segments,
        })
    }

    pub(super) fn write(
        &self,
        tenant: &TenantId,
        archive: &mut ArchiveWriter<'_>,
    ) -> Result<(), StorageError> {
        let failed = |e| StorageError::io("read", Path::new("the copy of the catalog"), e);
        let len = self.file.metadata().map_err(failed)?.len();
        archive.begin(&EntryName::Catalog(tenant.clone()), len)?;
        let mut piece = vec![0; COPY_LEN];
        let mut at = 0;
        while at < len {
            let read = usize::try_from(len - at).map_or(COPY_LEN, |left| left.min(COPY_LEN));
            let piece = piece.get_mut(..read).expect("at most the piece");
            self.file.read_exact_at(piece, at).map_err(failed)?;
            archive.push(piece)?;
            at += read as u64;
        }
        Ok(())
    }
}

/// A name in the data directory for a file that loses it as soon as it is open.
pub(super) fn unnamed(data: &Path) -> PathBuf {
    data.join(format!("{COPY_PREFIX}{}", Ulid::generate()))
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
