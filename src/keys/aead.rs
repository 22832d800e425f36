//! Sealing: AES-256-GCM through aws-lc-rs. Knows bytes alone; what they mean is the caller's, bound by associated data.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

use super::secret::SecretKey;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// Authentication failed: the bytes, their associated data or the key are not those that were sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("authentication failed: not the bytes that were sealed, or not with this key")]
pub struct AeadError;

/// Seals and opens under one key.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// Prepares a key.
    pub fn new(key: &SecretKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.expose().as_slice()).expect("the key has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts in place and returns the tag. A nonce must never seal two different contents under one key:
    /// callers number blocks of files that are written once.
    pub fn seal_at(&self, nonce: [u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .expect("the data is far below the limit of AES-GCM");
        tag.as_ref().try_into().expect("the tag has 16 bytes")
    }

    /// Checks the tag and decrypts in place. On failure `data` holds nothing of use.
    pub fn open_at(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        let ciphertext = Zeroizing::new(data.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_separate_gather(nonce, Aad::from(aad), &ciphertext, tag, data)
            .map_err(|_| AeadError)
    }

    /// Seals under a random nonce: nonce, ciphertext, tag.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).expect("the operating system's generator answers");
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self.seal_at(
            nonce,
            aad,
            sealed.get_mut(NONCE_LEN..).expect("the nonce stands before"),
        );
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens what [`Sealer::seal`] made.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(AeadError)?;
        let (data, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(AeadError)?;
        let mut plain = Zeroizing::new(data.to_vec());
        self.open_at(*nonce, aad, &mut plain, tag)?;
        Ok(plain)
    }
}

#[cfg(test)]
#[path = "aead_tests.rs"]
mod tests;
