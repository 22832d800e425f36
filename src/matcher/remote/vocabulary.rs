//! Values that the public and the internal API share, both ways: times, enums, consent, policy, usage. Checks form; judges nothing.

use std::ops::RangeInclusive;

use std::collections::BTreeMap;

use crate::model::consent::{Consent, ConsentMethod};
use crate::model::decision::{Certificate, RetakeReason};
use crate::model::link::LinkKind;
use crate::model::policy::{Policy, Retention, ThresholdRule};
use crate::model::principal::Role;
use crate::model::reject::Rejected;
use crate::model::signature::Encoder;
use crate::model::subject::{Hand, PadVerdict, ReferenceInfo};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{EVENT_ID_LEN, EventId, Outcome, UsageEvent, UsageKind, UsageRecord};
use crate::proto::v1 as pb;

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

/// Refuses a field that is absent.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T, Rejected> {
    value.ok_or_else(|| Rejected::new(field, "is missing"))
}

/// 32 bytes, for instance a digest.
pub fn digest(field: &str, bytes: &[u8]) -> Result<[u8; 32], Rejected> {
    bytes
        .try_into()
        .map_err(|_| Rejected::new(field, format!("is {} bytes long; 32 are required", bytes.len())))
}

/// Parses an id that may be empty.
pub fn optional_id<T: std::str::FromStr<Err = Rejected>>(text: &str) -> Result<Option<T>, Rejected> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some)
}

/// A time as it travels.
pub fn time_to_proto(at: Timestamp) -> prost_types::Timestamp {
    let nanos = at.0.rem_euclid(MICROS_PER_SECOND) * NANOS_PER_MICRO;
    prost_types::Timestamp {
        seconds: at.0.div_euclid(MICROS_PER_SECOND),
        nanos: i32::try_from(nanos).expect("less than a second"),
    }
}

/// From 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, as `google.protobuf.Timestamp` states it.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A required time; parts of a microsecond are cut off.
pub fn time_from_proto(field: &str, at: Option<prost_types::Timestamp>) -> Result<Timestamp, Rejected> {
    let at = required(field, at)?;
    let nanos = i64::from(at.nanos);
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(Rejected::new(
            field,
            format!("has {nanos} nanos; 0 to 999999999 are allowed"),
        ));
    }
    if !SECONDS.contains(&at.seconds) {
        return Err(Rejected::new(
            field,
            format!("{} s is not within the years 1 to 9999", at.seconds),
        ));
    }
    Ok(Timestamp(
        at.seconds * MICROS_PER_SECOND + nanos / NANOS_PER_MICRO,
    ))
}

fn unknown(field: &str, number: i32, expected: &str) -> Rejected {
    Rejected::new(
        field,
        format!("{number} is not one of the values this server knows: {expected}"),
    )
}

/// A hand, or none when the device can't tell.
pub fn hand_from_proto(field: &str, number: i32) -> Result<Option<Hand>, Rejected> {
    match pb::Hand::try_from(number) {
        Ok(pb::Hand::Unspecified) => Ok(None),
        Ok(pb::Hand::Left) => Ok(Some(Hand::Left)),
        Ok(pb::Hand::Right) => Ok(Some(Hand::Right)),
        Err(_) => Err(unknown(field, number, "HAND_LEFT, HAND_RIGHT")),
    }
}

/// See [`hand_from_proto`].
pub fn hand_to_proto(hand: Option<Hand>) -> i32 {
    match hand {
        None => pb::Hand::Unspecified.into(),
        Some(Hand::Left) => pb::Hand::Left.into(),
        Some(Hand::Right) => pb::Hand::Right.into(),
    }
}

/// A hand that must be stated.
pub fn hand_required(field: &str, number: i32) -> Result<Hand, Rejected> {
    let hand = hand_from_proto(field, number)?;
    hand.ok_or_else(|| Rejected::new(field, "is missing; HAND_LEFT or HAND_RIGHT is required"))
}

/// A device's verdict; unspecified is the same as not performed.
pub fn pad_from_proto(field: &str, number: i32) -> Result<PadVerdict, Rejected> {
    match pb::PadVerdict::try_from(number) {
        Ok(pb::PadVerdict::Unspecified | pb::PadVerdict::NotPerformed) => Ok(PadVerdict::NotPerformed),
        Ok(pb::PadVerdict::BonaFide) => Ok(PadVerdict::BonaFide),
        Ok(pb::PadVerdict::Attack) => Ok(PadVerdict::Attack),
        Err(_) => Err(unknown(
            field,
            number,
            "PAD_VERDICT_NOT_PERFORMED, _BONA_FIDE, _ATTACK",
        )),
    }
}

