//! Signed texts in files, receipts and checkpoints: reads what the command line writes, or protocol buffers' JSON. Checks no signature.

use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use crate::keys::encoding::{from_base64, from_hex};

use super::error::CliError;

/// Stands for standard input.
const STDIN: &str = "-";
/// Most bytes of a file: a receipt lists at most 16 rows, a checkpoint none.
const FILE_LEN_MAX: u64 = 1 << 20;
/// Bytes of an Ed25519 signature, and of a public key.
const SIGNATURE_LEN: usize = 64;
const PUBLIC_KEY_LEN: usize = 32;

/// An Ed25519 public key.
#[derive(Debug, Clone)]
pub struct PublicKey([u8; PUBLIC_KEY_LEN]);

impl PublicKey {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The public key of 64 hexadecimal digits.
pub fn public_key(text: &str) -> Result<PublicKey, String> {
    let bytes = from_hex(text).and_then(|bytes| bytes.as_slice().try_into().ok());
    bytes
        .map(PublicKey)
        .ok_or_else(|| format!("{} hexadecimal digits are required", 2 * PUBLIC_KEY_LEN))
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The receipt of an erasure.
    Receipt,
    /// A checkpoint of the history.
    Checkpoint,
}

/// A text, its signature and the key that came along.
#[derive(Debug)]
pub struct Signed {
    /// Exactly what was signed.
    pub text: String,
    /// Ed25519, 64 bytes.
    pub signature: Vec<u8>,
    /// 32 bytes.
    pub public_key: Vec<u8>,
}

#[derive(Deserialize)]
struct File {
    #[serde(alias = "receiptJson")]
    receipt_json: Option<String>,
    #[serde(alias = "checkpointJson")]
    checkpoint_json: Option<String>,
    signature: String,
    #[serde(alias = "publicKey")]
    public_key: String,
}

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path, kind: Kind) -> Result<Signed, CliError> {
    let mut text = String::new();
    let read = if path == Path::new(STDIN) {
        std::io::stdin().take(FILE_LEN_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_LEN_MAX).read_to_string(&mut text))
    };
    read.map_err(|e| CliError::file(path, e))?;
    parse(&text, kind).map_err(|problem| CliError::NotSigned {
        path: path.to_owned(),
        problem,
    })
}

/// Bytes come in hexadecimal, or in base64 where protocol buffers wrote them.
fn parse(text: &str, kind: Kind) -> Result<Signed, String> {
    let what = match kind {
        Kind::Receipt => "receipt",
        Kind::Checkpoint => "checkpoint",
    };
    let file: File =
        serde_json::from_str(text).map_err(|error| format!("is not a signed {what}: {error}"))?;
    let signed = match kind {
        Kind::Receipt => file.receipt_json,
        Kind::Checkpoint => file.checkpoint_json,
    };
    let bytes = |field: &str, text: &str, len: usize| {
        let bytes = if text.len() == 2 * len {
            from_hex(text)
        } else {
            from_base64(text)
        };
        let bytes = bytes.filter(|bytes| bytes.len() == len);
        bytes
            .map(|bytes| bytes.to_vec())
            .ok_or_else(|| format!("{field} is not {len} bytes in hexadecimal or base64"))
    };
    Ok(Signed {
        text: signed.ok_or_else(|| format!("is not a signed {what}: it has no {what}_json"))?,
        signature: bytes("signature", &file.signature, SIGNATURE_LEN)?,
        public_key: bytes("public_key", &file.public_key, PUBLIC_KEY_LEN)?,
    })
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod tests;
