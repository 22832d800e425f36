//! Signatures of erasure receipts: Ed25519 (RFC 8032) over the receipt's JSON. Says nothing about what a receipt claims.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use thiserror::Error;

use super::secret::SecretKey;
use crate::model::erasure::{ErasureReceipt, SignedReceipt};

/// Why a receipt does not stand.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// The signature is not of this key over these bytes.
    #[error("the receipt's signature does not fit its text and public key")]
    Signature,
    /// Signed, but not a receipt.
    #[error("the signed text is not a receipt: {0}")]
    Text(#[from] serde_json::Error),
}

/// Signs receipts for one server.
#[derive(Clone)]
pub struct ReceiptSigner(Arc<Ed25519KeyPair>);

impl ReceiptSigner {
    /// The signer with this seed.
    pub fn new(seed: &SecretKey) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("every 32 bytes are a seed");
        Self(Arc::new(pair))
    }

    /// Signs a receipt.
    pub fn sign(&self, receipt: &ErasureReceipt) -> SignedReceipt {
        let receipt_json = serde_json::to_string(receipt).expect("a receipt has no map with odd keys");
        let signature = self.0.sign(receipt_json.as_bytes()).as_ref().to_vec();
        SignedReceipt {
            receipt_json,
            signature,
            public_key: self.0.public_key().as_ref().to_vec(),
        }
    }
}

/// Checks the signature against the public key in the receipt and returns what was signed. Whoever
/// checks compares the public key with the server's, which it learned before.
pub fn verify(signed: &SignedReceipt) -> Result<ErasureReceipt, ReceiptError> {
    UnparsedPublicKey::new(&ED25519, &signed.public_key)
        .verify(signed.receipt_json.as_bytes(), &signed.signature)
        .map_err(|_| ReceiptError::Signature)?;
    Ok(serde_json::from_str(&signed.receipt_json)?)
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
