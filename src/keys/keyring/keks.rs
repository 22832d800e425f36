//! The key-encryption keys that a keyring may be wrapped by: one, or two while it is being rotated. Stores nothing.

use std::collections::BTreeMap;

use super::Purpose;
use super::body::TenantKeys;
use crate::keys::envelope::Envelope;
use crate::keys::error::KeyError;
use crate::keys::secret::SecretKey;
use crate::keys::text::TextStore;
use crate::model::id::TenantId;

/// Which of them wraps a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::keys) enum WrappedBy {
    /// The present one.
    #[default]
    Present,
    /// The one that is to take its place.
    Next,
}

/// The key-encryption key, and the one that is to take its place: whoever has both opens what either wraps, and writes by the one that he found.
pub struct Keks {
    present: Envelope,
    next: Option<Envelope>,
}

impl Keks {
    /// Prepares them.
    pub fn new(present: &SecretKey, next: Option<&SecretKey>) -> Self {
        Self {
            present: Envelope::new(present),
            next: next.map(Envelope::new),
        }
    }

    /// The one that wraps a text.
    pub(super) fn by(&self, which: WrappedBy) -> &Envelope {
        match which {
            WrappedBy::Present => &self.present,
            WrappedBy::Next => self
                .next
                .as_ref()
                .expect("what it wraps was opened or made with it"),
        }
    }

    /// The one that is to take the place of the present one.
    pub(super) fn next(&self) -> Option<&Envelope> {
        self.next.as_ref()
    }

    /// All of them, the present one first.
    pub(super) fn each(&self) -> impl Iterator<Item = (WrappedBy, &Envelope)> {
        let next = self.next.iter().map(|next| (WrappedBy::Next, next));
        [(WrappedBy::Present, &self.present)].into_iter().chain(next)
    }
}

impl From<&SecretKey> for Keks {
    fn from(kek: &SecretKey) -> Self {
        Self::new(kek, None)
    }
}

/// A tenant's keys.
pub(super) type OpenKeys = BTreeMap<Purpose, SecretKey>;

/// Wraps each key for its place in the keyring.
pub(super) struct Wrapping<'a> {
    pub(super) envelope: &'a Envelope,
    pub(super) store: &'a dyn TextStore,
}

impl Wrapping<'_> {
    pub(super) fn wrap(&self, key: &SecretKey, tenant: &TenantId, purpose: Purpose) -> String {
        self.envelope
            .wrap(key, &["tenant", tenant.as_str(), purpose.as_str()])
    }

    pub(super) fn unwrap(
        &self,
        wrapped: &str,
        tenant: &TenantId,
        purpose: Purpose,
    ) -> Result<SecretKey, KeyError> {
        self.envelope
            .unwrap(wrapped, &["tenant", tenant.as_str(), purpose.as_str()])
            .map_err(|_| KeyError::Damaged {
                path: self.store.path().to_owned(),
                problem: format!("the {} key of tenant {tenant} does not open", purpose.as_str()),
            })
    }

    pub(super) fn unwrap_all(&self, wrapped: &TenantKeys, tenant: &TenantId) -> Result<OpenKeys, KeyError> {
        let unwrapped = wrapped
            .iter()
            .map(|(purpose, wrapped)| Ok((*purpose, self.unwrap(wrapped, tenant, *purpose)?)));
        unwrapped.collect()
    }
}
