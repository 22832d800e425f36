//! A store of segments and what of it is here, as the tenants of one process share them. Does not know which segments are listed.

use std::path::{Path, PathBuf};

use ulid::Ulid;

use super::ObjectStore;
use super::cache::Cache;
use super::config::ObjectStoreConfig;
use super::error::ObjectError;
use super::key::{Home, ListedSegment, ObjectKey};
use crate::storage::durable;
use crate::storage::error::StorageError;

/// The directory of copies, and how much of them.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// A directory of its own.
    pub dir: PathBuf,
    /// Most bytes.
    pub bytes_max: u64,
    /// Files that are fetched at once.
    pub fetches_max: usize,
}

/// A store of segments with its cache. Clones share everything.
#[derive(Clone)]
pub struct Objects {
    store: ObjectStore,
    identity: Ulid,
    cache: Cache,
}

impl Objects {
    /// Reaches the store, finds out whether it forgets what is deleted, and opens the cache. One for which remnants are stated is
    /// refused: receipts can't say yet until when these live.
    pub fn open(config: &ObjectStoreConfig, cache: &CacheConfig) -> Result<Self, StorageError> {
        if config.remnants_days.is_some() {
            return Err(StorageError::NotBuilt(
                "keeping segments in a bucket that keeps what is deleted",
            ));
        }
        let store = ObjectStore::connect(config)?;
        store.probe()?;
        Self::of(store, cache)
    }

    /// Of a store that was probed.
    pub fn of(store: ObjectStore, cache: &CacheConfig) -> Result<Self, StorageError> {
        let identity = store.identity()?;
        let cache = Cache::open(&store, &cache.dir, cache.bytes_max, cache.fetches_max)?;
        Ok(Self {
            store,
            identity,
            cache,
        })
    }

    /// What tells the store from every other.
    pub fn identity(&self) -> Ulid {
        self.identity
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        self.store.to_string()
    }

    /// The store itself.
    pub fn store(&self) -> &ObjectStore {
        &self.store
    }

    /// What of it is here.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Puts a finished file of this machine into the store, where it is durable when this returns, and makes it the copy that is here, if there is room. On an error there may be bytes of it
    /// in all three places.
    pub(in crate::storage) fn keep(&self, listed: &ListedSegment, file: &Path) -> Result<(), StorageError> {
        self.store.put(&listed.key, file)?;
        match self.cache.adopt(listed, file) {
            // No copy is needed, if only nothing of it stays.
            Err(error @ (StorageError::Io { .. } | StorageError::Full(_))) => {
                tracing::warn!(object = %listed.key, %error, "a segment has no copy in the cache");
                durable::destroy_file(file)
            }
            adopted => adopted,
        }
    }

    /// A tenant's segments of which there are bytes, in the store or here.
    pub(in crate::storage) fn list(&self, home: &Home) -> Result<Vec<ObjectKey>, StorageError> {
        let mut found: Vec<ObjectKey> = self.cache.keys();
        found.retain(|key| key.home == *home);
        found.extend(self.store.list(home)?.into_iter().map(|info| info.key));
        Ok(found)
    }

    /// Destroys segments that nobody reads, first here, then with all their versions, and finds out that the store kept nothing meanwhile, also where there is none. One that is gone is well.
    pub(in crate::storage) fn destroy(&self, keys: &[ObjectKey]) -> Result<(), StorageError> {
        for key in keys {
            self.cache.forget(key)?;
            if !self.cache.is_gone(key) {
                return Err(StorageError::Object(ObjectError::StillHere {
                    object: key.to_string(),
                }));
            }
        }
        if keys.is_empty() {
            return self.store.probe();
        }
        self.store.delete_proven(keys).map(drop)
    }

    /// Destroys a segment that was never listed.
    pub(in crate::storage) fn discard(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.cache.forget(key)?;
        self.store.delete(key).map(drop)
    }

    /// Destroys all segments of a tenant that is no more.
    pub(in crate::storage) fn destroy_all(&self, home: &Home) -> Result<(), StorageError> {
        self.destroy(&self.list(home)?)
    }

    /// Destroys what puts of a tenant left that were cut off, when none is under way.
    pub(in crate::storage) fn clear_beginnings(&self, home: &Home) -> Result<(), StorageError> {
        self.store.clear_beginnings(home)
    }
}
