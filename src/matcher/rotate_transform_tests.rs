//! Tests of a rotation of the transform key on a node: who is enrolled is found under the rotation of the moment, nobody is stored under a former one, and what is cut off is gone on with.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::tests::erase;
use super::*;
use crate::engine::EngineConfig;
use crate::keys::transform::Rotation as Haar;
use crate::matcher::convert;
use crate::matcher::fixture::*;
use crate::matcher::node::CompareQuery;
use crate::matcher::scorers::Scorers;
use crate::model::signature::Dimension;
use crate::storage::write::Write;

fn assert_stale<T: std::fmt::Debug>(answer: &Result<T, NodeError>) {
    assert!(
        matches!(answer, Err(NodeError::TransformStale { .. })),
        "{answer:?}"
    );
}

async fn check(node: &Arc<LocalNode>, space: &Space, count: usize, erased: &[usize]) {
    for number in 1..=count {
        let expected = (!erased.contains(&number)).then(|| format!("s{number}"));
        assert_eq!(space.search(node, number).await.expect("answered"), expected);
    }
}

/// A segment with a person erased since, and pending rows.
async fn furnished() -> (Arc<LocalNode>, tempfile::TempDir) {
    let (node, dir) = node().await;
    for number in 1..=12 {
        node.enroll(first().enrollment(number)).await.expect("enrolled");
    }
    let tenant = node.live(&tenant()).expect("live");
    tenant.flush(1, 100).expect("flushed");
    erase(&node, 2).await;
    for number in 13..=20 {
        node.enroll(first().enrollment(number)).await.expect("enrolled");
    }
    (node, dir)
}

/// Does something under the rotation of the moment, as a front does it.
async fn as_a_front<T: std::fmt::Debug, F>(mut work: impl FnMut(Space) -> F) -> T
where
    F: Future<Output = Result<T, NodeError>>,
{
    match work(first()).await {
        Err(NodeError::TransformStale { .. }) => work(second()).await.expect("answered"),
        answer => answer.expect("answered"),
    }
}

