//! What a caller may ask of the front and what it is told, in domain types. Holds no logic.

use std::time::Instant;

use futures::stream::BoxStream;

use crate::matcher::node::NodeError;
use crate::model::consent::Consent;
use crate::model::decision::{Candidate, Certificate, Decision, RetakeReason, SearchAnswer};
use crate::model::id::{RequestId, SiteId, SubjectId, TenantId};
use crate::model::link::Link;
use crate::model::policy::Policy;
use crate::model::probe::SealedProbe;
use crate::model::reject::Rejected;
use crate::model::signature::{Dimension, ElementType, Encoder};
use crate::model::subject::{Capture, Hand};
use crate::model::timestamp::Timestamp;

/// A signature as it came, not yet checked against the tenant's dimension and encoder.
#[derive(Clone)]
pub struct RawSignature {
    /// Bytes of the coordinates.
    pub data: prost::bytes::Bytes,
    /// How they lie.
    pub element: ElementType,
    /// Who made it.
    pub encoder: Encoder,
    /// What is known of the capture.
    pub capture: Capture,
}

/// A probe as it came.
#[derive(Clone)]
pub enum Probe {
    /// In the clear but for TLS.
    Plain(RawSignature),
    /// Sealed for the front.
    Sealed {
        /// The sealed bytes.
        probe: SealedProbe,
        /// Reads what was in it, captured then.
        read: fn(prost::bytes::Bytes, Timestamp) -> Result<RawSignature, Rejected>,
    },
}

impl Probe {
    /// Its field in the request.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Plain(_) => "probe",
            Self::Sealed { .. } => "sealed_probe",
        }
    }
}

/// A 1:N question.
pub struct Identify {
    /// Tenant named in the request, if any; must be the caller's own.
    pub tenant: Option<TenantId>,
    /// The caller's id of the request, or one that the server made.
    pub request_id: RequestId,
    /// The palm.
    pub probe: Probe,
    /// The place.
    pub site: Option<SiteId>,
    /// Candidates with scores wanted; operators only.
    pub candidates_max: usize,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// The answer to a 1:N question.
#[derive(Clone)]
pub struct Identified {
    /// What the caller is told.
    pub decision: Decision,
    /// Links the caller's role may see, with a match.
    pub links: Vec<Link>,
    /// What was proved; `None` when nothing was searched (low quality, failed PAD).
    pub certificate: Option<Certificate>,
    /// Scored candidates, for operators who asked.
    pub candidates: Vec<Candidate>,
    /// Who searched, for operators; empty otherwise.
    pub backend: String,
}

/// A 1:1 question.
pub struct Verify {
    /// As in [`Identify`].
    pub tenant: Option<TenantId>,
    /// As in [`Identify`].
    pub request_id: RequestId,
    /// The claimed subject.
    pub subject_id: SubjectId,
    /// The palm.
    pub probe: Probe,
    /// The place.
    pub site: Option<SiteId>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// The answer to a 1:1 question.
#[derive(Clone, PartialEq)]
pub struct Verified {
    /// What the caller is told; the candidate of a match is the claimed subject, without links.
    pub decision: Decision,
    /// The best score, for operators when something was compared.
    pub score: Option<f32>,
}

/// A question for the nearest subjects.
pub struct Investigate {
    /// As in [`Identify`].
    pub tenant: Option<TenantId>,
    /// The caller's id of the request, or one that the server made. A repetition is answered anew.
    pub request_id: RequestId,
    /// The palm.
    pub probe: RawSignature,
    /// The place.
    pub site: Option<SiteId>,
    /// Subjects wanted, 1 to 1,000.
    pub candidates_max: usize,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// The nearest subjects, or a capture that is not good enough.
pub enum Investigated {
    /// By falling score, without links.
    Ranked(SearchAnswer),
    /// Nothing was searched.
    Retake(RetakeReason),
}

/// An enrolment.
pub struct Enroll {
    /// As in [`Identify`].
    pub tenant: Option<TenantId>,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// The subject; `None` lets the server make an id (derived from the request id, so that a repetition names the same).
    pub subject_id: Option<SubjectId>,
    /// The palms.
    pub signatures: Vec<RawSignature>,
    /// What the person agreed to; `None` is refused.
    pub consent: Option<Consent>,
    /// Links that replace earlier ones of their kind.
    pub links: Vec<Link>,
    /// The place.
    pub site: Option<SiteId>,
}

/// The answer to an enrolment: references, or a capture that is not good enough.
pub enum Enrollment {
    /// Durable and searchable.
    Done(crate::matcher::node::Enrolled),
    /// Nothing was changed.
    Retake(RetakeReason),
}

/// Header of an import.
pub struct Import {
    /// As in [`Identify`].
    pub tenant: Option<TenantId>,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Who made the signatures.
    pub encoder: Encoder,
    /// How the coordinates lie.
    pub element: ElementType,
    /// Hand of every row.
    pub hand: Hand,
    /// Quality of every row, 0 to 100.
    pub quality: u8,
    /// Consent of every row; `None` is refused.
    pub consent: Option<Consent>,
    /// Rows of the whole import.
    pub rows: u64,
    /// Number of the row that comes first.
    pub first_row: u64,
}

/// Rows of an import as they came.
pub struct RawRows {
    /// Row after row.
    pub data: prost::bytes::Bytes,
    /// One a row, or none at all.
    pub subject_ids: Vec<SubjectId>,
}

/// The rows as they arrive.
pub type RawRowStream = BoxStream<'static, Result<RawRows, NodeError>>;

/// A subject by id or by a link in the clear.
pub enum SubjectSelector {
    /// By id.
    Id(SubjectId),
    /// By link.
    Link(Link),
}

/// A subject and the links that the caller may see.
pub struct SubjectView {
    /// The record; its sealed links are empty.
    pub record: crate::model::subject::SubjectRecord,
    /// Links in the clear.
    pub links: Vec<Link>,
}

/// All that is held on a subject, beside its history and the receipts of its erasures.
pub struct SubjectExport {
    /// The subject with all of its links; `None` when it is not enrolled, and was.
    pub subject: Option<SubjectView>,
    /// Coordinates of each reference.
    pub dimension: Dimension,
    /// Earlier erasures of a subject of this id, ascending.
    pub erasures: Vec<u64>,
}

/// A tenant to be created.
pub struct CreateTenant {
    /// Its id.
    pub tenant: TenantId,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Coordinates of its signatures.
    pub dimension: Dimension,
    /// Who makes them.
    pub encoder: Encoder,
    /// What it decides for itself.
    pub policy: Policy,
}

/// Another policy for a tenant.
pub struct UpdatePolicy {
    /// Whose.
    pub tenant: TenantId,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Takes the place of the present one.
    pub policy: Policy,
}

/// A tenant as an administrator sees it.
pub struct TenantView {
    /// What the match node says.
    pub status: crate::model::tenant::TenantStatus,
    /// The score that the policy's rule comes to; `None` while the tenant can't be read.
    pub threshold: Option<f32>,
}
