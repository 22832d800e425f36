//! Tests of a node that was passed over when the key-encryption key of the nodes' keyring was rotated.

use super::rotate_tests::{STAYING, check, former_is_gone};
use super::tests::ground::{Ground, erasure, until};
use super::tests::two;
use super::*;
use crate::cluster::members::Life;
use crate::matcher::fixture::{first, spec, tenant};

/// No drain ends while anybody looks.
const FOR_EVER: Duration = Duration::from_hours(1);

/// Two nodes, of which only the first was told the next key, and who follow a gallery whose keyring is wrapped by that.
async fn told_and_passed_over(drain_min: Duration) -> Option<(Ground, [Arc<MemberNode>; 2])> {
    let ground = Ground::new().await?;
    *ground.drain_min.lock() = drain_min;
    let passed_over = ground.join(2).await;
    ground.name_next_kek();
    let told = ground.join(1).await;
    ground.front.create_tenant(spec()).await.expect("made");
    for number in 1..=*STAYING.end() {
        told.enroll(first().enrollment(number)).await.expect("enrolled");
    }
    until("rows were flushed", async || !ground.generations().is_empty()).await;
    until("both follow", async || ground.followers() == 2).await;
    ground.rotate_kek();
    Some((ground, [told, passed_over]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_not_told_the_next_kek_drains_and_lets_go_of_whom_it_can_not_go_on_with() {
    let Some((ground, [told, passed_over])) = told_and_passed_over(FOR_EVER).await else {
        return;
    };
    until("it drains", async || ground.life(2).await == Some(Life::Draining)).await;
    // Until there are other keys it goes on with what it knows.
    check(&ground, &first(), &[]).await;
    passed_over
        .enroll(first().enrollment(26))
        .await
        .expect("enrolled");
    assert!(passed_over.parts().follows(&tenant()));
    told.rotate_data_key(&tenant()).await.expect("rotated");
    let erased = told.erase(erasure("erase-1", "s1")).await;
    let erased = erased.expect("it waits for nobody");
    until("nothing of the former keys is followed", async || {
        ground.generations_followed() == [2]
    })
    .await;
    assert!(!passed_over.parts().follows(&tenant()));
    assert_eq!(passed_over.parts().resident_bytes(&tenant()), 0);
    // Whoever of the two owns the fresh part first.
    for number in 27..60 {
        told.enroll(first().enrollment(number)).await.expect("enrolled");
    }
    until("rows are flushed", async || {
        ground.sql("SELECT count(*) < 12 FROM pending") == "t"
    })
    .await;
    until("it is purged", async || {
        told.erasure(&tenant(), erased.erasure)
            .await
            .expect("read")
            .purged
    })
    .await;
    former_is_gone(&ground, 2).await;
    check(&ground, &first(), &[1]).await;
    assert_eq!(ground.life(2).await, Some(Life::Draining));
    assert_eq!(ground.life(1).await, Some(Life::Serving));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_not_told_the_next_kek_is_gone_once_the_others_have_all() {
    let Some((ground, [_told, passed_over])) = told_and_passed_over(Duration::ZERO).await else {
        return;
    };
    until("it is gone", async || ground.life(2).await.is_none()).await;
    let left = tokio::time::timeout(Duration::from_mins(1), passed_over.parts().drain()).await;
    left.expect("nothing of any gallery is there");
    check(&ground, &first(), &[]).await;
    assert_eq!(ground.life(1).await, Some(Life::Serving));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_was_told_the_next_kek_all_go_on() {
    let Some((ground, [one, other])) = two().await else {
        return;
    };
    for number in 1..=*STAYING.end() {
        one.enroll(first().enrollment(number)).await.expect("enrolled");
    }
    ground.name_next_kek();
    ground.rotate_kek();
    for number in [1, 2] {
        until("it would leave", async || {
            ground.life(number).await == Some(Life::Draining)
        })
        .await;
    }
    other.enroll(first().enrollment(26)).await.expect("enrolled");
    other.erase(erasure("erase-1", "s1")).await.expect("erased");
    check(&ground, &first(), &[1]).await;
    // Somebody who was told takes over.
    ground.join(3).await;
    for number in [1, 2] {
        until("it is gone", async || ground.life(number).await.is_none()).await;
    }
    check(&ground, &first(), &[1]).await;
}
