//! Tests of admission: what is malformed is refused by name, what is not good enough is captured again.

use std::time::Duration;

use super::*;
use crate::front::fixture::{DIM, create, id, palm, raw};
use crate::model::signature::ElementType;
use crate::model::tenant::TransformId;
use crate::model::timestamp::Timestamp;

fn spec() -> TenantSpec {
    let request = create("acme");
    TenantSpec {
        id: id("acme"),
        dimension: request.dimension,
        encoder: request.encoder,
        transform: TransformId {
            version: 1,
            digest: [0; 32],
        },
        policy: request.policy,
        created_at: Timestamp(0),
    }
}

fn outcome(change: impl FnOnce(&mut RawSignature, &mut TenantSpec)) -> String {
    let (mut raw, mut spec) = (raw(&palm(1)), spec());
    change(&mut raw, &mut spec);
    match capture(&raw, &spec, "probe") {
        Ok(Admitted::Good(signature)) => format!("good, {} coordinates", signature.values().len()),
        Ok(Admitted::Retake(reason)) => format!("{reason:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_good_capture_passes() {
    assert_eq!(outcome(|_, _| {}), "good, 64 coordinates");
}

#[test]
fn what_is_malformed_is_refused_by_name() {
    let check = |found: String, words: &str| assert!(found.contains(words), "{found}");
    check(
        outcome(|raw, _| raw.encoder.version = "2".to_owned()),
        "probe.encoder: is palm/2; the tenant's encoder is palm/1",
    );
    check(
        outcome(|raw, _| raw.data = raw.data.slice(4..)),
        "probe.data: is 252 bytes long; the tenant's dimension 64 takes 256",
    );
    check(
        outcome(|raw, _| raw.element = ElementType::F16),
        "probe.data: is 256 bytes long",
    );
    check(
        outcome(|raw, _| raw.data = vec![0; DIM * 4].into()),
        "probe.data: has norm 0.0000",
    );
    check(
        outcome(|raw, _| raw.capture.quality = 101),
        "probe.quality: 101 is not from 0 to 100",
    );
}

#[test]
fn a_capture_that_is_not_good_enough_is_taken_again() {
    use PadVerdict::{Attack, BonaFide, NotPerformed};
    for (quality, pad, required, expected) in [
        (30, BonaFide, true, "good, 64 coordinates"),
        (29, BonaFide, true, "LowQuality"),
        (80, NotPerformed, true, "PadFailed"),
        (80, NotPerformed, false, "good, 64 coordinates"),
        (80, Attack, false, "PadFailed"),
        (10, Attack, true, "PadFailed"),
    ] {
        let found = outcome(|raw, spec| {
            (raw.capture.quality, raw.capture.pad) = (quality, pad);
            spec.policy.pad_required = required;
        });
        assert_eq!(found, expected, "{quality} {pad:?} {required}");
    }
}

#[test]
fn malformed_comes_before_not_good_enough() {
    let found = outcome(|raw, _| {
        raw.capture.quality = 0;
        raw.data = raw.data.slice(4..);
    });
    assert!(found.starts_with("probe.data"), "{found}");
}

#[test]
fn a_deadline_that_has_passed_is_refused() {
    let now = Instant::now();
    deadline(None).expect("no deadline");
    deadline(Some(now + Duration::from_mins(1))).expect("time left");
    assert!(matches!(
        deadline(Some(now)),
        Err(FrontError::Node(NodeError::DeadlineExceeded))
    ));
}
