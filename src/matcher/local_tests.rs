//! Tests of the node: what is protected with another rotation than the tenant's is refused before anything else; a tenant that was half made is made.

use futures::{StreamExt, stream};

use super::*;
use crate::matcher::fixture::*;
use crate::matcher::node::NewReference;
use crate::model::subject::Hand;
use crate::model::tenant::TransformId;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};
use crate::storage::journal::JOURNAL_FILE;

fn query(transform: TransformId, dimension: usize) -> SearchQuery {
    SearchQuery {
        only: None,
        tenant: tenant(),
        transform,
        probe: signature(dimension),
        threshold: 0.5,
        candidates_max: 5,
        links: Vec::new(),
        deterministic: false,
        deadline: None,
    }
}

fn ranking(transform: TransformId, dimension: usize) -> RankQuery {
    RankQuery {
        tenant: tenant(),
        transform,
        probe: signature(dimension),
        candidates_max: 5,
        deterministic: false,
        deadline: None,
    }
}

fn comparison(transform: TransformId, dimension: usize) -> CompareQuery {
    CompareQuery {
        tenant: tenant(),
        transform,
        subject_id: "ada".parse().expect("an id"),
        probe: signature(dimension),
        deadline: None,
    }
}

fn enrollment(transform: TransformId, dimension: usize) -> Enrollment {
    Enrollment {
        tenant: tenant(),
        transform,
        request_id: request(),
        request_digest: [5; 32],
        subject_id: "ada".parse().expect("an id"),
        references: vec![NewReference {
            signature: signature(dimension),
            hand: Hand::Left,
            capture: capture(),
        }],
        consent: consent(),
        links: Vec::new(),
        usage: UsageEvent {
            at: Timestamp(5),
            kind: UsageKind::Enroll,
            outcome: Outcome::Done,
            subject_id: Some("ada".parse().expect("an id")),
            site: None,
            principal: "desk".parse().expect("a name"),
            request_id: request(),
        },
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what a call gave")]
fn assert_stale<T: std::fmt::Debug>(answer: Result<T, NodeError>) {
    assert!(
        matches!(&answer, Err(NodeError::TransformStale { tenant: id }) if *id == tenant()),
        "{answer:?}"
    );
}

#[tokio::test]
async fn one_subject_is_scored_without_a_scan_and_nobody_else() {
    let (node, _dir) = node().await;
    for (subject, request) in [("ada", "r-a"), ("bob", "r-b")] {
        let enrollment = Enrollment {
            subject_id: subject.parse().expect("an id"),
            request_id: request.parse().expect("an id"),
            ..enrollment(transform(7), DIM)
        };
        node.enroll(enrollment).await.expect("enrolled");
    }
    let only = |subject: &str| SearchQuery {
        only: Some(subject.parse().expect("an id")),
        ..query(transform(7), DIM)
    };
    let all = node.search(query(transform(7), DIM)).await.expect("answered");
    assert_eq!(all.candidates.len(), 2);
    for candidate in all.candidates {
        let answer = node.search(only(candidate.subject_id.as_str())).await;
        let answer = answer.expect("answered");
        assert_eq!(answer.candidates, [candidate], "to the last bit");
        assert_eq!(answer.searched, 1);
    }
    let out_of_reach = SearchQuery {
        threshold: 1.5,
        ..only("ada")
    };
    assert_eq!(node.search(out_of_reach).await.expect("answered").candidates, []);
    node.erase(erasure("r-e")).await.expect("erased");
    for gone in ["ada", "nobody"] {
        let answer = node.search(only(gone)).await;
        assert!(matches!(answer, Err(NodeError::SubjectUnknown(_))), "{answer:?}");
    }
    assert_eq!(
        node.search(only("bob")).await.expect("answered").candidates.len(),
        1
    );
    assert_stale(
        node.search(SearchQuery {
            transform: transform(8),
            ..only("bob")
        })
        .await,
    );
    node.drain().await;
}

#[tokio::test]
async fn questions_under_another_rotation_are_refused_and_not_answered_with_nobody() {
    let (node, _dir) = node().await;
    node.enroll(enrollment(transform(7), DIM))
        .await
        .expect("enrolled");
    let found = node.search(query(transform(7), DIM)).await.expect("answered");
    assert_eq!(found.candidates.len(), 1);
    let another_version = TransformId {
        version: 2,
        ..transform(7)
    };
    for wrong in [transform(8), another_version] {
        // Of a wrong dimension too: the rotation is looked at first.
        for dimension in [DIM, 2 * DIM] {
            assert_stale(node.search(query(wrong.clone(), dimension)).await);
            assert_stale(node.rank(ranking(wrong.clone(), dimension)).await);
            assert_stale(node.compare(comparison(wrong.clone(), dimension)).await);
        }
    }
    node.drain().await;
}

#[tokio::test]
async fn writes_under_another_rotation_are_refused_and_leave_nothing() {
    let (node, _dir) = node().await;
    for dimension in [DIM, 2 * DIM] {
        assert_stale(node.enroll(enrollment(transform(8), dimension)).await);
    }
    for rows in [0, 1] {
        let chunks = stream::empty().boxed();
        assert_stale(node.import(import_header(transform(8), rows), chunks).await);
    }
    let status = node.tenant(&tenant()).await.expect("there");
    assert_eq!((status.stats.references, status.stats.sequence), (0, 0));
    // The request id was not used up.
    node.enroll(enrollment(transform(7), DIM))
        .await
        .expect("enrolled");
    // A repetition is not answered from memory either.
    assert_stale(node.enroll(enrollment(transform(8), DIM)).await);
    node.drain().await;
}

#[tokio::test]
async fn a_tenant_whose_making_failed_at_its_end_is_taken_up_when_that_is_repeated() {
    let (node, _dir) = node().await;
    let mut spec = node.live(&tenant()).expect("there").spec.clone();
    spec.id = "late".parse().expect("an id");
    let key = node
        .keyring()
        .get_or_create(&spec.id, Purpose::Data)
        .expect("made");
    // As far as a making comes that can't open what it made.
    drop(Store::create(node.dir(), &spec, &key, node.keyring().signer()).expect("made"));
    let unknown = node.tenant(&spec.id).await;
    assert!(matches!(unknown, Err(NodeError::TenantUnknown(_))), "{unknown:?}");
    let other = TenantSpec {
        transform: transform(8),
        ..spec.clone()
    };
    let refused = node.create_tenant(other).await;
    assert!(matches!(refused, Err(NodeError::TenantExists(_))), "{refused:?}");
    node.create_tenant(spec.clone()).await.expect("taken up");
    let status = node.tenant(&spec.id).await.expect("there");
    assert_eq!(status.state, TenantState::Ready);
    node.drain().await;
}

fn erasure(request: &str) -> Erasure {
    Erasure {
        tenant: tenant(),
        request_id: request.parse().expect("an id"),
        request_digest: [6; 32],
        subject: SubjectRef::Id("ada".parse().expect("an id")),
        only_if: None,
    }
}

#[tokio::test]
async fn an_erasure_is_acknowledged_once_the_journal_has_it() {
    let (node, dir) = node().await;
    node.enroll(enrollment(transform(7), DIM))
        .await
        .expect("enrolled");
    node.journal.set_broken(true);
    let refused = node.erase(erasure("erase")).await;
    let Err(NodeError::StorageRefused(reason)) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        reason.contains("the person is erased") && reason.contains("repeat the request"),
        "{reason}"
    );
    let found = node.search(query(transform(7), DIM)).await.expect("answered");
    assert!(found.candidates.is_empty(), "erased all the same");
    let again = node.erase(erasure("erase")).await;
    assert!(matches!(again, Err(NodeError::StorageRefused(_))), "{again:?}");
    node.journal.set_broken(false);
    assert_eq!(node.erase(erasure("erase")).await.expect("noted").erasure, 1);
    let noted = || std::fs::read_to_string(dir.path().join(JOURNAL_FILE)).expect("readable");
    let journal = noted();
    assert!(
        journal.lines().count() == 1 && journal.contains("\"ada\""),
        "{journal}"
    );
    // One that nobody asks for again is noted by the upkeep.
    let mut again = enrollment(transform(7), DIM);
    (again.subject_id, again.request_id) = (
        "bob".parse().expect("an id"),
        "enroll-bob".parse().expect("an id"),
    );
    node.enroll(again).await.expect("enrolled");
    node.journal.set_broken(true);
    let erasure = Erasure {
        subject: SubjectRef::Id("bob".parse().expect("an id")),
        ..erasure("erase-bob")
    };
    node.erase(erasure).await.expect_err("not noted");
    node.journal.set_broken(false);
    while !noted().contains("\"bob\"") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    node.drain().await;
}

#[tokio::test]
async fn a_drop_is_acknowledged_once_the_journal_has_it() {
    let (node, dir) = node().await;
    node.journal.set_broken(true);
    let refused = node.drop_tenant(&tenant()).await;
    assert!(
        matches!(refused, Err(NodeError::StorageRefused(_))),
        "{refused:?}"
    );
    let status = node.tenant(&tenant()).await.expect("there");
    assert_eq!(status.state, TenantState::Ready, "nothing was dropped");
    node.journal.set_broken(false);
    node.drop_tenant(&tenant()).await.expect("noted");
    let unknown = node.drop_tenant(&tenant()).await;
    assert!(matches!(unknown, Err(NodeError::TenantUnknown(_))), "{unknown:?}");
    let journal = std::fs::read_to_string(dir.path().join(JOURNAL_FILE)).expect("readable");
    assert!(
        journal.lines().count() == 1 && journal.contains("dropped_at"),
        "{journal}"
    );
    node.drain().await;
}

#[tokio::test]
async fn a_drop_that_the_journal_has_serves_nobody_any_more_whatever_fails_then() {
    let (node, dir) = node().await;
    // In the way of a changed keyring.
    let way = dir.path().join(".keyring.thenar-new");
    std::fs::create_dir(&way).expect("made");
    node.drop_tenant(&tenant()).await.expect_err("not marked");
    let status = node.tenant(&tenant()).await.expect("there");
    let TenantState::Unavailable(reason) = &status.state else {
        panic!("{status:?}");
    };
    assert!(reason.contains("drop it again"), "{reason}");
    std::fs::remove_dir(&way).expect("removed");
    node.drop_tenant(&tenant()).await.expect("dropped");
    let unknown = node.tenant(&tenant()).await;
    assert!(matches!(unknown, Err(NodeError::TenantUnknown(_))), "{unknown:?}");
    node.drain().await;
}
