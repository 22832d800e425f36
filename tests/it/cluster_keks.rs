//! Promise: the key-encryption keys of a cluster are rotated while its servers serve, and afterwards the former one opens nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use thenar::keys::provider::KekSource;
use thenar::server::{Mode, Server, Side, rotate_shared_keks};

use crate::clustered::{Clustered, found};
use crate::harness::{Caller, palm, policy};

/// Each server starts anew, one after the other, as the configuration says now.
async fn restart_all(cluster: &mut Clustered) {
    for at in 0..cluster.nodes.len() {
        cluster.stop_node(at).await;
        cluster.restart_node(at).await;
    }
    for at in 0..cluster.fronts.len() {
        cluster.stop_front(at).await;
        cluster.restart_front(at).await;
    }
}

/// Wraps the keyrings of one side, by its configuration.
async fn rotate(cluster: &Clustered, side: Side) -> Result<Vec<&'static str>, String> {
    let of = match side {
        Side::Nodes => &cluster.nodes,
        Side::Fronts => &cluster.fronts,
    };
    let config = cluster.settings(&of.first().expect("there").world);
    let rotated = tokio::task::spawn_blocking(move || rotate_shared_keks(&config, side));
    rotated.await.expect("it ends").map_err(|error| error.to_string())
}

fn new_key(keys: &TempDir, name: &str) -> KekSource {
    let file = keys.path().join(name);
    KekSource::create_file(&file).expect("made");
    KekSource::File(file)
}

/// Asks for somebody until `over`; returns how often.
async fn scan(mut caller: Caller, over: Arc<AtomicBool>) -> u64 {
    let mut asked = 0;
    while !over.load(Ordering::Acquire) {
        assert_eq!(found(&mut caller, 1).await.as_deref(), Some("ada"));
        asked += 1;
    }
    asked
}

/// A stopped server does not start by its keys as they are now, and names a keyring.
async fn assert_refused(cluster: &Clustered, mode: Mode, keyring: &str) {
    let of = if mode == Mode::Front {
        cluster.fronts.first()
    } else {
        cluster.nodes.first()
    };
    let config = cluster.settings(&of.expect("there").world);
    let refused = Server::start(config, mode).await.map(drop);
    let refused = refused.expect_err("that key opens nothing").to_string();
    assert!(refused.contains(keyring), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keyrings_get_new_keys_while_everybody_is_served() {
    let Some(mut cluster) = Clustered::start(2, 1).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut caller = cluster.operator(0, "acme").await;
    caller.enroll("ada", &palm(1)).await.expect("enrolled");

    // So far one key wraps all; from now on the secrets of catalogs have their own.
    let unnamed = rotate(&cluster, Side::Nodes).await.expect_err("there is none");
    assert!(unnamed.contains("cluster.next_kek"), "{unnamed}");
    let former = cluster.keks.kek.clone();
    cluster.keks.next_kek = Some(former.clone());
    let same = rotate(&cluster, Side::Nodes).await.expect_err("it is no other");
    assert!(same.contains("cluster.next_kek"), "{same}");
    let keys = tempfile::tempdir().expect("a directory");
    cluster.keks.next_kek = Some(new_key(&keys, "kek"));
    cluster.keks.catalog_kek = Some(former.clone());
    let half = rotate(&cluster, Side::Nodes)
        .await
        .expect_err("the other would be lost");
    assert!(half.contains("cluster.next_catalog_kek"), "{half}");
    cluster.keks.next_catalog_kek = Some(new_key(&keys, "catalog.kek"));
    restart_all(&mut cluster).await;

    let over = Arc::new(AtomicBool::new(false));
    let scanning = tokio::spawn(scan(cluster.operator(0, "acme").await, Arc::clone(&over)));
    for _ in 0..2 {
        let rotated = rotate(&cluster, Side::Nodes).await.expect("rotated");
        assert_eq!(rotated, ["keyrings/match", "keyrings/catalog"]);
        let rotated = rotate(&cluster, Side::Fronts).await.expect("rotated");
        assert_eq!(rotated, ["keyrings/front"]);
    }
    // Servers that read the keyrings before it read and change them.
    let mut admin = cluster.admin().await;
    admin.create_tenant("other", policy(0.5)).await.expect("created");
    let mut other = cluster.operator(0, "other").await;
    other.enroll("bob", &palm(2)).await.expect("enrolled");
    over.store(true, Ordering::Release);
    assert!(scanning.await.expect("found each time") > 0);

    cluster.keks.kek = cluster.keks.next_kek.take().expect("named");
    cluster.keks.catalog_kek = cluster.keks.next_catalog_kek.take();
    restart_all(&mut cluster).await;
    let mut caller = cluster.operator(0, "acme").await;
    let mut other = cluster.operator(0, "other").await;
    assert_eq!(found(&mut caller, 1).await.as_deref(), Some("ada"));
    assert_eq!(found(&mut other, 2).await.as_deref(), Some("bob"));

    // Whoever destroyed the former key of the nodes then would lose the secrets of catalogs.
    cluster.keks.next_kek = Some(new_key(&keys, "third.kek"));
    cluster.keks.next_catalog_kek = Some(cluster.keks.kek.clone());
    let lost = rotate(&cluster, Side::Nodes).await.expect_err("it is to go");
    assert!(lost.contains("cluster.next_kek"), "{lost}");
    (cluster.keks.next_kek, cluster.keks.next_catalog_kek) = (None, None);

    cluster.stop_node(0).await;
    cluster.stop_front(0).await;
    let (kek, catalog_kek) = (cluster.keks.kek.clone(), cluster.keks.catalog_kek.clone());
    cluster.keks.kek = former.clone();
    assert_refused(&cluster, Mode::Match, "keyrings/match").await;
    assert_refused(&cluster, Mode::Front, "keyrings/front").await;
    (cluster.keks.kek, cluster.keks.catalog_kek) = (kek, Some(former));
    assert_refused(&cluster, Mode::Match, "keyrings/catalog").await;
    cluster.keks.catalog_kek = catalog_kek;
    cluster.restart_node(0).await;
    cluster.restart_front(0).await;
    cluster.stop().await;
}
