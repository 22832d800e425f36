//! Sealed files of an object store in a local directory, up to a limit. A file is authenticated from its first to its last byte before it is first used,
//! and each block again whenever it is read. Nothing here is needed: what goes is fetched again.
//!
//! A file is at most once here, and at most one thread brings, checks or destroys it. Its bytes count from before they come until after they are
//! destroyed, so that the directory never holds more than its limit.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::ObjectStore;
use super::error::ObjectError;
use super::key::{ListedSegment, ObjectKey};
use super::remote;
use crate::storage::data_dir;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::place::StoredRow;
use crate::storage::segment::reader::SegmentReader;

mod adopt;
mod leftovers;
mod pin;
mod work;

pub use pin::Pin;
use work::{Wanted, Work};

/// Keys that were forgotten and are still refused. Those before them were deleted from the store long ago.
const FORGOTTEN_MAX: usize = 1 << 20;

/// A directory of sealed files. Clones share everything.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    store: ObjectStore,
    dir: PathBuf,
    bytes_max: u64,
    fetches_max: usize,
    state: Mutex<State>,
    /// Signalled whenever a slot, the bytes or the number of fetches changed.
    changed: Condvar,
    /// The directory is this process's alone.
    _lock: File,
}

#[derive(Default)]
struct State {
    slots: HashMap<ObjectKey, Slot>,
    /// Of all slots.
    bytes: u64,
    fetches: usize,
    /// Rises with each use: who was used last is known without a clock.
    uses: u64,
    forgotten: Forgotten,
}

/// A file that is here, comes or goes.
struct Slot {
    len: u64,
    stage: Stage,
}

enum Stage {
    /// A thread brings and checks it, or destroys it.
    Busy(Arc<Work>),
    /// It is here.
    Here {
        standing: Standing,
        /// The use of it that was the last to end.
        used: u64,
    },
    /// Somebody reads it.
    Pinned {
        /// The map of all who read it.
        reader: Arc<SegmentReader>,
        /// How many do.
        pins: usize,
        /// What it has as soon as nobody does.
        standing: Standing,
    },
}

/// What may be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// All of it was found authentic since the cache was opened, and nothing else since.
    Checked,
    /// It is checked before its next use.
    Unchecked,
    /// It was forgotten, and is given to nobody. It has a name that no start takes up, unless that could not be given, which was told.
    Doomed,
}

/// The last keys that were forgotten.
#[derive(Default)]
struct Forgotten {
    keys: HashSet<ObjectKey>,
    order: VecDeque<ObjectKey>,
}

/// How full a cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// Files, those that come or go included.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes.
    pub bytes_max: u64,
    /// Files that are read now.
    pub pinned: usize,
    /// Files that are being fetched now.
    pub fetches: usize,
}

/// A segment, wherever it can be read from now.
pub struct Source(Held);

enum Held {
    /// Its file is here.
    Here(Pin),
    /// It is in the store alone.
    Remote(Box<SegmentReader>),
}

impl Cache {
    /// Opens a cache in a directory of its own, which no other process may have open: what is there is taken up unchecked, the last written as the last used, as
    /// far as the limit goes. Everything else in it is destroyed: files of other names or lengths than segments have, halves that a crash left, what was forgotten while
    /// somebody read it. `fetches_max` files at once are brought from the store.
    pub fn open(
        store: &ObjectStore,
        dir: impl Into<PathBuf>,
        bytes_max: u64,
        fetches_max: usize,
    ) -> Result<Self, StorageError> {
        let dir = dir.into();
        durable::create_dir(&dir)?;
        let lock = data_dir::lock(&dir)?;
        let found = leftovers::take_up(&dir)?;
        let mut state = State::default();
        for (key, len) in found {
            state.uses += 1;
            state.bytes += len;
            let stage = Stage::Here {
                standing: Standing::Unchecked,
                used: state.uses,
            };
            state.slots.insert(key, Slot { len, stage });
        }
        let cache = Self(Arc::new(Shared {
            store: store.clone(),
            dir,
            bytes_max,
            fetches_max: fetches_max.max(1),
            state: Mutex::new(state),
            changed: Condvar::new(),
            _lock: lock,
        }));
        {
            let mut state = cache.0.state.lock();
            while state.bytes > bytes_max {
                cache.0.evict_one(&mut state)?;
            }
        }
        Ok(cache)
    }

