//! Messages of the public API as commands of the front. Refuses what does not fit, naming the field; knows no tenant and no policy.

use std::time::Instant;

use prost::Message;
use prost::bytes::Bytes;

use crate::front::command::{
    CreateTenant, Enroll, Identify, Import, Investigate, Probe, RawRows, RawSignature, SubjectSelector,
    UpdatePolicy, Verify,
};
use crate::front::enroll::check_count;
use crate::matcher::remote::vocabulary::{
    consent_from_proto, encoder_from_proto, hand_from_proto, hand_required, link_kind_from_proto,
    optional_id, pad_from_proto, policy_from_proto, quality, required, time_from_proto, time_to_proto,
};
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::Link;
use crate::model::probe::SealedProbe;
use crate::model::reject::Rejected;
use crate::model::signature::{DIM_MIN, Dimension, ElementType};
use crate::model::subject::Capture;
use crate::model::timestamp::Timestamp;
use crate::proto::v1 as pb;

const SEALED_PROBE: &str = "sealed_probe";

/// A 1:N question under `request_id`.
pub fn identify(
    request: pb::IdentifyRequest,
    request_id: RequestId,
    deadline: Option<Instant>,
) -> Result<Identify, Rejected> {
    Ok(Identify {
        tenant: optional_id(&request.tenant)?,
        request_id,
        probe: probe(request.probe, request.sealed_probe)?,
        site: optional_id(&request.site)?,
        candidates_max: count(request.candidates_max),
        deadline,
    })
}

/// A 1:1 question under `request_id`.
pub fn verify(
    request: pb::VerifyRequest,
    request_id: RequestId,
    deadline: Option<Instant>,
) -> Result<Verify, Rejected> {
    Ok(Verify {
        tenant: optional_id(&request.tenant)?,
        request_id,
        subject_id: request.subject_id.parse()?,
        probe: probe(request.probe, request.sealed_probe)?,
        site: optional_id(&request.site)?,
        deadline,
    })
}

/// The probe of a question, plain or sealed.
fn probe(plain: Option<pb::Signature>, sealed: Option<pb::SealedProbe>) -> Result<Probe, Rejected> {
    let Some(message) = sealed else {
        return Ok(Probe::Plain(signature("probe", required("probe", plain)?)?));
    };
    if plain.is_some() {
        return Err(Rejected::new(
            SEALED_PROBE,
            "is sent beside probe; send one of them",
        ));
    }
    let sealed = message.key_id.parse().and_then(|key_id| {
        SealedProbe::new(key_id, &message.enc, &message.ciphertext, message.capture_time_ms)
    });
    Ok(Probe::Sealed {
        probe: sealed.map_err(|refusal: Rejected| refusal.within(SEALED_PROBE))?,
        read: opened,
    })
}

/// What was in a sealed probe: a message `Signature`, whose capture time is that of the seal.
fn opened(plain: Bytes, captured_at: Timestamp) -> Result<RawSignature, Rejected> {
    let message =
        pb::Signature::decode(plain).map_err(|_| Rejected::new(SEALED_PROBE, "does not hold a Signature"))?;
    signature(
        SEALED_PROBE,
        pb::Signature {
            capture_time: Some(time_to_proto(captured_at)),
            ..message
        },
    )
}

/// A question for the nearest subjects under `request_id`.
pub fn investigate(
    request: pb::InvestigateRequest,
    request_id: RequestId,
    deadline: Option<Instant>,
) -> Result<Investigate, Rejected> {
    Ok(Investigate {
        tenant: optional_id(&request.tenant)?,
        request_id,
        probe: signature("probe", required("probe", request.probe)?)?,
        site: optional_id(&request.site)?,
        candidates_max: count(request.candidates_max),
        deadline,
    })
}

/// An enrolment.
pub fn enroll(request: pb::EnrollRequest) -> Result<Enroll, Rejected> {
    check_count(request.signatures.len())?;
    let signatures: Result<_, _> = request
        .signatures
        .into_iter()
        .enumerate()
        .map(|(at, message)| signature(&format!("signatures[{at}]"), message))
        .collect();
    let links: Result<_, _> = request
        .links
        .into_iter()
        .enumerate()
        .map(|(at, message)| link(&format!("links[{at}]"), message))
        .collect();
    Ok(Enroll {
        tenant: optional_id(&request.tenant)?,
        request_id: request.request_id.parse()?,
        subject_id: optional_id(&request.subject_id)?,
        signatures: signatures?,
        consent: request.consent.map(consent_from_proto).transpose()?,
        links: links?,
        site: optional_id(&request.site)?,
    })
}

/// The header of an import.
pub fn import(header: pb::ImportHeader) -> Result<Import, Rejected> {
    Ok(Import {
        tenant: optional_id(&header.tenant)?,
        request_id: header.request_id.parse()?,
        encoder: encoder_from_proto("encoder", header.encoder)?,
        element: element("element_type", header.element_type)?,
        hand: hand_required("hand", header.hand)?,
        quality: quality("quality", header.quality)?,
        consent: header.consent.map(consent_from_proto).transpose()?,
        rows: header.rows,
        first_row: header.first_row,
    })
}

