//! Small texts that many machines share, such as a keyring: each is read whole, and exchanged by comparing, with no more than a store offers. Knows nothing of what a text says.
//!
//! No store has a comparing exchange through its driver here, but all can create an object only where there is none, and list what there is. So a text is one object or a few: `<name>/<version>`,
//! with 20 digits, and **the highest is the text**. Whoever replaces version n
//!
//! 1. creates n + 1, and is refused where it is there,
//! 2. lists: where a higher one is there, his own came late, is deleted, and he is told so,
//! 3. deletes all lower ones, the lowest first, proven gone.
//!
//! *Why this is linearizable.* A version is the text from its creation on, where it is the highest then, until the next higher one is created. A lower one is deleted only while a higher one is there, and the highest
//! never is (but by [`TextStore::destroy`]); so at each moment there is a highest, and it only rises. n + 1 can be created by several only one after the other, the former having been deleted, and so while a higher one
//! exists: all but the first of them find that one in step 2, as their listing began after their creation. The first one, which was made from what n says, counts from its creation on. If somebody built on it
//! before its maker listed, its maker is told `false` as well, which says no more than that another version is there by now; callers look again, and find what they did. Who reads takes the highest that is listed, gets it,
//! and lists again: it was the text at some moment between, where it still is the highest. A listing of a directory is of no single moment, and may miss a name that is made meanwhile together with one that is
//! removed meanwhile; so what seems to be missing is looked for a few times.
//!
//! *What is not covered.* Whoever comes late has an old text below the highest, with what was destroyed since, until he has listed and deleted it; also after whoever destroyed it was told that it is gone. Where he dies before,
//! or dies between steps 2 and 3, it lies there until the next change, or [`TextStore::settle`], deletes it. So does what a request creates that arrives long after its sender gave up;
//! where its version is new, it is a change of which nobody was told whether it was done. Who replaces what is destroyed meanwhile may bring it back.
//! A bucket that keeps what is deleted is refused, by the probes around each deletion.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ObjectStore;
use super::error::ObjectError;
use super::once::Once;
use crate::keys::cells::INCARNATION_LEN;
use crate::keys::encoding::{from_hex, to_hex};
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keks, Keyring};
use crate::keys::text::{FIRST_VERSION, Text, TextStore};
use crate::model::id::TenantId;
use crate::storage::error::StorageError;
use crate::storage::files::KEY_GENERATION;

/// The longest text, in bytes.
pub const TEXT_LEN_MAX: usize = 16 << 20;
/// How often a listing is made in which something is missing.
const LOOKS: usize = 3;
/// How often a text is read that is exchanged meanwhile.
const READS: usize = 64;
/// Digits of a version, as many as the highest has.
const DIGITS: usize = 20;

/// The keyring that match nodes share.
pub const MATCH_KEYRING: &str = "keyrings/match";
/// The keyring that fronts share.
pub const FRONT_KEYRING: &str = "keyrings/front";
/// The keyring with the secrets of catalogs, which match nodes keep and fronts read.
pub const CATALOG_KEYRING: &str = "keyrings/catalog";

/// By incarnation, generations of keys.
pub type Incarnations = BTreeMap<[u8; INCARNATION_LEN], BTreeSet<u32>>;

/// What keys of epochs stand under.
const EPOCHS: &str = "epochs";

/// Opens a keyring that machines share in a store that was probed. The first machine makes it, unless there are tenants that it should have keys of.
pub fn open_keyring(
    store: &ObjectStore,
    name: &str,
    keks: impl Into<Keks>,
    has_tenants: bool,
) -> Result<Keyring, KeyError> {
    Keyring::open_shared(Arc::new(ObjectText::new(store, name)), keks, has_tenants)
}

/// The keys of epochs that nodes share: `epochs/<tenant>.<incarnation, hexadecimal>`, and from the second generation of the tenant's keys on `.<generation>` behind it.
pub fn epochs_text(
    store: &ObjectStore,
    tenant: &TenantId,
    incarnation: &[u8; INCARNATION_LEN],
    key_generation: u32,
) -> ObjectText {
    ObjectText::new(store, epochs_name(tenant, incarnation, key_generation))
}

