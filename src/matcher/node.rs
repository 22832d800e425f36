//! What a match node does for a front, whether it runs in the same process or across the network. States the contract; does nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use thiserror::Error;

use crate::keys::transform::conversion::Conversion;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::consent::Consent;
use crate::model::decision::SearchAnswer;
use crate::model::erasure::SignedReceipt;
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::policy::Policy;
use crate::model::reject::Rejected;
use crate::model::retention::Due;
use crate::model::signature::Signature;
use crate::model::subject::{Capture, Hand, SubjectRecord};
use crate::model::tenant::{TenantSpec, TenantStatus, TransformId};
use crate::model::usage::{UsageEvent, UsageRecord};

/// Most rows of one chunk of an import.
pub const IMPORT_CHUNK_ROWS_MAX: usize = 8_192;

/// A match node. Every signature it is given is protected (rotated by the tenant's key) already.
///
/// A write is done once for a tenant, request id and content; repeated, it gives the same answer.
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// All tenants, by id, also those that can't be served.
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError>;
    /// One tenant.
    async fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError>;
    /// Creates a tenant. The same spec again is answered like the first time; another is [`NodeError::TenantExists`].
    async fn create_tenant(&self, spec: TenantSpec) -> Result<TenantStatus, NodeError>;
    /// Puts another policy in the place of a tenant's; durable when it returns.
    async fn set_policy(&self, change: PolicyChange) -> Result<TenantStatus, NodeError>;
    /// Destroys a tenant's keys and files. One that is not there is [`NodeError::TenantUnknown`].
    async fn drop_tenant(&self, tenant: &TenantId) -> Result<(), NodeError>;
    /// Seals a tenant's files with a new data key and destroys the former; done when it returns, whether or not somebody
    /// waits for it. The tenant is served meanwhile. Asked again before the end, it is the same rotation.
    async fn rotate_data_key(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError>;
    /// Converts every stored row to the next rotation and seals it with a new data key; otherwise as
    /// [`Node::rotate_data_key`]. Where that rotation is the tenant's already it is done; where neither is, it is
    /// [`NodeError::TransformStale`].
    async fn rotate_transform(
        &self,
        tenant: &TenantId,
        change: TransformChange,
    ) -> Result<TenantStatus, NodeError>;
    /// Refuses where a search would be refused now for want of time or places, as far as that is known here. Costs next to nothing; says nothing
    /// else of the tenant.
    fn check_room(&self, _tenant: &TenantId, _deadline: Option<Instant>) -> Result<(), NodeError> {
        Ok(())
    }
    /// 1:N: everybody at or above the threshold.
    async fn search(&self, query: SearchQuery) -> Result<SearchAnswer, NodeError>;
    /// 1:N without a threshold: the subjects with the best scores, as many as were asked for.
    async fn rank(&self, query: RankQuery) -> Result<SearchAnswer, NodeError>;
    /// 1:1: the best canonical score among the subject's references.
    async fn compare(&self, query: CompareQuery) -> Result<f32, NodeError>;
    /// Enrols references; durable and searchable when it returns.
    async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, NodeError>;
    /// Takes in many new subjects, all or none. Where the rows break off ([`NodeError::ImportBrokenOff`]) what came is kept for
    /// some minutes, in which the import goes on by [`ImportHeader::first_row`].
    async fn import(&self, header: ImportHeader, chunks: ImportStream) -> Result<Imported, NodeError>;
    /// How far an import has come; all 0 for one that the node does not know, or not any more.
    async fn import_progress(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<ImportProgress, NodeError>;
    /// Forgets a subject; durable and found by no search when it returns.
    async fn erase(&self, erasure: Erasure) -> Result<Erased, NodeError>;
    /// Subjects who are due by a retention, at most `limit`, those first who have been for longest.
    async fn due(&self, tenant: &TenantId, due: Due, limit: usize) -> Result<Vec<SubjectId>, NodeError>;
    /// The receipt of an earlier erasure as it is now.
    async fn erasure(&self, tenant: &TenantId, erasure: u64) -> Result<Erased, NodeError>;
    /// Numbers of the erasures of a subject of this id, ascending; none when there was none.
    async fn erasures_of(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Vec<u64>, NodeError>;
    /// What is held on a subject.
    async fn subject(&self, tenant: &TenantId, subject: &SubjectRef) -> Result<SubjectRecord, NodeError>;
    /// Records events; they survive the end of the process when it returns.
    async fn record_usage(&self, tenant: &TenantId, record: UsageRecord) -> Result<(), NodeError>;
    /// Events, newest first.
    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError>;
    /// A checkpoint of the history; all that it is over survives a loss of power when it returns.
    async fn checkpoint(&self, tenant: &TenantId) -> Result<SignedCheckpoint, NodeError>;
    /// Name of the backend that searches, for instance `cpu/avx512`.
    fn backend(&self) -> String;
}

/// From the rotation that a tenant's rows are protected with to the next one.
#[derive(Clone)]
pub struct TransformChange {
    /// The rotation of now.
    pub from: TransformId,
    /// The next one.
    pub to: TransformId,
    /// Takes rows from one to the other. That it does so is the front's word.
    pub conversion: Arc<Conversion>,
}

/// Rows of an import as they arrive. An error from the sender ends the import, which then changes nothing;
/// after [`NodeError::ImportBrokenOff`] it may go on.
pub type ImportStream = BoxStream<'static, Result<ImportChunk, NodeError>>;

/// Another policy for a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyChange {
    /// Whose.
    pub tenant: TenantId,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest (HMAC-SHA-256) of what was asked.
    pub request_digest: [u8; 32],
    /// Takes the place of the present one.
    pub policy: Policy,
}

/// A 1:N search.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// Whose gallery.
    pub tenant: TenantId,
    /// The rotation that the probe is protected with; another than the tenant's is [`NodeError::TransformStale`].
    pub transform: TransformId,
    /// The protected probe.
    pub probe: Signature,
    /// Only this subject's references are scored, without a scan; one that is unknown is [`NodeError::SubjectUnknown`]. `None` searches
    /// the whole gallery.
    pub only: Option<SubjectId>,
    /// Canonical score from which on a candidate counts.
    pub threshold: f32,
    /// Most candidates to return, the best ones; at least 1.
    pub candidates_max: usize,
    /// Kinds of links to return with candidates.
    pub links: Vec<LinkKind>,
    /// Whether rows may be dismissed only by a proof, never by a probability.
    pub deterministic: bool,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// A 1:N search for the nearest subjects, whatever their scores. The answer holds no links, and fewer candidates than were asked for
/// only where the gallery has fewer subjects. Its certificate is about the score of the last candidate.
#[derive(Debug, Clone)]
pub struct RankQuery {
    /// Whose gallery.
    pub tenant: TenantId,
    /// The rotation that the probe is protected with; another than the tenant's is [`NodeError::TransformStale`].
    pub transform: TransformId,
    /// The protected probe.
    pub probe: Signature,
    /// How many candidates to return, 1 to `CANDIDATES_MAX`.
    pub candidates_max: usize,
    /// Whether rows may be dismissed only by a proof, never by a probability.
    pub deterministic: bool,
    /// When the caller stops waiting. Looked at between scans too.
    pub deadline: Option<Instant>,
}

/// A 1:1 comparison.
#[derive(Debug, Clone)]
pub struct CompareQuery {
    /// Whose gallery.
    pub tenant: TenantId,
    /// The rotation that the probe is protected with; another than the tenant's is [`NodeError::TransformStale`].
    pub transform: TransformId,
    /// The claimed subject.
    pub subject_id: SubjectId,
    /// The protected probe.
    pub probe: Signature,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// One signature to enrol.
#[derive(Debug, Clone)]
pub struct NewReference {
    /// The protected signature.
    pub signature: Signature,
    /// Hand it belongs to.
    pub hand: Hand,
    /// What is known of the capture.
    pub capture: Capture,
}

/// An enrolment.
#[derive(Debug, Clone)]
pub struct Enrollment {
    /// With whom.
    pub tenant: TenantId,
    /// The rotation that the references are protected with; another than the tenant's is [`NodeError::TransformStale`].
    pub transform: TransformId,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest (HMAC-SHA-256) of what was asked, so that a request id used for something else is noticed.
    pub request_digest: [u8; 32],
    /// Who.
    pub subject_id: SubjectId,
    /// At least one.
    pub references: Vec<NewReference>,
    /// What the person agreed to.
    pub consent: Consent,
    /// Links that replace earlier ones of their kind.
    pub links: Vec<SealedLink>,
    /// The event that goes into the history with it.
    pub usage: UsageEvent,
}

/// An enrolment that is durable and searchable.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Enrolled {
    /// Who.
    pub subject_id: SubjectId,
    /// Numbers of the new references.
    pub references: Vec<u64>,
    /// Number of the change.
    pub sequence: u64,
}

/// What holds for all rows of an import.
#[derive(Debug, Clone)]
pub struct ImportHeader {
    /// With whom.
    pub tenant: TenantId,
    /// The rotation that the rows are protected with; another than the tenant's is [`NodeError::TransformStale`].
    pub transform: TransformId,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest (HMAC-SHA-256) of the header.
    pub request_digest: [u8; 32],
    /// Rows of the whole import.
    pub rows: u64,
    /// Number of the row that comes first: 0 for an import from the beginning, or as many as the node holds of this one.
    pub first_row: u64,
    /// Hand of every row.
    pub hand: Hand,
    /// Capture of every row.
    pub capture: Capture,
    /// Consent of every row.
    pub consent: Consent,
}

/// Up to [`IMPORT_CHUNK_ROWS_MAX`] rows: protected unit vectors, row after row, and one subject each.
#[derive(Debug, Clone)]
pub struct ImportChunk {
    /// Coordinates, row-major.
    pub values: Vec<f32>,
    /// A subject for each row; new to the tenant.
    pub subject_ids: Vec<SubjectId>,
}

/// An import that is durable and searchable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Imported {
    /// Rows taken in.
    pub rows: u64,
    /// Number of the change.
    pub sequence: u64,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Rows that the node has taken.
    pub rows_taken: u64,
    /// Rows that were announced.
    pub rows: u64,
    /// Its answer, once it is durable and searchable; known for 24 hours.
    pub done: Option<Imported>,
}

