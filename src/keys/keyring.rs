//! The keyring: every tenant's keys, wrapped by the key-encryption key, in one file. Keys are unwrapped when asked for; none is kept in the clear.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::error::KeyError;
use super::file;
use super::receipt::ReceiptSigner;
use super::secret::SecretKey;
use crate::model::id::TenantId;

/// Version of the file's format.
pub const KEYRING_FORMAT: u32 = 1;

/// What the signer's seed is bound to.
const SIGNER_PLACE: [&str; 1] = ["receipt signer"];

/// What a key of a tenant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Sealing the tenant's files.
    Data,
    /// The rotation of its signatures.
    Transform,
    /// Sealing and finding links.
    Link,
    /// The secret of its catalog in a database. A tenant whose catalog is in a file has none; no rotation touches it.
    Catalog,
    /// Takes the place of [`Purpose::Data`] at the end of a rotation that is under way.
    DataNext,
    /// Takes the place of [`Purpose::Transform`] at the end of a rotation that is under way.
    TransformNext,
    /// Opens nothing: while it is there the tenant is being dropped, and its keys are of no use any more.
    Dropped,
}

impl Purpose {
    /// What every tenant has a key for, wherever its catalog is.
    const ALL: [Self; 3] = [Self::Data, Self::Transform, Self::Link];

    fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Transform => "transform",
            Self::Link => "link",
            Self::Catalog => "catalog",
            Self::DataNext => "data_next",
            Self::TransformNext => "transform_next",
            Self::Dropped => "dropped",
        }
    }
}

/// A key that another one can take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewable {
    /// [`Purpose::Data`].
    Data,
    /// [`Purpose::Transform`].
    Transform,
}

impl Renewable {
    fn present(self) -> Purpose {
        match self {
            Self::Data => Purpose::Data,
            Self::Transform => Purpose::Transform,
        }
    }

    fn next(self) -> Purpose {
        match self {
            Self::Data => Purpose::DataNext,
            Self::Transform => Purpose::TransformNext,
        }
    }
}

/// What the file holds, as JSON: the body and a keyed digest of the body's JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyringFile {
    format: u32,
    body: Body,
    hmac_sha256: String,
}

/// Wrapped keys. The maps are ordered, so that one content has one text and one digest.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    signer: String,
    tenants: BTreeMap<TenantId, BTreeMap<Purpose, String>>,
}

impl Body {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("ids and names are valid JSON keys")
    }
}

/// The keys of one data directory. Every change is durable before it returns.
pub struct Keyring {
    path: PathBuf,
    envelope: Envelope,
    signer: ReceiptSigner,
    body: RwLock<Body>,
}

impl Keyring {
    /// Makes a keyring with a new key to sign receipts. One that is there already is refused.
    pub fn create(path: &Path, kek: &SecretKey) -> Result<Self, KeyError> {
        let envelope = Envelope::new(kek);
        let signer = SecretKey::random();
        let body = Body {
            signer: envelope.wrap(&signer, &SIGNER_PLACE),
            tenants: BTreeMap::new(),
        };
        file::create(path, &whole(&envelope, &body))?;
        Ok(Self {
            path: path.to_owned(),
            envelope,
            signer: ReceiptSigner::new(&signer),
            body: RwLock::new(body),
        })
    }

    /// Reads a keyring, authenticates all of it and clears away what a crash left beside it.
    pub fn open(path: &Path, kek: &SecretKey) -> Result<Self, KeyError> {
        let keyring = Self::read(path, kek)?;
        file::clear(path)?;
        Ok(keyring)
    }

    /// The same beside a server that may be changing it: clears nothing away. Not for changes.
    pub fn read(path: &Path, kek: &SecretKey) -> Result<Self, KeyError> {
        Self::parse(path, &file::read(path)?, kek)
    }

