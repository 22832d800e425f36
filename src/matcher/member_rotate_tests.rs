//! Tests of rotations of a tenant's keys by nodes of a cluster: whoever is enrolled is found or nobody is said to look, under the keys and the rotation of the moment, and nothing of the former ones stays.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use ulid::Ulid;

use super::tests::ground::{Ground, erasure, until};
use super::tests::two;
use super::*;
use crate::matcher::fixture::{Space, change, first, second, spec, tenant};
use crate::matcher::load::encode_planes;
use crate::matcher::parts::catalog::Register;
use crate::storage::cluster::rotate::{Asks, Next, rotate};
use crate::storage::cluster::segments::SegmentKeys;
use crate::storage::place::SegmentRows;

/// People from this number on are enrolled, and never erased.
pub(super) const STAYING: std::ops::RangeInclusive<usize> = 5..=25;

/// Segments and pending rows, of which some people are erased.
async fn furnished() -> Option<(Ground, [Arc<MemberNode>; 2])> {
    let (ground, [one, other]) = two().await?;
    for number in 1..=*STAYING.end() {
        let node = if number % 2 == 0 { &one } else { &other };
        node.enroll(first().enrollment(number)).await.expect("enrolled");
    }
    until("rows were flushed", async || !ground.generations().is_empty()).await;
    one.erase(erasure("erase-1", "s1")).await.expect("erased");
    Some((ground, [one, other]))
}

/// Searches as a front does: again, where nobody could look.
async fn found(ground: &Ground, space: &Space, number: usize) -> Option<String> {
    let answer = Mutex::new(None);
    until("there is an answer", async || {
        match space.search(&ground.front, number).await {
            Ok(found) => {
                *answer.lock() = found;
                true
            }
            Err(error) => {
                assert!(is_busy(&error), "{error}");
                false
            }
        }
    })
    .await;
    answer.into_inner()
}

/// Nobody could look, and nobody says that he did.
fn is_busy(error: &NodeError) -> bool {
    matches!(
        error,
        NodeError::PartUnavailable { .. }
            | NodeError::NodeUnavailable { .. }
            | NodeError::TenantUnavailable { .. }
    )
}

pub(super) async fn check(ground: &Ground, space: &Space, erased: &[usize]) {
    for number in 1..=*STAYING.end() {
        let expected = (!erased.contains(&number)).then(|| format!("s{number}"));
        assert_eq!(found(ground, space, number).await, expected, "{number}");
    }
}

