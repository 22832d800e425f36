//! What is done to a file of the cache by one thread while others wait: bring, check, destroy. Every such work ends with its slot in another stage and all who wait told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::MutexGuard;

use super::{Shared, Slot, Stage, State};
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::key::{ListedSegment, ObjectKey};
use crate::storage::segment::reader::SegmentReader;

/// Work under way, and, when it has ended, why it failed, for those who wait.
#[derive(Default)]
pub(super) struct Work(OnceLock<Option<StorageError>>);

/// A file that is asked for.
pub(super) struct Wanted<'a> {
    pub(super) listed: &'a ListedSegment,
    /// Bytes of the file.
    pub(super) len: u64,
}

type Guard<'a> = MutexGuard<'a, State>;

impl State {
    pub(super) fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn set(&mut self, key: &ObjectKey, stage: Stage) {
        self.slots.get_mut(key).expect("there while work is done").stage = stage;
    }

    fn remove(&mut self, key: &ObjectKey) {
        if let Some(slot) = self.slots.remove(key) {
            self.bytes -= slot.len;
        }
    }
}

impl Shared {
    /// Where a file is.
    pub(super) fn path(&self, key: &ObjectKey) -> PathBuf {
        self.dir.join(key.to_string())
    }

    /// Waits for the end of a work, and takes part in its failure.
    pub(super) fn await_work(&self, state: &mut Guard<'_>, work: &Work) -> Result<(), StorageError> {
        loop {
            match work.0.get() {
                None => self.changed.wait(state),
                Some(None) => return Ok(()),
                Some(Some(error)) => return Err(repeat(error)),
            }
        }
    }

    fn finish(&self, work: &Work, failure: Option<StorageError>) {
        let is_first = work.0.set(failure).is_ok();
        debug_assert!(is_first, "a work ends once");
        self.changed.notify_all();
    }

    /// Takes a file that is here into use, and checks it first where that was not done. One that is damaged goes, and `None` says to bring it anew.
    pub(super) fn take(
        &self,
        state: &mut Guard<'_>,
        wanted: &Wanted<'_>,
        is_checked: bool,
        work: &Arc<Work>,
    ) -> Result<Option<Arc<SegmentReader>>, StorageError> {
        state.set(&wanted.listed.key, Stage::Busy(Arc::clone(work)));
        let opened = MutexGuard::unlocked(state, || {
            let opened = self.open(wanted, is_checked);
            if matches!(opened, Err(StorageError::Damaged { .. })) {
                durable::destroy_file(&self.path(&wanted.listed.key))?;
            }
            opened
        });
        match opened {
            Ok(reader) => Ok(self.settle(state, &wanted.listed.key, reader, work)),
            Err(StorageError::Damaged { .. }) => {
                state.remove(&wanted.listed.key);
                self.finish(work, None);
                Ok(None)
            }
            Err(error) => {
                let used = state.next_use();
                state.set(
                    &wanted.listed.key,
                    Stage::Here {
                        is_checked: false,
                        used,
                    },
                );
                self.finish(work, Some(repeat(&error)));
                Err(error)
            }
        }
    }

    /// Brings a file that is not here. `None` says that something else had to be done or waited for first, and to look again.
    pub(super) fn bring(
        &self,
        state: &mut Guard<'_>,
        wanted: &Wanted<'_>,
        work: &Arc<Work>,
    ) -> Result<Option<Arc<SegmentReader>>, StorageError> {
        if state.fetches >= self.fetches_max {
            self.changed.wait(state);
            return Ok(None);
        }
        if state.bytes + wanted.len > self.bytes_max {
            self.make_room(state, wanted)?;
            return Ok(None);
        }
        let stage = Stage::Busy(Arc::clone(work));
        let slot = Slot {
            len: wanted.len,
            stage,
        };
        state.slots.insert(wanted.listed.key.clone(), slot);
        state.bytes += wanted.len;
        state.fetches += 1;
        let brought = MutexGuard::unlocked(state, || self.fetch(wanted));
        state.fetches -= 1;
        match brought {
            Ok(reader) => Ok(self.settle(state, &wanted.listed.key, reader, work)),
            Err(error) => {
                state.remove(&wanted.listed.key);
                self.finish(work, Some(repeat(&error)));
                Err(error)
            }
        }
    }

