//! One tenant's store: its catalog, its mapped segments and what joins them. Writes, reads and upkeep are in the files beside this one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use ulid::Ulid;

use super::catalog::postgres;
use super::catalog::seam::{ReadCatalog, WriteCatalog};
use super::catalog::segments::SegmentEntry;
use super::catalog::state::State;
use super::data_dir::{self, DataDir};
use super::database::{CatalogKeys, Database};
use super::error::StorageError;
use super::files::{SegmentFile, SegmentFiles};
use super::on_database::Engines;
use super::place::{LoadedSegment, SCALE_LEN, SegmentInfo};
use super::recover;
use super::segment::reader::SegmentReader;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::{TenantSpec, TenantStats};

/// The catalog's file in a tenant's directory.
pub(super) const CATALOG_FILE: &str = "catalog.db";
/// Its write-ahead log.
pub(super) const LOG_FILE: &str = "catalog.db-wal";

/// One tenant. Clones share everything. Calls block; any number of threads may make them.
#[derive(Clone)]
pub struct Store(pub(super) Arc<Shared>);

/// What the clones of a store share.
///
/// Locks are taken in this order: `moving`, `upkeep`, `writer`, the rest. The gallery changes under `writer` alone.
pub(super) struct Shared {
    pub(super) spec: TenantSpec,
    pub(super) files: SegmentFiles,
    pub(super) signer: ReceiptSigner,
    /// Where the catalog is, unless it is a file.
    pub(super) database: Option<Database>,
    /// Closed before the writer: the last connection to close puts the log into the catalog, which a reader can't.
    pub(super) readers: Box<dyn ReadCatalog>,
    pub(super) writer: Mutex<Box<dyn WriteCatalog>>,
    /// Segments by number.
    pub(super) gallery: ArcSwap<Gallery>,
    /// The writer's counters after its last transaction, for those who don't want to wait for it.
    pub(super) state: Mutex<State>,
    /// Whether the catalog's log is worth to be put into it, as of the last change.
    pub(super) log_is_long: AtomicBool,
    /// Flushes, purges and copies of the log go one at a time, from the first row that they read.
    pub(super) moving: Mutex<()>,
    /// Held while the list of segments moves otherwise than by an import.
    pub(super) upkeep: Mutex<Upkeep>,
    /// Files of imports that have not ended.
    pub(super) importing: Mutex<BTreeSet<Ulid>>,
}

/// The right to change a tenant's catalog once, while nobody else does.
pub struct Turn<'a> {
    pub(super) shared: &'a Shared,
    writer: MutexGuard<'a, Box<dyn WriteCatalog>>,
}

/// Segments by number.
pub(super) type Gallery = BTreeMap<u32, Arc<Live>>;

/// A segment and the rows in it that must not be found.
pub(super) struct Live {
    pub(super) entry: SegmentEntry,
    pub(super) file: SegmentFile,
    /// Tombstones. Shared with the file that replaces this one, and never shrunk while the store is open: a reader
    /// may hold the file in which the row still is.
    pub(super) dead: Arc<RwLock<BTreeSet<u32>>>,
}

/// What flushes and purges leave to the next one.
#[derive(Default)]
pub(super) struct Upkeep {
    /// Replaced segments that somebody may still read.
    pub(super) retired: Vec<Arc<Live>>,
    /// Where the next generation is being made, or could not be removed after that failed. Until it is gone nothing is purged, for it may have the rows.
    pub(super) next: Option<PathBuf>,
    /// The generation before this one, until it is destroyed.
    pub(super) former: Option<Former>,
}

/// The files of a generation that another one took the place of. Somebody may still read them.
pub(super) struct Former {
    /// Its directory now.
    pub(super) path: PathBuf,
    pub(super) store: Store,
}

impl Store {
    /// Makes a tenant: built aside and renamed, so that it is there whole or not at all.
    pub fn create(
        dir: &DataDir,
        spec: &TenantSpec,
        data_key: &SecretKey,
        signer: ReceiptSigner,
    ) -> Result<Self, StorageError> {
        build(dir, spec, |built| recover::build(built, spec, data_key))?;
        made(dir, spec, Self::open(dir, &spec.id, data_key, signer))
    }