/// Nothing that the first keys sealed is left.
pub(super) async fn former_is_gone(ground: &Ground, generation: u32) {
    until("former objects are gone", async || {
        ground.generations().keys().copied().eq([generation])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_found_after_a_data_key_was_rotated_and_nothing_of_it_stays() {
    let Some((ground, [one, other])) = furnished().await else {
        return;
    };
    let courses = ground.courses();
    let status = ground.front.rotate_data_key(&tenant()).await.expect("rotated");
    assert_eq!((status.state, status.rotating), (TenantState::Ready, false));
    check(&ground, &first(), &[1]).await;
    // Nothing was loaded anew.
    until("courses go on", async || ground.generations_followed() == [2]).await;
    assert_eq!(ground.courses(), courses);
    // Who has the former keys open still goes on with the next ones by himself.
    for (node, number) in [(&one, 26), (&other, 27)] {
        node.enroll(first().enrollment(number)).await.expect("enrolled");
        assert_eq!(found(&ground, &first(), number).await, Some(format!("s{number}")));
    }
    let erased = other.erase(erasure("erase-2", "s2")).await.expect("erased");
    check(&ground, &first(), &[1, 2]).await;
    former_is_gone(&ground, 2).await;
    until("it is purged", async || {
        one.erasure(&tenant(), erased.erasure).await.expect("read").purged
    })
    .await;
    other.rotate_data_key(&tenant()).await.expect("rotated");
    check(&ground, &first(), &[1, 2]).await;
    former_is_gone(&ground, 3).await;
    assert!(!one.tenant(&tenant()).await.expect("there").rotating);
    // A node that comes finds its way to the keys of the moment.
    ground.join(3).await;
    check(&ground, &first(), &[1, 2]).await;
}

/// Whatever probe somebody has: an answer is right, or it is none.
async fn search_until(is_over: &AtomicBool, ground: &Ground) -> usize {
    let mut answers = 0;
    while !is_over.load(Ordering::SeqCst) {
        for number in STAYING {
            for space in [first(), second()] {
                match space.search(&ground.front, number).await {
                    Ok(found) => {
                        assert_eq!(found, Some(format!("s{number}")), "an answer is right");
                        answers += 1;
                    }
                    Err(NodeError::TransformStale { .. }) => {}
                    Err(error) => assert!(is_busy(&error), "{error}"),
                }
            }
        }
    }
    answers
}

/// Who comes with a palm of another rotation is told, and takes it to the other one. Gives those who were enrolled.
async fn enroll_until(is_over: &AtomicBool, node: &MemberNode) -> Vec<usize> {
    let mut enrolled = Vec::new();
    for number in 101.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        for space in [first(), second()] {
            match node.enroll(space.enrollment(number)).await {
                Ok(_) => {
                    enrolled.push(number);
                    break;
                }
                Err(NodeError::TransformStale { .. }) => {}
                Err(error) => assert!(is_busy(&error), "{error}"),
            }
        }
    }
    enrolled
}

/// Erases people 2 to 4: no rotation of signatures is an erasure's business.
async fn erase_some(node: &MemberNode) {
    for number in 2..=4 {
        let asked = erasure(&format!("erase-{number}"), &format!("s{number}"));
        until("somebody is erased", async || {
            match node.erase(asked.clone()).await {
                Ok(_) => true,
                Err(error) => {
                    assert!(is_busy(&error), "{error}");
                    false
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_missed_while_a_transform_key_is_rotated_and_no_former_probe_is_taken_after_it() {
    let Some((ground, [one, other])) = furnished().await else {
        return;
    };
    let (courses, is_over) = (ground.courses(), AtomicBool::new(false));
    let rotate = async {
        let done = ground.front.rotate_transform(&tenant(), change(&second())).await;
        is_over.store(true, Ordering::SeqCst);
        done.expect("rotated")
    };
    let search = search_until(&is_over, &ground);
    let write = enroll_until(&is_over, &other);
    let erase = erase_some(&one);
    let (status, answers, enrolled, ()) = tokio::join!(rotate, search, write, erase);
    assert!(
        answers > 0 && !enrolled.is_empty(),
        "{answers} answers, {enrolled:?}"
    );
    assert_eq!(status.spec.map(|spec| spec.transform), Some(second().transform));
    check(&ground, &second(), &[1, 2, 3, 4]).await;
    until("former courses have left", async || {
        ground.generations_followed() == [2]
    })
    .await;
    assert!(ground.courses().is_disjoint(&courses), "rows are other ones");
    if let Some(number) = enrolled.last().copied() {
        let compared = CompareQuery {
            tenant: tenant(),
            transform: second().transform,
            subject_id: format!("s{number}").parse().expect("an id"),
            probe: second().palm(number),
            deadline: None,
        };
        let score = one.compare(compared).await.expect("compared");
        assert!(score > 0.99, "{score}");
    }
    for node in [&one, &other] {
        let stale = node.enroll(first().enrollment(90)).await;
        assert!(
            matches!(stale, Err(NodeError::TransformStale { .. })),
            "{stale:?}"
        );
    }
    let stale = first().search(&ground.front, 5).await;
    assert!(
        matches!(stale, Err(NodeError::TransformStale { .. })),
        "{stale:?}"
    );
    // The same asked again is done.
    let again = one
        .rotate_transform(&tenant(), change(&second()))
        .await
        .expect("done");
    assert_eq!(again.spec.map(|spec| spec.transform), Some(second().transform));
    former_is_gone(&ground, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_whose_node_died_before_the_keyring_knew_is_ended_by_whoever_opens_the_tenant() {
    let Some((ground, [one, other])) = furnished().await else {
        return;
    };
    let shared = Arc::clone(&one.shared);
    let half_done = tokio::task::spawn_blocking(move || {
        let opened = shared.of.cluster.catalog(&tenant()).expect("there");
        let (data_key, epochs) = shared
            .of
            .home
            .begin_rotation(&opened.keys.home, 2)
            .expect("begun");
        let next = Next {
            keys: SegmentKeys {
                generation: 2,
                data_key,
                ..opened.keys.clone()
            },
            epochs,
            convert: None,
        };
        let keys = (&opened.keys, &next);
        let asks = Asks {
            goes_on: &|| Ok(()),
            in_doubt: &|ulid| panic!("{ulid} is listed"),
        };
        rotate(&opened.catalog, shared.of.cluster.segments(), keys, &asks).expect("rotated")
    });
    assert!(half_done.await.expect("it ends"));
    check(&ground, &first(), &[1]).await;
    other.enroll(first().enrollment(26)).await.expect("enrolled");
    until("the keyring knows", async || {
        !other.tenant(&tenant()).await.expect("there").rotating
    })
    .await;
    former_is_gone(&ground, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_of_both_keys_that_are_asked_of_two_nodes_at_once_are_both_done() {
    let Some((ground, [one, other])) = furnished().await else {
        return;
    };
    let acme = tenant();
    let (data, transform) = tokio::join!(
        one.rotate_data_key(&acme),
        other.rotate_transform(&acme, change(&second())),
    );
    data.expect("rotated");
    let status = transform.expect("rotated");
    assert_eq!(status.spec.map(|spec| spec.transform), Some(second().transform));
    check(&ground, &second(), &[1]).await;
    until("nothing of former keys is left", async || {
        ground.generations().len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_read_before_a_rotation_are_not_written_after_it() {
    let Some((ground, [one, _other])) = furnished().await else {
        return;
    };
    let gallery = one.shared.of.cluster.open(&tenant());
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    let mut number = 30;
    let (head, fresh) = loop {
        let read = Arc::clone(&gallery);
        let (head, fresh) = blocking(move || {
            read.fresh(None, deadline)
                .map_err(|error| NodeError::Internal(error.to_string()))
        })
        .await
        .expect("read");
        // A flush may have taken all of them.
        if !fresh.is_empty() {
            break (head, fresh);
        }
        one.enroll(first().enrollment(number)).await.expect("enrolled");
        number += 1;
    };
    ground
        .front
        .rotate_transform(&tenant(), change(&second()))
        .await
        .expect("rotated");
    check(&ground, &second(), &[1]).await;
    let exact: Vec<u8> = fresh.iter().flat_map(|row| row.exact.to_vec()).collect();
    let rows = SegmentRows {
        planes: encode_planes(spec().dimension, &exact),
        exact: exact.into(),
        ids: fresh.iter().map(|row| row.id).collect(),
    };
    let late = blocking(move || {
        gallery
            .warm(&rows, head.edition, None)
            .map_err(|error| NodeError::Internal(error.to_string()))
    });
    assert!(!late.await.expect("asked"), "they are rows of another rotation");
    check(&ground, &second(), &[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_late_makes_no_key_and_ends_none() {
    let Some((ground, [one, other])) = furnished().await else {
        return;
    };
    let (shared, cluster) = (Arc::clone(&one.shared), one.shared.of.cluster.clone());
    let opened = blocking(move || cluster.catalog(&tenant())).await.expect("there");
    for generation in [2, 3] {
        other.rotate_data_key(&tenant()).await.expect("rotated");
        former_is_gone(&ground, generation).await;
    }
    // As who was stopped since before the first of them.
    let late = blocking(
        move || match shared.of.home.begin_rotation(&opened.keys.home, 2) {
            Err(StorageError::KeysRotated(_)) => Ok(()),
            begun => panic!("{:?}", begun.map(drop)),
        },
    );
    late.await.expect("refused");
    until("no key is left that nobody uses", async || {
        !one.tenant(&tenant()).await.expect("there").rotating
    })
    .await;
    check(&ground, &first(), &[1]).await;
    other.enroll(first().enrollment(26)).await.expect("enrolled");
    ground.join(3).await;
    ground.front.rotate_data_key(&tenant()).await.expect("rotated");
    check(&ground, &first(), &[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_no_purge_would_wait_for_rotates_nothing() {
    let Some((ground, _nodes)) = furnished().await else {
        return;
    };
    let nodes = [ground.member(1), ground.member(2), ground.join(3).await];
    // Two of three have its one group.
    until("one of them has nothing", async || {
        nodes.iter().any(|node| !node.parts().follows(&tenant()))
    })
    .await;
    let without = nodes.iter().find(|node| !node.parts().follows(&tenant()));
    let refused = without.expect("one of them").rotate_data_key(&tenant()).await;
    assert!(
        matches!(&refused, Err(NodeError::NodeUnavailable { .. })),
        "{refused:?}"
    );
    assert_eq!(ground.generations().len(), 1);
    // What it began another one ends, once the front has heard who owns the gallery now.
    until("another one does it", async || {
        let rotated = ground.front.rotate_data_key(&tenant()).await;
        assert!(rotated.as_ref().err().is_none_or(is_busy), "{rotated:?}");
        rotated.is_ok()
    })
    .await;
    check(&ground, &first(), &[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_stays_so_until_somebody_can_look_and_holds_nobody_up() {
    let Some((ground, [one, _other])) = furnished().await else {
        return;
    };
    let cluster = one.shared.of.cluster.clone();
    let gallery = cluster.open(&tenant());
    let ulid = Ulid::generate();
    let intend = move || {
        let opened = cluster.catalog(&tenant())?;
        opened.catalog.intend(ulid).expect("noted");
        cluster.in_doubt(&opened, &opened.keys, ulid);
        Ok(())
    };
    blocking(intend).await.expect("done");
    ground.sql("ALTER TABLE loose RENAME TO away");
    for _ in 0..2 {
        let looking = Arc::clone(&gallery);
        // Beside the node's own rounds.
        let look = blocking(move || {
            let _ = looking.tie_up();
            Ok(looking.has_loose_ends())
        });
        let looked = tokio::time::timeout(Duration::from_mins(1), look).await;
        looked.expect("it ends").expect("asked");
    }
    ground.sql("ALTER TABLE away RENAME TO loose");
    until("it is nobody's", async || {
        ground
            .sql("SELECT count(*) FROM loose WHERE node IS NOT NULL")
            .trim()
            == "0"
    })
    .await;
    check(&ground, &first(), &[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_of_a_tenant_that_is_dropped_is_nobodys() {
    let Some((ground, [one, _other])) = furnished().await else {
        return;
    };
    let cluster = one.shared.of.cluster.clone();
    let gallery = cluster.open(&tenant());
    let (shared, looking) = (Arc::clone(&one.shared), Arc::clone(&gallery));
    let drop_it = move || {
        let opened = cluster.catalog(&tenant())?;
        shared.of.home.remove(&tenant()).expect("dropped");
        cluster.in_doubt(&opened, &opened.keys, Ulid::generate());
        looking.tie_up().map(drop).ok();
        Ok(looking.has_loose_ends())
    };
    assert!(!blocking(drop_it).await.expect("done"));
    drop(ground);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_of_a_tenant_that_was_dropped_is_no_damage() {
    let Some((ground, [one, _other])) = furnished().await else {
        return;
    };
    let (shared, cluster) = (Arc::clone(&one.shared), one.shared.of.cluster.clone());
    let drop_it = move || {
        let opened = cluster.catalog(&tenant())?;
        let sound = opened.catalog.mergeable(&BTreeSet::new());
        assert!(sound.expect("read").is_empty());
        shared.of.home.remove(&tenant()).expect("dropped");
        let error = opened.catalog.mergeable(&BTreeSet::new());
        let error = error.expect_err("its row is gone");
        Ok((cluster.fault(&tenant(), &error), error))
    };
    let (told, error) = blocking(drop_it).await.expect("done");
    assert!(matches!(error, StorageError::CatalogDamaged { .. }), "{error}");
    assert!(matches!(told, NodeError::TenantUnknown(_)), "{told}");
    drop(ground);
}
