//! Keys: where the key-encryption key comes from, the keyring, sealing (AEAD), cells of a catalog, the transform, links, sealed probes and receipts' signatures. Key bytes never leave it.

pub mod aead;
pub mod cells;
pub mod encoding;
pub mod envelope;
pub mod epochs;
pub mod error;
mod file;
mod held;
pub mod keyring;
pub mod link;
pub mod mac;
pub mod probe;
pub mod provider;
pub mod receipt;
pub mod secret;
pub mod stream;
pub mod text;
pub mod transform;
mod vault;
