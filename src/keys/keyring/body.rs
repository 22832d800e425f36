//! The text of a keyring: wrapped keys and a digest of all of them. Knows no place where it is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::keks::{Keks, WrappedBy};
use super::{KEYRING_FORMAT, Purpose};
use crate::keys::envelope::Envelope;
use crate::keys::error::KeyError;
use crate::keys::held::Form;
use crate::keys::secret::SecretKey;
use crate::keys::text::TextStore;
use crate::model::id::TenantId;

/// What the signer's seed is bound to.
const SIGNER_PLACE: [&str; 1] = ["receipt signer"];

/// A tenant's wrapped keys.
pub(super) type TenantKeys = BTreeMap<Purpose, String>;

/// What the text holds, as JSON: the body and a keyed digest of the body's JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyringFile {
    format: u32,
    body: Body,
    hmac_sha256: String,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Wrapped keys. The maps are ordered, so that one content has one text and one digest.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::keys) struct Body {
    pub(super) signer: String,
    pub(super) tenants: BTreeMap<TenantId, TenantKeys>,
    /// Public keys of servers that had a tenant before it was moved here, in hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) former_signers: BTreeMap<TenantId, BTreeSet<String>>,
    /// By which key-encryption key: whoever reads it finds out.
    #[serde(skip)]
    pub(super) wrapped_by: WrappedBy,
}

impl Body {
    /// Of no tenant.
    pub(super) fn new(envelope: &Envelope, signer: &SecretKey) -> Self {
        Self {
            signer: envelope.wrap(signer, &SIGNER_PLACE),
            tenants: BTreeMap::new(),
            former_signers: BTreeMap::new(),
            wrapped_by: WrappedBy::Present,
        }
    }

    /// A wrapped key.
    pub(super) fn key(&self, tenant: &TenantId, purpose: Purpose) -> Option<&String> {
        self.tenants.get(tenant)?.get(&purpose)
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("ids and names are valid JSON keys")
    }

    /// The text, by the key-encryption key that it is wrapped by.
    pub(super) fn text(&self, envelope: &Envelope) -> String {
        let file = KeyringFile {
            format: KEYRING_FORMAT,
            hmac_sha256: envelope.digest(self.json().as_bytes()),
            body: self.clone(),
        };
        serde_json::to_string(&file).expect("ids and names are valid JSON keys")
    }
}

impl Form for Keks {
    type Body = Body;

    fn parse(&self, text: &str, store: &dyn TextStore) -> Result<Body, KeyError> {
        let path = || store.path().to_owned();
        let damaged = |problem: String| KeyError::Damaged {
            path: path(),
            problem,
        };
        let format = serde_json::from_str::<FormatOnly>(text).map_err(|error| damaged(error.to_string()))?;
        if format.format != KEYRING_FORMAT {
            return Err(KeyError::Format {
                path: path(),
                found: format.format,
                expected: KEYRING_FORMAT,
            });
        }
        let parsed: KeyringFile = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        let mut body = parsed.body;
        let opens = |(_, envelope): &(WrappedBy, &Envelope)| signer(envelope, &body, store).is_ok();
        let opened = self.each().find(opens);
        let (wrapped_by, envelope) = opened.ok_or_else(|| KeyError::WrongKek { path: path() })?;
        body.wrapped_by = wrapped_by;
        let authentic = envelope.verify(body.json().as_bytes(), &parsed.hmac_sha256);
        // One content has one text, so that no byte of the file is free.
        if !authentic || text != body.text(envelope) {
            return Err(damaged(
                "its content does not fit its digest (hmac_sha256)".to_owned(),
            ));
        }
        Ok(body)
    }

    fn text(&self, body: &Body) -> String {
        body.text(self.by(body.wrapped_by))
    }
}

/// The seed of the signer.
pub(super) fn signer(envelope: &Envelope, body: &Body, store: &dyn TextStore) -> Result<SecretKey, KeyError> {
    envelope
        .unwrap(&body.signer, &SIGNER_PLACE)
        .map_err(|_| KeyError::WrongKek {
            path: store.path().to_owned(),
        })
}