/// A subject by its id or by one of its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectRef {
    /// By id.
    Id(SubjectId),
    /// By the keyed hash of a link.
    Link {
        /// Kind of the link.
        kind: LinkKind,
        /// Its keyed hash, see [`SealedLink::lookup`].
        lookup: [u8; 32],
    },
}

/// An erasure.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// With whom.
    pub tenant: TenantId,
    /// Makes a repetition harmless.
    pub request_id: RequestId,
    /// Keyed digest (HMAC-SHA-256) of what was asked.
    pub request_digest: [u8; 32],
    /// Who.
    pub subject: SubjectRef,
    /// Only while the tenant's policy has this retention and the subject is due by it; [`NodeError::NotDue`] otherwise.
    pub only_if: Option<Due>,
}

/// An erasure that is done, with its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Number of the erasure.
    pub erasure: u64,
    /// Who was forgotten.
    pub subject_id: SubjectId,
    /// Whether all files are clean already.
    pub purged: bool,
    /// The receipt.
    pub receipt: SignedReceipt,
}

/// A page of the history.
#[derive(Debug, Clone)]
pub struct UsageQuery {
    /// Whose history.
    pub tenant: TenantId,
    /// Only this subject.
    pub subject_id: Option<SubjectId>,
    /// Only events with a smaller number; `None` starts at the newest.
    pub before: Option<u64>,
    /// Most events, 1 to 1,000.
    pub limit: usize,
}

