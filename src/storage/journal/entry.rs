//! Entries of the erasure journal, their text and how a whole file of them is read. Writes nothing.
//!
//! A line is `{"entry":ENTRY,"signature":"HEX"}`, ENTRY one of `{"erasure":{..}}` and `{"drop":{..}}`, without white space and with its fields in this
//! order: one content has one text, so that no byte of a line is free.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::keys::receipt::ReceiptSigner;
use crate::model::erasure::ErasureReceipt;
use crate::model::id::{SubjectId, TenantId};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;
use crate::storage::write::EraseAnswer;

/// Longest line; a real one has less than half of it.
const LINE_LEN_MAX: u64 = 1_024;
/// Lines that are read and verified at once.
const LINES_AT_ONCE: usize = 4_096;
/// Most bytes that a loss of power can leave of one append.
const TORN_LEN_MAX: u64 = 1 << 20;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Entry {
    /// A person was erased.
    Erasure(ErasureEntry),
    /// A tenant was dropped.
    Drop(DropEntry),
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureEntry {
    /// Whose person it was.
    pub tenant: TenantId,
    /// When this tenant was made.
    pub created_at: Timestamp,
    /// Number of the erasure within the tenant, ascending from entry to entry.
    pub erasure: u64,
    /// Number of the change within the tenant.
    pub sequence: u64,
    /// Who.
    pub subject_id: SubjectId,
    /// When.
    pub erased_at: Timestamp,
}

impl ErasureEntry {
    /// Of an erasure as its tenant's catalog has it; `None` where its receipt can't be read.
    pub(in crate::storage) fn of(spec: &TenantSpec, answer: &EraseAnswer) -> Option<Self> {
        let receipt: ErasureReceipt = serde_json::from_str(&answer.receipt.receipt_json).ok()?;
        Some(Self {
            tenant: spec.id.clone(),
            created_at: spec.created_at,
            erasure: answer.erasure,
            sequence: answer.sequence,
            subject_id: answer.subject_id.clone(),
            erased_at: receipt.erased_at,
        })
    }
}

/// The end of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropEntry {
    /// Which.
    pub tenant: TenantId,
    /// When this tenant was made; `None` where that could not be read any more, and all that were made before the drop are meant.
    pub created_at: Option<Timestamp>,
    /// When it was dropped.
    pub dropped_at: Timestamp,
}

impl DropEntry {
    /// Whether a tenant of this name that was made then is the one.
    pub fn is_of(&self, created_at: Timestamp) -> bool {
        match self.created_at {
            Some(at) => at == created_at,
            None => created_at <= self.dropped_at,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    entry: Entry,
    signature: String,
}

impl Entry {
    /// Its signed line.
    pub(in crate::storage) fn line(&self, signer: &ReceiptSigner) -> String {
        let text = json(self);
        format!(
            "{{\"entry\":{text},\"signature\":\"{}\"}}\n",
            signer.sign_entry(&text)
        )
    }

    /// Reads a line that this signer signed.
    pub(in crate::storage) fn parse(line: &[u8], signer: &ReceiptSigner) -> Option<Self> {
        let text = line.strip_suffix(b"\n")?;
        let line: Line = serde_json::from_slice(text).ok()?;
        let is_own =
            json(&line).as_bytes() == text && signer.verify_entry(&json(&line.entry), &line.signature);
        is_own.then_some(line.entry)
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("entries have no maps")
}

/// How far a journal can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of sound lines before the first that was torn; less than the file's where there is one.
    pub len: u64,
    /// The number of that line. A loss of power in the middle of an append leaves one that nobody was told of; so do a copy that was cut off and a line that
    /// rotted, and then somebody was.
    pub torn: Option<u64>,
    /// Whether signed entries stand behind it.
    pub has_more: bool,
}

impl Extent {
    /// What is wrong with a journal that goes so far: a line that is torn is left by an append that was cut off, or is just being written, unless others stand
    /// behind it.
    pub fn fault(&self, path: &Path) -> Option<StorageError> {
        let line = self.torn.filter(|_| self.has_more)?;
        let fault = format!("line {line} is not as it was written, and signed entries stand behind it");
        Some(damaged(path, fault))
    }
}

/// Reads a journal from its beginning and hands each signed entry on, with the number of the torn line that it stands behind. Any other line that is not as it
/// was written or was signed with another key is refused with its number, or taken for a torn one where `any_damage` is put up with; one that comes out of order
/// is refused.
pub fn read(
    path: &Path,
    signer: &ReceiptSigner,
    any_damage: bool,
    mut each: impl FnMut(Entry, Option<u64>) -> Result<(), StorageError>,
) -> Result<Extent, StorageError> {
    let failed = |e| StorageError::io("read", path, e);
    let file = File::open(path).map_err(|e| StorageError::io("open", path, e))?;
    let file_len = file.metadata().map_err(failed)?.len();
    let mut file = BufReader::new(file);
    let mut last: BTreeMap<(TenantId, Timestamp), u64> = BTreeMap::new();
    let mut extent = Extent {
        len: 0,
        torn: None,
        has_more: false,
    };
    let mut number = 0_u64;
    loop {
        let lines = lines(&mut file).map_err(failed)?;
        if lines.is_empty() {
            return Ok(extent);
        }
        let entries: Vec<Option<Entry>> = lines.par_iter().map(|line| Entry::parse(line, signer)).collect();
        for (line, entry) in lines.iter().zip(entries) {
            number += 1;
            let fault = |fault: &str| Err(damaged(path, format!("line {number} {fault}")));
            let Some(entry) = entry else {
                // What stands behind a torn line may be the rest of it.
                if extent.torn.is_none()
                    && !any_damage
                    && !(is_torn(line) && file_len - extent.len <= TORN_LEN_MAX)
                {
                    return fault("is not as it was written, or another keyring's key has signed it");
                }
                extent.torn.get_or_insert(number);
                continue;
            };
            if let Entry::Erasure(erasure) = &entry {
                let of = (erasure.tenant.clone(), erasure.created_at);
                let before = last.insert(of, erasure.erasure).unwrap_or(0);
                if erasure.erasure <= before {
                    return fault("comes out of order");
                }
            }
            if extent.torn.is_some() {
                extent.has_more = true;
            } else {
                extent.len += line.len() as u64;
            }
            each(entry, extent.torn)?;
        }
    }
}

/// A journal that is not what was written.
pub(super) fn damaged(path: &Path, fault: String) -> StorageError {
    StorageError::JournalDamaged {
        path: path.to_owned(),
        fault,
    }
}

fn lines(file: &mut impl BufRead) -> std::io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    while lines.len() < LINES_AT_ONCE {
        let mut line = Vec::new();
        if file.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        lines.push(line);
    }
    Ok(lines)
}

/// Whether a line is what a loss of power leaves of an append that nobody was told of: it has no end, or blocks of it were never written.
fn is_torn(line: &[u8]) -> bool {
    let has_no_end = line.last() != Some(&b'\n') && (line.len() as u64) < LINE_LEN_MAX;
    has_no_end || line.contains(&0)
}
