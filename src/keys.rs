//! Keys: where the key-encryption key comes from, the keyring, sealing (AEAD), the transform, links and receipts' signatures. Key bytes never leave it.

pub mod aead;
pub mod envelope;
pub mod keyring;
pub mod link;
pub mod provider;
pub mod receipt;
pub mod secret;
pub mod transform;
