//! Tests of a rotation on a node: searches and changes before, during and after it, its repetition, and its end after a restart.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::matcher::fixture::*;
use crate::matcher::node::{Erasure, Node, SearchQuery, SubjectRef};
use crate::matcher::scorers::Scorers;

async fn enroll(node: &Arc<LocalNode>, number: usize) {
    node.enroll(enrollment(number)).await.expect("enrolled");
}

pub(super) async fn erase(node: &Arc<LocalNode>, number: usize) {
    let erasure = Erasure {
        tenant: tenant(),
        request_id: format!("erase-{number}").parse().expect("an id"),
        request_digest: [6; 32],
        subject: SubjectRef::Id(format!("s{number}").parse().expect("an id")),
        only_if: None,
    };
    node.erase(erasure).await.expect("erased");
}

/// Who a palm is of; nobody is an answer too, an error is none.
async fn identify(node: &Arc<LocalNode>, number: usize) -> Option<String> {
    let query = SearchQuery {
        only: None,
        tenant: tenant(),
        transform: transform(7),
        probe: palm(number),
        threshold: 0.9,
        candidates_max: 2,
        links: Vec::new(),
        deterministic: true,
        deadline: None,
    };
    let answer = node.search(query).await.expect("answered");
    answer
        .candidates
        .first()
        .map(|found| found.subject_id.to_string())
}

/// Everybody of `s1` to `sN` is found, but for those who were erased.
async fn check(node: &Arc<LocalNode>, count: usize, erased: &[usize]) {
    for number in 1..=count {
        let expected = (!erased.contains(&number)).then(|| format!("s{number}"));
        assert_eq!(identify(node, number).await, expected, "s{number}");
    }
}

fn key(node: &LocalNode, purpose: Purpose) -> Option<SecretKey> {
    node.keyring().get(&tenant(), purpose).expect("opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_found_before_during_and_after_and_who_was_erased_by_nobody() {
    let (node, _dir) = node().await;
    for number in 1..=12 {
        enroll(&node, number).await;
    }
    node.live(&tenant())
        .expect("live")
        .flush(1, 100)
        .expect("flushed");
    erase(&node, 2).await;
    for number in 13..=20 {
        enroll(&node, number).await;
    }
    let former = key(&node, Purpose::Data);
    let over = Arc::new(AtomicBool::new(false));
    let scanners: Vec<_> = (0..4)
        .map(|_| {
            let (node, over) = (Arc::clone(&node), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Acquire) {
                    check(&node, 20, &[2]).await;
                }
            })
        })
        .collect();
    let acme = tenant();
    let (one, other) = tokio::join!(node.rotate_data_key(&acme), node.rotate_data_key(&acme));
    one.expect("rotated");
    other.expect("the same rotation");
    assert!(key(&node, Purpose::Data) != former && key(&node, Purpose::DataNext).is_none());
    node.rotate_data_key(&tenant()).await.expect("rotated once more");
    for number in 21..=30 {
        enroll(&node, number).await;
    }
    erase(&node, 25).await;
    over.store(true, Ordering::Release);
    for scanner in scanners {
        scanner.await.expect("every answer was right");
    }
    erase(&node, 1).await;
    node.live(&tenant())
        .expect("live")
        .flush(1, 100)
        .expect("flushed");
    check(&node, 30, &[2, 25, 1]).await;
    assert!(!node.tenant(&tenant()).await.expect("known").rotating);
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_holds_the_former_generation_hands_its_changes_on() {
    let (node, _dir) = node().await;
    enroll(&node, 1).await;
    let former = node.live(&tenant()).expect("live");
    let rotating = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.rotate_data_key(&tenant()).await }
    });
    while former.successor.get().is_none() {
        tokio::task::yield_now().await;
    }
    let scorers = Scorers::start().expect("started");
    let recorded = former.record(used("late"), &scorers);
    recorded.await.expect("recorded by the successor");
    assert!(!former.flush(1, 100).expect("nothing to do"));
    drop(former);
    rotating.await.expect("ended").expect("rotated");
    let page = node.usage(crate::matcher::node::UsageQuery {
        tenant: tenant(),
        subject_id: None,
        before: None,
        limit: 10,
    });
    assert_eq!(page.await.expect("answered").events.len(), 2);
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_cut_off_is_done_by_the_next_start() {
    let (node, dir) = node().await;
    enroll(&node, 1).await;
    // As far as a kill right after the beginning comes.
    let next = node
        .keyring()
        .begin_rotation(&tenant(), Renewable::Data)
        .expect("written");
    close(node).await;
    let node = reopen(&dir);
    let outcome = node.rotate_data_key(&tenant()).await;
    outcome.expect("joined, or done once more");
    assert_eq!(key(&node, Purpose::DataNext), None);
    check(&node, 1, &[]).await;
    close(node).await;
    drop(next);

    // As far as a kill comes between the exchange of the files and the keyring.
    let node = reopen(&dir);
    let next = node
        .keyring()
        .begin_rotation(&tenant(), Renewable::Data)
        .expect("written")
        .expect("made");
    let store = node.live(&tenant()).expect("live").store.clone();
    drop(
        store
            .begin_rotation(node.dir(), &next, None)
            .expect("begun")
            .finish(|_| Ok::<_, LoadError>(()))
            .expect("exchanged"),
    );
    drop(store);
    close(node).await;
    let node = reopen(&dir);
    assert_eq!(key(&node, Purpose::Data), Some(next));
    assert_eq!(key(&node, Purpose::DataNext), None);
    check(&node, 1, &[]).await;
    node.drain().await;
}
