//! Answers of the front as messages of the public API. Adds nothing that the front did not hand out.

use std::time::Duration;

use crate::front::command::{
    Enrollment, Identified, Investigated, SubjectExport, SubjectView, TenantView, Verified,
};
use crate::matcher::node::{Erased, Imported, UsagePage};
use crate::matcher::remote::to_proto::state;
use crate::matcher::remote::vocabulary::{
    certificate_to_proto, consent_to_proto, encoder_to_proto, hand_to_proto, link_kind_to_proto,
    policy_to_proto, reference_to_proto, retake_to_proto, time_to_proto, usage_to_proto,
};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::{Candidate, Decision, MatchLevel};
use crate::model::id::TenantId;
use crate::model::link::Link;
use crate::model::principal::Principal;
use crate::model::probe::ProbePublicKey;
use crate::proto::v1 as pb;

/// The answer to a 1:N question.
pub fn identified(request_id: String, identified: Identified) -> pb::IdentifyResponse {
    let told = decision(identified.decision);
    pb::IdentifyResponse {
        request_id,
        decision: told.decision.into(),
        subject_id: told.subject_id,
        match_level: told.level.into(),
        retake_reason: told.retake_reason,
        links: identified.links.iter().map(link).collect(),
        certificate: identified.certificate.map(certificate_to_proto),
        candidates: identified.candidates.into_iter().map(scored).collect(),
        backend: identified.backend,
    }
}

/// The answer to a 1:1 question.
pub fn verified(request_id: String, verified: Verified) -> pb::VerifyResponse {
    let told = decision(verified.decision);
    pb::VerifyResponse {
        request_id,
        decision: told.decision.into(),
        match_level: told.level.into(),
        retake_reason: told.retake_reason,
        score: verified.score,
    }
}

/// What a caller seals its probes with.
pub fn probe_key(tenant: &TenantId, caller: &Principal, key: &ProbePublicKey) -> pb::ProbeKey {
    pb::ProbeKey {
        key_id: key.id.to_string(),
        public_key: key.bytes.to_vec().into(),
        tenant: tenant.to_string(),
        scanner: caller.path(),
    }
}

/// The answer to a question for the nearest subjects.
pub fn investigated(request_id: String, investigated: Investigated) -> pb::InvestigateResponse {
    match investigated {
        Investigated::Ranked(found) => pb::InvestigateResponse {
            request_id,
            candidates: found.candidates.into_iter().map(scored).collect(),
            retake_reason: pb::RetakeReason::Unspecified.into(),
            certificate: Some(certificate_to_proto(found.certificate)),
            searched: found.searched,
            backend: found.backend,
        },
        Investigated::Retake(reason) => pb::InvestigateResponse {
            request_id,
            retake_reason: retake_to_proto(reason),
            ..pb::InvestigateResponse::default()
        },
    }
}

struct Told {
    decision: pb::Decision,
    subject_id: String,
    level: pb::MatchLevel,
    retake_reason: i32,
}

fn decision(decision: Decision) -> Told {
    let mut told = Told {
        decision: pb::Decision::NoMatch,
        subject_id: String::new(),
        level: pb::MatchLevel::Unspecified,
        retake_reason: pb::RetakeReason::Unspecified.into(),
    };
    match decision {
        Decision::Match { candidate, level } => {
            told.decision = pb::Decision::Match;
            told.subject_id = candidate.subject_id.into();
            told.level = match level {
                MatchLevel::Sufficient => pb::MatchLevel::Sufficient,
                MatchLevel::Strong => pb::MatchLevel::Strong,
            };
        }
        Decision::NoMatch => {}
        Decision::Retake(reason) => {
            told.decision = pb::Decision::Retake;
            told.retake_reason = retake_to_proto(reason);
        }
    }
    told
}

fn scored(candidate: Candidate) -> pb::ScoredCandidate {
    pb::ScoredCandidate {
        subject_id: candidate.subject_id.into(),
        hand: hand_to_proto(Some(candidate.hand)),
        score: candidate.score,
    }
}

