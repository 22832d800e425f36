//! The keyring: every tenant's keys, wrapped by the key-encryption key, in one text: a file, or what many machines share. Keys are unwrapped when asked for; none is kept in the clear.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::body::Body;
use self::keks::{OpenKeys, WrappedBy, Wrapping};
use super::envelope::Envelope;
use super::error::KeyError;
use super::file;
use super::held::{Done, Form, Held};
use super::receipt::{ReceiptSigner, SignerKeys};
use super::secret::SecretKey;
use super::text::{FIRST_VERSION, FileText, TextStore};
use crate::model::id::TenantId;

mod body;
mod keks;
mod signers;

pub use self::keks::Keks;

/// Version of the file's format.
pub const KEYRING_FORMAT: u32 = 1;

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

/// The keys of one data directory, or of all machines that share a text. Every change is durable before it returns.
pub struct Keyring {
    signer: ReceiptSigner,
    held: Held<Keks>,
}

impl Keyring {
    /// Makes a keyring with a new key to sign receipts. One that is there already is refused.
    pub fn create(path: &Path, kek: &SecretKey) -> Result<Self, KeyError> {
        Self::create_in(Arc::new(FileText::new(path)), kek)
    }

    /// The same wherever texts are kept.
    pub fn create_in(store: Arc<dyn TextStore>, kek: &SecretKey) -> Result<Self, KeyError> {
        let (keks, signer) = (Keks::from(kek), SecretKey::random());
        let body = Body::new(keks.by(WrappedBy::Present), &signer);
        Ok(Self {
            signer: ReceiptSigner::new(&signer),
            held: Held::create(store, keks, body)?,
        })
    }

    /// Reads a keyring, authenticates all of it and clears away what a crash left beside it.
    pub fn open(path: &Path, keks: impl Into<Keks>) -> Result<Self, KeyError> {
        let keyring = Self::read(path, keks)?;
        keyring.held.store().settle()?;
        Ok(keyring)
    }

    /// The same beside a server that may be changing it: clears nothing away. Not for changes.
    pub fn read(path: &Path, keks: impl Into<Keks>) -> Result<Self, KeyError> {
        Self::open_in(Arc::new(FileText::new(path)), keks)
    }

    /// Reads a keyring wherever texts are kept, and authenticates all of it. Clears nothing away.
    pub fn open_in(store: Arc<dyn TextStore>, keks: impl Into<Keks>) -> Result<Self, KeyError> {
        Self::of(Held::open(store, keks.into())?)
    }

    /// Reads the keyring that machines share, or makes it where there is none: of two that make it at once both have the same one. Where the tenants that it is to have keys of are there already (`has_tenants`), none is made.
    pub fn open_shared(
        store: Arc<dyn TextStore>,
        keks: impl Into<Keks>,
        has_tenants: bool,
    ) -> Result<Self, KeyError> {
        let keks = keks.into();
        if store.version()?.is_none() {
            if has_tenants {
                return Err(KeyError::KeyringMissing(store.path().to_owned()));
            }
            let envelope = keks.by(WrappedBy::Present);
            let first = Body::new(envelope, &SecretKey::random()).text(envelope);
            // Who was slower reads what the other one made.
            store.create(&first)?;
        }
        Self::open_in(store, keks)
    }

    /// Reads the text of a keyring, which errors call by `path`. Where no file has that name it can't be changed.
    pub fn parse(path: &Path, text: &str, kek: &SecretKey) -> Result<Self, KeyError> {
        let (store, keks) = (FileText::new(path), Keks::from(kek));
        let body = keks.parse(text, &store)?;
        Self::of(Held::of(Arc::new(store), keks, body, FIRST_VERSION))
    }

    fn of(held: Held<Keks>) -> Result<Self, KeyError> {
        let seed = held.with(|body| {
            let envelope = held.form().by(body.wrapped_by);
            body::signer(envelope, body, held.store())
        })?;
        Ok(Self {
            signer: ReceiptSigner::new(&seed),
            held,
        })
    }

    /// Reads what other machines have changed, and nothing where they have not. Gives the version that is in memory then: it is another one after each change.
    pub fn refresh(&self) -> Result<u64, KeyError> {
        self.held.refresh()
    }

    /// Whether other machines may change it.
    pub fn is_shared(&self) -> bool {
        self.held.store().is_shared()
    }

