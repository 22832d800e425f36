//! A 256-bit secret and what is derived from it. Wiped when dropped, compared in constant time, never shown.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a secret.
pub const SECRET_LEN: usize = 32;

/// 32 secret bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; SECRET_LEN]);

impl SecretKey {
    /// A new secret from the operating system's generator.
    pub fn random() -> Self {
        let mut bytes = [0; SECRET_LEN];
        rand::fill(&mut bytes).expect("the operating system's generator answers");
        Self(bytes)
    }

    /// Takes bytes that come from elsewhere.
    pub fn from_bytes(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the modules of `keys` alone.
    pub(in crate::keys) fn expose(&self) -> &[u8; SECRET_LEN] {
        &self.0
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
        let mut derived = Self([0; SECRET_LEN]);
        Salt::new(HKDF_SHA256, b"thenar")
            .extract(&self.0)
            .expand(&[&context], OutputLen)
            .and_then(|okm| okm.fill(&mut derived.0))
            .expect("32 bytes are within HKDF's limit");
        derived
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
        verify_slices_are_equal(&self.0, &other.0).is_ok()
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
