//! Keyed digests: HMAC-SHA-256 (RFC 2104) over a list of parts. For lookups and for noticing repetitions, where a plain hash could be guessed.

use aws_lc_rs::hmac;

use super::secret::SecretKey;

/// Bytes of a keyed digest.
pub const MAC_LEN: usize = 32;

/// Makes keyed digests under one key.
#[derive(Clone)]
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Prepares a key.
    pub fn new(key: &SecretKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_slice()))
    }

    /// The digest of the parts. Each is preceded by its length, so that no two lists give the same input.
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        context
            .sign()
            .as_ref()
            .try_into()
            .expect("SHA-256 gives 32 bytes")
    }

    /// Whether `digest` is that of the parts, in constant time.
    pub fn verify(&self, parts: &[&[u8]], digest: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.digest(parts), digest).is_ok()
    }
}

#[cfg(test)]
#[path = "mac_tests.rs"]
mod tests;