/// See [`pad_from_proto`].
pub fn pad_to_proto(pad: PadVerdict) -> i32 {
    match pad {
        PadVerdict::NotPerformed => pb::PadVerdict::NotPerformed.into(),
        PadVerdict::BonaFide => pb::PadVerdict::BonaFide.into(),
        PadVerdict::Attack => pb::PadVerdict::Attack.into(),
    }
}

/// Quality, 0 to 100.
pub fn quality(field: &str, value: u32) -> Result<u8, Rejected> {
    u8::try_from(value)
        .ok()
        .filter(|quality| *quality <= crate::model::policy::QUALITY_MAX)
        .ok_or_else(|| Rejected::new(field, format!("{value} is not from 0 to 100")))
}

/// The kind of a link; its number on the wire is the number on disk.
pub fn link_kind_from_proto(field: &str, number: i32) -> Result<LinkKind, Rejected> {
    u8::try_from(number)
        .ok()
        .and_then(LinkKind::from_code)
        .ok_or_else(|| {
            unknown(
                field,
                number,
                "LINK_KIND_PAYMENT_TOKEN, _PHONE_NUMBER, _ACCOUNT_ID, _LOYALTY_ID, _BADGE_ID",
            )
        })
}

/// See [`link_kind_from_proto`].
pub fn link_kind_to_proto(kind: LinkKind) -> i32 {
    i32::from(kind.code())
}

/// Who makes the signatures.
pub fn encoder_from_proto(field: &str, encoder: Option<pb::Encoder>) -> Result<Encoder, Rejected> {
    let encoder = required(field, encoder)?;
    Encoder::new(&encoder.name, &encoder.version)
}

/// See [`encoder_from_proto`].
pub fn encoder_to_proto(encoder: &Encoder) -> pb::Encoder {
    pb::Encoder {
        name: encoder.name.clone(),
        version: encoder.version.clone(),
    }
}

/// A consent as given. Whether it is complete and holds is for the front to check.
pub fn consent_from_proto(consent: pb::Consent) -> Result<Consent, Rejected> {
    let method = match pb::ConsentMethod::try_from(consent.method) {
        Ok(pb::ConsentMethod::WrittenRelease) => ConsentMethod::WrittenRelease,
        Ok(pb::ConsentMethod::ElectronicSignature) => ConsentMethod::ElectronicSignature,
        Ok(pb::ConsentMethod::InApp) => ConsentMethod::InApp,
        Ok(pb::ConsentMethod::AtDevice) => ConsentMethod::AtDevice,
        Ok(pb::ConsentMethod::Unspecified) | Err(_) => {
            return Err(unknown(
                "consent.method",
                consent.method,
                "CONSENT_METHOD_WRITTEN_RELEASE, _ELECTRONIC_SIGNATURE, _IN_APP, _AT_DEVICE",
            ));
        }
    };
    Ok(Consent {
        policy_version: consent.policy_version,
        purpose: consent.purpose,
        given_at: time_from_proto("consent.give_time", consent.give_time)?,
        expires_at: time_from_proto("consent.expire_time", consent.expire_time)?,
        method,
    })
}

/// See [`consent_from_proto`].
pub fn consent_to_proto(consent: &Consent) -> pb::Consent {
    let method = match consent.method {
        ConsentMethod::WrittenRelease => pb::ConsentMethod::WrittenRelease,
        ConsentMethod::ElectronicSignature => pb::ConsentMethod::ElectronicSignature,
        ConsentMethod::InApp => pb::ConsentMethod::InApp,
        ConsentMethod::AtDevice => pb::ConsentMethod::AtDevice,
    };
    pb::Consent {
        policy_version: consent.policy_version.clone(),
        purpose: consent.purpose.clone(),
        give_time: Some(time_to_proto(consent.given_at)),
        expire_time: Some(time_to_proto(consent.expires_at)),
        method: method.into(),
    }
}

/// What a search proves.
pub fn certificate_from_proto(certificate: Option<pb::Certificate>) -> Result<Certificate, Rejected> {
    match certificate.and_then(|certificate| certificate.proof) {
        Some(pb::certificate::Proof::Deterministic(true)) => Ok(Certificate::Deterministic),
        Some(pb::certificate::Proof::MissProbability(miss_probability)) => {
            Ok(Certificate::Probabilistic { miss_probability })
        }
        Some(pb::certificate::Proof::FalseMatchProbability(false_match_probability)) => {
            Ok(Certificate::RecentMatch {
                false_match_probability,
            })
        }
        Some(pb::certificate::Proof::Deterministic(false)) | None => {
            Err(Rejected::new("certificate", "proves nothing"))
        }
    }
}

