//! Writes to a tenant and their answers, as values. Does nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ulid::Ulid;
use zeroize::Zeroizing;

use super::catalog::erase::Trace;
use super::error::WriteError;
use super::place::Place;
use crate::model::consent::Consent;
use crate::model::erasure::SignedReceipt;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::policy::Policy;
use crate::model::retention::Due;
use crate::model::subject::{Capture, Hand};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{UsageEvent, UsageRecord};

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The end of the process: `write` handed it to the operating system.
    Process,
    /// A loss of power: `fsync` returned.
    Power,
}

/// One write of a group.
pub enum Write {
    /// Enrols references of a subject.
    Enroll(EnrollWrite),
    /// Forgets a subject.
    Erase(EraseWrite),
    /// Replaces the tenant's policy.
    Policy(PolicyWrite),
    /// Records an event, unless it was told before. A subject that is not enrolled (any more) is left out of it.
    Usage(UsageRecord),
}

impl Write {
    /// What it survives once acknowledged.
    pub fn durability(&self) -> Durability {
        match self {
            Self::Enroll(_) | Self::Erase(_) | Self::Policy(_) => Durability::Power,
            Self::Usage(_) => Durability::Process,
        }
    }
}

/// References of a subject, new or known.
pub struct EnrollWrite {
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest of what was asked.
    pub request_digest: [u8; 32],
    /// Who.
    pub subject_id: SubjectId,
    /// What is enrolled.
    pub references: Vec<ReferenceWrite>,
    /// Replaces an earlier consent.
    pub consent: Consent,
    /// Replace earlier links of their kind.
    pub links: Vec<SealedLink>,
    /// Goes into the history with it.
    pub usage: UsageEvent,
}

/// One signature.
pub struct ReferenceWrite {
    /// Half-precision coordinates, little-endian, 2·D bytes.
    pub exact: Zeroizing<Vec<u8>>,
    /// Hand it belongs to.
    pub hand: Hand,
    /// What is known of the capture; its hand is not looked at.
    pub capture: Capture,
}

/// An erasure.
#[derive(Debug, Clone)]
pub struct EraseWrite {
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest of what was asked.
    pub request_digest: [u8; 32],
    /// Who.
    pub subject: SubjectKey,
    /// Only while the tenant's policy has this retention and the subject is due by it.
    pub only_if: Option<Due>,
    /// What was read for it before.
    pub ahead: ReadAhead,
}

/// What receipts say of rows of segments, by segment and row, each with the file that it was read from.
#[derive(Debug, Clone, Default)]
pub struct ReadAhead(pub(super) BTreeMap<(u32, u32), (Ulid, Trace)>);

/// Another policy.
#[derive(Debug, Clone)]
pub struct PolicyWrite {
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest of what was asked.
    pub request_digest: [u8; 32],
    /// Takes the place of the present one.
    pub policy: Policy,
}

/// How a subject is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectKey {
    /// By id.
    Id(SubjectId),
    /// By the keyed hash of a link.
    Link {
        /// Kind of the link.
        kind: LinkKind,
        /// The keyed hash, see [`SealedLink::lookup`].
        lookup: [u8; 32],
    },
}

/// One answer a write, in their order.
pub type Answers = Vec<Result<Committed, WriteError>>;

/// A write that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// References are durable.
    Enrolled {
        /// What to tell the caller.
        answer: EnrollAnswer,
        /// The request was answered before; nothing was changed now.
        replayed: bool,
    },
    /// The subject is forgotten.
    Erased {
        /// Number of the erasure.
        erasure: u64,
        /// Number of the change, which others wait for.
        sequence: u64,
        /// Who.
        subject_id: SubjectId,
        /// Whether all files are clean already.
        purged: bool,
        /// The receipt.
        receipt: SignedReceipt,
        /// Where the rows were; empty when replayed.
        removed: Vec<Place>,
        /// The request was answered before; nothing was changed now.
        replayed: bool,
    },
    /// The policy holds, unless it was replaced again since.
    PolicySet,
    /// The event is recorded.
    Recorded,
}

/// Answer to an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollAnswer {
    /// Who.
    pub subject_id: SubjectId,
    /// Numbers of the new references, in the order of the write.
    pub references: Vec<u64>,
    /// Number of the change.
    pub sequence: u64,
}

/// An erasure as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseAnswer {
    /// Number of the erasure.
    pub erasure: u64,
    /// Number of the change.
    pub sequence: u64,
    /// Who was forgotten.
    pub subject_id: SubjectId,
    /// Whether all files are clean.
    pub purged: bool,
    /// The receipt.
    pub receipt: SignedReceipt,
}

/// What holds for all rows of an import.
#[derive(Debug, Clone)]
pub struct ImportWrite {
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest of the header.
    pub request_digest: [u8; 32],
    /// Rows that will follow; neither more nor fewer are taken.
    pub rows: u64,
    /// Hand of every row.
    pub hand: Hand,
    /// Capture of every row; its hand is not looked at.
    pub capture: Capture,
    /// Consent of every row.
    pub consent: Consent,
}

/// Answer to an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportAnswer {
    /// Rows taken in.
    pub rows: u64,
    /// Number of the change.
    pub sequence: u64,
}

/// What a tenant holds on a subject's candidate row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateInfo {
    /// The subject.
    pub subject_id: SubjectId,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// Hand of the reference.
    pub hand: Hand,
    /// Links of the kinds asked for.
    pub links: Vec<SealedLink>,
}

/// A flush that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushOutcome {
    /// Number of the new segment.
    pub segment: u32,
    /// Its rows that were erased before or during the flush, ascending.
    pub dead: Vec<u32>,
}
