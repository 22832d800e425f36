//! `thenar receipt`: holds the receipt of an erasure against its signature and against the files, on the machine that has them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::keys::encoding::{from_base64, from_hex};
use crate::model::erasure::{ErasureState, SignedReceipt};
use crate::storage::absence::{Absence, FoundKind};

use super::error::CliError;
use super::local::{self, CheckedReceipt, DataOptions, Verdict};
use super::output::Output;

/// Stands for standard input.
const STDIN: &str = "-";
/// Most bytes of a file with a receipt, which lists at most 16 rows.
const RECEIPT_LEN_MAX: u64 = 1 << 20;
/// Bytes of an Ed25519 signature, and of a public key.
const SIGNATURE_LEN: usize = 64;
const PUBLIC_KEY_LEN: usize = 32;

/// What can be done with a receipt.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check its signature, and that no live file of the tenant has a row that it lists; changes nothing, and a server may run meanwhile
    Verify(Args),
}

/// Options of `receipt verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The receipt as `thenar erase --receipt` or `--json` writes it; - is standard input
    receipt: PathBuf,
    #[command(flatten)]
    of: DataOptions,
    /// The server's public key, 64 hexadecimal digits, in place of the keyring of --data; without --data the signature alone is checked
    #[arg(long, value_name = "HEX", value_parser = public_key, conflicts_with = "config")]
    public_key: Option<PublicKey>,
    #[command(flatten)]
    output: Output,
}

/// An Ed25519 public key.
#[derive(Debug, Clone)]
pub struct PublicKey([u8; PUBLIC_KEY_LEN]);

fn public_key(text: &str) -> Result<PublicKey, String> {
    let bytes = from_hex(text).and_then(|bytes| bytes.as_slice().try_into().ok());
    bytes
        .map(PublicKey)
        .ok_or_else(|| format!("{} hexadecimal digits are required", 2 * PUBLIC_KEY_LEN))
}

/// A receipt as the command line writes it; or as protocol buffers' JSON has it, with bytes in base64.
#[derive(Deserialize)]
struct ReceiptFile {
    #[serde(alias = "receiptJson")]
    receipt_json: String,
    signature: String,
    #[serde(alias = "publicKey")]
    public_key: String,
}

/// Runs it.
pub fn run(command: &Command) -> Result<(), CliError> {
    let Command::Verify(args) = command;
    let signed = signed(&args.receipt)?;
    let public_key = args.public_key.as_ref().map(|key| key.0.as_slice());
    let checked = local::check_receipt(&args.of, public_key, &signed)?;
    args.output.print(&text(&checked), &answer(&checked))?;
    match checked.verdict() {
        Verdict::Signed | Verdict::Holds => Ok(()),
        Verdict::NotYetPurged => Err(CliError::ReceiptFails("the erasure is not yet purged")),
        Verdict::Violated => Err(CliError::ReceiptFails("the receipt is violated")),
    }
}

fn signed(path: &Path) -> Result<SignedReceipt, CliError> {
    let mut text = String::new();
    let read = if path == Path::new(STDIN) {
        std::io::stdin().take(RECEIPT_LEN_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(RECEIPT_LEN_MAX).read_to_string(&mut text))
    };
    read.map_err(|e| CliError::file(path, e))?;
    parse(&text).map_err(|problem| CliError::NotAReceipt {
        path: path.to_owned(),
        problem,
    })
}

fn parse(text: &str) -> Result<SignedReceipt, String> {
    let file: ReceiptFile =
        serde_json::from_str(text).map_err(|error| format!("is not a signed receipt: {error}"))?;
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
    Ok(SignedReceipt {
        signature: bytes("signature", &file.signature, SIGNATURE_LEN)?,
        public_key: bytes("public_key", &file.public_key, PUBLIC_KEY_LEN)?,
        receipt_json: file.receipt_json,
    })
}

