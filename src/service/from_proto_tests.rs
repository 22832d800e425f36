//! Tests of parsing public messages: what fits arrives whole, what does not is refused by its field.

use super::*;
use crate::model::link::LinkKind;
use crate::model::subject::{Hand, PadVerdict};

fn time(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds,
        nanos: 5_000,
    }
}

fn signature_message() -> pb::Signature {
    pb::Signature {
        data: vec![1, 2, 3].into(),
        element_type: pb::ElementType::F16.into(),
        encoder: Some(pb::Encoder {
            name: "palm".to_owned(),
            version: "1".to_owned(),
        }),
        hand: pb::Hand::Right.into(),
        quality: 80,
        capture_time: Some(time(10)),
        pad_verdict: pb::PadVerdict::BonaFide.into(),
    }
}

fn parse(change: impl FnOnce(&mut pb::Signature)) -> Result<RawSignature, Rejected> {
    let mut message = signature_message();
    change(&mut message);
    signature("probe", message)
}

fn refused_field(change: impl FnOnce(&mut pb::Signature)) -> String {
    parse(change).err().expect("refused").field
}

fn enroll_message() -> pb::EnrollRequest {
    pb::EnrollRequest {
        request_id: "r-1".to_owned(),
        signatures: vec![signature_message()],
        consent: Some(pb::Consent {
            policy_version: "2".to_owned(),
            purpose: "doors".to_owned(),
            give_time: Some(time(1)),
            expire_time: Some(time(9)),
            method: pb::ConsentMethod::AtDevice.into(),
        }),
        links: vec![pb::Link {
            kind: pb::LinkKind::BadgeId.into(),
            value: "77".to_owned(),
        }],
        ..pb::EnrollRequest::default()
    }
}

#[test]
fn a_signature_arrives_whole() {
    let raw = parse(|_| {}).expect("fits");
    assert_eq!(&raw.data[..], [1, 2, 3]);
    assert_eq!(raw.element, ElementType::F16);
    assert_eq!(raw.capture.hand, Some(Hand::Right));
    assert_eq!(raw.capture.quality, 80);
    assert_eq!(raw.capture.captured_at.0, 10_000_005);
    assert_eq!(raw.capture.pad, PadVerdict::BonaFide);
}

#[test]
fn refusals_of_a_signature_name_the_field() {
    assert_eq!(refused_field(|m| m.element_type = 0), "probe.element_type");
    assert_eq!(refused_field(|m| m.element_type = 9), "probe.element_type");
    assert_eq!(refused_field(|m| m.encoder = None), "probe.encoder");
    assert_eq!(refused_field(|m| m.hand = 7), "probe.hand");
    assert_eq!(refused_field(|m| m.quality = 101), "probe.quality");
    assert_eq!(refused_field(|m| m.capture_time = None), "probe.capture_time");
    assert_eq!(refused_field(|m| m.pad_verdict = -1), "probe.pad_verdict");
}

#[test]
fn an_unspecified_hand_and_verdict_are_taken_as_unknown() {
    let raw = parse(|m| {
        m.hand = 0;
        m.pad_verdict = 0;
    })
    .expect("fits");
    assert_eq!(
        (raw.capture.hand, raw.capture.pad),
        (None, PadVerdict::NotPerformed)
    );
}

#[test]
fn empty_ids_are_absent_and_bad_ones_refused() {
    let message = pb::IdentifyRequest {
        probe: Some(signature_message()),
        ..pb::IdentifyRequest::default()
    };
    let id = || "r-1".parse().expect("an id");
    let command = identify(message.clone(), id(), None).expect("fits");
    assert!(command.tenant.is_none() && command.site.is_none());
    let bad = pb::IdentifyRequest {
        site: "a b".to_owned(),
        ..message
    };
    assert_eq!(identify(bad, id(), None).err().expect("refused").field, "site");
}

fn sealed_message() -> pb::SealedProbe {
    pb::SealedProbe {
        key_id: "k-1".to_owned(),
        enc: vec![7; 32].into(),
        ciphertext: vec![8; 17].into(),
        capture_time_ms: 10_005,
    }
}

#[test]
fn a_sealed_probe_arrives_whole_and_the_time_of_its_seal_is_that_of_the_capture() {
    let Probe::Sealed { probe: sealed, read } = probe(None, Some(sealed_message())).expect("fits") else {
        panic!("it is sealed")
    };
    assert_eq!(
        (sealed.enc(), sealed.ciphertext()),
        (&[7; 32], [8; 17].as_slice())
    );
    let mut inside = signature_message();
    inside.capture_time = None;
    let raw = read(inside.encode_to_vec().into(), sealed.captured_at()).expect("fits");
    assert_eq!(raw.capture.captured_at, Timestamp(10_005_000));
    assert_eq!(
        (raw.data.as_ref(), raw.capture.quality),
        ([1, 2, 3].as_slice(), 80)
    );
    inside.quality = 101;
    let refused = |bytes: Vec<u8>| read(bytes.into(), sealed.captured_at()).err().expect("refused");
    assert_eq!(refused(inside.encode_to_vec()).field, "sealed_probe.quality");
    assert_eq!(refused(vec![0xff; 9]).problem, "does not hold a Signature");
}

