//! What a match node is asked and answers, as messages of the internal API. The way back is `from_proto`; checks nothing.

use prost::bytes::Bytes;

use super::vocabulary::{
    certificate_to_proto, consent_to_proto, encoder_to_proto, hand_to_proto, link_kind_to_proto,
    pad_to_proto, policy_to_proto, reference_to_proto, retention_to_proto, time_to_proto, usage_to_proto,
};
use crate::matcher::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, ImportChunk, ImportHeader, ImportProgress,
    NewReference, NodeError, PolicyChange, RankQuery, SearchQuery, SubjectRef, TransformChange, UsagePage,
    UsageQuery,
};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::{Candidate, SearchAnswer};
use crate::model::id::TenantId;
use crate::model::link::SealedLink;
use crate::model::retention::Due;
use crate::model::subject::{Capture, SubjectRecord};
use crate::model::tenant::{TenantSpec, TenantState, TenantStatus, TransformId};
use crate::proto::{matching::v1 as pb, v1};

/// Coordinates, binary32 little-endian.
pub fn vectors(values: &[f32]) -> pb::Vectors {
    pb::Vectors {
        data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

fn transform(transform: &TransformId) -> pb::TransformId {
    pb::TransformId {
        version: transform.version,
        digest: Bytes::copy_from_slice(&transform.digest),
    }
}

/// A tenant as it is created.
pub fn spec(spec: &TenantSpec) -> pb::TenantSpec {
    pb::TenantSpec {
        tenant: spec.id.to_string(),
        dimension: u32::try_from(spec.dimension.get()).expect("at most DIM_MAX"),
        encoder: Some(encoder_to_proto(&spec.encoder)),
        transform: Some(transform(&spec.transform)),
        policy: Some(policy_to_proto(&spec.policy)),
        create_time: Some(time_to_proto(spec.created_at)),
    }
}

/// A tenant and how it is.
pub fn status(status: &TenantStatus) -> pb::TenantStatus {
    let (state, reason) = state(&status.state);
    let figures = status.stats;
    pb::TenantStatus {
        tenant: status.id.to_string(),
        spec: status.spec.as_ref().map(spec),
        state: state.into(),
        reason,
        rotating: status.rotating,
        stats: Some(pb::TenantStats {
            subjects: figures.subjects,
            references: figures.references,
            pending: figures.pending,
            segments: figures.segments,
            segment_bytes: figures.segment_bytes,
            resident_bytes: figures.resident_bytes,
            sequence: figures.sequence,
        }),
    }
}

/// Whether a tenant is served, and why not.
pub fn state(state: &TenantState) -> (v1::TenantState, String) {
    match state {
        TenantState::Ready => (v1::TenantState::Ready, String::new()),
        TenantState::Unavailable(reason) => (v1::TenantState::Unavailable, reason.clone()),
    }
}

/// A change of a tenant's rotation: the header, then the rows of the conversion, as many in a message as `bytes_max` takes.
pub fn transform_change(
    tenant: &TenantId,
    change: &TransformChange,
    bytes_max: usize,
) -> Vec<pb::RotateTransformRequest> {
    use pb::rotate_transform_request::Part;
    let dimension = change.conversion.dimension().get();
    let header = pb::RotateTransformHeader {
        tenant: tenant.to_string(),
        from: Some(transform(&change.from)),
        to: Some(transform(&change.to)),
        dimension: u32::try_from(dimension).expect("at most DIM_MAX"),
    };
    let rows_max = (bytes_max / (dimension * size_of::<f32>())).max(1);
    let rows = change.conversion.values().chunks(rows_max * dimension);
    std::iter::once(Part::Header(header))
        .chain(rows.map(|rows| Part::Rows(vectors(rows))))
        .map(|part| pb::RotateTransformRequest { part: Some(part) })
        .collect()
}

/// A 1:N question, without its deadline.
pub fn search(query: &SearchQuery) -> pb::SearchRequest {
    pb::SearchRequest {
        tenant: query.tenant.to_string(),
        probe: Some(vectors(query.probe.values())),
        threshold: query.threshold,
        candidates_max: u32::try_from(query.candidates_max).unwrap_or(u32::MAX),
        links: query.links.iter().copied().map(link_kind_to_proto).collect(),
        transform: Some(transform(&query.transform)),
        deterministic: query.deterministic,
        only_subject_id: query.only.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// A question for the nearest subjects, without its deadline.
pub fn rank(query: &RankQuery) -> pb::RankRequest {
    pb::RankRequest {
        tenant: query.tenant.to_string(),
        probe: Some(vectors(query.probe.values())),
        candidates_max: u32::try_from(query.candidates_max).unwrap_or(u32::MAX),
        transform: Some(transform(&query.transform)),
        deterministic: query.deterministic,
    }
}

/// The answer to a 1:N question.
pub fn answer(answer: &SearchAnswer) -> pb::SearchResponse {
    pb::SearchResponse {
        candidates: answer.candidates.iter().map(candidate).collect(),
        certificate: Some(certificate_to_proto(answer.certificate)),
        backend: answer.backend.clone(),
        searched: answer.searched,
    }
}

fn candidate(candidate: &Candidate) -> pb::Candidate {
    pb::Candidate {
        subject_id: candidate.subject_id.to_string(),
        hand: hand_to_proto(Some(candidate.hand)),
        score: candidate.score,
        links: candidate.links.iter().map(sealed_link).collect(),
        subject_since: Some(time_to_proto(candidate.subject_since)),
    }
}

fn sealed_link(link: &SealedLink) -> pb::SealedLink {
    pb::SealedLink {
        kind: link_kind_to_proto(link.kind),
        lookup: Bytes::copy_from_slice(&link.lookup),
        sealed: Bytes::copy_from_slice(&link.sealed),
    }
}

/// A 1:1 question, without its deadline.
pub fn compare(query: &CompareQuery) -> pb::CompareRequest {
    pb::CompareRequest {
        tenant: query.tenant.to_string(),
        subject_id: query.subject_id.to_string(),
        probe: Some(vectors(query.probe.values())),
        transform: Some(transform(&query.transform)),
    }
}

fn capture(capture: &Capture) -> pb::Capture {
    pb::Capture {
        hand: hand_to_proto(capture.hand),
        quality: u32::from(capture.quality),
        capture_time: Some(time_to_proto(capture.captured_at)),
        pad_verdict: pad_to_proto(capture.pad),
    }
}

fn new_reference(reference: &NewReference) -> pb::NewReference {
    pb::NewReference {
        signature: Some(vectors(reference.signature.values())),
        hand: hand_to_proto(Some(reference.hand)),
        capture: Some(capture(&reference.capture)),
    }
}

/// An enrolment.
pub fn enroll(enrollment: &Enrollment) -> pb::EnrollRequest {
    pb::EnrollRequest {
        tenant: enrollment.tenant.to_string(),
        request_id: enrollment.request_id.to_string(),
        request_digest: Bytes::copy_from_slice(&enrollment.request_digest),
        subject_id: enrollment.subject_id.to_string(),
        references: enrollment.references.iter().map(new_reference).collect(),
        consent: Some(consent_to_proto(&enrollment.consent)),
        links: enrollment.links.iter().map(sealed_link).collect(),
        usage: Some(usage_to_proto(&enrollment.usage)),
        transform: Some(transform(&enrollment.transform)),
    }
}

/// The answer to an enrolment.
pub fn enrolled(enrolled: Enrolled) -> pb::EnrollResponse {
    pb::EnrollResponse {
        subject_id: enrolled.subject_id.into(),
        references: enrolled.references,
        sequence: enrolled.sequence,
    }
}

/// The first message of an import.
pub fn import_header(header: &ImportHeader) -> pb::ImportRequest {
    let header = pb::ImportHeader {
        tenant: header.tenant.to_string(),
        request_id: header.request_id.to_string(),
        request_digest: Bytes::copy_from_slice(&header.request_digest),
        rows: header.rows,
        hand: hand_to_proto(Some(header.hand)),
        capture: Some(capture(&header.capture)),
        consent: Some(consent_to_proto(&header.consent)),
        transform: Some(transform(&header.transform)),
        first_row: header.first_row,
    };
    pb::ImportRequest {
        part: Some(pb::import_request::Part::Header(header)),
    }
}

/// Further messages of an import.
pub fn import_rows(chunk: ImportChunk) -> pb::ImportRequest {
    let rows = pb::ImportRows {
        rows: Some(vectors(&chunk.values)),
        subject_ids: chunk.subject_ids.into_iter().map(String::from).collect(),
    };
    pb::ImportRequest {
        part: Some(pb::import_request::Part::Rows(rows)),
    }
}

/// The last message of an import that can't go on.
pub fn import_aborted(error: &NodeError) -> pb::ImportRequest {
    let aborted = match error {
        NodeError::ImportBrokenOff { reason } => pb::ImportAborted {
            reason: reason.clone(),
            broken_off: true,
        },
        error => pb::ImportAborted {
            reason: error.to_string(),
            broken_off: false,
        },
    };
    pb::ImportRequest {
        part: Some(pb::import_request::Part::Aborted(aborted)),
    }
}

/// How far an import has come.
pub fn import_progress(progress: ImportProgress) -> v1::ImportProgress {
    v1::ImportProgress {
        rows_taken: progress.rows_taken,
        rows: progress.rows,
        done: progress.done.map(|done| v1::ImportResponse {
            imported: done.rows,
            sequence: done.sequence,
        }),
    }
}

/// A subject by id or link.
pub fn subject_ref(subject: &SubjectRef) -> pb::SubjectRef {
    use pb::subject_ref::Subject;
    let subject = match subject {
        SubjectRef::Id(id) => Subject::SubjectId(id.to_string()),
        SubjectRef::Link { kind, lookup } => Subject::Link(pb::LinkLookup {
            kind: link_kind_to_proto(*kind),
            lookup: Bytes::copy_from_slice(lookup),
        }),
    };
    pb::SubjectRef {
        subject: Some(subject),
    }
}

/// Another policy.
pub fn policy_change(change: &PolicyChange) -> pb::SetPolicyRequest {
    pb::SetPolicyRequest {
        tenant: change.tenant.to_string(),
        request_id: change.request_id.to_string(),
        request_digest: Bytes::copy_from_slice(&change.request_digest),
        policy: Some(policy_to_proto(&change.policy)),
    }
}

/// An erasure.
pub fn erase(erasure: &Erasure) -> pb::EraseRequest {
    pb::EraseRequest {
        tenant: erasure.tenant.to_string(),
        request_id: erasure.request_id.to_string(),
        request_digest: Bytes::copy_from_slice(&erasure.request_digest),
        subject: Some(subject_ref(&erasure.subject)),
        only_if: erasure.only_if.map(due),
    }
}

/// Who is due.
pub fn due(due: Due) -> pb::Due {
    pb::Due {
        retention: retention_to_proto(due.retention),
        as_of: Some(time_to_proto(due.as_of)),
    }
}

/// The answer to an erasure.
pub fn erased(erased: Erased) -> pb::Erased {
    pb::Erased {
        erasure: erased.erasure,
        subject_id: erased.subject_id.into(),
        purged: erased.purged,
        receipt_json: erased.receipt.receipt_json,
        signature: erased.receipt.signature.into(),
        public_key: erased.receipt.public_key.into(),
    }
}

/// A checkpoint of the history.
pub fn checkpoint(checkpoint: SignedCheckpoint) -> pb::HistoryCheckpoint {
    pb::HistoryCheckpoint {
        checkpoint_json: checkpoint.checkpoint_json,
        signature: checkpoint.signature.into(),
        public_key: checkpoint.public_key.into(),
    }
}

/// What is held on a subject.
pub fn subject(record: &SubjectRecord) -> pb::SubjectRecord {
    pb::SubjectRecord {
        subject_id: record.subject_id.to_string(),
        create_time: Some(time_to_proto(record.created_at)),
        consent: Some(consent_to_proto(&record.consent)),
        references: record.references.iter().map(reference_to_proto).collect(),
        links: record.links.iter().map(sealed_link).collect(),
    }
}

/// A question for a page of the history.
pub fn usage_query(query: &UsageQuery) -> pb::ListUsageRequest {
    pb::ListUsageRequest {
        tenant: query.tenant.to_string(),
        subject_id: query.subject_id.clone().map(String::from).unwrap_or_default(),
        before: query.before,
        limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
    }
}

/// A page of the history.
pub fn usage_page(page: &UsagePage) -> pb::ListUsageResponse {
    pb::ListUsageResponse {
        events: page.events.iter().map(usage_to_proto).collect(),
        next_before: page.next_before,
    }
}
