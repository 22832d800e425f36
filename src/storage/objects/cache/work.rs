//! What is done to a file of the cache by one thread while others wait: bring, check, destroy. Every such work ends with its slot in another stage and all who wait told,
//! also one that panics.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::MutexGuard;

use super::{Shared, Slot, Stage, Standing, State, leftovers};
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::key::{ListedSegment, ObjectKey};
use crate::storage::objects::remote::READS;
use crate::storage::segment::reader::SegmentReader;

/// Work under way, and, when it has ended, why it failed, for those who wait.
pub(super) struct Work {
    /// Whether it brings the file from the store.
    is_fetch: bool,
    failure: OnceLock<Option<StorageError>>,
}

/// Work that panicked: dropped by nothing else.
struct Broken<'a> {
    shared: &'a Shared,
    key: &'a ObjectKey,
    work: &'a Work,
}

/// A file that is asked for.
pub(super) struct Wanted<'a> {
    pub(super) listed: &'a ListedSegment,
    /// Bytes of the file.
    pub(super) len: u64,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

impl State {
    pub(super) fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Begins work on a file, of so many bytes where it is not here.
    pub(super) fn begin(&mut self, key: &ObjectKey, len: u64, is_fetch: bool) -> Arc<Work> {
        let work = Arc::new(Work {
            is_fetch,
            failure: OnceLock::new(),
        });
        let stage = Stage::Busy(Arc::clone(&work));
        if let Some(slot) = self.slots.get_mut(key) {
            slot.stage = stage;
        } else {
            self.slots.insert(key.clone(), Slot { len, stage });
            self.bytes += len;
        }
        self.fetches += usize::from(is_fetch);
        work
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

    /// A name that no start takes up.
    fn doomed_path(&self, key: &ObjectKey) -> PathBuf {
        self.path(key).with_extension(leftovers::FORGOTTEN_EXTENSION)
    }

    /// All names under which there may be bytes of it.
    fn names(&self, key: &ObjectKey) -> [PathBuf; 3] {
        let path = self.path(key);
        [durable::beginning(&path), self.doomed_path(key), path]
    }

    pub(super) fn destroy_names(&self, key: &ObjectKey) -> Result<(), StorageError> {
        // One that fails keeps nobody from the others.
        let destroyed = self.names(key).map(|name| durable::destroy_file(&name));
        destroyed.into_iter().collect()
    }

    /// Gives a file that is forgotten a name that no start takes up. One that has it, or is gone, is well.
    pub(super) fn doom(&self, key: &ObjectKey) -> Result<(), StorageError> {
        match durable::rename(&self.path(key), &self.doomed_path(key)) {
            Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    /// Whether no byte of it is in the directory. Where nobody can look, there may be some.
    pub(super) fn is_clear(&self, key: &ObjectKey) -> bool {
        self.names(key).iter().all(|name| {
            let found = name.symlink_metadata();
            found.is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        })
    }

    /// The stage of a file that was to be destroyed: none where it is. Else it counts on, and is the last to be evicted.
    pub(super) fn remains(&self, state: &mut State, key: &ObjectKey, standing: Standing) -> Option<Stage> {
        (!self.is_clear(key)).then(|| Stage::Here {
            standing,
            used: state.next_use(),
        })
    }

    /// Waits for the end of a work, and takes part in its failure.
    pub(super) fn await_work(&self, state: &mut Guard<'_>, work: &Work) -> Result<(), StorageError> {
        loop {
            match work.failure.get() {
                None => self.changed.wait(state),
                Some(None) => return Ok(()),
                Some(Some(error)) => return Err(repeat(error)),
            }
        }
    }

    /// Does what takes long, without the lock.
    pub(super) fn apart<T>(
        &self,
        state: &mut Guard<'_>,
        key: &ObjectKey,
        work: &Work,
        job: impl FnOnce() -> T,
    ) -> T {
        MutexGuard::unlocked(state, || {
            let broken = Broken {
                shared: self,
                key,
                work,
            };
            let done = job();
            mem::forget(broken);
            done
        })
    }

    /// Ends a work: what stage its file has now, if it is there, and why it failed, for those who wait.
    pub(super) fn end(
        &self,
        state: &mut State,
        key: &ObjectKey,
        work: &Work,
        stage: Option<Stage>,
        failure: Option<StorageError>,
    ) {
        match stage {
            Some(stage) => state.set(key, stage),
            None => state.remove(key),
        }
        state.fetches -= usize::from(work.is_fetch);
        let is_first = work.failure.set(failure).is_ok();
        debug_assert!(is_first, "a work ends once");
        self.changed.notify_all();
    }

    /// Takes a file that is here into use, and checks it first where that was not done. One that is damaged goes, and `None` says to bring it anew.
    pub(super) fn take(
        &self,
        state: &mut Guard<'_>,
        wanted: &Wanted<'_>,
        standing: Standing,
    ) -> Result<Option<Arc<SegmentReader>>, StorageError> {
        let key = &wanted.listed.key;
        let work = state.begin(key, wanted.len, false);
        let opened = self.apart(state, key, &work, || match self.open(wanted, standing) {
            Err(StorageError::Damaged { .. }) => self.destroy_names(key).map(|()| None),
            opened => opened.map(Some),
        });
        self.settle(state, key, &work, opened)
    }

    /// Brings a file that is not here. `None` says that something else had to be done or waited for first, and to look again.
    pub(super) fn bring(
        &self,
        state: &mut Guard<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Arc<SegmentReader>>, StorageError> {
        if state.fetches >= self.fetches_max {
            self.changed.wait(state);
            return Ok(None);
        }
        if state.bytes + wanted.len > self.bytes_max {
            self.make_room(state, wanted)?;
            return Ok(None);
        }
        let key = &wanted.listed.key;
        let work = state.begin(key, wanted.len, true);
        let brought = self.apart(state, key, &work, || self.fetch(wanted).map(Some));
        self.settle(state, key, &work, brought)
    }

    /// Fetches, checks and maps a file. What is not what was written is destroyed, and fetched again before its object is called damaged.
    fn fetch(&self, wanted: &Wanted<'_>) -> Result<Arc<SegmentReader>, StorageError> {
        let path = self.path(&wanted.listed.key);
        durable::create_dir(path.parent().expect("a key has several parts"))?;
        let mut read = 0;
        loop {
            read += 1;
            self.store.fetch(&wanted.listed.key, wanted.len, &path)?;
            let opened = self.open(wanted, Standing::Unchecked);
            if opened.is_err() {
                self.destroy_names(&wanted.listed.key)?;
            }
            match opened {
                Err(StorageError::Damaged { fault, .. }) => {
                    let error = self.store.damaged(&wanted.listed.key.to_string(), fault);
                    if read == READS {
                        return Err(error);
                    }
                    tracing::warn!(%error, read, "it is fetched again");
                }
                opened => return opened,
            }
        }
    }

    pub(super) fn open(
        &self,
        wanted: &Wanted<'_>,
        standing: Standing,
    ) -> Result<Arc<SegmentReader>, StorageError> {
        let path = self.path(&wanted.listed.key);
        let dir = path.parent().expect("a key has several parts");
        let reader = SegmentReader::open(
            dir,
            &wanted.listed.context,
            wanted.listed.key.ulid,
            wanted.listed.rows,
        )?;
        if standing != Standing::Checked {
            reader.copy(|_| Ok(()))?;
        }
        Ok(Arc::new(reader))
    }

    /// Ends a work by which somebody asked for a file: gives it to them where it was found authentic, unless it was forgotten meanwhile.
    fn settle(
        &self,
        state: &mut Guard<'_>,
        key: &ObjectKey,
        work: &Work,
        done: Result<Option<Arc<SegmentReader>>, StorageError>,
    ) -> Result<Option<Arc<SegmentReader>>, StorageError> {
        let (stage, given) = match done {
            Ok(Some(reader)) if state.forgotten.check(key).is_ok() => {
                let stage = Stage::Pinned {
                    reader: Arc::clone(&reader),
                    pins: 1,
                    standing: Standing::Checked,
                };
                (Some(stage), Ok(Some(reader)))
            }
            // It was damaged and is destroyed, or whoever forgets it waits for this and destroys it: no map may be left.
            Ok(reader) => {
                drop(reader);
                (self.remains(state, key, Standing::Unchecked), Ok(None))
            }
            Err(error) => (self.remains(state, key, Standing::Unchecked), Err(error)),
        };
        self.end(state, key, work, stage, given.as_ref().err().map(repeat));
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
        self.destroy(state, &key)?;
        Ok(true)
    }

    /// Destroys a file that is here and nobody uses. What can't be destroyed stays, counted.
    pub(super) fn destroy(&self, state: &mut Guard<'_>, key: &ObjectKey) -> Result<(), StorageError> {
        let standing = match state.slots.get(key).map(|slot| &slot.stage) {
            Some(Stage::Here {
                standing: Standing::Doomed,
                ..
            }) => Standing::Doomed,
            // Some of it may be overwritten.
            _ => Standing::Unchecked,
        };
        let work = state.begin(key, 0, false);
        let destroyed = self.apart(state, key, &work, || {
            if standing == Standing::Doomed {
                // Counts only where it can't be destroyed, which is told.
                let _ = self.doom(key);
            }
            self.destroy_names(key)
        });
        let stage = self.remains(state, key, standing);
        self.end(state, key, &work, stage, None);
        destroyed
    }
}

impl Drop for Broken<'_> {
    /// Without the lock, since the work was done without. The job's maps are gone by now.
    fn drop(&mut self) {
        // What can't be destroyed stays, counted.
        let _ = self.shared.destroy_names(self.key);
        let mut state = self.shared.state.lock();
        let stage = self.shared.remains(&mut state, self.key, Standing::Unchecked);
        let failure = StorageError::Object(ObjectError::BrokenOff {
            object: self.key.to_string(),
        });
        self.shared
            .end(&mut state, self.key, self.work, stage, Some(failure));
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

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