/// Fewest bytes of a row of an import, whatever its tenant's dimension and its element type.
const IMPORT_ROW_BYTES_MIN: usize = DIM_MIN * size_of::<half::f16>();

/// Rows of an import; `first` is the number of the first of them. Ids are counted before anything is made of them: an id takes far more memory than an empty
/// one takes bytes of a message.
pub fn import_rows(rows: pb::ImportRows, first: u64) -> Result<RawRows, Rejected> {
    let (ids, bytes) = (rows.subject_ids.len(), rows.data.len());
    if ids > bytes / IMPORT_ROW_BYTES_MIN {
        return Err(Rejected::new(
            "rows.subject_ids",
            format!(
                "has {ids} entries for {bytes} bytes of rows; a row has {IMPORT_ROW_BYTES_MIN} bytes at least"
            ),
        ));
    }
    let subject_id = |(row, id): (u64, String)| -> Result<SubjectId, Rejected> {
        id.parse()
            .map_err(|refusal: Rejected| Rejected::new(format!("subject_ids[{row}]"), refusal.problem))
    };
    let subject_ids: Result<_, _> = (first..).zip(rows.subject_ids).map(subject_id).collect();
    Ok(RawRows {
        data: rows.data,
        subject_ids: subject_ids?,
    })
}

/// The subject of an erasure.
pub fn erase_subject(subject: Option<pb::erase_request::Subject>) -> Result<SubjectSelector, Rejected> {
    match required("subject", subject)? {
        pb::erase_request::Subject::SubjectId(id) => Ok(SubjectSelector::Id(id.parse()?)),
        pb::erase_request::Subject::Link(message) => Ok(SubjectSelector::Link(link("link", message)?)),
    }
}

/// The subject asked for.
pub fn get_subject(subject: Option<pb::get_subject_request::Subject>) -> Result<SubjectSelector, Rejected> {
    match required("subject", subject)? {
        pb::get_subject_request::Subject::SubjectId(id) => Ok(SubjectSelector::Id(id.parse()?)),
        pb::get_subject_request::Subject::Link(message) => Ok(SubjectSelector::Link(link("link", message)?)),
    }
}

/// The subject of an export.
pub fn export_subject(
    subject: Option<pb::export_subject_request::Subject>,
) -> Result<SubjectSelector, Rejected> {
    match required("subject", subject)? {
        pb::export_subject_request::Subject::SubjectId(id) => Ok(SubjectSelector::Id(id.parse()?)),
        pb::export_subject_request::Subject::Link(message) => {
            Ok(SubjectSelector::Link(link("link", message)?))
        }
    }
}

/// A tenant to be created.
pub fn create_tenant(request: pb::CreateTenantRequest) -> Result<CreateTenant, Rejected> {
    Ok(CreateTenant {
        tenant: request.tenant.parse()?,
        request_id: request.request_id.parse()?,
        dimension: Dimension::new(count(request.dimension))?,
        encoder: encoder_from_proto("encoder", request.encoder)?,
        policy: policy_from_proto(request.policy)?,
    })
}

/// Another policy.
pub fn update_policy(request: pb::UpdatePolicyRequest) -> Result<UpdatePolicy, Rejected> {
    Ok(UpdatePolicy {
        tenant: request.tenant.parse()?,
        request_id: request.request_id.parse()?,
        policy: policy_from_proto(request.policy)?,
    })
}

fn signature(field: &str, message: pb::Signature) -> Result<RawSignature, Rejected> {
    let path = |name: &str| format!("{field}.{name}");
    Ok(RawSignature {
        data: message.data,
        element: element(&path("element_type"), message.element_type)?,
        encoder: encoder_from_proto("encoder", message.encoder).map_err(|refusal| refusal.within(field))?,
        capture: Capture {
            hand: hand_from_proto(&path("hand"), message.hand)?,
            quality: quality(&path("quality"), message.quality)?,
            captured_at: time_from_proto(&path("capture_time"), message.capture_time)?,
            pad: pad_from_proto(&path("pad_verdict"), message.pad_verdict)?,
        },
    })
}

fn element(field: &str, number: i32) -> Result<ElementType, Rejected> {
    match pb::ElementType::try_from(number) {
        Ok(pb::ElementType::F16) => Ok(ElementType::F16),
        Ok(pb::ElementType::F32) => Ok(ElementType::F32),
        Ok(pb::ElementType::Unspecified) | Err(_) => Err(Rejected::new(
            field,
            format!("{number} is neither ELEMENT_TYPE_F16 (1) nor ELEMENT_TYPE_F32 (2)"),
        )),
    }
}

fn link(field: &str, message: pb::Link) -> Result<Link, Rejected> {
    let kind = link_kind_from_proto(&format!("{field}.kind"), message.kind)?;
    Link::new(kind, message.value).map_err(|refusal| Rejected::new(format!("{field}.value"), refusal.problem))
}

fn count(value: u32) -> usize {
    usize::try_from(value).expect("32 bits fit")
}

#[cfg(test)]
#[path = "from_proto_tests.rs"]
mod tests;
