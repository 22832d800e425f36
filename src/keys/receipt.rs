//! Signatures of erasure receipts, of the erasure journal and of checkpoints of the history: Ed25519 (RFC 8032) over their JSON; and the seal of what the journal keeps in a store. Says nothing about what they claim.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use thiserror::Error;
use zeroize::Zeroizing;

use super::aead::{AeadError, Sealer};
use super::encoding::to_hex;
use super::secret::SecretKey;
use crate::model::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::model::erasure::{ErasureReceipt, SignedReceipt};

/// Stands before what is signed of an entry of the journal, so that it never passes for a receipt, which begins with a brace.
const JOURNAL_DOMAIN: &[u8] = b"thenar erasure journal 1\0";
/// The same for a checkpoint of the history.
const CHECKPOINT_DOMAIN: &[u8] = b"thenar history checkpoint 1\0";

/// Why a receipt, or a checkpoint, does not stand.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// The signature is not of this key over these bytes.
    #[error("the signature does not fit its text and public key")]
    Signature,
    /// Signed with another key.
    #[error("it is signed with another key than expected")]
    Stranger,
    /// Signed, but something else.
    #[error("the signed text is not what it is taken for: {0}")]
    Text(#[from] serde_json::Error),
}

/// Signs receipts for one server.
#[derive(Clone)]
pub struct ReceiptSigner(Arc<Keys>);

struct Keys {
    pair: Ed25519KeyPair,
    /// Seals what the erasure journal keeps where others may read.
    journal: SecretKey,
}

impl ReceiptSigner {
    /// The signer with this seed.
    pub fn new(seed: &SecretKey) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose().as_slice()).expect("every 32 bytes are a seed");
        Self(Arc::new(Keys {
            pair,
            journal: seed.derive(&[b"erasure journal"]),
        }))
    }

    /// The public key, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.0.pair.public_key().as_ref()
    }

    /// Signs a receipt.
    pub fn sign(&self, receipt: &ErasureReceipt) -> SignedReceipt {
        let receipt_json = serde_json::to_string(receipt).expect("a receipt has no map with odd keys");
        let signature = self.0.pair.sign(receipt_json.as_bytes()).as_ref().to_vec();
        SignedReceipt {
            receipt_json,
            signature,
            public_key: self.public_key().to_vec(),
        }
    }

    /// Signs an entry of the erasure journal, in hexadecimal.
    pub fn sign_entry(&self, entry_json: &str) -> String {
        let text = [JOURNAL_DOMAIN, entry_json.as_bytes()].concat();
        to_hex(self.0.pair.sign(&text).as_ref())
    }

    /// Whether this signer made the signature of an entry of the erasure journal. One text has one signature (RFC 8032, section 5.1.6).
    pub fn verify_entry(&self, entry_json: &str, signature: &str) -> bool {
        self.sign_entry(entry_json) == signature
    }

    /// Seals an entry of the erasure journal under a name of its own: nonce, ciphertext, tag. One entry has one sealed text under each name, so that whoever puts it again puts the same; the nonce is derived from what it seals.
    pub fn seal_entry(&self, name: &str, line: &str) -> Vec<u8> {
        let key = self.0.journal.derive(&[b"entry", name.as_bytes()]);
        let nonce = key.derive(&[b"nonce", line.as_bytes()]);
        let nonce = *nonce.expose().first_chunk().expect("it is longer");
        let mut sealed = line.as_bytes().to_vec();
        let tag = Sealer::new(&key).seal_at(nonce, name.as_bytes(), &mut sealed);
        [&nonce[..], &sealed, &tag].concat()
    }

    /// Opens what [`ReceiptSigner::seal_entry`] made.
    pub fn open_entry(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        let key = self.0.journal.derive(&[b"entry", name.as_bytes()]);
        Sealer::new(&key).open(name.as_bytes(), sealed)
    }

    /// Signs a checkpoint of the history.
    pub fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> SignedCheckpoint {
        let checkpoint_json =
            serde_json::to_string(checkpoint).expect("a checkpoint has no map with odd keys");
        let text = [CHECKPOINT_DOMAIN, checkpoint_json.as_bytes()].concat();
        SignedCheckpoint {
            signature: self.0.pair.sign(&text).as_ref().to_vec(),
            public_key: self.public_key().to_vec(),
            checkpoint_json,
        }
    }
}

/// The public keys by which stands what was signed of a tenant, 32 bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerKeys {
    /// Of the server that has it.
    pub present: Vec<u8>,
    /// Of servers that had it before it was moved.
    pub former: BTreeSet<Vec<u8>>,
}

impl SignerKeys {
    /// Of a tenant that no other server had.
    pub fn new(present: &[u8]) -> Self {
        Self {
            present: present.to_vec(),
            former: BTreeSet::new(),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        [&self.present].into_iter().chain(&self.former).map(Vec::as_slice)
    }

    /// Checks that the receipt is signed with one of them, and returns what was signed.
    pub fn verify(&self, signed: &SignedReceipt) -> Result<ErasureReceipt, ReceiptError> {
        verify_of(signed, self.named(&signed.public_key)?)
    }

    /// The same for a checkpoint of the history.
    pub fn verify_checkpoint(&self, signed: &SignedCheckpoint) -> Result<Checkpoint, ReceiptError> {
        verify_checkpoint_of(signed, self.named(&signed.public_key)?)
    }

    fn named(&self, public_key: &[u8]) -> Result<&[u8], ReceiptError> {
        self.all()
            .find(|known| *known == public_key)
            .ok_or(ReceiptError::Stranger)
    }
}

/// Checks that the receipt is signed with this public key, which whoever checks learned before, and returns what was signed.
pub fn verify_of(signed: &SignedReceipt, public_key: &[u8]) -> Result<ErasureReceipt, ReceiptError> {
    if signed.public_key != public_key {
        return Err(ReceiptError::Stranger);
    }
    verify(signed)
}

/// Checks the signature against the public key in the receipt alone and returns what was signed.
pub fn verify(signed: &SignedReceipt) -> Result<ErasureReceipt, ReceiptError> {
    verify_text(
        &signed.public_key,
        signed.receipt_json.as_bytes(),
        &signed.signature,
    )?;
    Ok(serde_json::from_str(&signed.receipt_json)?)
}

/// Checks that the checkpoint is signed with this public key, which whoever checks learned before, and returns what was signed.
pub fn verify_checkpoint_of(
    signed: &SignedCheckpoint,
    public_key: &[u8],
) -> Result<Checkpoint, ReceiptError> {
    if signed.public_key != public_key {
        return Err(ReceiptError::Stranger);
    }
    verify_checkpoint(signed)
}

/// Checks that the checkpoint is signed with the key that it names, whosever that is, and returns what was signed.
pub fn verify_checkpoint(signed: &SignedCheckpoint) -> Result<Checkpoint, ReceiptError> {
    let text = [CHECKPOINT_DOMAIN, signed.checkpoint_json.as_bytes()].concat();
    verify_text(&signed.public_key, &text, &signed.signature)?;
    Ok(serde_json::from_str(&signed.checkpoint_json)?)
}

fn verify_text(public_key: &[u8], text: &[u8], signature: &[u8]) -> Result<(), ReceiptError> {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(text, signature)
        .map_err(|_| ReceiptError::Signature)
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