    /// A tenant's key, as it is in memory.
    pub fn known(&self, tenant: &TenantId, purpose: Purpose) -> Result<Option<SecretKey>, KeyError> {
        self.held.with(|body| self.key_in(body, tenant, purpose))
    }

    /// A tenant's key, if it has one. Where machines share the keyring it is read again before that is denied; a key that another one destroyed meanwhile is given until this one reads again.
    pub fn get(&self, tenant: &TenantId, purpose: Purpose) -> Result<Option<SecretKey>, KeyError> {
        self.held.find(|body| self.key_in(body, tenant, purpose))
    }

    fn key_in(
        &self,
        body: &Body,
        tenant: &TenantId,
        purpose: Purpose,
    ) -> Result<Option<SecretKey>, KeyError> {
        let wrapped = body.key(tenant, purpose);
        wrapped
            .map(|wrapped| self.wrapping(body).unwrap(wrapped, tenant, purpose))
            .transpose()
    }

    /// The keys of one purpose of all tenants that have one and are not being dropped, as they are in memory.
    pub fn all(&self, purpose: Purpose) -> Result<BTreeMap<TenantId, SecretKey>, KeyError> {
        self.held.with(|body| {
            let there = body
                .tenants
                .iter()
                .filter(|(_, keys)| !keys.contains_key(&Purpose::Dropped));
            let found = there.filter_map(|(tenant, keys)| Some((tenant, keys.get(&purpose)?)));
            let wrapping = self.wrapping(body);
            found
                .map(|(tenant, wrapped)| Ok((tenant.clone(), wrapping.unwrap(wrapped, tenant, purpose)?)))
                .collect()
        })
    }

    /// Has exactly these keys of one purpose from now on, and of other tenants none. `keys` is asked for them after the keyring was read, and again where another machine was faster, so that whoever
    /// is late writes nothing that is older than what was there.
    pub fn mirror(
        &self,
        purpose: Purpose,
        keys: impl Fn() -> Result<BTreeMap<TenantId, SecretKey>, KeyError>,
    ) -> Result<(), KeyError> {
        self.held.change(|body| {
            let (wanted, mut is_same) = (keys()?, true);
            let wrapping = self.wrapping(body);
            for (tenant, keys) in &mut body.tenants {
                if !wanted.contains_key(tenant) && keys.remove(&purpose).is_some() {
                    is_same = false;
                }
            }
            body.tenants.retain(|_, keys| !keys.is_empty());
            for (tenant, key) in &wanted {
                let keys = body.tenants.entry(tenant.clone()).or_default();
                let known = keys.get(&purpose);
                let known = known.map(|wrapped| wrapping.unwrap(wrapped, tenant, purpose));
                if known.transpose()?.as_ref() != Some(key) {
                    keys.insert(purpose, wrapping.wrap(key, tenant, purpose));
                    is_same = false;
                }
            }
            Ok(if is_same {
                Done::Same(())
            } else {
                Done::Changed(())
            })
        })
    }

    /// A tenant's key. When it has none, all of the keys that it lacks are made in one durable change, so that a tenant costs one.
    pub fn get_or_create(&self, tenant: &TenantId, purpose: Purpose) -> Result<SecretKey, KeyError> {
        if let Some(key) = self.get(tenant, purpose)? {
            return Ok(key);
        }
        self.held.change(|body| {
            let wrapping = self.wrapping(body);
            let keys = body.tenants.entry(tenant.clone()).or_default();
            if let Some(wrapped) = keys.get(&purpose) {
                return Ok(Done::Same(wrapping.unwrap(wrapped, tenant, purpose)?));
            }
            for purpose in Purpose::ALL.into_iter().filter(|each| *each != purpose) {
                keys.entry(purpose)
                    .or_insert_with(|| wrapping.wrap(&SecretKey::random(), tenant, purpose));
            }
            let key = SecretKey::random();
            keys.insert(purpose, wrapping.wrap(&key, tenant, purpose));
            Ok(Done::Changed(key))
        })
    }