    /// The same with its catalog in a database, and its segments in the data directory or in an object store. Where this is cut off, what is left of it in the database stays in the making
    /// until somebody [gives it up](super::database::give_up_making).
    pub fn create_on(
        engines: &Engines,
        dir: &DataDir,
        spec: &TenantSpec,
        keys: &CatalogKeys,
        signer: ReceiptSigner,
    ) -> Result<Self, StorageError> {
        let mut row = None;
        let built = build(dir, spec, |built| {
            row = Some(recover::build_on(engines, built, spec, keys)?);
            Ok(())
        });
        let opened = built.and_then(|()| Self::open_on(engines, dir, &spec.id, keys, signer));
        if let (Err(_), Some(row)) = (&opened, row)
            && matches!(postgres::take_back(&engines.database, &spec.id, &row), Ok(true))
        {
            // The directory has the only keys of the row, and goes after it. Where the row may still be there, both stay for whoever makes the tenant again, or drops it.
            let _ = dir.remove_tenant(&spec.id);
        }
        opened
    }

    /// Opens a tenant whose catalog is in a database.
    pub fn open_on(
        engines: &Engines,
        dir: &DataDir,
        id: &TenantId,
        keys: &CatalogKeys,
        signer: ReceiptSigner,
    ) -> Result<Self, StorageError> {
        recover::open_on(engines, &dir.tenant_path(id), id, keys, signer)
    }

    /// Opens a tenant: checks its key, its catalog and the header of each segment, destroys files that a crash left
    /// behind and finishes interrupted purges. Blocks of segments are checked when they are read.
    pub fn open(
        dir: &DataDir,
        id: &TenantId,
        data_key: &SecretKey,
        signer: ReceiptSigner,
    ) -> Result<Self, StorageError> {
        recover::open(&dir.tenant_path(id), id, data_key, signer)
    }

    /// The tenant's directory.
    pub(super) fn path(&self) -> &Path {
        self.0
            .files
            .dir()
            .parent()
            .expect("segments stand in the tenant's directory")
    }

    /// The tenant as it was when this was opened; [`Store::policy`] tells what its policy is since.
    pub fn spec(&self) -> &TenantSpec {
        &self.0.spec
    }

    /// Figures after the last write; resident bytes are the caller's to add.
    pub fn stats(&self) -> Result<TenantStats, StorageError> {
        let state = *self.0.state.lock();
        let gallery = self.0.gallery.load();
        Ok(TenantStats {
            subjects: state.subjects,
            references: state.references,
            pending: state.pending,
            segments: gallery.len() as u64,
            segment_bytes: gallery
                .values()
                .map(|live| self.0.files.file_len(live.entry.rows))
                .sum(),
            resident_bytes: 0,
            sequence: state.sequence,
        })
    }

    /// Erasures whose rows may still be in a file.
    pub fn erasures_pending(&self) -> usize {
        let open = self.0.state.lock().erasures_open;
        usize::try_from(open).unwrap_or(usize::MAX)
    }

    /// Whether files wait for [`Store::purge`]: those of erased persons, or of the generation before.
    pub fn needs_purge(&self) -> bool {
        self.erasures_pending() > 0 || self.0.upkeep.lock().former.is_some()
    }

    /// Whether its segments are in an object store.
    pub fn has_objects(&self) -> bool {
        self.0.files.are_objects()
    }

    /// Holds rows that were loaded and are not dead against what the catalog counts, while nobody writes. Files of several moments, put together by hand, are each
    /// authentic, and only this tells.
    pub fn check_loaded(&self, rows: u64) -> Result<(), StorageError> {
        let references = self.0.state.lock().references;
        if rows == references {
            return Ok(());
        }
        let fault =
            format!("its segments and pending rows are {rows} references; its catalog counts {references}");
        Err(StorageError::damaged(self.path(), fault))
    }

    /// Segments in gallery order.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let gallery = self.0.gallery.load();
        gallery
            .values()
            .map(|live| SegmentInfo {
                number: live.entry.number,
                rows: live.entry.rows,
            })
            .collect()
    }

    /// The codes of a segment, every block of them authenticated. An error names file, plane and block.
    pub fn load_segment(&self, number: u32) -> Result<LoadedSegment, StorageError> {
        let live = self.0.live(number, 0)?;
        let (planes, mut dead) = live.file.whole(|reader| {
            let planes = reader.codes()?;
            let dead = holes_of(reader, live.entry, &planes.scale)?;
            Ok((planes, dead))
        })?;
        dead.extend(live.dead.read().iter());
        Ok(LoadedSegment {
            planes,
            dead: dead.into_iter().collect(),
        })
    }
}

/// Builds a tenant's directory aside and gives it its name.
fn build(
    dir: &DataDir,
    spec: &TenantSpec,
    build: impl FnOnce(&Path) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    if dir.tenant_path(&spec.id).exists() {
        return Err(StorageError::TenantExists(spec.id.clone()));
    }
    let built = dir.new_tenant_path()?;
    let adopted = build(&built).and_then(|()| dir.adopt(&built, &spec.id));
    if adopted.is_err() {
        // What stays is cleared by the next start.
        let _ = data_dir::remove_tree(&built);
    }
    adopted
}