    /// The file of a segment that the catalog lists with so many rows, here and authentic. It stays as long as somebody has the pin or a clone of it.
    /// Where it has to be fetched first, all who ask for it wait for the one who does, and share what comes of it.
    ///
    /// A file that can't have room because it is larger than the limit, or all others are in use, is refused ([`ObjectError::CacheFull`]): its rows are there through [`Cache::source`].
    pub fn get(&self, listed: &ListedSegment) -> Result<Pin, StorageError> {
        let (key, rows) = (&listed.key, listed.rows);
        let len = listed.blocks().layout().file_len();
        let mut state = self.0.state.lock();
        loop {
            state.forgotten.check(key)?;
            let standing = match state.slots.get_mut(key).map(|slot| &mut slot.stage) {
                Some(Stage::Busy(work)) => {
                    let work = Arc::clone(work);
                    self.0.await_work(&mut state, &work)?;
                    continue;
                }
                Some(
                    Stage::Here {
                        standing: Standing::Doomed,
                        ..
                    }
                    | Stage::Pinned {
                        standing: Standing::Doomed,
                        ..
                    },
                ) => return Err(forgotten(key)),
                Some(Stage::Pinned { reader, pins, .. }) => {
                    if reader.rows() != rows {
                        let fault = format!("it has {} rows; the catalog has {rows}", reader.rows());
                        return Err(self.0.store.damaged(&key.to_string(), fault));
                    }
                    *pins += 1;
                    return Ok(Pin::new(self, key, Arc::clone(reader)));
                }
                Some(Stage::Here { standing, .. }) => Some(*standing),
                None => None,
            };
            let wanted = Wanted { listed, len };
            let outcome = match standing {
                Some(standing) => self.0.take(&mut state, &wanted, standing),
                None => self.0.bring(&mut state, &wanted),
            };
            if let Some(reader) = outcome? {
                return Ok(Pin::new(self, key, reader));
            }
        }
    }

    /// The segment from wherever it can be read without bringing all of it: its file where that is here and in use or checked, else single blocks out of the store.
    pub fn source(&self, listed: &ListedSegment) -> Result<Source, StorageError> {
        let is_ready = {
            let state = self.0.state.lock();
            state.forgotten.check(&listed.key)?;
            let stage = state.slots.get(&listed.key).map(|slot| &slot.stage);
            stage.is_some_and(Stage::is_trusted)
        };
        if is_ready {
            // Should it go in between, it is fetched, which is as right and no more than slow, or read from the store where nothing has room.
            self.whole(listed)
        } else {
            remote::open(&self.0.store, listed).map(Source::remote)
        }
    }

    /// The segment for whoever reads much of it: its file, which is brought here where there is room, else the object itself.
    pub(in crate::storage) fn whole(&self, listed: &ListedSegment) -> Result<Source, StorageError> {
        match self.get(listed) {
            Err(StorageError::Object(ObjectError::CacheFull { .. })) => {
                remote::open(&self.0.store, listed).map(Source::remote)
            }
            pin => pin.map(Source::here),
        }
    }

    /// Forgets a key for good, as an erasure demands once the catalog lists another file in its place: nobody who asks from now on gets it, and its bytes are destroyed, at once or
    /// when the last pin goes. When this returns well, no start of the cache serves it again, also after a crash.
    ///
    /// What can't be destroyed stays, given to nobody and counted; to forget it again, or to need its room, is to try again. [`Cache::is_gone`] says what came of it.
    pub fn forget(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.0.state.lock().forgotten.add(key);
        self.let_go(key)
    }

