//! Tests of request digests: every part of a request counts, the request id and the deadline don't, and the key does.

use super::*;
use crate::front::fixture::{enroll, id, identify, palm, plain, raw, verify};
use crate::model::link::LinkKind;
use crate::model::subject::PadVerdict;

fn digests() -> Digests {
    Digests::new(&SecretKey::from_bytes([1; 32]))
}

fn identify_digest(digests: &Digests, mut request: Identify) -> [u8; 32] {
    let probe = plain(&mut request.probe).clone();
    digests.identify(&request, &probe)
}

#[test]
fn a_repetition_has_the_same_digest() {
    let (a, mut b) = (identify("a", &palm(1)), identify("b", &palm(1)));
    b.deadline = Some(std::time::Instant::now());
    assert_eq!(identify_digest(&digests(), a), identify_digest(&digests(), b));
}

#[test]
fn every_part_of_a_question_counts() {
    let digest = |change: fn(&mut Identify)| {
        let mut request = identify("a", &palm(1));
        change(&mut request);
        identify_digest(&digests(), request)
    };
    let changes: [fn(&mut Identify); 8] = [
        |_| {},
        |r| r.probe = identify("a", &palm(2)).probe,
        |r| plain(&mut r.probe).element = ElementType::F16,
        |r| plain(&mut r.probe).capture.quality = 81,
        |r| plain(&mut r.probe).capture.hand = None,
        |r| plain(&mut r.probe).capture.pad = PadVerdict::Attack,
        |r| r.site = None,
        |r| r.candidates_max = 1,
    ];
    let found = changes.map(digest);
    for (at, one) in found.iter().enumerate() {
        assert!(!found[..at].contains(one), "change {at}");
    }
}

#[test]
fn methods_and_keys_separate() {
    let asked = || identify_digest(&digests(), identify("a", &palm(1)));
    let claimed = verify("a", "s", &palm(1));
    assert_ne!(asked(), digests().verify(&claimed, &raw(&palm(1))));
    let other = Digests::new(&SecretKey::from_bytes([2; 32]));
    assert_ne!(asked(), identify_digest(&other, identify("a", &palm(1))));
}

#[test]
fn enrolments_and_erasures_differ_by_content() {
    let with_link = |value: &str| {
        let mut request = enroll(1);
        let link = Link::new(LinkKind::PhoneNumber, value.to_owned()).expect("valid");
        request.links.push(link);
        digests().enroll(&request)
    };
    assert_eq!(with_link("1"), with_link("1"));
    assert_ne!(with_link("1"), with_link("2"));
    assert_ne!(with_link("1"), digests().enroll(&enroll(1)));
    let link = |value: &str| Link::new(LinkKind::BadgeId, value.to_owned()).expect("valid");
    assert_ne!(
        digests().erase(&SubjectSelector::Link(link("a"))),
        digests().erase(&SubjectSelector::Id(id("a")))
    );
}

#[test]
fn made_ids_repeat_for_a_repetition_alone() {
    let made = |request: &str, digest: u8, row| digests().subject_id(&id(request), &[digest; 32], row);
    let one = made("r", 1, 0);
    assert_eq!(one.as_str().len(), 32);
    assert_eq!(one, made("r", 1, 0));
    for other in [made("s", 1, 0), made("r", 2, 0), made("r", 1, 1)] {
        assert_ne!(one, other);
    }
}