/// A tenant that was just made, or nothing of it in the directory.
fn made(
    dir: &DataDir,
    spec: &TenantSpec,
    opened: Result<Store, StorageError>,
) -> Result<Store, StorageError> {
    if opened.is_err() {
        // It is empty. Where it can't be removed now, it is there for whoever asks for it again.
        let _ = dir.remove_tenant(&spec.id);
    }
    opened
}

impl Shared {
    /// The segment that has this row.
    pub(super) fn live(&self, segment: u32, row: u32) -> Result<Arc<Live>, StorageError> {
        self.gallery
            .load()
            .get(&segment)
            .filter(|live| row < live.entry.rows)
            .cloned()
            .ok_or(StorageError::PlaceUnknown { segment, row })
    }

    /// Adds or replaces segments; the caller holds the writer.
    pub(super) fn publish(&self, segments: impl IntoIterator<Item = Arc<Live>>) {
        let mut gallery = Gallery::clone(&self.gallery.load());
        gallery.extend(segments.into_iter().map(|live| (live.entry.number, live)));
        self.gallery.store(Arc::new(gallery));
    }

    /// Maps a segment that the catalog has or is about to have.
    pub(super) fn map(
        &self,
        entry: SegmentEntry,
        dead: Arc<RwLock<BTreeSet<u32>>>,
    ) -> Result<Arc<Live>, StorageError> {
        let file = self.files.open(entry)?;
        Ok(Arc::new(Live { entry, file, dead }))
    }

    /// Waits until nobody else changes the catalog.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn {
            shared: self,
            writer: self.writer.lock(),
        }
    }

    /// The same without waiting, see [`Store::try_turn`].
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let writer = self.writer.try_lock()?;
        let turn = Turn { shared: self, writer };
        turn.writer.is_prompt().then_some(turn)
    }

    /// Changes the catalog while nobody else does.
    pub(super) fn change<T>(
        &self,
        work: impl FnOnce(&mut dyn WriteCatalog) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.turn().change(work)
    }
}

impl Turn<'_> {
    /// Changes the catalog. Segments that are published before a transaction commits are seen
    /// by readers from then on, so that a row is never in neither place; they are taken back when `work` fails, which it must not
    /// after such a transaction.
    pub(super) fn change<T>(
        mut self,
        work: impl FnOnce(&mut dyn WriteCatalog) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let shared = self.shared;
        let before = shared.gallery.load_full();
        let done = work(&mut **self.writer);
        if done.is_err() {
            shared.gallery.store(before);
        }
        *shared.state.lock() = self.writer.state();
        shared
            .log_is_long
            .store(self.writer.log_is_long(), Ordering::Relaxed);
        done
    }
}

/// The holes of a segment, which must be as many as the catalog has.
pub(super) fn holes_of(
    reader: &SegmentReader,
    entry: SegmentEntry,
    scale: &[u8],
) -> Result<BTreeSet<u32>, StorageError> {
    let holes: BTreeSet<u32> = holes(scale).collect();
    if holes.len() == entry.holes as usize {
        return Ok(holes);
    }
    let fault = format!("it has {} holes; the catalog has {}", holes.len(), entry.holes);
    Err(reader.damaged(fault))
}

/// Rows whose scale is zero.
pub(super) fn holes(scale: &[u8]) -> impl Iterator<Item = u32> {
    let rows = scale.as_chunks::<SCALE_LEN>().0;
    (0..)
        .zip(rows)
        .filter(|(_, scale)| scale.iter().all(|byte| *byte == 0))
        .map(|(row, _)| row)
}

/// A finished file that no catalog claims yet. Dropped, it is destroyed.
pub(super) struct Unclaimed<'a> {
    files: &'a SegmentFiles,
    file: Option<Ulid>,
}

impl<'a> Unclaimed<'a> {
    /// Of a file that was just finished.
    pub(super) fn new(files: &'a SegmentFiles, file: Ulid) -> Self {
        let file = Some(file);
        Self { files, file }
    }

    /// Settles what becomes of the file after the transaction that was to claim it. A commit that failed half-way
    /// may have claimed it; the next open will know.
    pub(super) fn settle<T>(mut self, claimed: Result<T, StorageError>) -> Result<T, StorageError> {
        if claimed.as_ref().err().is_none_or(StorageError::may_be_done) {
            self.file = None;
        }
        claimed
    }
}

impl Drop for Unclaimed<'_> {
    fn drop(&mut self) {
        self.files.discard(self.file);
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