    /// Takes keys of a tenant that come from another keyring, and what was signed of it there as well signed. Where the tenant has others, or is being dropped, nothing is changed; the same ones are well.
    pub fn adopt(
        &self,
        tenant: &TenantId,
        adopted: &[(Purpose, SecretKey)],
        signed_by: Option<&SignerKeys>,
    ) -> Result<(), KeyError> {
        self.held.change(|body| {
            let taken = || KeyError::Taken {
                path: self.held.store().path().to_owned(),
                tenant: tenant.clone(),
            };
            let wrapping = self.wrapping(body);
            let keys = body.tenants.entry(tenant.clone()).or_default();
            if keys.contains_key(&Purpose::Dropped) {
                return Err(taken());
            }
            let mut is_same = true;
            for (purpose, key) in adopted {
                let known = keys.get(purpose);
                let known = known.map(|wrapped| wrapping.unwrap(wrapped, tenant, *purpose));
                match known.transpose()? {
                    Some(known) if known == *key => {}
                    Some(_) => return Err(taken()),
                    None => {
                        keys.insert(*purpose, wrapping.wrap(key, tenant, *purpose));
                        is_same = false;
                    }
                }
            }
            is_same &= !self.adopt_signers(body, tenant, signed_by);
            Ok(if is_same {
                Done::Same(())
            } else {
                Done::Changed(())
            })
        })
    }

    /// The key that is to take the place of a tenant's present one, made when there is none: durable when it
    /// returns, it says from then on that a rotation is under way. `None` for a tenant without keys.
    pub fn begin_rotation(&self, tenant: &TenantId, of: Renewable) -> Result<Option<SecretKey>, KeyError> {
        self.held.change(|body| {
            let wrapping = self.wrapping(body);
            let Some(keys) = body.tenants.get_mut(tenant) else {
                return Ok(Done::Same(None));
            };
            if let Some(wrapped) = keys.get(&of.next()) {
                return Ok(Done::Same(Some(wrapping.unwrap(wrapped, tenant, of.next())?)));
            }
            let key = SecretKey::random();
            keys.insert(of.next(), wrapping.wrap(&key, tenant, of.next()));
            Ok(Done::Changed(Some(key)))
        })
    }

    /// Whether a rotation was begun and not ended, by what is in memory.
    pub fn is_rotating(&self, tenant: &TenantId, of: Renewable) -> bool {
        self.held.with(|body| body.key(tenant, of.next()).is_some())
    }

    /// Ends a rotation: `next` is the present key, and the former is gone for good, from the disk too, when it returns.
    /// Where the next key is another one, or none, it changes nothing: that rotation was ended before.
    pub fn end_rotation(&self, tenant: &TenantId, of: Renewable, next: &SecretKey) -> Result<(), KeyError> {
        self.held.change(|body| {
            let wrapping = self.wrapping(body);
            let Some(keys) = body.tenants.get_mut(tenant) else {
                return Ok(Done::Same(()));
            };
            let Some(wrapped) = keys.remove(&of.next()) else {
                return Ok(Done::Same(()));
            };
            if wrapping.unwrap(&wrapped, tenant, of.next())? != *next {
                return Ok(Done::Same(()));
            }
            keys.insert(of.present(), wrapping.wrap(next, tenant, of.present()));
            Ok(Done::Changed(()))
        })
    }

    /// Whether a tenant is being dropped, by what is in memory.
    pub fn is_dropped(&self, tenant: &TenantId) -> bool {
        self.held
            .with(|body| body.key(tenant, Purpose::Dropped).is_some())
    }

    /// Notes that a tenant that has keys is being dropped; durable when it returns. Gives the mark of the drop, which is the same for all who drop it; `None` for a tenant without keys.
    pub fn begin_drop(&self, tenant: &TenantId) -> Result<Option<SecretKey>, KeyError> {
        self.held.change(|body| {
            let wrapping = self.wrapping(body);
            let Some(keys) = body.tenants.get_mut(tenant) else {
                return Ok(Done::Same(None));
            };
            if let Some(wrapped) = keys.get(&Purpose::Dropped) {
                return Ok(Done::Same(Some(wrapping.unwrap(
                    wrapped,
                    tenant,
                    Purpose::Dropped,
                )?)));
            }
            let mark = SecretKey::random();
            keys.insert(Purpose::Dropped, wrapping.wrap(&mark, tenant, Purpose::Dropped));
            Ok(Done::Changed(Some(mark)))
        })
    }

