//! Rotation of a tenant's keys: the next generation of its files is built beside the present one and takes its place in one step. Makes and keeps no key.
//!
//! Segments keep their numbers, rows theirs, and nothing else in the catalog changes, so that what is resident of the
//! tenant stays as it is. Rows with tombstones become holes on the way, as a purge would make them. Where the rotation of
//! the signatures changes, rows are converted on the way, and the catalog says by what they are protected from then on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ulid::Ulid;

use super::catalog::seam::{NextGeneration, WriteCatalog};
use super::catalog::segments::Tombstone;
use super::data_dir::{self, DataDir};
use super::durable;
use super::error::StorageError;
use super::files::SEGMENTS_DIR;
use super::mark;
use super::place::RowPlanes;
use super::purge;
use super::recover;
use super::segment::format::SegmentContext;
use super::segment::writer::{SegmentWriter, WrittenSegment};
use super::store::{Former, Store};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TransformId;

/// Whether the files of a tenant of the data directory at `data` are sealed with this key.
pub fn is_sealed_with(data: &Path, tenant: &TenantId, data_key: &SecretKey) -> bool {
    mark::read(&data_dir::tenant_path(data, tenant), data_key).is_ok()
}

/// What becomes of the rows in the next generation. Rows lie one after the other, as [`super::place::SegmentRows`] has them.
pub trait Convert: Send + Sync {
    /// By what they are protected then.
    fn transform(&self) -> &TransformId;
    /// Converts half-precision coordinates in place; rows of zeros are holes and stay.
    fn exact(&self, exact: &mut [u8]);
    /// The codes of converted rows; those of holes are not looked at.
    fn planes(&self, exact: &[u8]) -> RowPlanes;
}

/// A next generation in the making. Dropped before its end it leaves nothing behind.
pub struct Rotation {
    store: Store,
    path: PathBuf,
    data_key: SecretKey,
    convert: Option<Arc<dyn Convert>>,
    /// By segment number.
    copied: BTreeMap<u32, Copied>,
    /// What stands at `path` is this next generation for certain, also after a loss of power.
    is_own: bool,
}

/// A segment that the next generation has.
pub(super) struct Copied {
    /// The file that it was copied from.
    from: Ulid,
    /// The file that has it there.
    pub(super) written: WrittenSegment,
    /// Tombstones that are holes there.
    pub(super) gone: Vec<Tombstone>,
}

impl Store {
    /// Begins the next generation, sealed with another data key, its rows converted where that is asked for. One at a
    /// time; nothing is purged until it is ended. It takes as much room on the disk as the tenant does.
    pub fn begin_rotation(
        &self,
        dir: &DataDir,
        data_key: &SecretKey,
        convert: Option<Arc<dyn Convert>>,
    ) -> Result<Rotation, StorageError> {
        let refused = |problem| StorageError::Rotation {
            tenant: self.0.spec.id.clone(),
            problem,
        };
        if self.0.files.are_objects() {
            return Err(StorageError::NotBuilt("the rotation of a tenant's keys"));
        }
        let mut upkeep = self.0.upkeep.lock();
        self.0.writer.lock().check()?;
        if !purge::release_former(&mut upkeep.former)? {
            return Err(refused("the generation before is still read; try again later"));
        }
        if upkeep.next.as_ref().is_some_and(|next| next.exists()) {
            return Err(refused(
                "another next generation is there; restart the server if no rotation is under way",
            ));
        }
        let path = dir.next_tenant_path()?;
        upkeep.next = Some(path.clone());
        drop(upkeep);
        let rotation = Rotation {
            store: self.clone(),
            path,
            data_key: data_key.clone(),
            convert,
            copied: BTreeMap::new(),
            is_own: true,
        };
        durable::create_dir(&rotation.segments_path())?;
        // Where the file system can't exchange directories it is told before the work.
        let probe = rotation.path.join("probe");
        durable::create_dir(&probe)?;
        durable::exchange(&probe, &rotation.segments_path())
            .map_err(|_| refused("the file system can't exchange two directories in one step"))?;
        durable::destroy_tree(&probe)?;
        Ok(rotation)
    }
}

impl Rotation {
    /// Whether rows are converted.
    pub fn converts(&self) -> bool {
        self.convert.is_some()
    }

    /// The key that the next generation is sealed with.
    pub fn data_key(&self) -> &SecretKey {
        &self.data_key
    }

