//! Segments in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage, or a directory. The same sealed files, byte for
//! byte; nothing is opened here but by [`remote`] and [`cache`]. Knows nothing of the catalog.
//!
//! All calls block; any number of threads may make them, except tasks of the bridge to the driver.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Location;
use object_store::{Error as DriverError, GetOptions, GetRange, ObjectMeta, ObjectStore as Driver};
use parking_lot::Mutex;
use ulid::Ulid;

use super::bridge::Bridge;
use super::error::StorageError;
use crate::model::timestamp::Timestamp;
use config::ObjectStoreConfig;
use error::{ObjectError, from_driver};
use key::{Home, ObjectKey};
use versions::{PROBES, VersionRemover};

pub use kept::{CacheConfig, Objects};

mod beginnings;
pub mod cache;
pub mod config;
pub mod error;
mod kept;
pub mod key;
pub(in crate::storage) mod once;
pub mod remote;
pub mod sweep;
pub mod text;
pub mod transfer;
pub mod versions;

#[cfg(test)]
mod cache_model_tests;
#[cfg(test)]
pub(in crate::storage) mod faults;
#[cfg(test)]
pub(in crate::storage) mod moto;
#[cfg(test)]
mod s3_tests;
#[cfg(test)]
pub(in crate::storage) mod testing;

/// An object store. Clones share everything.
#[derive(Clone)]
pub struct ObjectStore(Arc<Shared>);

struct Shared {
    /// Scheme, bucket and prefix: what messages call it.
    name: String,
    driver: Arc<dyn Driver>,
    /// What all names begin with.
    prefix: Location,
    /// The directory, where the store is one.
    dir: Option<PathBuf>,
    /// Removes single versions, where that is known how to do.
    remover: Option<VersionRemover>,
    /// For how many days the bucket keeps what was deleted, as the operator states it.
    remnants_days: Option<u16>,
    /// The longest that one request may take, with its retries.
    request_max: Duration,
    /// Whether the bucket keeps what is deleted, once that was tried.
    keeps: Mutex<Option<bool>>,
    /// Under what probes put, one at a time: what one of them could not remove the next one overwrites and removes.
    probe: Mutex<String>,
    bridge: Bridge,
}

/// An object as a listing or a look at it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Bytes.
    pub len: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

impl ObjectStore {
    /// Makes ready what is needed to reach the store, and reaches nothing yet.
    /// [`ObjectStore::probe`] comes next, before anything is kept there.
    pub fn connect(config: &ObjectStoreConfig) -> Result<Self, StorageError> {
        let built = config::build(config)?;
        Ok(Self(Arc::new(Shared {
            name: built.name,
            driver: built.driver,
            prefix: built.prefix,
            remover: built.remover,
            remnants_days: config.remnants_days,
            request_max: config.request_max(),
            // A directory has one file of a name.
            keeps: Mutex::new(built.dir.is_some().then_some(false)),
            dir: built.dir,
            probe: Mutex::new(format!("{PROBES}/{}", Ulid::generate())),
            bridge: Bridge::start("thenar-objects")?,
        })))
    }

    /// The object's length and age; `None` where there is none.
    pub fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StorageError> {
        let meta = self.meta(&key.to_string())?;
        Ok(meta.map(|meta| info(key.clone(), &meta)))
    }

    /// A range of an object that must have `file_len` bytes.
    pub fn read(&self, key: &ObjectKey, file_len: u64, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let object = key.to_string();
        let wanted = range.clone();
        let got = self.ask(&object, move |driver, location| async move {
            let options = GetOptions {
                range: Some(GetRange::Bounded(range)),
                ..GetOptions::default()
            };
            let got = driver.get_opts(&location, options).await?;
            Ok((got.meta.size, got.bytes().await?))
        });
        let found_len = match &got {
            Ok((len, _)) => Some(*len),
            // A range beyond the end of an object that was cut short fails in as many ways as there are stores.
            Err(StorageError::Object(error)) if error.is_about_range() => {
                self.meta(&object)?.map(|meta| meta.size)
            }
            Err(_) => None,
        };
        if let Some(len) = found_len.filter(|len| *len != file_len) {
            let fault = format!("it is {len} bytes long; its rows take {file_len}");
            return Err(self.damaged(&object, fault));
        }
        let (_, bytes) = got?;
        if bytes.len() as u64 != wanted.end - wanted.start {
            let fault = format!("bytes {wanted:?} came as {} bytes", bytes.len());
            return Err(self.damaged(&object, fault));
        }
        Ok(bytes.into())
    }

    /// All segments of a tenant that are there, in the order of their names. What has no key's name is passed over: it is not ours.
    pub fn list(&self, home: &Home) -> Result<Vec<ObjectInfo>, StorageError> {
        let listed = self.list_under(&home.to_string())?;
        let mut listed: Vec<ObjectInfo> = listed
            .iter()
            .filter_map(|(name, meta)| Some(info(ObjectKey::parse(name)?, meta)))
            .filter(|info| info.key.home == *home)
            .collect();
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(listed)
    }

