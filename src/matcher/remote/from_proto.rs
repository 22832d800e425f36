//! Messages of the internal API as what a match node is asked and answers. Refuses what does not fit, naming the field.

use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use super::vocabulary::{
    certificate_from_proto, consent_from_proto, digest, encoder_from_proto, hand_from_proto, hand_required,
    link_kind_from_proto, optional_id, pad_from_proto, policy_from_proto, quality, reference_from_proto,
    required, retention_from_proto, time_from_proto, usage_from_proto,
};
use crate::keys::transform::conversion::Conversion;
use crate::matcher::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, IMPORT_CHUNK_ROWS_MAX, ImportChunk, ImportHeader,
    ImportProgress, Imported, NewReference, PolicyChange, RankQuery, SearchQuery, SubjectRef,
    TransformChange, UsagePage, UsageQuery,
};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::{CANDIDATES_MAX, Candidate, SearchAnswer};
use crate::model::erasure::SignedReceipt;
use crate::model::id::TenantId;
use crate::model::link::SealedLink;
use crate::model::reject::Rejected;
use crate::model::retention::Due;
use crate::model::signature::{Dimension, Signature};
use crate::model::subject::{Capture, SubjectRecord};
use crate::model::tenant::{TenantSpec, TenantState, TenantStats, TenantStatus, TransformId};
use crate::proto::{matching::v1 as pb, v1};

const COORDINATE_LEN: usize = size_of::<f32>();

