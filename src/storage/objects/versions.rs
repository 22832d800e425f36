//! Whether a bucket keeps what is deleted, and how an object goes with all its versions. What no request shows (soft deletion, locks,
//! copies elsewhere) is for the operator to state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::path::Path as Location;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ClientOptions, Error as DriverError, GetOptions, ObjectStoreExt, PutMode, PutPayload};

use ulid::Ulid;

use super::beginnings::destroy_with_beginnings;
use super::error::ObjectError;
use super::key::ObjectKey;
use super::{ObjectStore, present};
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;

/// What probes stand under.
pub(super) const PROBES: &str = "probe";
/// Names the store.
pub(super) const IDENTITY: &str = "identity";
/// The version of an object in a bucket that had no versions when it was written. There is one such: the next that is written so takes its place.
const NO_VERSION: &str = "null";
/// Versions of one object that are removed one after the other. A key is written once, so that there is one, or a few after answers that were lost.
const VERSIONS_MAX: usize = 16;
/// How long the signature of a removal is valid.
const SIGNATURE_LIFE: Duration = Duration::from_mins(1);
/// The status for a version that is the mark of a deletion, without content.
const MARK_OF_DELETION: &str = "status 405";
const DAY: Duration = Duration::from_hours(24);

/// What is known of objects after their deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Whether the store was asked for each version that there was, and has none, or kept none from before the deletions until after them.
    pub is_proven: bool,
    /// Until when remnants may exist by what the operator states of the bucket; `None` where nothing is stated.
    pub remnants_until: Option<Timestamp>,
}

/// What is left of an object that was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing: each version that there was had a name, under which there is nothing.
    Nothing,
    /// Nothing, unless the bucket keeps what has no name.
    Unnamed,
    /// A version, or what no request shows.
    Something,
}

impl ObjectStore {
    /// Finds out whether objects can be written and read and whether the bucket keeps what is deleted: an object is put twice and deleted, and the store is asked
    /// for both versions. A bucket that keeps them, or may by soft deletion (Google, Azure), is refused unless the operator has stated for how long.
    ///
    /// Shown: versions of S3, generations of Google, versions of Azure, while they are switched on. Not shown: what such a bucket kept before they were switched off; soft deletion, which
    /// Google and Azure have by default; locks and copies in other places.
    pub fn probe(&self) -> Result<(), StorageError> {
        let object = self.0.probe.lock();
        let versions = self.put_twice(&object);
        let removed = self.remove(&object);
        let versions = versions?;
        removed?;
        // By that a bucket says that versions were on and are suspended.
        let had_versions = versions.contains(NO_VERSION);
        let mut keeps = false;
        for version in versions.iter().filter(|version| *version != NO_VERSION) {
            if self.has_version(&object, version)? {
                keeps = true;
                // What of it can't be removed the bucket's rule removes, as it does with the rest.
                let _ = self.remove_version(&object, version);
            }
        }
        // What one probe found stays so: what was kept then is not gone because the bucket was changed.
        let mut known = self.0.keeps.lock();
        *known = Some(keeps || had_versions || known.unwrap_or(false));
        if (keeps || !self.shows_versions()) && self.0.remnants_days.is_none() {
            return Err(self.keeps_versions());
        }
        Ok(())
    }