fn epochs_name(tenant: &TenantId, incarnation: &[u8; INCARNATION_LEN], key_generation: u32) -> String {
    let of = to_hex(incarnation);
    match key_generation {
        KEY_GENERATION => format!("{EPOCHS}/{tenant}.{of}"),
        later => format!("{EPOCHS}/{tenant}.{of}.{later}"),
    }
}

/// The incarnations of a tenant of which there are keys of epochs, and of which generations of its keys each.
pub fn incarnations(store: &ObjectStore, tenant: &TenantId) -> Result<Incarnations, StorageError> {
    let mut found = Incarnations::new();
    for (name, _) in store.list_under(EPOCHS)? {
        if let Some((incarnation, key_generation)) = incarnation_of(&name, tenant) {
            found.entry(incarnation).or_default().insert(key_generation);
        }
    }
    Ok(found)
}

/// Of which incarnation and generation a version of a text is, if it is of this tenant's epochs.
fn incarnation_of(object: &str, tenant: &TenantId) -> Option<([u8; INCARNATION_LEN], u32)> {
    let (text, _) = object.rsplit_once('/')?;
    let mut parts = text.strip_prefix(EPOCHS)?.strip_prefix('/')?.split('.').skip(1);
    let incarnation: [u8; INCARNATION_LEN] = from_hex(parts.next()?)?.as_slice().try_into().ok()?;
    let key_generation = match parts.next() {
        None => KEY_GENERATION,
        Some(later) => later.parse().ok()?,
    };
    (epochs_name(tenant, &incarnation, key_generation) == text).then_some((incarnation, key_generation))
}

/// A text in an object store.
pub struct ObjectText {
    store: ObjectStore,
    name: String,
    path: PathBuf,
}

/// Bytes by version.
type Versions = BTreeMap<u64, u64>;

