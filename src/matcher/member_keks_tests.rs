//! Tests of a node that was passed over when the key-encryption key of the nodes' keyring was rotated.

use super::rotate_tests::{STAYING, check, former_is_gone};
use super::tests::ground::{Ground, erasure, until};
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
async fn a_node_that_was_not_told_the_next_kek_lets_go_of_whom_it_can_not_go_on_with_and_drains() {
    let Some((ground, [told, passed_over])) = told_and_passed_over(FOR_EVER).await else {
        return;
    };
    told.rotate_data_key(&tenant()).await.expect("rotated");
    let erased = told.erase(erasure("erase-1", "s1")).await;
    let erased = erased.expect("it waits for nobody");
    assert!(matches!(
        ground.life(2).await,
        Some(Life::Serving | Life::Draining)
    ));
    until("nothing of the former keys is followed", async || {
        ground.generations_followed() == [2]
    })
    .await;
    assert!(!passed_over.parts().follows(&tenant()));
    assert_eq!(passed_over.parts().resident_bytes(&tenant()), 0);
    until("it drains", async || ground.life(2).await == Some(Life::Draining)).await;
    // Whoever of the two owns the fresh part first.
    for number in 26..60 {
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_not_told_the_next_kek_goes_on_where_no_keys_were_rotated() {
    let Some((ground, [told, passed_over])) = told_and_passed_over(FOR_EVER).await else {
        return;
    };
    check(&ground, &first(), &[]).await;
    passed_over
        .enroll(first().enrollment(26))
        .await
        .expect("enrolled");
    // It was away for so long that it was taken for gone, and opens everything anew.
    ground.fence(2);
    ground.serving(2).await;
    until("it follows again", async || ground.followers() == 2).await;
    told.enroll(first().enrollment(27)).await.expect("enrolled");
    check(&ground, &first(), &[]).await;
    assert_eq!(ground.life(2).await, Some(Life::Serving));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_not_told_the_next_kek_is_gone_once_the_others_have_all() {
    let Some((ground, [told, passed_over])) = told_and_passed_over(Duration::ZERO).await else {
        return;
    };
    told.rotate_data_key(&tenant()).await.expect("rotated");
    until("it is gone", async || ground.life(2).await.is_none()).await;
    let left = tokio::time::timeout(Duration::from_mins(1), passed_over.parts().drain()).await;
    left.expect("nothing of any gallery is there");
    check(&ground, &first(), &[]).await;
}
