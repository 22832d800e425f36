//! Erasure receipts: what was removed and when, signed so that a third party can check it. Holds digests, never rows.

use serde::{Deserialize, Serialize};

use super::id::{SubjectId, TenantId};
use super::timestamp::Timestamp;

/// How far an erasure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// Durable, and no search, cache or replica finds the person.
    Erased,
    /// No live file holds a byte of the sealed rows.
    Purged,
}

/// What an erasure removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureReceipt {
    /// Number of the erasure within the tenant, from 1.
    pub erasure: u64,
    /// The tenant.
    pub tenant: TenantId,
    /// The subject.
    pub subject_id: SubjectId,
    /// When it was acknowledged.
    pub erased_at: Timestamp,
    /// When the last live file was clean.
    pub purged_at: Option<Timestamp>,
    /// How far it has come.
    pub state: ErasureState,
    /// SHA-256 of each sealed row as it stood in its file (ciphertext, so that the receipt reveals nothing), in hexadecimal.
    pub sealed_row_sha256: Vec<String>,
    /// How to look for each of these rows in a file; empty in receipts of earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_row_search: Vec<SearchKey>,
    /// What went with the rows; absent in receipts of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

/// How to look for a sealed row in a file: the fingerprint slides, SHA-256 confirms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchKey {
    /// Length of the sealed row.
    pub bytes: u32,
    /// Its polynomial fingerprint (docs/format.md), 16 hexadecimal digits.
    pub fingerprint: String,
}

/// What an erasure removed from the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The subject's number within the tenant, never given out again.
    pub subject_handle: u64,
    /// References.
    pub references: u64,
    /// Links.
    pub links: u64,
    /// Events of the history.
    pub usage_events: u64,
    /// How many of these were not as they had been recorded any more; absent where all were.
    #[serde(default, skip_serializing_if = "is_none_altered")]
    pub usage_events_altered: u64,
    /// Remembered answers to the subject's enrolments.
    pub stored_answers: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none_altered(events: &u64) -> bool {
    *events == 0
}

/// A receipt and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// The receipt as JSON, exactly the bytes that were signed.
    pub receipt_json: String,
    /// Ed25519 over `receipt_json`.
    pub signature: Vec<u8>,
    /// The server's public key.
    pub public_key: Vec<u8>,
}
