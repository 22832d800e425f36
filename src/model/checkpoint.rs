//! Checkpoints of a tenant's history: how far it had come and the head of its chain, signed so that it can be kept elsewhere. Holds no event.

use serde::{Deserialize, Serialize};

use super::id::TenantId;
use super::timestamp::Timestamp;

/// Where a chain begins: numbers of the last event and the last erasure before it; 0 where it began with the tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainStart {
    /// The last event that was recorded before there was a chain.
    pub event: u64,
    /// The last erasure before it; what that and earlier ones removed left no trace.
    pub erasure: u64,
}

/// The history as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The tenant.
    pub tenant: TenantId,
    /// When the tenant was made: tells apart those that had one name one after the other.
    pub created_at: Timestamp,
    /// When this was signed.
    pub at: Timestamp,
    /// Number of the last event; 0 before the first.
    pub event: u64,
    /// Head of the chain at that event (docs/format.md), 64 hexadecimal digits.
    pub head: String,
    /// Number of the last erasure.
    pub erasures: u64,
    /// Events that erasures have removed since the chain began.
    pub events_erased: u64,
    /// Where the chain begins.
    pub since: ChainStart,
}

/// A checkpoint and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The checkpoint as JSON.
    pub checkpoint_json: String,
    /// Ed25519 over `thenar history checkpoint 1`, a zero byte and `checkpoint_json`.
    pub signature: Vec<u8>,
    /// The server's public key.
    pub public_key: Vec<u8>,
}