    /// Reads the text of a keyring, which errors call by `path`. Where no file has that name it can't be changed.
    pub fn parse(path: &Path, text: &str, kek: &SecretKey) -> Result<Self, KeyError> {
        let damaged = |problem: String| KeyError::Damaged {
            path: path.to_owned(),
            problem,
        };
        let format = serde_json::from_str::<FormatOnly>(text).map_err(|error| damaged(error.to_string()))?;
        if format.format != KEYRING_FORMAT {
            return Err(KeyError::Format {
                path: path.to_owned(),
                found: format.format,
                expected: KEYRING_FORMAT,
            });
        }
        let parsed: KeyringFile = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        let envelope = Envelope::new(kek);
        let signer = envelope
            .unwrap(&parsed.body.signer, &SIGNER_PLACE)
            .map_err(|_| KeyError::WrongKek {
                path: path.to_owned(),
            })?;
        let authentic = envelope.verify(parsed.body.text().as_bytes(), &parsed.hmac_sha256);
        // One content has one text, so that no byte of the file is free.
        if !authentic || text != whole(&envelope, &parsed.body) {
            return Err(damaged(
                "its content does not fit its digest (hmac_sha256)".to_owned(),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            envelope,
            signer: ReceiptSigner::new(&signer),
            body: RwLock::new(parsed.body),
        })
    }

    /// A tenant's key, if it has one.
    pub fn get(&self, tenant: &TenantId, purpose: Purpose) -> Result<Option<SecretKey>, KeyError> {
        let body = self.body.read();
        body.tenants
            .get(tenant)
            .and_then(|keys| keys.get(&purpose))
            .map(|wrapped| self.unwrap(wrapped, tenant, purpose))
            .transpose()
    }

    /// A tenant's key. When it has none, all of the keys that it lacks are made in one durable change, so that a tenant costs one.
    pub fn get_or_create(&self, tenant: &TenantId, purpose: Purpose) -> Result<SecretKey, KeyError> {
        if let Some(key) = self.get(tenant, purpose)? {
            return Ok(key);
        }
        let mut body = self.body.write();
        let mut changed = body.clone();
        let keys = changed.tenants.entry(tenant.clone()).or_default();
        for purpose in Purpose::ALL.into_iter().chain([purpose]) {
            keys.entry(purpose)
                .or_insert_with(|| self.wrap(&SecretKey::random(), tenant, purpose));
        }
        let wrapped = keys.get(&purpose).expect("made above").clone();
        file::replace(&self.path, &whole(&self.envelope, &changed))?;
        *body = changed;
        drop(body);
        self.unwrap(&wrapped, tenant, purpose)
    }

    /// The key that is to take the place of a tenant's present one, made when there is none: durable when it
    /// returns, it says from then on that a rotation is under way. `None` for a tenant without keys.
    pub fn begin_rotation(&self, tenant: &TenantId, of: Renewable) -> Result<Option<SecretKey>, KeyError> {
        let mut body = self.body.write();
        let mut changed = body.clone();
        let Some(keys) = changed.tenants.get_mut(tenant) else {
            return Ok(None);
        };
        if let Some(wrapped) = keys.get(&of.next()) {
            return self.unwrap(wrapped, tenant, of.next()).map(Some);
        }
        let key = SecretKey::random();
        keys.insert(of.next(), self.wrap(&key, tenant, of.next()));
        file::replace(&self.path, &whole(&self.envelope, &changed))?;
        *body = changed;
        Ok(Some(key))
    }

    /// Whether a rotation was begun and not ended.
    pub fn is_rotating(&self, tenant: &TenantId, of: Renewable) -> bool {
        let body = self.body.read();
        body.tenants
            .get(tenant)
            .is_some_and(|keys| keys.contains_key(&of.next()))
    }

    /// Ends a rotation: `next` is the present key, and the former is gone for good, from the disk too, when it returns.
    /// Where the next key is another one, or none, it changes nothing: that rotation was ended before.
    pub fn end_rotation(&self, tenant: &TenantId, of: Renewable, next: &SecretKey) -> Result<(), KeyError> {
        let mut body = self.body.write();
        let mut changed = body.clone();
        let Some(keys) = changed.tenants.get_mut(tenant) else {
            return Ok(());
        };
        let Some(wrapped) = keys.remove(&of.next()) else {
            return Ok(());
        };
        if self.unwrap(&wrapped, tenant, of.next())? != *next {
            return Ok(());
        }
        keys.insert(of.present(), self.wrap(next, tenant, of.present()));
        file::replace(&self.path, &whole(&self.envelope, &changed))?;
        *body = changed;
        Ok(())
    }

    /// Notes that a tenant that has keys is being dropped; durable when it returns.
    pub fn begin_drop(&self, tenant: &TenantId) -> Result<(), KeyError> {
        let mut body = self.body.write();
        let mut changed = body.clone();
        let Some(keys) = changed.tenants.get_mut(tenant) else {
            return Ok(());
        };
        keys.entry(Purpose::Dropped)
            .or_insert_with(|| self.wrap(&SecretKey::random(), tenant, Purpose::Dropped));
        file::replace(&self.path, &whole(&self.envelope, &changed))?;
        *body = changed;
        Ok(())
    }

    /// Destroys what a drop that was cut off left of a tenant's keys. Only for a tenant that is not there.
    pub fn end_drop(&self, tenant: &TenantId) -> Result<(), KeyError> {
        let body = self.body.read();
        let is_dropped = body
            .tenants
            .get(tenant)
            .is_some_and(|keys| keys.contains_key(&Purpose::Dropped));
        drop(body);
        if is_dropped { self.destroy(tenant) } else { Ok(()) }
    }

    /// Destroys a tenant's keys for good: the file without them is durable and the old one is overwritten
    /// when it returns. A tenant without keys is no error.
    pub fn destroy(&self, tenant: &TenantId) -> Result<(), KeyError> {
        let mut body = self.body.write();
        let mut changed = body.clone();
        if changed.tenants.remove(tenant).is_some() {
            file::replace(&self.path, &whole(&self.envelope, &changed))?;
            *body = changed;
        }
        Ok(())
    }

    /// The text of a keyring with the same signer and the keys of some tenants, wrapped by another key-encryption key.
    pub fn rewrapped(&self, kek: &SecretKey, keeps: impl Fn(&TenantId) -> bool) -> Result<String, KeyError> {
        let envelope = Envelope::new(kek);
        let body = self.body.read();
        let signer = self
            .envelope
            .unwrap(&body.signer, &SIGNER_PLACE)
            .map_err(|_| KeyError::WrongKek {
                path: self.path.clone(),
            })?;
        let mut tenants = BTreeMap::new();
        for (tenant, keys) in body.tenants.iter().filter(|(tenant, _)| keeps(tenant)) {
            let mut rewrapped = BTreeMap::new();
            for (purpose, wrapped) in keys {
                let key = self.unwrap(wrapped, tenant, *purpose)?;
                let place = ["tenant", tenant.as_str(), purpose.as_str()];
                rewrapped.insert(*purpose, envelope.wrap(&key, &place));
            }
            tenants.insert(tenant.clone(), rewrapped);
        }
        let signer = envelope.wrap(&signer, &SIGNER_PLACE);
        Ok(whole(&envelope, &Body { signer, tenants }))
    }

    /// Wraps all keys by another key-encryption key; durable when it returns. What was wrapped by the old one is overwritten.
    pub fn rewrap(self, kek: &SecretKey) -> Result<(), KeyError> {
        file::replace(&self.path, &self.rewrapped(kek, |_| true)?)
    }

    /// Writes such a keyring as a new file; durable when it returns. One that is there already is refused.
    pub fn save_as(
        &self,
        path: &Path,
        kek: &SecretKey,
        keeps: impl Fn(&TenantId) -> bool,
    ) -> Result<(), KeyError> {
        file::create(path, &self.rewrapped(kek, keeps)?)
    }

    /// Signs erasure receipts and the erasure journal with the server's key.
    pub fn signer(&self) -> ReceiptSigner {
        self.signer.clone()
    }

    fn wrap(&self, key: &SecretKey, tenant: &TenantId, purpose: Purpose) -> String {
        self.envelope
            .wrap(key, &["tenant", tenant.as_str(), purpose.as_str()])
    }

    fn unwrap(&self, wrapped: &str, tenant: &TenantId, purpose: Purpose) -> Result<SecretKey, KeyError> {
        self.envelope
            .unwrap(wrapped, &["tenant", tenant.as_str(), purpose.as_str()])
            .map_err(|_| KeyError::Damaged {
                path: self.path.clone(),
                problem: format!("the {} key of tenant {tenant} does not open", purpose.as_str()),
            })
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// The text of the file.
fn whole(envelope: &Envelope, body: &Body) -> String {
    let file = KeyringFile {
        format: KEYRING_FORMAT,
        hmac_sha256: envelope.digest(body.text().as_bytes()),
        body: body.clone(),
    };
    serde_json::to_string(&file).expect("ids and names are valid JSON keys")
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