/// A page of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePage {
    /// Newest first.
    pub events: Vec<UsageEvent>,
    /// What to ask for next; `None` on the last page.
    pub next_before: Option<u64>,
}

/// Why a node did not do what it was asked. Nothing was changed unless it says so.
#[derive(Debug, Clone, Error)]
pub enum NodeError {
    /// No such tenant.
    #[error("tenant {0} is unknown")]
    TenantUnknown(TenantId),
    /// Exists already, created otherwise.
    #[error("tenant {0} exists already with other settings")]
    TenantExists(TenantId),
    /// The signatures are protected with another rotation than the tenant's: it was dropped and created again, or its
    /// transform key rotated, since the front learned of it.
    #[error("tenant {tenant} was made anew, or its transform key was rotated; ask again")]
    TransformStale {
        /// Which tenant.
        tenant: TenantId,
    },
    /// No such subject.
    #[error("subject is unknown with tenant {0}")]
    SubjectUnknown(TenantId),
    /// The subject is not due to be erased, or not any more.
    #[error("a subject of tenant {0} is not due to be erased")]
    NotDue(TenantId),
    /// An import brings a subject that is there already.
    #[error("subject {subject_id} exists already")]
    SubjectExists {
        /// The subject.
        subject_id: SubjectId,
    },
    /// No such erasure.
    #[error("erasure {0} is unknown")]
    ErasureUnknown(u64),
    /// A link of somebody else.
    #[error("the {0:?} link belongs to another subject")]
    LinkTaken(LinkKind),
    /// The request id was used for something else before.
    #[error("request_id {0} was used before for a different request")]
    RequestIdReused(RequestId),
    /// The rows of an import ended before the last, or nobody sends them any more. Those that came are kept.
    #[error("the import broke off: {reason}; GetImport tells how many rows are kept, to go on from there")]
    ImportBrokenOff {
        /// What was met.
        reason: String,
    },
    /// An import is to go on from another row than the one that is next.
    #[error("first_row: {held} rows of this import are held; go on from there, or begin with 0")]
    ImportPosition {
        /// Rows that the node has.
        held: u64,
    },
    /// A refused input.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The tenant can't be served: damaged, locked, being loaded.
    #[error("tenant {tenant} is unavailable: {reason}")]
    TenantUnavailable {
        /// Which tenant.
        tenant: TenantId,
        /// File and fault.
        reason: String,
    },
    /// The node can't be reached or is stopping.
    #[error("match node {node} is unavailable: {reason}")]
    NodeUnavailable {
        /// Which node.
        node: String,
        /// What happened.
        reason: String,
    },
    /// No node answers for a part of a tenant's gallery, so that it could not be searched as a whole.
    #[error("part {part} of the gallery of tenant {tenant} is unavailable: {reason}")]
    PartUnavailable {
        /// Which tenant.
        tenant: TenantId,
        /// Which part: `fresh`, or `group` and its number.
        part: String,
        /// What the last node that was asked said.
        reason: String,
    },
    /// A named limit was hit; nothing is wrong with the request.
    #[error("{limit} is reached ({value}); try again later")]
    Exhausted {
        /// Name of the limit.
        limit: &'static str,
        /// Its value.
        value: u64,
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk is full or failing; nothing was acknowledged.
    #[error("storage refuses writes: {0}")]
    StorageRefused(String),
    /// The caller's deadline has passed.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// A defect.
    #[error("internal error: {0}")]
    Internal(String),
}