    /// What tells this store from every other, also where it is moved as a whole: an object that whoever used it first put there.
    pub fn identity(&self) -> Result<Ulid, StorageError> {
        // Read as others read it, who may have been faster.
        for _ in 0..2 {
            let found = self.ask(IDENTITY, |driver, location| async move {
                driver.get(&location).await?.bytes().await
            });
            if let Some(found) = present(found)? {
                let text = std::str::from_utf8(&found).unwrap_or_default();
                let fault = |_| self.damaged(IDENTITY, "it names no store".to_owned());
                return Ulid::from_string(text.trim()).map_err(fault);
            }
            let identity = format!("{}\n", Ulid::generate());
            let put = self.ask(IDENTITY, |driver, location| async move {
                let put = driver.put_opts(&location, identity.clone().into(), PutMode::Create.into());
                match put.await {
                    Err(DriverError::NotImplemented { .. } | DriverError::NotSupported { .. }) => {
                        driver.put(&location, identity.into()).await
                    }
                    put => put,
                }
            });
            match put {
                Ok(_) | Err(StorageError::Object(ObjectError::Taken { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::Object(ObjectError::Unreachable {
            store: self.to_string(),
            object: IDENTITY.to_owned(),
            problem: "it is not there after it was put".to_owned(),
        }))
    }

    /// Whether a deletion can be shown to leave nothing. Elsewhere soft deletion, which no request shows, may keep all of it.
    fn shows_versions(&self) -> bool {
        self.0.dir.is_some() || self.0.remover.is_some()
    }

    fn put_twice(&self, object: &str) -> Result<BTreeSet<String>, StorageError> {
        let mut versions = BTreeSet::new();
        for content in ["1", "2"] {
            let put = self.ask(object, move |driver, location| async move {
                driver
                    .put(&location, PutPayload::from_static(content.as_bytes()))
                    .await
            })?;
            versions.extend(put.version);
        }
        let (version, read) = self.ask(object, |driver, location| async move {
            let got = driver.get(&location).await?;
            Ok((got.meta.version.clone(), got.bytes().await?))
        })?;
        versions.extend(version);
        if read != "2" {
            return Err(self.damaged(object, "it was overwritten and has the former content".to_owned()));
        }
        Ok(versions)
    }

    /// Deletes an object with all its versions, as far as is known how, and says until when remnants may exist by what the operator states. An object that is gone already is well.
    ///
    /// A directory's file is overwritten first. Single versions are removed by name on S3; elsewhere, and where they lie under the mark of an earlier deletion, a
    /// rule of the bucket has to. Where one is left, or may be by what probes found, and nobody stated for how long, that is an error.
    /// What has to be shown to be gone is deleted by [`ObjectStore::delete_proven`].
    pub fn delete(&self, key: &ObjectKey) -> Result<Option<Timestamp>, StorageError> {
        let left = self.destroy(&key.to_string())?;
        self.told(&[left]).map(|deleted| deleted.remnants_until)
    }

    /// The same for any number of objects, between two probes, by which it is known that the bucket kept nothing meanwhile, or that it may have. Where the first one finds that it keeps what is deleted, and nobody
    /// stated for how long, nothing is deleted. On an error some are, and the call may be repeated.
    pub fn delete_proven(&self, keys: &[ObjectKey]) -> Result<Deleted, StorageError> {
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        self.delete_names_proven(&names)
    }

    /// The same for objects of any names under the prefix, one after the other.
    pub(super) fn delete_names_proven(&self, names: &[String]) -> Result<Deleted, StorageError> {
        let is_to_probe = !names.is_empty();
        if is_to_probe {
            self.probe_bucket()?;
        }
        let left: Vec<Left> = names
            .iter()
            .map(|name| self.destroy(name))
            .collect::<Result<_, _>>()?;
        if is_to_probe {
            self.probe_bucket()?;
        }
        self.told(&left)
    }

    /// Probes what is no directory: one has one file of a name, at any time.
    pub(super) fn probe_bucket(&self) -> Result<(), StorageError> {
        if self.0.dir.is_some() {
            return Ok(());
        }
        self.probe()
    }

    fn destroy(&self, object: &str) -> Result<Left, StorageError> {
        match &self.0.dir {
            Some(dir) => destroy_with_beginnings(&dir.join(object)).map(|()| Left::Nothing),
            None => self.delete_versions(object),
        }
    }

    /// What is said of objects that were deleted.
    fn told(&self, left: &[Left]) -> Result<Deleted, StorageError> {
        let may_keep = self.may_keep();
        let is_proven = left.iter().all(|left| match left {
            Left::Nothing => true,
            Left::Unnamed => !may_keep,
            Left::Something => false,
        });
        let remnants_until = self
            .0
            .remnants_days
            .map(|days| Timestamp::now().plus(DAY * u32::from(days)));
        if !is_proven && remnants_until.is_none() {
            return Err(self.keeps_versions());
        }
        Ok(Deleted {
            is_proven,
            remnants_until,
        })
    }

    fn delete_versions(&self, object: &str) -> Result<Left, StorageError> {
        let mut seen = BTreeSet::new();
        for _ in 0..VERSIONS_MAX {
            let Some(meta) = self.meta(object)? else {
                return self.left(object, &seen);
            };
            match meta.version.filter(|version| version != NO_VERSION) {
                None => {
                    self.remove(object)?;
                    // Where there are versions by now, that hid it and no more; by its name it goes.
                    if self.may_keep() && self.remove_version(object, NO_VERSION)? {
                        seen.insert(NO_VERSION.to_owned());
                    }
                }
                Some(version) => {
                    // Where a version can be removed, that shows the one before it, if any; a deletion without one would hide both.
                    match self.remove_version(object, &version) {
                        // Who may not remove versions leaves them to the bucket's rule.
                        Ok(false) | Err(StorageError::Object(ObjectError::Refused { .. })) => {
                            self.remove(object)?;
                        }
                        removed => _ = removed?,
                    }
                    seen.insert(version);
                }
            }
        }
        Err(StorageError::Object(ObjectError::Unreachable {
            store: self.to_string(),
            object: object.to_owned(),
            problem: format!("it is there again after it was removed {VERSIONS_MAX} times"),
        }))
    }

    /// What is left of an object that has no current version and had these.
    fn left(&self, object: &str, seen: &BTreeSet<String>) -> Result<Left, StorageError> {
        for version in seen {
            if self.has_version(object, version)? {
                return Ok(Left::Something);
            }
        }
        Ok(match (self.shows_versions(), seen.is_empty()) {
            (false, _) => Left::Something,
            (true, false) => Left::Nothing,
            // Of what was deleted before this call there may also be versions that nobody here knows.
            (true, true) => Left::Unnamed,
        })
    }

    /// Whether the bucket keeps versions, by what the probes found.
    fn may_keep(&self) -> bool {
        self.0.keeps.lock().unwrap_or(true)
    }

    pub(super) fn has_version(&self, object: &str, version: &str) -> Result<bool, StorageError> {
        let version = version.to_owned();
        let found = self.ask(object, |driver, location| async move {
            let options = GetOptions {
                head: true,
                version: Some(version),
                ..GetOptions::default()
            };
            driver.get_opts(&location, options).await.map(drop)
        });
        match present(found) {
            Ok(found) => Ok(found.is_some()),
            Err(StorageError::Object(ObjectError::Refused { problem, .. }))
                if problem.contains(MARK_OF_DELETION) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes one version for good; `false` where it is not known how.
    fn remove_version(&self, object: &str, version: &str) -> Result<bool, StorageError> {
        let Some(remover) = self.0.remover.clone() else {
            return Ok(false);
        };
        let (location, version) = (self.location(object), version.to_owned());
        self.wait(object, async move { remover.remove(&location, &version).await })?;
        Ok(true)
    }

    fn keeps_versions(&self) -> StorageError {
        StorageError::Object(ObjectError::KeepsVersions {
            store: self.to_string(),
        })
    }
}

/// Removes single versions from a bucket of S3. The driver deletes none, but it signs requests for it.
#[derive(Clone)]
pub(super) struct VersionRemover {
    driver: Arc<AmazonS3>,
    client: HttpClient,
}

impl VersionRemover {
    pub(super) fn new(driver: Arc<AmazonS3>, options: &ClientOptions) -> Result<Self, DriverError> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(Self { driver, client })
    }

    async fn remove(&self, location: &Location, version: &str) -> Result<(), DriverError> {
        let named = SignedUrlOptions::default().with_query([("versionId", version)]);
        let url = self
            .driver
            .signed_url_opts(Method::DELETE, location, SIGNATURE_LIFE, &named)
            .await?;
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| DriverError::Generic { store: "S3", source };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = url.as_str().parse().map_err(|_| failed("no address".into()))?;
        let answer = self.client.execute(request).await.map_err(|e| failed(e.into()))?;
        let status = answer.status();
        if status.is_success() || status.as_u16() == 404 {
            return Ok(());
        }
        // Told like the driver's own failures, so that it is understood like them.
        Err(failed(format!("status code: {status}").into()))
    }
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