    /// Fetches, checks and maps a file. What is not what was written is destroyed.
    fn fetch(&self, wanted: &Wanted<'_>) -> Result<Arc<SegmentReader>, StorageError> {
        let path = self.path(&wanted.listed.key);
        durable::create_dir(path.parent().expect("a key has several parts"))?;
        self.store.fetch(&wanted.listed.key, wanted.len, &path)?;
        let opened = self.open(wanted, false);
        if opened.is_err() {
            durable::destroy_file(&path)?;
        }
        opened.map_err(|error| match error {
            StorageError::Damaged { fault, .. } => self.store.damaged(&wanted.listed.key.to_string(), fault),
            error => error,
        })
    }

    fn open(&self, wanted: &Wanted<'_>, is_checked: bool) -> Result<Arc<SegmentReader>, StorageError> {
        let path = self.path(&wanted.listed.key);
        let dir = path.parent().expect("a key has several parts");
        let reader = SegmentReader::open(
            dir,
            &wanted.listed.context,
            wanted.listed.key.ulid,
            wanted.listed.rows,
        )?;
        if !is_checked {
            reader.copy(|_| Ok(()))?;
        }
        Ok(Arc::new(reader))
    }

    /// Gives a file that was found authentic to who asked for it, unless it was forgotten meanwhile.
    fn settle(
        &self,
        state: &mut Guard<'_>,
        key: &ObjectKey,
        reader: Arc<SegmentReader>,
        work: &Work,
    ) -> Option<Arc<SegmentReader>> {
        let given = state.forgotten.check(key).is_ok().then(|| Arc::clone(&reader));
        let stage = if given.is_some() {
            Stage::Pinned {
                reader,
                pins: 1,
                forgotten: None,
            }
        } else {
            // Whoever forgets it waits for this, and destroys it: no map may be left.
            drop(reader);
            Stage::Here {
                is_checked: true,
                used: 0,
            }
        };
        state.set(key, stage);
        self.finish(work, None);
        given
    }

    /// Evicts a file, or waits until one can be, or says that there is no room.
    fn make_room(&self, state: &mut Guard<'_>, wanted: &Wanted<'_>) -> Result<(), StorageError> {
        let is_possible = wanted.len <= self.bytes_max;
        if is_possible && self.evict_one(state)? {
            return Ok(());
        }
        if is_possible
            && state
                .slots
                .values()
                .any(|slot| matches!(slot.stage, Stage::Busy(_)))
        {
            // It goes or comes; that ends whatever becomes of it.
            self.changed.wait(state);
            return Ok(());
        }
        Err(StorageError::Object(ObjectError::CacheFull {
            object: wanted.listed.key.to_string(),
            needed: wanted.len,
            max: self.bytes_max,
            in_use: if is_possible { state.bytes } else { 0 },
        }))
    }

    /// Destroys the file whose last use was the first to end, of those that nobody uses; `false` where there is none. Looks at all files,
    /// which takes little beside overwriting one.
    pub(super) fn evict_one(&self, state: &mut Guard<'_>) -> Result<bool, StorageError> {
        let unused = state.slots.iter().filter_map(|(key, slot)| match slot.stage {
            Stage::Here { used, .. } => Some((used, key)),
            _ => None,
        });
        let Some(key) = unused.min().map(|(_, key)| key.clone()) else {
            return Ok(false);
        };
        self.destroy(state, &key, &self.path(&key))?;
        Ok(true)
    }

    /// Destroys a file that nobody uses. One that can't be destroyed stays, counted, and is the last to be evicted.
    pub(super) fn destroy(
        &self,
        state: &mut Guard<'_>,
        key: &ObjectKey,
        path: &Path,
    ) -> Result<(), StorageError> {
        let work = Arc::<Work>::default();
        state.set(key, Stage::Busy(Arc::clone(&work)));
        let destroyed = MutexGuard::unlocked(state, || durable::destroy_file(path));
        if destroyed.is_ok() {
            state.remove(key);
        } else {
            let used = state.next_use();
            state.set(
                key,
                Stage::Here {
                    is_checked: false,
                    used,
                },
            );
        }
        self.finish(&work, None);
        destroyed
    }
}

/// The same error once more, for another who asked for the same.
fn repeat(error: &StorageError) -> StorageError {
    match error {
        StorageError::Object(error) => StorageError::Object(error.clone()),
        StorageError::Full(what) => StorageError::Full(what.clone()),
        StorageError::NewerFormat {
            path,
            found,
            supported,
        } => StorageError::NewerFormat {
            path: path.clone(),
            found: *found,
            supported: *supported,
        },
        StorageError::Io { action, path, source } => StorageError::Io {
            action,
            path: path.clone(),
            source: io::Error::new(source.kind(), source.to_string()),
        },
        other => StorageError::Io {
            action: "bring",
            path: PathBuf::new(),
            source: io::Error::other(other.to_string()),
        },
    }
}
