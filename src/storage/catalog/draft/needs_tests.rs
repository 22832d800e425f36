//! Tests of what is read for a group.

use super::*;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageKind;
use crate::storage::testing::{enroll, erase, id, link, usage};
use crate::storage::write::EraseWrite;
use crate::storage::write::ReadAhead;

fn linked(subject: &str, value: u8) -> Write {
    let mut write = enroll(subject, subject, &[1]);
    write.links = vec![link(LinkKind::BadgeId, value)];
    Write::Enroll(write)
}

fn erase_by_link(value: u8) -> Write {
    Write::Erase(EraseWrite {
        request_id: id("by-link"),
        request_digest: [0; 32],
        subject: SubjectKey::Link {
            kind: LinkKind::BadgeId,
            lookup: [value; 32],
        },
        only_if: None,
        ahead: ReadAhead::default(),
    })
}

#[test]
fn a_subject_is_read_as_deep_as_the_deepest_write_asks() {
    let used = Write::Usage(usage("u", UsageKind::Identify, Some("s1")).into());
    let group = [erase("e", "s2"), linked("s2", 1), linked("s3", 2), used];
    let needs = Needs::of(&group, &State::default());
    let depths = [("s1", Depth::Row), ("s2", Depth::Whole), ("s3", Depth::Held)];
    assert_eq!(
        needs.subjects,
        depths.map(|(name, depth)| (id(name), depth)).into()
    );
    let links = [1, 2].map(|value| ((LinkKind::BadgeId, [value; 32]), Depth::Row));
    assert_eq!(needs.links, links.into());
    assert_eq!(needs.requests, ["e", "s2", "s3"].map(id).into());
    assert!(needs.erasures.is_empty() && !needs.commitments);
}

#[test]
fn who_gets_a_link_within_the_group_is_read_whole_where_somebody_is_erased_by_it() {
    for group in [
        [linked("s1", 1), erase_by_link(1)],
        [erase_by_link(1), linked("s1", 1)],
    ] {
        let needs = Needs::of(&group, &State::default());
        assert_eq!(needs.subjects, [(id("s1"), Depth::Whole)].into());
        assert_eq!(needs.links, [((LinkKind::BadgeId, [1; 32]), Depth::Whole)].into());
    }
}

#[test]
fn commitments_are_read_where_the_group_may_bring_a_checkpoint() {
    let group = || {
        [
            linked("s1", 1),
            erase("e", "s1"),
            Write::Usage(usage("u", UsageKind::Identify, None).into()),
        ]
    };
    let of = |last_usage| {
        let state = State {
            last_usage,
            ..State::default()
        };
        Needs::of(&group(), &state).commitments
    };
    // Two of them are events.
    assert_eq!([1_021, 1_022, 1_023, 1_024].map(of), [false, true, true, false]);
}

#[test]
fn erasures_are_read_that_requests_of_the_group_were_answered_with() {
    let mut needs = Needs::of(
        &[erase("e1", "s1"), erase("s1", "s1"), linked("r", 1)],
        &State::default(),
    );
    let kept = |name, method, answer: Option<&str>| {
        let kept = StoredRequest {
            method,
            digest: vec![0; 32],
            answer: answer.map(str::to_owned),
            subject: None,
            at: Timestamp(1),
        };
        (id(name), kept)
    };
    let enrolled = kept("r", Method::Enroll, Some("{}"));
    let [mine, other] = [("e1", 7), ("e2", 8)]
        .map(|(name, number)| kept(name, Method::Erase, Some(&format!("{{\"erasure\":{number}}}"))));
    let scrubbed = kept("s1", Method::Erase, None);
    needs
        .add_answers(&[mine, other, enrolled, scrubbed])
        .expect("read");
    assert_eq!(needs.erasures, [7].into());
}