    /// Destroys the file of a key that is here, at once or when the last pin goes. Until it is gone nobody is given it; after that it may be fetched again, unless it is forgotten.
    pub(in crate::storage) fn let_go(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let mut state = self.0.state.lock();
        loop {
            match state.slots.get_mut(key).map(|slot| &mut slot.stage) {
                None => return Ok(()),
                Some(Stage::Busy(work)) => {
                    let work = Arc::clone(work);
                    // How that ended is for those who asked for it.
                    let _ = self.0.await_work(&mut state, &work);
                }
                Some(Stage::Here { standing, .. }) => {
                    *standing = Standing::Doomed;
                    return self.0.destroy(&mut state, key);
                }
                Some(Stage::Pinned { standing, .. }) => {
                    *standing = Standing::Doomed;
                    return self.0.doom(key);
                }
            }
        }
    }

    /// Whether no byte of the file with this key is in the directory. That stays so where the key is forgotten. Where nobody can look there, it is not so.
    pub fn is_gone(&self, key: &ObjectKey) -> bool {
        let state = self.0.state.lock();
        !state.slots.contains_key(key) && self.0.is_clear(key)
    }

    /// Has the file of a key checked again before its next use, and fetched again where it is damaged, as whoever found a block of it so demands. Who has a pin keeps it, and as long as
    /// somebody does, [`Cache::get`] gives the same file to others: no block is used that is not authentic, so that they fail where the first one did. [`Cache::source`] reads from the store meanwhile.
    pub(in crate::storage) fn distrust(&self, key: &ObjectKey) {
        let mut state = self.0.state.lock();
        loop {
            match state.slots.get_mut(key).map(|slot| &mut slot.stage) {
                // It may be taken into use as it is.
                Some(Stage::Busy(work)) => {
                    let work = Arc::clone(work);
                    let _ = self.0.await_work(&mut state, &work);
                }
                Some(Stage::Here { standing, .. } | Stage::Pinned { standing, .. })
                    if *standing == Standing::Checked =>
                {
                    *standing = Standing::Unchecked;
                    return;
                }
                _ => return,
            }
        }
    }

    /// The keys whose files are here. Whoever opens a cache forgets those that the catalog does not list any more.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.0.state.lock().slots.keys().cloned().collect()
    }

    /// How full it is.
    pub fn stats(&self) -> CacheStats {
        let state = self.0.state.lock();
        let is_pinned = |slot: &&Slot| matches!(slot.stage, Stage::Pinned { .. });
        CacheStats {
            files: state.slots.len(),
            bytes: state.bytes,
            bytes_max: self.0.bytes_max,
            pinned: state.slots.values().filter(is_pinned).count(),
            fetches: state.fetches,
        }
    }
}

impl Source {
    fn here(pin: Pin) -> Self {
        Self(Held::Here(pin))
    }

    fn remote(reader: SegmentReader) -> Self {
        Self(Held::Remote(Box::new(reader)))
    }

    /// Whether its file is here.
    pub fn is_here(&self) -> bool {
        matches!(self.0, Held::Here(_))
    }

    /// Rows of the exact plane in the clear, in the order asked for; `None` for a hole. Of a segment in the store the blocks that have them are read, and nothing else.
    pub fn rows(&self, rows: &[u32]) -> Result<Vec<Option<StoredRow>>, StorageError> {
        self.reader().rows_at(rows)
    }

    /// What reads it.
    pub(in crate::storage) fn reader(&self) -> &SegmentReader {
        match &self.0 {
            Held::Here(pin) => pin.reader(),
            Held::Remote(reader) => reader,
        }
    }
}

impl Stage {
    /// Whether it can be read at once, and nobody found fault with it.
    fn is_trusted(&self) -> bool {
        matches!(
            self,
            Self::Here {
                standing: Standing::Checked,
                ..
            } | Self::Pinned {
                standing: Standing::Checked,
                ..
            }
        )
    }
}

impl Forgotten {
    fn check(&self, key: &ObjectKey) -> Result<(), StorageError> {
        if !self.keys.contains(key) {
            return Ok(());
        }
        Err(forgotten(key))
    }

    fn add(&mut self, key: &ObjectKey) {
        if self.keys.insert(key.clone()) {
            self.order.push_back(key.clone());
        }
        if self.order.len() > FORGOTTEN_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.keys.remove(&first);
        }
    }
}

fn forgotten(key: &ObjectKey) -> StorageError {
    StorageError::Object(ObjectError::Forgotten {
        object: key.to_string(),
    })
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
