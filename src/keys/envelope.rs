//! Envelopes: keys wrapped by the key-encryption key (AES-256-GCM), each bound to its place, so that none opens anywhere else. Stores nothing.

use zeroize::Zeroizing;

use super::aead::{AeadError, Sealer};
use super::encoding::{from_hex, to_hex};
use super::mac::MacKey;
use super::secret::{SECRET_LEN, SecretKey};

/// Wraps keys under one key-encryption key.
pub struct Envelope {
    sealer: Sealer,
    mac: MacKey,
}

impl Envelope {
    /// Prepares a key-encryption key; wrapping and authentication of the whole use keys derived from it.
    pub fn new(kek: &SecretKey) -> Self {
        Self {
            sealer: Sealer::new(&kek.derive(&[b"keyring wrap"])),
            mac: MacKey::new(&kek.derive(&[b"keyring mac"])),
        }
    }

    /// Wraps a key for one place: hexadecimal nonce, ciphertext and tag.
    pub fn wrap(&self, key: &SecretKey, place: &[&str]) -> String {
        to_hex(&self.sealer.seal(&context(place), key.expose().as_slice()))
    }

    /// Unwraps what [`Envelope::wrap`] made for this place.
    pub fn unwrap(&self, wrapped: &str, place: &[&str]) -> Result<SecretKey, AeadError> {
        let sealed = from_hex(wrapped).ok_or(AeadError)?;
        let plain = self.sealer.open(&context(place), &sealed)?;
        let bytes = Zeroizing::new(<[u8; SECRET_LEN]>::try_from(plain.as_slice()).map_err(|_| AeadError)?);
        Ok(SecretKey::from_bytes(*bytes))
    }

    /// Keyed digest of a whole, so that a missing or exchanged entry is noticed.
    pub fn digest(&self, whole: &[u8]) -> String {
        to_hex(&self.mac.digest(&[whole]))
    }

    /// Whether `digest` is the one of the whole.
    pub fn verify(&self, whole: &[u8], digest: &str) -> bool {
        from_hex(digest).is_some_and(|digest| self.mac.verify(&[whole], &digest))
    }
}

fn context(place: &[&str]) -> Vec<u8> {
    let mut context = Vec::new();
    for part in place {
        context.extend_from_slice(&(part.len() as u64).to_le_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