/// See [`certificate_from_proto`].
pub fn certificate_to_proto(certificate: Certificate) -> pb::Certificate {
    let proof = match certificate {
        Certificate::Deterministic => pb::certificate::Proof::Deterministic(true),
        Certificate::Probabilistic { miss_probability } => {
            pb::certificate::Proof::MissProbability(miss_probability)
        }
        Certificate::RecentMatch {
            false_match_probability,
        } => pb::certificate::Proof::FalseMatchProbability(false_match_probability),
    };
    pb::Certificate { proof: Some(proof) }
}

/// When subjects are erased without being asked for.
pub fn retention_from_proto(retention: Option<pb::Retention>) -> Retention {
    let retention = retention.unwrap_or_default();
    Retention {
        idle_days_max: Some(retention.idle_days_max).filter(|days| *days > 0),
        consent_end: retention.consent_end,
    }
}

/// See [`retention_from_proto`].
pub fn retention_to_proto(retention: Retention) -> Option<pb::Retention> {
    (!retention.is_off()).then(|| pb::Retention {
        idle_days_max: retention.idle_days_max.unwrap_or_default(),
        consent_end: retention.consent_end,
    })
}

/// A tenant's policy, every limit of it checked.
pub fn policy_from_proto(policy: Option<pb::Policy>) -> Result<Policy, Rejected> {
    let policy = required("policy", policy)?;
    let threshold = match policy.threshold_rule {
        Some(pb::policy::ThresholdRule::Threshold(score)) => ThresholdRule::Score(score),
        Some(pb::policy::ThresholdRule::TargetFpir(target)) => ThresholdRule::TargetFpir {
            fpir: target.fpir,
            gallery_size: target.gallery_size,
        },
        None => {
            return Err(Rejected::new(
                "policy.threshold",
                "is missing; policy.threshold or policy.target_fpir is required",
            ));
        }
    };
    let mut links = BTreeMap::new();
    for grant in policy.link_grants {
        let role: Role = grant
            .role
            .parse()
            .map_err(|rejected: Rejected| rejected.within("policy.link_grants"))?;
        let kinds: Result<Vec<_>, _> = grant
            .kinds
            .iter()
            .map(|kind| link_kind_from_proto("policy.link_grants.kinds", *kind))
            .collect();
        if links.insert(role, kinds?).is_some() {
            return Err(Rejected::new(
                "policy.link_grants",
                format!("role {role} is named twice"),
            ));
        }
    }
    let policy = Policy {
        threshold,
        margin: policy.margin,
        quality_min: quality("policy.quality_min", policy.quality_min)?,
        pad_required: policy.pad_required,
        links,
        deterministic: policy.deterministic,
        retention: retention_from_proto(policy.retention),
        sealed_probes: policy.sealed_probes,
    };
    policy.check()?;
    Ok(policy)
}

/// See [`policy_from_proto`].
pub fn policy_to_proto(policy: &Policy) -> pb::Policy {
    let threshold_rule = match policy.threshold {
        ThresholdRule::Score(score) => pb::policy::ThresholdRule::Threshold(score),
        ThresholdRule::TargetFpir { fpir, gallery_size } => {
            pb::policy::ThresholdRule::TargetFpir(pb::TargetFpir { fpir, gallery_size })
        }
    };
    let link_grants = policy.links.iter().map(|(role, kinds)| pb::LinkGrant {
        role: role.to_string(),
        kinds: kinds.iter().copied().map(link_kind_to_proto).collect(),
    });
    pb::Policy {
        margin: policy.margin,
        quality_min: u32::from(policy.quality_min),
        pad_required: policy.pad_required,
        link_grants: link_grants.collect(),
        threshold_rule: Some(threshold_rule),
        deterministic: policy.deterministic,
        retention: retention_to_proto(policy.retention),
        sealed_probes: policy.sealed_probes,
    }
}

/// Why to capture again.
pub fn retake_to_proto(reason: RetakeReason) -> i32 {
    match reason {
        RetakeReason::LowQuality => pb::RetakeReason::LowQuality.into(),
        RetakeReason::PadFailed => pb::RetakeReason::PadFailed.into(),
        RetakeReason::Ambiguous => pb::RetakeReason::Ambiguous.into(),
    }
}