fn link(link: &Link) -> pb::Link {
    pb::Link {
        kind: link_kind_to_proto(link.kind),
        value: link.value().to_owned(),
    }
}

/// The answer to an enrolment.
pub fn enrollment(enrollment: Enrollment) -> pb::EnrollResponse {
    match enrollment {
        Enrollment::Done(enrolled) => pb::EnrollResponse {
            subject_id: enrolled.subject_id.into(),
            references: enrolled.references,
            sequence: enrolled.sequence,
            retake_reason: pb::RetakeReason::Unspecified.into(),
        },
        Enrollment::Retake(reason) => pb::EnrollResponse {
            retake_reason: retake_to_proto(reason),
            ..pb::EnrollResponse::default()
        },
    }
}

/// The answer to an import.
pub fn imported(imported: Imported) -> pb::ImportResponse {
    pb::ImportResponse {
        imported: imported.rows,
        sequence: imported.sequence,
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

/// The answer to an erasure.
pub fn erased(erased: Erased) -> pb::EraseResponse {
    let state = if erased.purged {
        pb::ErasureState::Purged
    } else {
        pb::ErasureState::Erased
    };
    pb::EraseResponse {
        erasure: erased.erasure,
        state: state.into(),
        receipt_json: erased.receipt.receipt_json,
        signature: erased.receipt.signature.into(),
        public_key: erased.receipt.public_key.into(),
    }
}

/// What is held on a subject.
pub fn subject(view: &SubjectView) -> pb::Subject {
    let record = &view.record;
    pb::Subject {
        subject_id: record.subject_id.to_string(),
        create_time: Some(time_to_proto(record.created_at)),
        consent: Some(consent_to_proto(&record.consent)),
        references: record.references.iter().map(reference_to_proto).collect(),
        links: view.links.iter().map(link).collect(),
    }
}

/// All that is held on a subject.
pub fn export(export: SubjectExport) -> pb::ExportSubjectResponse {
    pb::ExportSubjectResponse {
        subject: export.subject.as_ref().map(subject),
        dimension: u32::try_from(export.dimension.get()).expect("at most DIM_MAX"),
        erasures: export.erasures,
    }
}

/// A page of the history.
pub fn usage(page: &UsagePage, next_page_token: String) -> pb::ListUsageResponse {
    pb::ListUsageResponse {
        events: page.events.iter().map(usage_to_proto).collect(),
        next_page_token,
    }
}

/// A tenant; of one that can't be read only the id, the state and the reason are known.
pub fn tenant(view: &TenantView) -> pb::Tenant {
    let (state, reason) = state(&view.status.state);
    let known = view.status.spec.as_ref().map(|spec| pb::Tenant {
        dimension: u32::try_from(spec.dimension.get()).expect("at most DIM_MAX"),
        encoder: Some(encoder_to_proto(&spec.encoder)),
        policy: Some(policy_to_proto(&spec.policy)),
        create_time: Some(time_to_proto(spec.created_at)),
        transform_version: spec.transform.version,
        ..pb::Tenant::default()
    });
    pb::Tenant {
        tenant: view.status.id.to_string(),
        threshold: view.threshold.unwrap_or_default(),
        state: state.into(),
        reason,
        rotating: view.status.rotating,
        ..known.unwrap_or_default()
    }
}

/// Figures of a tenant.
pub fn stats(view: &TenantView, backend: String, uptime: Duration) -> pb::Stats {
    let stats = view.status.stats;
    pb::Stats {
        tenant: view.status.id.to_string(),
        subjects: stats.subjects,
        references: stats.references,
        pending: stats.pending,
        segments: stats.segments,
        segment_bytes: stats.segment_bytes,
        resident_bytes: stats.resident_bytes,
        sequence: stats.sequence,
        backend,
        uptime: Some(prost_types::Duration {
            seconds: i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(uptime.subsec_nanos()).expect("less than a second"),
        }),
    }
}

#[cfg(test)]
#[path = "to_proto_tests.rs"]
mod tests;