impl ObjectText {
    /// The text of this name under the store's prefix, which is there or not. The store was probed, and names nothing else so.
    pub fn new(store: &ObjectStore, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            store: store.clone(),
            path: PathBuf::from(format!("{store}/{name}")),
            name,
        }
    }

    fn object(&self, version: u64) -> String {
        format!("{}/{version:0DIGITS$}", self.name)
    }

    /// The versions that there are now.
    fn list(&self) -> Result<Versions, StorageError> {
        let listed = self.store.list_under(&self.name)?;
        let versions = listed.into_iter().filter_map(|(name, meta)| {
            let version = name.strip_prefix(&self.name)?.strip_prefix('/')?.parse().ok()?;
            (self.object(version) == name).then_some((version, meta.size))
        });
        Ok(versions.collect())
    }

    /// The highest version, and how long it is.
    fn highest(&self) -> Result<Option<(u64, u64)>, StorageError> {
        for _ in 0..LOOKS {
            if let Some((version, len)) = self.list()?.pop_last() {
                return Ok(Some((version, len)));
            }
        }
        Ok(None)
    }

    fn read_now(&self) -> Result<Option<Text>, StorageError> {
        for _ in 0..READS {
            let Some((version, len)) = self.highest()? else {
                return Ok(None);
            };
            if len > TEXT_LEN_MAX as u64 {
                let fault = format!("it has {len} bytes, and a text has at most {TEXT_LEN_MAX}");
                return Err(self.store.damaged(&self.object(version), fault));
            }
            let Some(bytes) = self.store.get_small(&self.object(version))? else {
                continue;
            };
            // What is deleted from a directory is overwritten first, so that it is looked whether it was whole by then.
            if self.highest()?.is_none_or(|(now, _)| now != version) {
                continue;
            }
            let fault = |_| {
                let fault = "it is no text".to_owned();
                self.store.damaged(&self.object(version), fault)
            };
            let text = String::from_utf8(bytes).map_err(fault)?;
            return Ok(Some(Text { text, version }));
        }
        Err(self.restless(&format!("it was exchanged in each of {READS} readings")))
    }

    /// Creates a version; `false` where it is there already and is another text.
    fn put(&self, version: u64, text: &str) -> Result<bool, StorageError> {
        match self.store.put_once(&self.object(version), text.as_bytes())? {
            Once::There => Ok(true),
            Once::Other => Ok(false),
            // Somebody deleted it meanwhile, or in a directory what it was to become.
            Once::Nothing(StorageError::Object(ObjectError::Taken { .. } | ObjectError::Missing { .. })) => {
                Ok(false)
            }
            Once::Nothing(_) if self.is_passed(version) => Ok(false),
            Once::Nothing(error) => Err(error),
        }
    }

    /// Whether a version can't come any more, or is there.
    fn is_passed(&self, version: u64) -> bool {
        let listed = self.list();
        listed.is_ok_and(|there| {
            there
                .keys()
                .next_back()
                .is_some_and(|highest| *highest >= version)
        })
    }

    /// Whether a version that was just created is the text, or was; the versions below it.
    fn is_first(&self, made: u64) -> Result<Option<Vec<u64>>, StorageError> {
        let mut lower = Vec::new();
        for _ in 0..LOOKS {
            let there = self.list()?;
            if there.keys().next_back().is_some_and(|highest| *highest > made) {
                return Ok(None);
            }
            lower = there.into_keys().filter(|version| *version < made).collect();
            // It is there until somebody deletes it who has found a higher one.
            if lower.contains(&(made - 1)) {
                break;
            }
        }
        Ok(Some(lower))
    }

    /// Deletes versions, the lowest first, proven gone.
    fn delete(&self, versions: impl IntoIterator<Item = u64>) -> Result<(), StorageError> {
        let names: Vec<String> = versions.into_iter().map(|version| self.object(version)).collect();
        self.store.delete_names_proven(&names).map(drop)
    }

    /// Puts a version and clears away what is below it.
    fn exchange(&self, version: u64, text: &str) -> Result<bool, StorageError> {
        if !self.put(version, text)? {
            return Ok(false);
        }
        let Some(lower) = self.is_first(version)? else {
            self.delete([version])?;
            return Ok(false);
        };
        self.delete(lower)?;
        Ok(true)
    }

    fn clear(&self) -> Result<(), StorageError> {
        let mut versions = self.list()?;
        versions.pop_last();
        if versions.is_empty() {
            // Whoever deleted them may have been cut off before he knew that they were gone.
            return self.store.probe_bucket();
        }
        self.delete(versions.into_keys())
    }

    fn destroy_all(&self) -> Result<(), StorageError> {
        for _ in 0..READS {
            let Some((highest, _)) = self.highest()? else {
                return self.store.probe_bucket();
            };
            self.delete(self.list()?.into_keys().filter(|version| *version <= highest))?;
        }
        Err(self.restless("it is there again whenever it is destroyed"))
    }

    fn restless(&self, problem: &str) -> StorageError {
        StorageError::Object(ObjectError::Unreachable {
            store: self.store.to_string(),
            object: self.name.clone(),
            problem: problem.to_owned(),
        })
    }

    fn check_len(&self, text: &str) -> Result<(), KeyError> {
        if text.len() <= TEXT_LEN_MAX {
            return Ok(());
        }
        Err(KeyError::TooLong {
            path: self.path.clone(),
            len: text.len(),
            max: TEXT_LEN_MAX,
        })
    }

    /// Puts an error of the store into words of keys.
    fn told<T>(&self, outcome: Result<T, StorageError>) -> Result<T, KeyError> {
        outcome.map_err(|error| KeyError::Store {
            path: self.path.clone(),
            passing: error.is_away(),
            problem: error.to_string(),
        })
    }
}

impl TextStore for ObjectText {
    fn path(&self) -> &Path {
        &self.path
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn version(&self) -> Result<Option<u64>, KeyError> {
        let highest = self.told(self.highest())?;
        Ok(highest.map(|(version, _)| version))
    }

    fn read(&self) -> Result<Option<Text>, KeyError> {
        self.told(self.read_now())
    }

    fn create(&self, text: &str) -> Result<bool, KeyError> {
        self.check_len(text)?;
        if self.version()?.is_some() {
            return Ok(false);
        }
        self.told(self.exchange(FIRST_VERSION, text))
    }

    fn replace(&self, version: u64, text: &str) -> Result<bool, KeyError> {
        self.check_len(text)?;
        self.told(self.exchange(version.saturating_add(1), text))
    }

    fn settle(&self) -> Result<(), KeyError> {
        self.told(self.clear())
    }

    fn destroy(&self) -> Result<(), KeyError> {
        self.told(self.destroy_all())
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
