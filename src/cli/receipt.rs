//! `thenar receipt`: holds the receipt of an erasure against its signature and against the files, on the machine that has them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::erasure::{ErasureState, SignedReceipt};
use crate::storage::absence::{Absence, FoundKind};

use super::error::CliError;
use super::local::{self, CheckedReceipt, DataOptions, Verdict};
use super::output::Output;
use super::signed::{self, Kind, PublicKey};

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
    #[arg(long, value_name = "HEX", value_parser = signed::public_key, conflicts_with = "config")]
    public_key: Option<PublicKey>,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(command: &Command) -> Result<(), CliError> {
    let Command::Verify(args) = command;
    let signed = receipt(&args.receipt)?;
    let public_key = args.public_key.as_ref().map(PublicKey::bytes);
    let checked = local::check_receipt(&args.of, public_key, &signed)?;
    args.output.print(&text(&checked), &answer(&checked))?;
    match checked.verdict() {
        Verdict::Signed | Verdict::Holds => Ok(()),
        Verdict::NotYetPurged => Err(CliError::ReceiptFails("the erasure is not yet purged")),
        Verdict::Violated => Err(CliError::ReceiptFails("the receipt is violated")),
    }
}

fn receipt(path: &Path) -> Result<SignedReceipt, CliError> {
    let signed = signed::read(path, Kind::Receipt)?;
    Ok(SignedReceipt {
        receipt_json: signed.text,
        signature: signed.signature,
        public_key: signed.public_key,
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