#[test]
fn a_sealed_probe_has_its_sizes_and_stands_alone() {
    let refused = |change: fn(&mut pb::SealedProbe)| {
        let mut message = sealed_message();
        change(&mut message);
        probe(None, Some(message)).err().expect("refused").field
    };
    assert_eq!(refused(|m| m.key_id.clear()), "sealed_probe.key_id");
    for length in [0, 31, 33] {
        let message = pb::SealedProbe {
            enc: vec![7; length].into(),
            ..sealed_message()
        };
        let refused = probe(None, Some(message)).err().expect("refused");
        assert_eq!(refused.field, "sealed_probe.enc");
    }
    assert_eq!(
        refused(|m| m.ciphertext = vec![8; 16].into()),
        "sealed_probe.ciphertext"
    );
    assert_eq!(
        refused(|m| m.ciphertext = vec![8; 16_385].into()),
        "sealed_probe.ciphertext"
    );
    assert_eq!(
        refused(|m| m.capture_time_ms = u64::MAX / 1_000),
        "sealed_probe.capture_time_ms"
    );
    let both = probe(Some(signature_message()), Some(sealed_message()));
    assert_eq!(both.err().expect("refused").field, "sealed_probe");
    assert_eq!(probe(None, None).err().expect("refused").field, "probe");
}

#[test]
fn an_enrolment_arrives_whole() {
    let command = enroll(enroll_message()).expect("fits");
    assert_eq!(command.request_id.as_str(), "r-1");
    assert_eq!(command.signatures.len(), 1);
    assert_eq!(command.consent.expect("given").purpose, "doors");
    let link = command.links.first().expect("one");
    assert_eq!((link.kind, link.value()), (LinkKind::BadgeId, "77"));
}

#[test]
fn a_missing_consent_is_left_to_the_front_and_a_bad_one_refused() {
    let mut message = enroll_message();
    message.consent = None;
    assert!(enroll(message).expect("fits").consent.is_none());
    let mut message = enroll_message();
    message.consent.as_mut().expect("given").method = 0;
    assert_eq!(enroll(message).err().expect("refused").field, "consent.method");
}

#[test]
fn refusals_in_lists_name_the_place() {
    let mut message = enroll_message();
    message.links.push(pb::Link {
        kind: 0,
        value: "x".to_owned(),
    });
    assert_eq!(enroll(message).err().expect("refused").field, "links[1].kind");
    let mut message = enroll_message();
    message.signatures.push(pb::Signature::default());
    assert_eq!(
        enroll(message).err().expect("refused").field,
        "signatures[1].element_type"
    );
    let mut message = enroll_message();
    message.request_id.clear();
    assert_eq!(enroll(message).err().expect("refused").field, "request_id");
}

#[test]
fn an_import_names_the_row_of_a_bad_subject() {
    let rows = pb::ImportRows {
        // Two rows of the smallest dimension in half precision.
        data: vec![0; 128].into(),
        subject_ids: vec!["a".to_owned(), "b c".to_owned()],
    };
    let refusal = import_rows(rows, 7_122).err().expect("refused");
    assert_eq!(refusal.field, "subject_ids[7123]");
}

#[test]
fn a_tenant_needs_a_policy_with_a_rule_and_each_role_once() {
    let message = |policy| pb::CreateTenantRequest {
        request_id: "r".to_owned(),
        tenant: "acme".to_owned(),
        dimension: 256,
        encoder: signature_message().encoder,
        policy,
    };
    let field = |policy| create_tenant(message(policy)).err().expect("refused").field;
    assert_eq!(field(None), "policy");
    assert_eq!(field(Some(pb::Policy::default())), "policy.threshold");
    let grant = pb::LinkGrant {
        role: "scanner".to_owned(),
        kinds: vec![pb::LinkKind::BadgeId.into()],
    };
    let policy = pb::Policy {
        threshold_rule: Some(pb::policy::ThresholdRule::Threshold(0.4)),
        link_grants: vec![grant.clone()],
        ..pb::Policy::default()
    };
    assert!(create_tenant(message(Some(policy.clone()))).is_ok());
    let twice = pb::Policy {
        link_grants: vec![grant.clone(), grant],
        ..policy
    };
    assert_eq!(field(Some(twice)), "policy.link_grants");
}

#[test]
fn a_subject_must_be_named() {
    assert_eq!(erase_subject(None).err().expect("refused").field, "subject");
    let by_link = pb::get_subject_request::Subject::Link(pb::Link {
        kind: pb::LinkKind::PhoneNumber.into(),
        value: String::new(),
    });
    assert_eq!(
        get_subject(Some(by_link)).err().expect("refused").field,
        "link.value"
    );
}

#[test]
fn a_question_for_the_nearest_arrives_whole() {
    let request = pb::InvestigateRequest {
        tenant: "acme".to_owned(),
        request_id: "ignored".to_owned(),
        probe: Some(signature_message()),
        site: "office".to_owned(),
        candidates_max: 7,
    };
    let deadline = Some(Instant::now());
    let command = investigate(request, "r-1".parse().expect("an id"), deadline).expect("fits");
    assert_eq!(command.tenant.expect("named").as_str(), "acme");
    assert_eq!(command.site.expect("named").as_str(), "office");
    assert_eq!((command.candidates_max, command.deadline), (7, deadline));
    let empty = pb::InvestigateRequest::default();
    let refusal = investigate(empty, "r-1".parse().expect("an id"), None).err();
    assert_eq!(refusal.expect("no probe").field, "probe");
}
