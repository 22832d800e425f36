//! Tests of nodes of a cluster over one database and one store, through a front and asked one by one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::matcher::fixture::{enrollment, palm, spec, tenant, transform};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};
use ground::{Ground, erasure, query, until};

#[path = "member/ground.rs"]
pub(super) mod ground;

/// Two nodes that serve, and a tenant that the front had made.
pub(super) async fn two() -> Option<(Ground, [Arc<MemberNode>; 2])> {
    let ground = Ground::new().await?;
    let nodes = [ground.join(1).await, ground.join(2).await];
    ground.front.create_tenant(spec()).await.expect("made");
    Some((ground, nodes))
}

/// Whom the front finds for a palm, at once.
async fn found_now(ground: &Ground, number: usize) -> Result<Vec<String>, NodeError> {
    let answer = ground.front.search(query(number)).await?;
    let names = answer.candidates.iter();
    Ok(names.map(|candidate| candidate.subject_id.to_string()).collect())
}

/// The same once there is an answer: a front that has not heard of a new owner yet has none.
async fn found(ground: &Ground, number: usize) -> Vec<String> {
    let answer = Mutex::new(Vec::new());
    until("there is an answer", async || {
        match found_now(ground, number).await {
            Ok(names) => {
                *answer.lock() = names;
                true
            }
            Err(NodeError::PartUnavailable { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    answer.into_inner()
}

fn compare_query(number: usize) -> CompareQuery {
    CompareQuery {
        tenant: tenant(),
        transform: transform(7),
        subject_id: format!("s{number}").parse().expect("an id"),
        probe: palm(number),
        deadline: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_enrolled_on_one_node_is_found_through_the_other_at_once_and_who_is_erased_is_not() {
    let Some((ground, [one, other])) = two().await else {
        return;
    };
    let enrolled = one.enroll(enrollment(1)).await.expect("enrolled");
    assert_eq!((enrolled.references.clone(), enrolled.sequence), (vec![1], 1));
    assert_eq!(found_now(&ground, 1).await.expect("searched"), ["s1"]);
    assert_eq!(
        other.enroll(enrollment(1)).await.expect("answered as before"),
        enrolled
    );
    let score = other.compare(compare_query(1)).await.expect("compared");
    assert!((score - 1.0).abs() < 0.01, "{score}");
    let by_id = SubjectRef::Id(enrolled.subject_id.clone());
    assert_eq!(
        other
            .subject(&tenant(), &by_id)
            .await
            .expect("there")
            .references
            .len(),
        1
    );

    let asked = erasure("erase-1", "s1");
    let erased = other.erase(asked.clone()).await.expect("erased");
    assert_eq!((erased.erasure, erased.subject_id.as_str()), (1, "s1"));
    assert!(found_now(&ground, 1).await.expect("searched").is_empty());
    for node in [&one, &other] {
        assert_eq!(
            node.erase(asked.clone()).await.expect("answered as before"),
            erased
        );
        assert_eq!(node.erasure(&tenant(), 1).await.expect("there"), erased);
        let unknown = node.compare(compare_query(1)).await;
        assert!(
            matches!(unknown, Err(NodeError::SubjectUnknown(_))),
            "{unknown:?}"
        );
        let gone = node.subject(&tenant(), &by_id).await;
        assert!(matches!(gone, Err(NodeError::SubjectUnknown(_))), "{gone:?}");
    }
    assert_eq!(
        one.erasures_of(&tenant(), &enrolled.subject_id)
            .await
            .expect("read"),
        [1]
    );
    // A late repetition does not bring the person back.
    let late = one.enroll(enrollment(1)).await;
    assert!(matches!(late, Err(NodeError::SubjectUnknown(_))), "{late:?}");
    assert!(found(&ground, 1).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_made_once_and_told_of_by_every_node() {
    let Some((ground, [one, other])) = two().await else {
        return;
    };
    let again = other.create_tenant(spec()).await.expect("the same again");
    assert_eq!((again.spec, again.state), (Some(spec()), TenantState::Ready));
    let mut another = spec();
    another.transform = transform(8);
    let refused = one.create_tenant(another).await;
    assert!(matches!(refused, Err(NodeError::TenantExists(_))), "{refused:?}");

    for number in 1..=3 {
        one.enroll(enrollment(number)).await.expect("enrolled");
    }
    let status = ground.front.tenant(&tenant()).await.expect("there");
    assert_eq!((status.stats.subjects, status.stats.sequence), (3, 3));
    assert!(status.stats.resident_bytes > 0);
    let listed = other.tenants().await.expect("read");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed.first().map(|status| status.stats.references), Some(3));

    let mut policy = spec().policy;
    policy.margin = 0.1;
    let change = PolicyChange {
        tenant: tenant(),
        request_id: "policy-1".parse().expect("an id"),
        request_digest: [3; 32],
        policy: policy.clone(),
    };
    let set = other.set_policy(change).await.expect("set");
    assert_eq!(set.spec.expect("read").policy, policy);
    let event = UsageEvent {
        kind: UsageKind::Identify,
        outcome: Outcome::Match,
        ..enrollment(2).usage
    };
    other
        .record_usage(&tenant(), event.clone().into())
        .await
        .expect("recorded");
    let page = UsageQuery {
        tenant: tenant(),
        subject_id: event.subject_id.clone(),
        before: None,
        limit: 10,
    };
    let page = one.usage(page).await.expect("read");
    let kinds: Vec<UsageKind> = page.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [UsageKind::Identify, UsageKind::Enroll]);
    let checkpoint = one.checkpoint(&tenant()).await.expect("signed");
    assert!(checkpoint.checkpoint_json.contains("acme"));
    let unknown: TenantId = "nobody".parse().expect("an id");
    let told = one.tenant(&unknown).await;
    assert!(matches!(told, Err(NodeError::TenantUnknown(_))), "{told:?}");
    let told = one.erasures_of(&unknown, &"s1".parse().expect("an id")).await;
    assert!(matches!(told, Err(NodeError::TenantUnknown(_))), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_a_whole_gallery_or_by_another_rotation_is_refused() {
    let Some((_ground, [one, _other])) = two().await else {
        return;
    };
    let all = Node::search(one.as_ref(), query(1)).await;
    assert!(
        matches!(&all, Err(NodeError::StorageRefused(why)) if why.contains("parts")),
        "{all:?}"
    );
    let mut stale = enrollment(1);
    stale.transform = transform(8);
    let stale = one.enroll(stale).await;
    assert!(
        matches!(stale, Err(NodeError::TransformStale { .. })),
        "{stale:?}"
    );
    let stale = CompareQuery {
        transform: transform(8),
        ..compare_query(1)
    };
    let stale = one.compare(stale).await;
    assert!(
        matches!(stale, Err(NodeError::TransformStale { .. })),
        "{stale:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_on_many_nodes_lose_nothing_and_flushes_move_rows_beneath_them() {
    let Some((ground, [one, other])) = two().await else {
        return;
    };
    let third = ground.join(3).await;
    let mut writers = JoinSet::new();
    for (writer, node) in [one, other, third].into_iter().enumerate() {
        for lane in 0..3 {
            let node = Arc::clone(&node);
            writers.spawn(async move {
                let mut sequences = Vec::new();
                for number in (writer * 3 + lane..54).step_by(9) {
                    let enrolled = node.enroll(enrollment(number)).await.expect("enrolled");
                    sequences.push(enrolled.sequence);
                    if number.is_multiple_of(6) {
                        let name = format!("s{number}");
                        let asked = erasure(&format!("erase-{number}"), &name);
                        node.erase(asked).await.expect("erased");
                    }
                }
                sequences
            });
        }
    }
    let sequences: Vec<u64> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(sequences.iter().collect::<BTreeSet<_>>().len(), 54);
    for number in 0..54 {
        let names = found(&ground, number).await;
        let name = format!("s{number}");
        assert_eq!(
            names.contains(&name),
            !number.is_multiple_of(6),
            "{number}: {names:?}"
        );
    }
    let status = ground.front.tenant(&tenant()).await.expect("there");
    assert_eq!(status.stats.subjects, 45);
    until("rows are in segments", async || {
        let status = ground.front.tenant(&tenant()).await.expect("there");
        status.stats.segments > 0 && status.stats.pending < 12
    })
    .await;
    // A row of a segment is read exactly, and its erasure reads what its receipt says of it.
    let node = ground.member(2);
    for number in (1..54_usize).filter(|number| !number.is_multiple_of(6)) {
        let score = node.compare(compare_query(number)).await.expect("compared");
        assert!((score - 1.0).abs() < 0.01, "{score}");
    }
    let erased = node.erase(erasure("erase-last", "s1")).await.expect("erased");
    let receipt: crate::model::erasure::ErasureReceipt =
        serde_json::from_str(&erased.receipt.receipt_json).expect("a receipt");
    assert_eq!(receipt.sealed_row_sha256.len(), 1);
    assert!(!found(&ground, 1).await.contains(&"s1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_waits_for_a_silent_node_until_that_is_fenced_and_waits_again_when_it_is_repeated() {
    let Some((ground, [one, _silent])) = two().await else {
        return;
    };
    one.enroll(enrollment(1)).await.expect("enrolled");
    until("both follow", async || ground.followers() == 2).await;
    ground.kill(2).await;
    let erase = |node: &Arc<MemberNode>| {
        let node = Arc::clone(node);
        tokio::spawn(async move { node.erase(erasure("erase-1", "s1")).await })
    };
    let first = erase(&one);
    let by_id = SubjectRef::Id("s1".parse().expect("an id"));
    until("the erasure is done", async || {
        one.subject(&tenant(), &by_id).await.is_err()
    })
    .await;
    assert!(ground.erasure_waits(2));
    assert!(!first.is_finished());
    // Its node goes: who asked is told to repeat it.
    one.stop();
    let told = first.await.expect("it ends");
    let repeats = |reason: &str| reason.contains("repeat the request");
    assert!(
        matches!(&told, Err(NodeError::NodeUnavailable { reason, .. }) if repeats(reason)),
        "{told:?}"
    );
    let again = ground.member_anew(1);
    let second = erase(&again);
    let third = erase(&again);
    assert!(ground.erasure_waits(2));
    assert!(!second.is_finished() && !third.is_finished());
    ground.fence(2);
    let [second, third] = [second, third].map(|erasing| async move {
        let erased = erasing.await.expect("it ends");
        erased.expect("erased").erasure
    });
    assert_eq!(tokio::join!(second, third), (1, 1));
    assert!(!ground.erasure_waits(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_where_a_node_is_lost_and_a_node_that_was_fenced_writes_nothing() {
    let Some((ground, [one, other])) = two().await else {
        return;
    };
    ground.join(3).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for node in [one, other] {
        let (is_over, next) = (Arc::clone(&is_over), Arc::clone(&next));
        writers.spawn(async move {
            let mut done = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let number = usize::try_from(next.fetch_add(1, Ordering::SeqCst)).expect("few");
                // Whoever was fenced says so, and has written nothing; it registers again.
                match node.enroll(enrollment(number)).await {
                    Ok(_) => done.push(number),
                    Err(NodeError::NodeUnavailable { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            done
        });
    }
    until("some are enrolled", async || next.load(Ordering::SeqCst) > 6).await;
    ground.kill(3).await;
    ground.fence(3);
    ground.fence(2);
    let before = next.load(Ordering::SeqCst);
    until("more are enrolled", async || {
        next.load(Ordering::SeqCst) > before + 6
    })
    .await;
    is_over.store(true, Ordering::SeqCst);
    let done: Vec<usize> = writers.join_all().await.into_iter().flatten().collect();
    let told = ground.member(1).tenant(&tenant()).await.expect("there");
    assert_eq!(told.stats.subjects, done.len() as u64);
    ground.serving(2).await;
    for number in done {
        let by_id = SubjectRef::Id(format!("s{number}").parse().expect("an id"));
        ground
            .member(2)
            .subject(&tenant(), &by_id)
            .await
            .expect("nothing is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_dropped_and_made_anew_is_another_one_to_every_node_at_once() {
    let Some((_ground, [one, other])) = two().await else {
        return;
    };
    one.enroll(enrollment(1)).await.expect("enrolled");
    other.enroll(enrollment(2)).await.expect("enrolled");
    one.drop_tenant(&tenant()).await.expect("dropped");
    let again = one.drop_tenant(&tenant()).await;
    assert!(matches!(again, Err(NodeError::TenantUnknown(_))), "{again:?}");
    // The other one is not told.
    let by_id = SubjectRef::Id("s1".parse().expect("an id"));
    let gone = other.subject(&tenant(), &by_id).await;
    assert!(matches!(gone, Err(NodeError::TenantUnknown(_))), "{gone:?}");
    let gone = other.enroll(enrollment(3)).await;
    assert!(matches!(gone, Err(NodeError::TenantUnknown(_))), "{gone:?}");

    let mut anew = spec();
    anew.transform = transform(8);
    anew.created_at = Timestamp(2);
    one.create_tenant(anew).await.expect("made anew");
    let former = other.enroll(enrollment(4)).await;
    assert!(
        matches!(former, Err(NodeError::TransformStale { .. })),
        "{former:?}"
    );
    let nobody = other.subject(&tenant(), &by_id).await;
    assert!(matches!(nobody, Err(NodeError::SubjectUnknown(_))), "{nobody:?}");
    let mut present = enrollment(5);
    present.transform = transform(8);
    let enrolled = other.enroll(present).await.expect("enrolled");
    assert_eq!(enrolled.references, [1]);
    let status = one.tenant(&tenant()).await.expect("there");
    assert_eq!(status.stats.subjects, 1);
    assert_eq!(other.tenants().await.expect("told").len(), 1);
}
