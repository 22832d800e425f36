//! Subjects, their palms and the references enrolled for them. Holds no biometric data itself.

use serde::{Deserialize, Serialize};

use super::consent::Consent;
use super::id::SubjectId;
use super::link::SealedLink;
use super::timestamp::Timestamp;

/// Signatures that one palm of a subject may have at once.
pub const REFERENCES_PER_PALM_MAX: usize = 8;

/// Which hand a palm belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hand {
    /// The left hand.
    Left,
    /// The right hand.
    Right,
}

/// What a device said about the liveness of the palm it captured (ISO/IEC 30107).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadVerdict {
    /// The device does no presentation attack detection.
    NotPerformed,
    /// A bona fide presentation.
    BonaFide,
    /// A presentation attack.
    Attack,
}

/// What is known of one capture beside the signature itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// The hand; a scanner that can't tell sends none with a probe.
    pub hand: Option<Hand>,
    /// Quality from 0 (worst) to 100 (ISO/IEC 29794-1).
    pub quality: u8,
    /// When the palm was captured.
    pub captured_at: Timestamp,
    /// The device's verdict.
    pub pad: PadVerdict,
}

/// One enrolled signature of a palm, without the signature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReferenceInfo {
    /// Number of the reference, unique within the tenant and never used again.
    pub reference: u64,
    /// Hand the palm belongs to.
    pub hand: Hand,
    /// Quality of the capture, 0 to 100.
    pub quality: u8,
    /// When the palm was captured.
    pub captured_at: Timestamp,
    /// When the reference became durable.
    pub enrolled_at: Timestamp,
}

/// All that is held on a subject, without signatures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectRecord {
    /// The subject.
    pub subject_id: SubjectId,
    /// When the subject was first enrolled.
    pub created_at: Timestamp,
    /// The consent given last.
    pub consent: Consent,
    /// Enrolled references, oldest first.
    pub references: Vec<ReferenceInfo>,
    /// Links of the person, sealed by the front.
    pub links: Vec<SealedLink>,
}
