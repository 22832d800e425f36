//! Between the node's contract and what the store takes and gives. Adds nothing.

use super::apply::exact_bytes;
use super::node::{Enrolled, Enrollment, Erased, Erasure, NodeError, PolicyChange, SubjectRef};
use crate::model::reject::Rejected;
use crate::model::signature::Dimension;
use crate::model::tenant::TenantSpec;
use crate::storage::write::{
    Committed, EnrollWrite, EraseAnswer, EraseWrite, PolicyWrite, ReadAhead, ReferenceWrite, SubjectKey,
};

/// Whether two specs ask for the same tenant; when is no part of what.
pub(super) fn same_tenant(known: &TenantSpec, asked: &TenantSpec) -> bool {
    let asked = TenantSpec {
        created_at: known.created_at,
        ..asked.clone()
    };
    *known == asked
}

pub(super) fn enroll_write(of_tenant: Dimension, enrollment: Enrollment) -> Result<EnrollWrite, NodeError> {
    let references = enrollment
        .references
        .iter()
        .map(|reference| {
            let dimension = reference.signature.dimension();
            if dimension != of_tenant {
                return Err(Rejected::new(
                    "signatures",
                    format!(
                        "one has {} coordinates; the tenant's dimension is {}",
                        dimension.get(),
                        of_tenant.get()
                    ),
                ));
            }
            Ok(ReferenceWrite {
                exact: exact_bytes(&reference.signature),
                hand: reference.hand,
                capture: reference.capture,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(EnrollWrite {
        request_id: enrollment.request_id,
        request_digest: enrollment.request_digest,
        subject_id: enrollment.subject_id,
        references,
        consent: enrollment.consent,
        links: enrollment.links,
        usage: enrollment.usage,
    })
}

/// The answer to an enrolment.
pub(super) fn enrolled(done: Committed) -> Result<Enrolled, NodeError> {
    match done {
        Committed::Enrolled { answer, .. } => Ok(Enrolled {
            subject_id: answer.subject_id,
            references: answer.references,
            sequence: answer.sequence,
        }),
        _ => Err(NodeError::Internal(
            "an enrolment was answered as something else".to_owned(),
        )),
    }
}

pub(super) fn erase_write(erasure: Erasure) -> EraseWrite {
    EraseWrite {
        ahead: ReadAhead::default(),
        request_id: erasure.request_id,
        request_digest: erasure.request_digest,
        subject: subject_key(erasure.subject),
        only_if: erasure.only_if,
    }
}

pub(super) fn policy_write(change: PolicyChange) -> PolicyWrite {
    PolicyWrite {
        request_id: change.request_id,
        request_digest: change.request_digest,
        policy: change.policy,
    }
}

/// The answer to an erasure.
pub(super) fn erased_now(done: Committed) -> Result<Erased, NodeError> {
    match done {
        Committed::Erased {
            erasure,
            subject_id,
            purged,
            receipt,
            ..
        } => Ok(Erased {
            erasure,
            subject_id,
            purged,
            receipt,
        }),
        _ => Err(NodeError::Internal(
            "an erasure was answered as something else".to_owned(),
        )),
    }
}

pub(super) fn erased(answer: EraseAnswer) -> Erased {
    Erased {
        erasure: answer.erasure,
        subject_id: answer.subject_id,
        purged: answer.purged,
        receipt: answer.receipt,
    }
}

pub(super) fn subject_key(subject: SubjectRef) -> SubjectKey {
    match subject {
        SubjectRef::Id(subject_id) => SubjectKey::Id(subject_id),
        SubjectRef::Link { kind, lookup } => SubjectKey::Link { kind, lookup },
    }
}