/// Looks for everybody who is enrolled until `over`.
async fn scan(node: &Arc<LocalNode>, over: &AtomicBool, enrolled: &AtomicUsize) {
    while !over.load(Ordering::Acquire) {
        for number in 1..=enrolled.load(Ordering::Acquire) {
            let found = as_a_front(async |space| space.search(node, number).await).await;
            assert_eq!(found, (number != 2).then(|| format!("s{number}")), "s{number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_found_before_during_and_after_under_the_rotation_of_the_moment() {
    let (node, dir) = furnished().await;
    let former = node.live(&tenant()).expect("live");
    let (gallery, engine) = (former.gallery, former.engine.clone());
    drop(former);
    let (over, enrolled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(20)));
    let scanners: Vec<_> = (0..4)
        .map(|_| {
            let (node, over, enrolled) = (Arc::clone(&node), Arc::clone(&over), Arc::clone(&enrolled));
            tokio::spawn(async move { scan(&node, &over, &enrolled).await })
        })
        .collect();
    let enroller = {
        let (node, over, enrolled) = (Arc::clone(&node), Arc::clone(&over), Arc::clone(&enrolled));
        tokio::spawn(async move {
            for number in 21..DIM * 2 {
                if over.load(Ordering::Acquire) {
                    break;
                }
                as_a_front(async |space| node.enroll(space.enrollment(number)).await).await;
                enrolled.store(number, Ordering::Release);
            }
        })
    };
    let (acme, to) = (tenant(), second());
    let (one, other) = tokio::join!(
        node.rotate_transform(&acme, change(&to)),
        node.rotate_transform(&acme, change(&to))
    );
    let status = one.expect("rotated");
    assert_eq!(status.spec.expect("known").transform, to.transform);
    assert!(!other.expect("the same rotation").rotating);
    over.store(true, Ordering::Release);
    for scanner in scanners {
        scanner.await.expect("every answer was right");
    }
    enroller.await.expect("everybody was enrolled");
    let count = enrolled.load(Ordering::Acquire);
    check(&node, &to, count, &[2]).await;
    for number in 1..=count {
        assert_stale(&first().search(&node, number).await);
        let matched = second().palm(number);
        let before = palm(number);
        let score: f32 = matched
            .values()
            .iter()
            .zip(before.values())
            .map(|(a, b)| a * b)
            .sum();
        assert!(score.abs() < 0.9, "the row moved");
    }
    assert_eq!(engine.resident_bytes(gallery), 0, "the former gallery is closed");
    // Asked again it is done; from where it was it leads nowhere else.
    node.rotate_transform(&acme, change(&to))
        .await
        .expect("it is done");
    assert_stale(&node.rotate_transform(&acme, change(&after(9))).await);
    erase(&node, 1).await;
    node.live(&acme).expect("live").flush(1, 100).expect("flushed");
    check(&node, &to, count, &[1, 2]).await;
    drop(engine);
    close(node).await;
    let node = reopen(&dir);
    check(&node, &to, count, &[1, 2]).await;
    assert_stale(&first().search(&node, 3).await);
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_holds_the_former_generation_reads_it_to_the_end_and_enrols_nobody_under_it() {
    let (node, _dir) = furnished().await;
    let former = node.live(&tenant()).expect("live");
    let rotating = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.rotate_transform(&tenant(), change(&second())).await }
    });
    while former.successor.get().is_none() {
        assert!(!rotating.is_finished(), "it failed");
        tokio::task::yield_now().await;
    }
    let found = Arc::clone(&former)
        .search(first().query(3), &Scorers::start().expect("started"))
        .await
        .expect("answered");
    assert_eq!(found.candidates[0].subject_id.to_string(), "s3");
    let compared = former.compare(&CompareQuery {
        tenant: tenant(),
        transform: transform(7),
        subject_id: "s3".parse().expect("an id"),
        probe: first().palm(3),
        deadline: None,
    });
    assert!(compared.expect("answered") > 0.99);
    // They passed the door before it and waited in its queue.
    let write = convert::enroll_write(former.spec.dimension, first().enrollment(21)).expect("sound");
    let usage = write.usage.clone();
    let (enrolled, recorded) = tokio::join!(
        former.write(Write::Enroll(write)),
        former.write(Write::Usage(usage.into()))
    );
    assert_stale(&enrolled);
    recorded.expect("recorded by the successor");
    let stats = node.tenant(&tenant()).await.expect("known").stats;
    assert_eq!(stats.references, 19, "nobody came to them");
    let (engine, gallery) = (former.engine.clone(), former.gallery);
    assert!(engine.resident_bytes(gallery) > 0);
    drop(former);
    rotating.await.expect("ended").expect("rotated");
    assert_eq!(engine.resident_bytes(gallery), 0, "it goes with its last reader");
    check(&node, &second(), 20, &[2]).await;
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rotations_wait_for_one_another() {
    let (node, _dir) = furnished().await;
    let (acme, to) = (tenant(), second());
    let (data, transform, other) = tokio::join!(
        node.rotate_data_key(&acme),
        node.rotate_transform(&acme, change(&to)),
        node.rotate_transform(&acme, change(&after(9))),
    );
    data.expect("rotated");
    transform.expect("rotated afterwards");
    assert_stale(&other);
    check(&node, &to, 20, &[2]).await;
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_fit_changes_nothing() {
    let (node, _dir) = furnished().await;
    let dimension = Dimension::new(64).expect("valid");
    let haar = |seed| Haar::derive(&SecretKey::from_bytes([seed; 32]), 1, dimension);
    let other = TransformChange {
        conversion: Arc::new(haar(1).to(&haar(2))),
        ..change(&second())
    };
    let refused = node.rotate_transform(&tenant(), other).await;
    assert!(matches!(refused, Err(NodeError::Rejected(refused)) if refused.field == "conversion"));
    let other = TransformChange {
        from: transform(6),
        ..change(&second())
    };
    assert_stale(&node.rotate_transform(&tenant(), other).await);
    assert!(!node.keyring().is_rotating(&tenant(), Renewable::Data));
    check(&node, &first(), 20, &[2]).await;
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_a_second_gallery_the_first_stays() {
    let (node, dir) = furnished().await;
    let resident = node.tenant(&tenant()).await.expect("known").stats.resident_bytes;
    close(node).await;
    let node = reopen_with(
        &dir,
        &EngineConfig {
            resident_bytes_max: resident + resident / 2,
            ..EngineConfig::default()
        },
    );
    let refused = node.rotate_transform(&tenant(), change(&second())).await;
    assert!(
        matches!(refused, Err(NodeError::StorageRefused(_))),
        "{refused:?}"
    );
    check(&node, &first(), 20, &[2]).await;
    node.enroll(first().enrollment(21)).await.expect("enrolled");
    check(&node, &first(), 21, &[2]).await;
    close(node).await;
    let node = reopen(&dir);
    check(&node, &first(), 21, &[2]).await;
    let done = node.rotate_transform(&tenant(), change(&second())).await;
    done.expect("asked again, with room");
    check(&node, &second(), 21, &[2]).await;
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_cut_off_is_asked_for_again_or_was_done() {
    let (node, dir) = furnished().await;
    // As far as a kill right after the beginning comes.
    let begun = node.keyring().begin_rotation(&tenant(), Renewable::Data);
    begun.expect("written").expect("made");
    close(node).await;
    let node = reopen(&dir);
    check(&node, &first(), 20, &[2]).await;
    let acme = node.live(&tenant()).expect("live");
    node.rotate_data_key(&tenant())
        .await
        .expect("the start has begun it");
    drop(acme);

    // As far as a kill comes between the exchange of the files and the keyring.
    let next = node.keyring().begin_rotation(&tenant(), Renewable::Data);
    let next = next.expect("written").expect("made");
    let live = node.live(&tenant()).expect("live");
    let converter = Converter::new(live.spec.dimension, change(&second())).expect("it fits");
    let rotation = live
        .store
        .begin_rotation(node.dir(), &next, Some(Arc::new(converter)));
    let ended = rotation.expect("begun").finish(|_| Ok::<_, LoadError>(()));
    drop((ended.expect("exchanged"), live));
    close(node).await;
    let node = reopen(&dir);
    assert!(node.keyring().get(&tenant(), Purpose::Data).expect("opens") == Some(next));
    check(&node, &second(), 20, &[2]).await;
    let done = node.rotate_transform(&tenant(), change(&second())).await;
    done.expect("it was done");
    assert_stale(&first().search(&node, 1).await);
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_stayed_behind_is_brought_up_before_the_next_change() {
    let (node, _dir) = furnished().await;
    // The data key's end could not be written after the exchange of an earlier rotation.
    let next = node.keyring().begin_rotation(&tenant(), Renewable::Data);
    let next = next.expect("written").expect("made");
    let live = node.live(&tenant()).expect("live");
    let rotation = live.store.begin_rotation(node.dir(), &next, None).expect("begun");
    let replaced = node.replace(&live, || {
        let ended = rotation.finish(|_| Ok::<_, LoadError>(()));
        Ok(live.succeed(ended.expect("exchanged").0, None))
    });
    drop((replaced.expect("replaced"), live));
    let done = node.rotate_transform(&tenant(), change(&second())).await;
    done.expect("rotated");
    assert!(node.keyring().get(&tenant(), Purpose::Data).expect("opens") != Some(next));
    assert!(!node.keyring().is_rotating(&tenant(), Renewable::Data));
    check(&node, &second(), 20, &[2]).await;
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_dropped_meanwhile_is_gone() {
    let (node, dir) = furnished().await;
    let rotating = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.rotate_transform(&tenant(), change(&second())).await }
    });
    while !node.tenant(&tenant()).await.expect("known").rotating && !rotating.is_finished() {
        tokio::task::yield_now().await;
    }
    node.drop_tenant(&tenant()).await.expect("dropped");
    // Before the exchange or after it.
    let _ = rotating.await.expect("ended");
    let gone = node.tenant(&tenant()).await;
    assert!(matches!(gone, Err(NodeError::TenantUnknown(_))), "{gone:?}");
    assert!(
        node.keyring()
            .get(&tenant(), Purpose::Data)
            .expect("opens")
            .is_none()
    );
    close(node).await;
    let node = reopen(&dir);
    assert!(node.tenants().await.expect("answered").is_empty());
    let left = std::fs::read_dir(dir.path().join("data/tenants")).expect("a directory");
    assert_eq!(left.count(), 0);
    node.drain().await;
}
