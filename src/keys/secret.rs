//! A 256-bit secret and what is derived from it. Lies in the vault, wiped when dropped, compared in constant time, never shown.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use zeroize::{Zeroize, Zeroizing};

use super::vault::Place;

/// Bytes of a secret.
pub const SECRET_LEN: usize = 32;

/// 32 secret bytes.
#[derive(Clone)]
pub struct SecretKey(Place);

impl SecretKey {
    /// A new secret from the operating system's generator.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_LEN]);
        rand::fill(bytes.as_mut_slice()).expect("the operating system's generator answers");
        Self(Place::new(&bytes))
    }

    /// Takes bytes that come from elsewhere.
    pub fn from_bytes(mut bytes: [u8; SECRET_LEN]) -> Self {
        let place = Place::new(&bytes);
        bytes.zeroize();
        Self(place)
    }

    /// A copy of the bytes, for the modules of `keys` alone.
    pub(in crate::keys) fn expose(&self) -> Zeroizing<[u8; SECRET_LEN]> {
        self.0.get()
    }

    /// HKDF-SHA-256 (RFC 5869) with this secret as input and `info` as context. Each part is preceded by
    /// its length, so that no two lists of parts give the same context.
    #[must_use]
    pub fn derive(&self, info: &[&[u8]]) -> Self {
        let mut context = Vec::new();
        for part in info {
            context.extend_from_slice(&(part.len() as u64).to_le_bytes());
            context.extend_from_slice(part);
        }
        let mut derived = Zeroizing::new([0; SECRET_LEN]);
        Salt::new(HKDF_SHA256, b"thenar")
            .extract(self.expose().as_slice())
            .expand(&[&context], OutputLen)
            .and_then(|okm| okm.fill(derived.as_mut_slice()))
            .expect("32 bytes are within HKDF's limit");
        Self(Place::new(&derived))
    }
}

struct OutputLen;

impl KeyType for OutputLen {
    fn len(&self) -> usize {
        SECRET_LEN
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.expose().as_slice(), other.expose().as_slice()).is_ok()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