fn retake_from_proto(number: i32) -> Result<RetakeReason, Rejected> {
    match pb::RetakeReason::try_from(number) {
        Ok(pb::RetakeReason::LowQuality) => Ok(RetakeReason::LowQuality),
        Ok(pb::RetakeReason::PadFailed) => Ok(RetakeReason::PadFailed),
        Ok(pb::RetakeReason::Ambiguous) => Ok(RetakeReason::Ambiguous),
        Ok(pb::RetakeReason::Unspecified) | Err(_) => Err(unknown(
            "retake_reason",
            number,
            "RETAKE_REASON_LOW_QUALITY, _PAD_FAILED, _AMBIGUOUS",
        )),
    }
}

/// A use of a palm.
pub fn usage_to_proto(event: &UsageEvent) -> pb::UsageEvent {
    let kind = match event.kind {
        UsageKind::Identify => pb::UsageKind::Identify,
        UsageKind::Verify => pb::UsageKind::Verify,
        UsageKind::Enroll => pb::UsageKind::Enroll,
        UsageKind::Investigate => pb::UsageKind::Investigate,
    };
    let (outcome, retake_reason) = match event.outcome {
        Outcome::Match => (pb::UsageOutcome::Match, 0),
        Outcome::NoMatch => (pb::UsageOutcome::NoMatch, 0),
        Outcome::Retake(reason) => (pb::UsageOutcome::Retake, retake_to_proto(reason)),
        Outcome::Done => (pb::UsageOutcome::Done, 0),
    };
    pb::UsageEvent {
        time: Some(time_to_proto(event.at)),
        kind: kind.into(),
        outcome: outcome.into(),
        retake_reason,
        subject_id: event.subject_id.clone().map(String::from).unwrap_or_default(),
        site: event.site.clone().map(String::from).unwrap_or_default(),
        principal: event.principal.to_string(),
        request_id: event.request_id.to_string(),
    }
}

/// See [`usage_to_proto`].
pub fn usage_from_proto(event: &pb::UsageEvent) -> Result<UsageEvent, Rejected> {
    let kind = match pb::UsageKind::try_from(event.kind) {
        Ok(pb::UsageKind::Identify) => UsageKind::Identify,
        Ok(pb::UsageKind::Verify) => UsageKind::Verify,
        Ok(pb::UsageKind::Enroll) => UsageKind::Enroll,
        Ok(pb::UsageKind::Investigate) => UsageKind::Investigate,
        Ok(pb::UsageKind::Unspecified) | Err(_) => {
            return Err(unknown("kind", event.kind, "USAGE_KIND_*"));
        }
    };
    let outcome = match pb::UsageOutcome::try_from(event.outcome) {
        Ok(pb::UsageOutcome::Match) => Outcome::Match,
        Ok(pb::UsageOutcome::NoMatch) => Outcome::NoMatch,
        Ok(pb::UsageOutcome::Retake) => Outcome::Retake(retake_from_proto(event.retake_reason)?),
        Ok(pb::UsageOutcome::Done) => Outcome::Done,
        Ok(pb::UsageOutcome::Unspecified) | Err(_) => {
            return Err(unknown("outcome", event.outcome, "USAGE_OUTCOME_*"));
        }
    };
    Ok(UsageEvent {
        at: time_from_proto("time", event.time)?,
        kind,
        outcome,
        subject_id: optional_id(&event.subject_id)?,
        site: optional_id(&event.site)?,
        principal: event.principal.parse()?,
        request_id: event.request_id.parse()?,
    })
}

/// An event under the id that it was told under.
pub fn usage_record(event: UsageEvent, id: &[u8]) -> Result<UsageRecord, Rejected> {
    let told = id.try_into().map(EventId);
    let id = told.map_err(|_| {
        Rejected::new(
            "event_id",
            format!("has {} bytes; {EVENT_ID_LEN} are expected", id.len()),
        )
    })?;
    Ok(UsageRecord { id, event })
}

/// An enrolled reference, without its signature.
pub fn reference_to_proto(reference: &ReferenceInfo) -> pb::Reference {
    pb::Reference {
        reference: reference.reference,
        hand: hand_to_proto(Some(reference.hand)),
        quality: u32::from(reference.quality),
        capture_time: Some(time_to_proto(reference.captured_at)),
        enroll_time: Some(time_to_proto(reference.enrolled_at)),
    }
}

/// See [`reference_to_proto`].
pub fn reference_from_proto(reference: &pb::Reference) -> Result<ReferenceInfo, Rejected> {
    Ok(ReferenceInfo {
        reference: reference.reference,
        hand: hand_required("hand", reference.hand)?,
        quality: quality("quality", reference.quality)?,
        captured_at: time_from_proto("capture_time", reference.capture_time)?,
        enrolled_at: time_from_proto("enroll_time", reference.enroll_time)?,
    })
}