    /// All objects whose names begin with this one and a slash, by their names under the prefix, in no order.
    pub(in crate::storage) fn list_under(
        &self,
        name: &str,
    ) -> Result<Vec<(String, ObjectMeta)>, StorageError> {
        let metas: Vec<ObjectMeta> = self.ask(name, |driver, location| async move {
            driver.list(Some(&location)).try_collect().await
        })?;
        let named = metas.into_iter();
        let named = named.filter_map(|meta| Some((self.named(&meta.location)?, meta)));
        Ok(named.collect())
    }

    /// Those of these objects that come behind one in the order of names, in no order.
    pub(in crate::storage) fn list_behind(
        &self,
        under: &str,
        object: &str,
    ) -> Result<Vec<String>, StorageError> {
        let after = self.location(object);
        let metas: Vec<ObjectMeta> = self.ask(under, |driver, location| async move {
            driver
                .list_with_offset(Some(&location), &after)
                .try_collect()
                .await
        })?;
        Ok(metas
            .iter()
            .filter_map(|meta| self.named(&meta.location))
            .collect())
    }

    /// Whether there are any.
    pub(in crate::storage) fn has_behind(&self, under: &str, object: &str) -> Result<bool, StorageError> {
        let after = self.location(object);
        let first = self.ask(under, |driver, location| async move {
            driver.list_with_offset(Some(&location), &after).try_next().await
        })?;
        Ok(first.is_some())
    }

    /// The next parts of the names that begin with this one and a slash, where more parts follow.
    pub(in crate::storage) fn folders(&self, name: &str) -> Result<Vec<String>, StorageError> {
        let listed = self.ask(name, |driver, location| async move {
            driver.list_with_delimiter(Some(&location)).await
        })?;
        let folders = listed.common_prefixes.iter();
        Ok(folders.filter_map(|folder| self.named(folder)).collect())
    }

    /// The name of what is there, under the prefix.
    fn named(&self, location: &Location) -> Option<String> {
        let parts: Vec<_> = location.prefix_match(&self.0.prefix)?.collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        Some(parts.join("/"))
    }

    /// What is known of an object by its name under the prefix.
    fn meta(&self, object: &str) -> Result<Option<ObjectMeta>, StorageError> {
        let found = self.ask(object, |driver, location| async move {
            let options = GetOptions {
                head: true,
                ..GetOptions::default()
            };
            Ok(driver.get_opts(&location, options).await?.meta)
        });
        present(found)
    }

    /// Removes the current version of an object, or nothing where there is none.
    fn remove(&self, object: &str) -> Result<(), StorageError> {
        let removed = self.ask(object, |driver, location| async move {
            let one = futures::stream::once(async move { Ok(location) }).boxed();
            driver.delete_stream(one).try_collect::<Vec<_>>().await
        });
        present(removed).map(drop)
    }

    /// Makes one request for an object and waits for it, no longer than a request may take.
    fn ask<T, W>(
        &self,
        object: &str,
        request: impl FnOnce(Arc<dyn Driver>, Location) -> W,
    ) -> Result<T, StorageError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, DriverError>> + Send + 'static,
    {
        let work = request(Arc::clone(&self.0.driver), self.location(object));
        self.wait(object, work)
    }

    /// The same for what has the driver in it already.
    fn wait<T: Send + 'static>(
        &self,
        object: &str,
        work: impl Future<Output = Result<T, DriverError>> + Send + 'static,
    ) -> Result<T, StorageError> {
        let limit = self.0.request_max;
        let answer = self
            .0
            .bridge
            .wait(async move { tokio::time::timeout(limit, work).await });
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(from_driver(&self.0.name, object, &error)),
            Err(_) => Err(StorageError::Object(ObjectError::Unreachable {
                store: self.0.name.clone(),
                object: object.to_owned(),
                problem: format!("no answer came within {limit:?}"),
            })),
        }
    }

    /// Where an object is in the bucket.
    fn location(&self, object: &str) -> Location {
        let parts = object.split('/').map(Into::into);
        self.0.prefix.parts().chain(parts).collect()
    }

    pub(in crate::storage) fn damaged(&self, object: &str, fault: String) -> StorageError {
        StorageError::Object(ObjectError::Damaged {
            store: self.0.name.clone(),
            object: object.to_owned(),
            fault,
        })
    }
}

impl fmt::Display for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// A missing object as none at all, where that is an answer.
fn present<T>(found: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match found {
        Err(StorageError::Object(ObjectError::Missing { .. })) => Ok(None),
        found => found.map(Some),
    }
}

fn info(key: ObjectKey, meta: &ObjectMeta) -> ObjectInfo {
    ObjectInfo {
        key,
        len: meta.size,
        modified: Timestamp(meta.last_modified.timestamp_micros()),
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