fn state(state: ErasureState) -> &'static str {
    match state {
        ErasureState::Erased => "ERASED",
        ErasureState::Purged => "PURGED",
    }
}

fn kind(kind: FoundKind) -> &'static str {
    match kind {
        FoundKind::Listed => "a row that the receipt lists",
        FoundKind::OfSubject => "a row of the subject, sealed otherwise than the receipt lists it",
    }
}

fn text(checked: &CheckedReceipt) -> String {
    let receipt = &checked.receipt;
    let mut lines = vec![format!(
        "erasure {} of subject {} with tenant {} is {}, {} rows; its signature is sound",
        receipt.erasure,
        receipt.subject_id,
        receipt.tenant,
        state(receipt.state),
        receipt.sealed_row_sha256.len()
    )];
    if let Some(removed) = receipt.removed {
        lines.push(format!(
            "removed with them: {} references, {} links, {} events of the history, {} remembered answers",
            removed.references, removed.links, removed.usage_events, removed.stored_answers
        ));
    }
    if let Some(absence) = &checked.absence {
        looked(absence, &mut lines);
    }
    lines.push(
        match checked.verdict() {
            Verdict::Signed => "SIGNED: no file was looked at",
            Verdict::Holds => "HOLDS: no live file of the tenant has a row that the receipt lists",
            Verdict::NotYetPurged => {
                "NOT YET PURGED: the files are cleaned soon after an erasure; look again"
            }
            Verdict::Violated => "VIOLATED: what the receipt says is not so",
        }
        .to_owned(),
    );
    lines.join("\n")
}

fn looked(absence: &Absence, lines: &mut Vec<String>) {
    lines.push(format!(
        "looked at {} files, {} bytes: {} windows, and {} rows of segments at their places",
        absence.files, absence.bytes, absence.windows, absence.rows
    ));
    match &absence.catalog {
        None => lines.push("the catalog was not asked: that takes the keyring".to_owned()),
        Some(standing) => {
            let purged = if standing.purged { "PURGED" } else { "not purged" };
            lines.push(match standing.enrolled_again {
                None => format!("the catalog has the erasure as {purged}, and not the subject"),
                Some(at) => format!(
                    "the catalog has the erasure as {purged}; a subject of this id was enrolled again at {at}"
                ),
            });
            lines.extend(standing.contradictions.iter().cloned());
        }
    }
    for found in &absence.found {
        let at = found
            .offset
            .map_or_else(|| "table pending".to_owned(), |at| format!("byte {at}"));
        lines.push(format!("{}, {at}: {}", found.path.display(), kind(found.what)));
    }
}

fn answer(checked: &CheckedReceipt) -> Value {
    let receipt = &checked.receipt;
    let verdict = match checked.verdict() {
        Verdict::Signed => "SIGNED",
        Verdict::Holds => "HOLDS",
        Verdict::NotYetPurged => "NOT_YET_PURGED",
        Verdict::Violated => "VIOLATED",
    };
    let searched = checked.absence.as_ref().map(|absence| {
        let found: Vec<Value> = absence
            .found
            .iter()
            .map(|found| json!({"path": found.path, "offset": found.offset, "what": kind(found.what)}))
            .collect();
        let catalog = absence.catalog.as_ref().map(|standing| {
            json!({
                "purged": standing.purged,
                "enrolled_again": standing.enrolled_again.map(|at| at.to_string()),
                "contradictions": standing.contradictions,
            })
        });
        json!({
            "files": absence.files,
            "bytes": absence.bytes,
            "windows": absence.windows,
            "rows": absence.rows,
            "found": found,
            "catalog": catalog,
        })
    });
    json!({
        "verdict": verdict,
        "tenant": receipt.tenant,
        "erasure": receipt.erasure,
        "subject_id": receipt.subject_id,
        "state": state(receipt.state),
        "removed": receipt.removed,
        "searched": searched,
    })
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