/// Coordinates of any number of rows.
pub fn vectors(field: &str, vectors: Option<pb::Vectors>) -> Result<Vec<f32>, Rejected> {
    let data = required(field, vectors)?.data;
    let (values, rest) = data.as_chunks::<COORDINATE_LEN>();
    if !rest.is_empty() {
        return Err(Rejected::new(
            field,
            format!("is {} bytes long; a multiple of 4 is expected", data.len()),
        ));
    }
    Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// One signature of the dimension that it comes in; the node checks it against the tenant's.
pub fn signature(field: &str, message: Option<pb::Vectors>) -> Result<Signature, Rejected> {
    let values = vectors(field, message)?;
    let dimension = Dimension::new(values.len()).map_err(|rejected| rejected.within(field))?;
    Signature::new(values, dimension).map_err(|rejected| rejected.within(field))
}

fn transform(message: Option<pb::TransformId>) -> Result<TransformId, Rejected> {
    transform_named("transform", message)
}

fn transform_named(field: &str, message: Option<pb::TransformId>) -> Result<TransformId, Rejected> {
    let message = required(field, message)?;
    Ok(TransformId {
        version: message.version,
        digest: digest(&format!("{field}.digest"), &message.digest)?,
    })
}

/// A change of a tenant's rotation as its messages come.
pub struct ComingChange {
    /// Whose.
    pub tenant: TenantId,
    from: TransformId,
    to: TransformId,
    dimension: Dimension,
    values: Zeroizing<Vec<f32>>,
}

impl ComingChange {
    /// Begins with the header.
    pub fn new(header: pb::RotateTransformHeader) -> Result<Self, Rejected> {
        let dimension = Dimension::new(count(header.dimension))?;
        Ok(Self {
            tenant: header.tenant.parse()?,
            from: transform_named("from", header.from)?,
            to: transform_named("to", header.to)?,
            dimension,
            values: Zeroizing::new(Vec::with_capacity(dimension.get() * dimension.get())),
        })
    }

    /// Takes the next rows; no more than there is room for.
    pub fn push(&mut self, rows: pb::Vectors) -> Result<(), Rejected> {
        let rows = Zeroizing::new(vectors("rows", Some(rows))?);
        if self.values.len() + rows.len() > self.dimension.get().pow(2) {
            let problem = format!("are more than the {} of the dimension", self.dimension.get());
            return Err(Rejected::new("rows", problem));
        }
        self.values.extend_from_slice(&rows);
        Ok(())
    }

    /// All of it, checked; takes D³ multiply-adds.
    pub fn finish(self) -> Result<TransformChange, Rejected> {
        Ok(TransformChange {
            from: self.from,
            to: self.to,
            conversion: Arc::new(Conversion::new(self.dimension, self.values)?),
        })
    }
}

/// A tenant as it is created.
pub fn spec(spec: pb::TenantSpec) -> Result<TenantSpec, Rejected> {
    Ok(TenantSpec {
        id: spec.tenant.parse()?,
        dimension: Dimension::new(count(spec.dimension))?,
        encoder: encoder_from_proto("encoder", spec.encoder)?,
        transform: transform(spec.transform)?,
        policy: policy_from_proto(spec.policy)?,
        created_at: time_from_proto("create_time", spec.create_time)?,
    })
}

/// A tenant and how it is.
pub fn status(message: pb::TenantStatus) -> Result<TenantStatus, Rejected> {
    let state = match v1::TenantState::try_from(message.state) {
        Ok(v1::TenantState::Ready) => TenantState::Ready,
        Ok(v1::TenantState::Unavailable) => TenantState::Unavailable(message.reason),
        Ok(v1::TenantState::Unspecified) | Err(_) => {
            return Err(Rejected::new("state", format!("{} is unknown", message.state)));
        }
    };
    let figures = message.stats.unwrap_or_default();
    Ok(TenantStatus {
        spec: message.spec.map(spec).transpose()?,
        id: message.tenant.parse()?,
        state,
        rotating: message.rotating,
        stats: TenantStats {
            subjects: figures.subjects,
            references: figures.references,
            pending: figures.pending,
            segments: figures.segments,
            segment_bytes: figures.segment_bytes,
            resident_bytes: figures.resident_bytes,
            sequence: figures.sequence,
        },
    })
}

/// A 1:N question.
pub fn search(request: pb::SearchRequest, deadline: Option<Instant>) -> Result<SearchQuery, Rejected> {
    let links: Result<_, _> = request
        .links
        .iter()
        .map(|kind| link_kind_from_proto("links", *kind))
        .collect();
    if request.candidates_max == 0 {
        return Err(Rejected::new("candidates_max", "is 0; at least 1 is required"));
    }
    let only = match request.only_subject_id.as_str() {
        "" => None,
        subject => Some(subject.parse()?),
    };
    Ok(SearchQuery {
        tenant: request.tenant.parse()?,
        transform: transform(request.transform)?,
        probe: signature("probe", request.probe)?,
        only,
        threshold: request.threshold,
        candidates_max: count(request.candidates_max),
        links: links?,
        deterministic: request.deterministic,
        deadline,
    })
}

/// A question for the nearest subjects.
pub fn rank(request: pb::RankRequest, deadline: Option<Instant>) -> Result<RankQuery, Rejected> {
    let candidates_max = count(request.candidates_max);
    if !(1..=CANDIDATES_MAX).contains(&candidates_max) {
        return Err(Rejected::new(
            "candidates_max",
            format!("is {candidates_max}; 1 to {CANDIDATES_MAX} are allowed"),
        ));
    }
    Ok(RankQuery {
        tenant: request.tenant.parse()?,
        transform: transform(request.transform)?,
        probe: signature("probe", request.probe)?,
        candidates_max,
        deterministic: request.deterministic,
        deadline,
    })
}

/// The answer to a 1:N question.
pub fn answer(answer: pb::SearchResponse) -> Result<SearchAnswer, Rejected> {
    let candidates: Result<_, _> = answer.candidates.into_iter().map(candidate).collect();
    Ok(SearchAnswer {
        candidates: candidates?,
        certificate: certificate_from_proto(answer.certificate)?,
        backend: answer.backend,
        searched: answer.searched,
    })
}

fn candidate(candidate: pb::Candidate) -> Result<Candidate, Rejected> {
    Ok(Candidate {
        subject_id: candidate.subject_id.parse()?,
        subject_since: time_from_proto("subject_since", candidate.subject_since)?,
        hand: hand_required("hand", candidate.hand)?,
        score: score("candidates.score", candidate.score)?,
        links: sealed_links(candidate.links)?,
    })
}

/// By a score that is no number nobody could be told from anybody.
fn score(field: &str, score: f32) -> Result<f32, Rejected> {
    let refused = || Rejected::new(field, format!("is {score}; a number is expected"));
    score.is_finite().then_some(score).ok_or_else(refused)
}

fn sealed_links(links: Vec<pb::SealedLink>) -> Result<Vec<SealedLink>, Rejected> {
    let link = |link: pb::SealedLink| {
        Ok(SealedLink {
            kind: link_kind_from_proto("links.kind", link.kind)?,
            lookup: digest("links.lookup", &link.lookup)?,
            sealed: link.sealed.to_vec(),
        })
    };
    links.into_iter().map(link).collect()
}

/// A 1:1 question.
pub fn compare(request: pb::CompareRequest, deadline: Option<Instant>) -> Result<CompareQuery, Rejected> {
    Ok(CompareQuery {
        tenant: request.tenant.parse()?,
        transform: transform(request.transform)?,
        subject_id: request.subject_id.parse()?,
        probe: signature("probe", request.probe)?,
        deadline,
    })
}

fn capture(capture: Option<pb::Capture>) -> Result<Capture, Rejected> {
    let capture = required("capture", capture)?;
    Ok(Capture {
        hand: hand_from_proto("capture.hand", capture.hand)?,
        quality: quality("capture.quality", capture.quality)?,
        captured_at: time_from_proto("capture.capture_time", capture.capture_time)?,
        pad: pad_from_proto("capture.pad_verdict", capture.pad_verdict)?,
    })
}

fn new_reference(reference: pb::NewReference) -> Result<NewReference, Rejected> {
    Ok(NewReference {
        signature: signature("references.signature", reference.signature)?,
        hand: hand_required("references.hand", reference.hand)?,
        capture: capture(reference.capture)?,
    })
}

/// An enrolment.
pub fn enroll(request: pb::EnrollRequest) -> Result<Enrollment, Rejected> {
    let references: Result<Vec<_>, _> = request.references.into_iter().map(new_reference).collect();
    Ok(Enrollment {
        tenant: request.tenant.parse()?,
        transform: transform(request.transform)?,
        request_id: request.request_id.parse()?,
        request_digest: digest("request_digest", &request.request_digest)?,
        subject_id: request.subject_id.parse()?,
        references: references?,
        consent: consent_from_proto(required("consent", request.consent)?)?,
        links: sealed_links(request.links)?,
        usage: usage_from_proto(&required("usage", request.usage)?)?,
    })
}

/// The answer to an enrolment.
pub fn enrolled(response: pb::EnrollResponse) -> Result<Enrolled, Rejected> {
    Ok(Enrolled {
        subject_id: response.subject_id.parse()?,
        references: response.references,
        sequence: response.sequence,
    })
}

/// What holds for all rows of an import.
pub fn import_header(header: pb::ImportHeader) -> Result<ImportHeader, Rejected> {
    Ok(ImportHeader {
        tenant: header.tenant.parse()?,
        transform: transform(header.transform)?,
        request_id: header.request_id.parse()?,
        request_digest: digest("request_digest", &header.request_digest)?,
        rows: header.rows,
        first_row: header.first_row,
        hand: hand_required("hand", header.hand)?,
        capture: capture(header.capture)?,
        consent: consent_from_proto(required("consent", header.consent)?)?,
    })
}

/// How far an import has come.
pub fn import_progress(progress: v1::ImportProgress) -> ImportProgress {
    ImportProgress {
        rows_taken: progress.rows_taken,
        rows: progress.rows,
        done: progress.done.map(|done| Imported {
            rows: done.imported,
            sequence: done.sequence,
        }),
    }
}

/// Rows of an import.
pub fn import_rows(rows: pb::ImportRows) -> Result<ImportChunk, Rejected> {
    if rows.subject_ids.len() > IMPORT_CHUNK_ROWS_MAX {
        return Err(Rejected::new(
            "rows.subject_ids",
            format!(
                "has {} entries; at most {IMPORT_CHUNK_ROWS_MAX} rows go into one message",
                rows.subject_ids.len()
            ),
        ));
    }
    let subject_ids: Result<_, _> = rows.subject_ids.into_iter().map(|id| id.parse()).collect();
    Ok(ImportChunk {
        values: vectors("rows.rows", rows.rows)?,
        subject_ids: subject_ids?,
    })
}

/// A subject by id or link.
pub fn subject_ref(subject: Option<pb::SubjectRef>) -> Result<SubjectRef, Rejected> {
    use pb::subject_ref::Subject;
    match required("subject", subject.and_then(|subject| subject.subject))? {
        Subject::SubjectId(id) => Ok(SubjectRef::Id(id.parse()?)),
        Subject::Link(link) => Ok(SubjectRef::Link {
            kind: link_kind_from_proto("subject.link.kind", link.kind)?,
            lookup: digest("subject.link.lookup", &link.lookup)?,
        }),
    }
}

/// An erasure.
pub fn erase(request: pb::EraseRequest) -> Result<Erasure, Rejected> {
    Ok(Erasure {
        tenant: request.tenant.parse()?,
        request_id: request.request_id.parse()?,
        request_digest: digest("request_digest", &request.request_digest)?,
        subject: subject_ref(request.subject)?,
        only_if: request.only_if.map(due).transpose()?,
    })
}

/// Another policy.
pub fn policy_change(request: pb::SetPolicyRequest) -> Result<PolicyChange, Rejected> {
    Ok(PolicyChange {
        tenant: request.tenant.parse()?,
        request_id: request.request_id.parse()?,
        request_digest: digest("request_digest", &request.request_digest)?,
        policy: policy_from_proto(request.policy)?,
    })
}

/// Who is due.
pub fn due(due: pb::Due) -> Result<Due, Rejected> {
    Ok(Due {
        retention: retention_from_proto(due.retention),
        as_of: time_from_proto("due.as_of", due.as_of)?,
    })
}

/// The answer to an erasure.
pub fn erased(erased: pb::Erased) -> Result<Erased, Rejected> {
    Ok(Erased {
        erasure: erased.erasure,
        subject_id: erased.subject_id.parse()?,
        purged: erased.purged,
        receipt: SignedReceipt {
            receipt_json: erased.receipt_json,
            signature: erased.signature.to_vec(),
            public_key: erased.public_key.to_vec(),
        },
    })
}

/// A checkpoint of the history.
pub fn checkpoint(checkpoint: pb::HistoryCheckpoint) -> SignedCheckpoint {
    SignedCheckpoint {
        checkpoint_json: checkpoint.checkpoint_json,
        signature: checkpoint.signature.to_vec(),
        public_key: checkpoint.public_key.to_vec(),
    }
}

/// What is held on a subject.
pub fn subject(record: pb::SubjectRecord) -> Result<SubjectRecord, Rejected> {
    let references: Result<_, _> = record.references.iter().map(reference_from_proto).collect();
    Ok(SubjectRecord {
        subject_id: record.subject_id.parse()?,
        created_at: time_from_proto("create_time", record.create_time)?,
        consent: consent_from_proto(required("consent", record.consent)?)?,
        references: references?,
        links: sealed_links(record.links)?,
    })
}

/// A question for a page of the history.
pub fn usage_query(request: &pb::ListUsageRequest) -> Result<UsageQuery, Rejected> {
    Ok(UsageQuery {
        tenant: request.tenant.parse()?,
        subject_id: optional_id(&request.subject_id)?,
        before: request.before,
        limit: count(request.limit),
    })
}

/// A page of the history.
pub fn usage_page(page: &pb::ListUsageResponse) -> Result<UsagePage, Rejected> {
    let events: Result<_, _> = page.events.iter().map(usage_from_proto).collect();
    Ok(UsagePage {
        events: events?,
        next_before: page.next_before,
    })
}

fn count(value: u32) -> usize {
    usize::try_from(value).expect("32 bits fit")
}
