//! Promise: the tenants of one server are those of a cluster once they were moved, with everybody and all that was answered, and of two servers one has them.

use thenar::model::id::TenantId;
use thenar::proto::v1::ErasureState;
use thenar::server::config::Config;
use thenar::server::{ServerError, Side, Sides, backup, discard_local, relocate};
use tokio::task::block_in_place;
use tokio::time::timeout;
use tonic::Code;

use crate::clustered::{Clustered, FLUSH_ROWS, Running, await_segments, found};
use crate::harness::{Caller, PATIENCE, World, palm, policy};

/// Moves tenants of a stopped server into the cluster, while it runs; gives who arrived, and how many references.
fn moved(cluster: &Clustered, from: &World, tenants: &[TenantId]) -> Result<Vec<(String, u64)>, ServerError> {
    let settings = |of: &[Running]| cluster.settings(&of.first().expect("there is one").world);
    let (from, node, front) = (from.config(), settings(&cluster.nodes), settings(&cluster.fronts));
    let sides = Sides {
        from: &from,
        from_front: None,
        node: &node,
        front: &front,
    };
    let mut arrived = Vec::new();
    block_in_place(|| {
        relocate(&sides, tenants, &mut |_, _| (), &mut |tenant, told| {
            arrived.push((tenant.to_string(), told.references));
        })
    })?;
    Ok(arrived)
}

/// A server by itself with two tenants, and what it answered of one.
struct Former {
    world: World,
    references: Vec<u64>,
    erasure: u64,
    events: usize,
}

impl Former {
    /// `s-0` to `s-40` of `acme` but `s-3`, who was erased; some in segments and some not.
    async fn start() -> Self {
        let world = World::prepare();
        let world = world
            .boot_with(|config| config.matcher.flush_rows = FLUSH_ROWS)
            .await;
        let mut admin = world.admin().await;
        for tenant in ["acme", "other"] {
            admin.create_tenant(tenant, policy(0.5)).await.expect("created");
        }
        let mut caller = world.operator("acme").await;
        for seed in 0..40 {
            let subject = format!("s-{seed}");
            caller.enroll(&subject, &palm(seed)).await.expect("enrolled");
        }
        let last = caller.enroll_as("enroll-40", "s-40", &palm(40)).await;
        let erased = caller.erase("erase-3", "s-3").await.expect("erased");
        await_segments(&mut admin, "acme", 1).await;
        let events = caller.usage("s-7").await.expect("told").events.len();
        Self {
            world,
            references: last.expect("enrolled").references,
            erasure: erased.erasure,
            events,
        }
    }
}

/// Waits until a front and its nodes know the tenant: they read the keyring once a second, and load what they own.
pub async fn await_answered(caller: &mut Caller, seed: u64) {
    let known = async {
        while caller.identify(&palm(seed)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, known).await.expect("served");
}

async fn refused(caller: &mut Caller) -> Code {
    let refused = caller
        .identify(&palm(7))
        .await
        .expect_err("it is not served here");
    refused.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_moved_to_where_no_cluster_serves() {
    let Some(cluster) = Clustered::start(1, 1).await else {
        return;
    };
    let world = World::start().await;
    world
        .admin()
        .await
        .create_tenant("acme", policy(0.5))
        .await
        .expect("created");
    let settings = |of: &[Running]| cluster.settings(&of.first().expect("there is one").world);
    let (node, front) = (settings(&cluster.nodes), settings(&cluster.fronts));
    let elsewhere = tempfile::tempdir().expect("a directory");
    let moved_to = |change: fn(&mut Config, String), of_node: bool| {
        let url = format!("file://{}", elsewhere.path().display());
        let (mut node, mut front) = (node.clone(), front.clone());
        change(&mut front, url.clone());
        if of_node {
            change(&mut node, url);
        }
        (node, front)
    };
    let world = world
        .restart_after(|world| {
            let from = world.config();
            let store = |config: &mut Config, url| config.storage.objects.url = Some(url);
            let alone = |config: &mut Config, _| config.cluster.enabled = false;
            for ((node, front), told) in [
                (moved_to(store, false), "another one for the front"),
                (moved_to(store, true), "which has no keyrings/match"),
                (moved_to(alone, false), "cluster.enabled"),
            ] {
                let sides = Sides {
                    from: &from,
                    from_front: None,
                    node: &node,
                    front: &front,
                };
                let refused = block_in_place(|| relocate(&sides, &[], &mut |_, _| (), &mut |_, _| ()));
                let refused = refused.expect_err("it is no cluster").to_string();
                assert!(refused.contains(told), "{refused}");
            }
        })
        .await;
    let mut caller = world.operator("acme").await;
    assert_eq!(found(&mut caller, 1).await, None, "it is served here as before");
    world.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_one_server_are_moved_into_a_cluster_with_everybody_and_all_that_was_answered() {
    let Some(cluster) = Clustered::start(2, 2).await else {
        return;
    };
    let former = Former::start().await;
    let world = former
        .world
        .restart_after(|world| {
            let arrived = moved(&cluster, world, &[]).expect("moved");
            assert_eq!(arrived, [("acme".to_owned(), 40), ("other".to_owned(), 0)]);
            let acme = "acme".parse().expect("valid");
            assert_eq!(
                moved(&cluster, world, std::slice::from_ref(&acme))
                    .expect("it is there")
                    .len(),
                1
            );
            let refused = backup(&world.config(), Side::Nodes, &[acme], &mut Vec::new());
            let refused = refused.expect_err("it would bring back whom the cluster forgets");
            assert!(refused.to_string().contains("relocated"), "{refused}");
        })
        .await;
    assert_eq!(
        refused(&mut world.operator("acme").await).await,
        Code::Unavailable
    );
    let dropped = world.admin().await.drop_tenant("acme").await;
    assert!(
        dropped.is_err() && world.tenant_path("acme").exists(),
        "{dropped:?}"
    );
    let (mut one, mut other) = (
        cluster.operator(0, "acme").await,
        cluster.operator(1, "acme").await,
    );
    for caller in [&mut one, &mut other] {
        await_answered(caller, 7).await;
    }
    for seed in 0..=40 {
        let expected = (seed != 3).then(|| format!("s-{seed}"));
        assert_eq!(found(&mut one, seed).await, expected);
    }
    let again = one.enroll_as("enroll-40", "s-40", &palm(40)).await;
    assert_eq!(again.expect("the same answer").references, former.references);
    let again = other.erase("erase-3", "s-3").await.expect("the same answer");
    assert_eq!(
        (again.erasure, again.state()),
        (former.erasure, ErasureState::Purged)
    );
    let events = one.usage("s-7").await.expect("told").events.len();
    assert!(events > former.events, "those of before, and what came since");
    other.enroll("new", &palm(50)).await.expect("enrolled");
    assert_eq!(found(&mut one, 50).await.as_deref(), Some("new"));
    let erased = one.erase("erase-9", "s-9").await.expect("erased");
    assert_eq!(found(&mut other, 9).await, None);
    one.await_purged(erased.erasure).await;
    let world = world
        .restart_after(|world| {
            let node = cluster.settings(&cluster.nodes.first().expect("there is one").world);
            let gone =
                block_in_place(|| discard_local((&world.config(), None), &node, &[])).expect("discarded");
            assert_eq!(gone.len(), 2);
            assert!(!world.tenant_path("acme").exists());
        })
        .await;
    assert_eq!(refused(&mut world.operator("acme").await).await, Code::NotFound);
    world.stop().await;
    cluster.stop().await;
}