    /// Destroys what a drop that was cut off left of a tenant's keys. Only for a tenant that is not there.
    pub fn end_drop(&self, tenant: &TenantId) -> Result<(), KeyError> {
        self.destroy_where(tenant, |keys| keys.contains_key(&Purpose::Dropped))
    }

    /// Ends the drop that has this mark: destroys the tenant's keys for good, as [`Keyring::destroy`] does. Where another machine ended it, those of a tenant that was made anew since stay.
    pub fn end_drop_of(&self, tenant: &TenantId, mark: &SecretKey) -> Result<(), KeyError> {
        self.destroy_where(tenant, |keys| keys.get(&Purpose::Dropped) == Some(mark))
    }

    /// Destroys a tenant's keys for good: the text without them is durable and the old one is overwritten
    /// when it returns. A tenant without keys is no error.
    pub fn destroy(&self, tenant: &TenantId) -> Result<(), KeyError> {
        self.destroy_where(tenant, |_| true)
    }

    /// Destroys a tenant's keys where these are such, and none of a tenant that was made anew after they were seen first.
    fn destroy_where(&self, tenant: &TenantId, are_such: impl Fn(&OpenKeys) -> bool) -> Result<(), KeyError> {
        let mut seen: Option<OpenKeys> = None;
        self.held.change(|body| {
            let Some(wrapped) = body.tenants.get(tenant) else {
                return Ok(Done::Same(()));
            };
            let keys = self.wrapping(body).unwrap_all(wrapped, tenant)?;
            let are_same = seen.as_ref().is_none_or(|seen| share_a_key(seen, &keys));
            if !are_same || !are_such(&keys) {
                return Ok(Done::Same(()));
            }
            seen = Some(keys);
            body.tenants.remove(tenant);
            body.former_signers.remove(tenant);
            Ok(Done::Changed(()))
        })
    }

    /// The text of a keyring with the same signer and the keys of some tenants, wrapped by another key-encryption key.
    pub fn rewrapped(&self, kek: &SecretKey, keeps: impl Fn(&TenantId) -> bool) -> Result<String, KeyError> {
        let envelope = Envelope::new(kek);
        let body = self
            .held
            .with(|body| self.rewrapped_body(body, &envelope, keeps))?;
        Ok(body.text(&envelope))
    }

    fn rewrapped_body(
        &self,
        body: &Body,
        by: &Envelope,
        keeps: impl Fn(&TenantId) -> bool,
    ) -> Result<Body, KeyError> {
        let (from, store) = (self.wrapping(body), self.held.store());
        let mut made = Body::new(by, &body::signer(from.envelope, body, store)?);
        let by = Wrapping { envelope: by, store };
        for (tenant, keys) in body.tenants.iter().filter(|(tenant, _)| keeps(tenant)) {
            let keys = from.unwrap_all(keys, tenant)?.into_iter();
            let wrapped = keys.map(|(purpose, key)| (purpose, by.wrap(&key, tenant, purpose)));
            made.tenants.insert(tenant.clone(), wrapped.collect());
        }
        let former = body.former_signers.iter().filter(|(tenant, _)| keeps(tenant));
        made.former_signers = former
            .map(|(tenant, keys)| (tenant.clone(), keys.clone()))
            .collect();
        Ok(made)
    }

    /// Wraps all keys by the next key-encryption key that the keyring was opened with; durable when it returns, also where they were before, and what the former one wrapped is gone. Whoever has both may read
    /// and change it meanwhile.
    pub fn rewrap(&self) -> Result<(), KeyError> {
        let next = self.held.form().next().ok_or(KeyError::NoNewKek)?;
        self.held.change(|body| {
            if body.wrapped_by == WrappedBy::Next {
                return Ok(Done::Same(()));
            }
            *body = Body {
                wrapped_by: WrappedBy::Next,
                ..self.rewrapped_body(body, next, |_| true)?
            };
            Ok(Done::Changed(()))
        })
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

    /// What wraps the keys of a body.
    fn wrapping(&self, body: &Body) -> Wrapping<'_> {
        Wrapping {
            envelope: self.held.form().by(body.wrapped_by),
            store: self.held.store(),
        }
    }
}

/// Whether these are of one tenant: no rotation exchanges all of its keys at once.
fn share_a_key(one: &OpenKeys, other: &OpenKeys) -> bool {
    one.iter().any(|(purpose, key)| other.get(purpose) == Some(key))
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