    /// Copies one of the segments that are not copied yet, beside reads and writes, which wait for nothing; `false` when
    /// there was none. What is left is done by [`Rotation::finish`].
    pub fn copy_segment(&mut self) -> Result<bool, StorageError> {
        let shared = Arc::clone(&self.store.0);
        let context = SegmentContext::new(&shared.spec.id, shared.spec.dimension, &self.data_key);
        let gallery = shared.gallery.load_full();
        for (number, live) in gallery.iter() {
            if let Some(copied) = self.copied.get(number) {
                if copied.from == live.entry.ulid {
                    continue;
                }
                durable::destroy_file(&copied.written.path)?;
            }
            let mut gone = shared.readers.tombstones()?;
            gone.retain(|tombstone| tombstone.segment == *number);
            let file = live.file.whole(|reader| {
                let file = SegmentWriter::create(&self.segments_path(), &context, live.entry.rows)?;
                purge::copy_without(reader, &gone, self.convert.as_deref(), file)
            })?;
            let written = file.finish()?;
            let from = live.entry.ulid;
            self.copied.insert(*number, Copied { from, written, gone });
            return Ok(true);
        }
        Ok(false)
    }

    /// Copies what is left while no write goes on, lets `prepare` see the next generation, and exchanges the two. The store
    /// that it returns is the tenant's from then on: the former refuses writes and answers reads as it was, and its files
    /// are destroyed by the first [`Store::purge`] after its last reader is gone. On an error, also one of `prepare`, the
    /// former is as before, or refuses writes until the server is restarted where it can't be told which generation the
    /// disk has.
    pub fn finish<T, E: From<StorageError>>(
        mut self,
        prepare: impl FnOnce(&Store) -> Result<T, E>,
    ) -> Result<(Store, T), E> {
        let former = self.store.clone();
        let upkeep = former.0.upkeep.lock();
        let mut writer = former.0.writer.lock();
        writer.check()?;
        // Whatever would keep it from being opened and loaded shows while there is a way back.
        let prepared = prepare(&self.complete(&**writer)?)?;
        // Readers of the former one find its files by what they have open.
        former.0.readers.hold_open()?;
        self.is_own = false;
        match self.take_place() {
            Ok(store) => {
                writer.poison("the tenant's keys were rotated");
                drop((writer, upkeep));
                store.0.upkeep.lock().former = Some(Former {
                    path: self.path.clone(),
                    store: former,
                });
                Ok((store, prepared))
            }
            Err((error, was_exchanged)) => {
                let back = if was_exchanged { self.exchange() } else { Ok(()) };
                self.is_own = back.is_ok();
                if let Err(back) = back {
                    writer.poison(&format!(
                        "the generations of its keys can't be told apart: {back}"
                    ));
                }
                Err(error.into())
            }
        }
    }

    /// Makes the next generation whole and durable under its own name, and opens it there.
    fn complete(&mut self, catalog: &dyn WriteCatalog) -> Result<Store, StorageError> {
        while self.copy_segment()? {}
        catalog.copy_to(&self.next())?;
        durable::sync_dir(&self.path)?;
        self.open(&self.path)
    }

    fn next(&self) -> NextGeneration<'_> {
        NextGeneration {
            path: &self.path,
            data_key: &self.data_key,
            segments: &self.copied,
            convert: self.convert.as_deref(),
        }
    }

    /// Gives the next generation the tenant's name and opens it there; an error says whether the names are exchanged.
    fn take_place(&self) -> Result<Store, (StorageError, bool)> {
        durable::exchange(&self.path, self.store.path()).map_err(|error| (error, false))?;
        durable::sync_parent(&self.path)
            .and_then(|()| self.open(self.store.path()))
            .map_err(|error| (error, true))
    }

    fn exchange(&self) -> Result<(), StorageError> {
        durable::exchange(&self.path, self.store.path())?;
        durable::sync_parent(&self.path)
    }

    fn open(&self, path: &Path) -> Result<Store, StorageError> {
        let shared = &self.store.0;
        recover::open_files(path, &shared.spec.id, &self.data_key, shared.signer.clone())
    }

    fn segments_path(&self) -> PathBuf {
        self.path.join(SEGMENTS_DIR)
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        if !self.is_own {
            return;
        }
        match durable::destroy_tree(&self.path) {
            Ok(()) => self.store.0.upkeep.lock().next = None,
            Err(error) => {
                tracing::warn!(tenant = %self.store.0.spec.id, %error, "a next generation is left for the next start, which comes before the next purge");
            }
        }
    }
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
