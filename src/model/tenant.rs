//! What is known of a tenant beside its gallery.

use serde::{Deserialize, Serialize};

use super::id::TenantId;
use super::policy::Policy;
use super::signature::{Dimension, Encoder};
use super::timestamp::Timestamp;

/// Which rotation protects a tenant's signatures, without revealing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformId {
    /// Version of the key the rotation comes from, from 1.
    pub version: u32,
    /// SHA-256 of the rotation's matrix.
    pub digest: [u8; 32],
}

/// A tenant as it is created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantSpec {
    /// The tenant.
    pub id: TenantId,
    /// Dimension of its signatures.
    pub dimension: Dimension,
    /// Encoder that makes its signatures.
    pub encoder: Encoder,
    /// The rotation that the front applies.
    pub transform: TransformId,
    /// What the tenant decides for itself.
    pub policy: Policy,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Whether a tenant can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantState {
    /// Its whole gallery is searchable.
    Ready,
    /// It can't be served; the reason names file and fault.
    Unavailable(String),
}

/// A tenant and how it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantStatus {
    /// The tenant; `None` when its catalog can't be read.
    pub spec: Option<TenantSpec>,
    /// Its id.
    pub id: TenantId,
    /// Whether it is served.
    pub state: TenantState,
    /// Whether another key is taking the place of one of its keys. It is served all the same.
    pub rotating: bool,
    /// Figures, zero while unavailable.
    pub stats: TenantStats,
}

/// Figures of a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantStats {
    /// Subjects enrolled.
    pub subjects: u64,
    /// References enrolled.
    pub references: u64,
    /// References not yet in a segment.
    pub pending: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of the segments on disk.
    pub segment_bytes: u64,
    /// Bytes of codes held in memory.
    pub resident_bytes: u64,
    /// Number of the last change to the gallery.
    pub sequence: u64,
}
