//! Promise: nodes that share catalogs and segments are one to whoever asks through any front: what was acknowledged through one is found through the other at once, and nobody is found whom it forgot, while nodes come and go.

use std::path::PathBuf;

use tempfile::TempDir;
use thenar::keys::provider::KekSource;
use thenar::proto::v1::{Decision, KeyPurpose};
use thenar::server::config::Config;
use thenar::server::pki::NodeKind;
use thenar::server::{Mode, Server, migrate};
use tokio::time::timeout;
use tonic::Code;

use crate::harness::postgres::Server as Postgres;
use crate::harness::{Caller, PATIENCE, World, palm, policy};
use crate::rotated_keys::rotate;

/// Enrolled references that make a segment.
pub const FLUSH_ROWS: usize = 16;

/// Longer than any of these tests needs.
const DRAIN_SECONDS_MAX: u64 = 60;

/// A database, a directory as object store, match nodes and fronts in this process.
pub struct Clustered {
    postgres: Postgres,
    store: TempDir,
    drain_seconds_max: u64,
    /// Has the authority of all certificates and the first key of all keyrings.
    home: World,
    pub keks: Keks,
    pub nodes: Vec<Running>,
    pub fronts: Vec<Running>,
}

/// What opens the keyrings, by the configuration of servers that start from now on.
pub struct Keks {
    pub kek: KekSource,
    pub next_kek: Option<KekSource>,
    pub catalog_kek: Option<KekSource>,
    pub next_catalog_kek: Option<KekSource>,
}

/// A server and its data directory.
pub struct Running {
    pub world: World,
    server: Option<Server>,
}

impl Running {
    async fn stop(&mut self) {
        let server = self.server.take().expect("it runs");
        server.stop().await.expect("it stops well");
    }
}

impl Clustered {
    /// `None` where PostgreSQL is not installed.
    pub async fn start(nodes: usize, fronts: usize) -> Option<Self> {
        Self::start_with(nodes, fronts, DRAIN_SECONDS_MAX).await
    }

    /// Of nodes that wait so long for others to take over. A node that is alone waits in vain.
    pub async fn start_with(nodes: usize, fronts: usize, drain_seconds_max: u64) -> Option<Self> {
        let (postgres, home) = (Postgres::start()?, World::prepare());
        let mut cluster = Self {
            drain_seconds_max,
            postgres,
            store: tempfile::tempdir().expect("a directory"),
            keks: Keks {
                kek: KekSource::File(home.data().join("kek")),
                next_kek: None,
                catalog_kek: None,
                next_catalog_kek: None,
            },
            home,
            nodes: Vec::new(),
            fronts: Vec::new(),
        };
        let made = cluster.settings(&cluster.home);
        tokio::task::spawn_blocking(move || migrate(&made))
            .await
            .expect("it ends")
            .expect("made");
        for _ in 0..nodes {
            cluster.add_node().await;
        }
        for _ in 0..fronts {
            cluster.add_front().await;
        }
        Some(cluster)
    }

    pub fn settings(&self, world: &World) -> Config {
        let mut config = world.config();
        config.kek = Some(self.keks.kek.clone());
        config.cluster.next_kek.clone_from(&self.keks.next_kek);
        config.cluster.catalog_kek.clone_from(&self.keks.catalog_kek);
        config
            .cluster
            .next_catalog_kek
            .clone_from(&self.keks.next_catalog_kek);
        config.cluster.enabled = true;
        // The first two are told; whoever comes later finds what it may own.
        config.cluster.weight_mib = if self.nodes.len() < 2 { 1_024 } else { 0 };
        config.catalog.address = Some(self.postgres.address("postgres"));
        config.storage.objects.url = Some(format!("file://{}", self.store.path().display()));
        config.matcher.flush_rows = FLUSH_ROWS;
        config.drain_seconds_max = self.drain_seconds_max;
        config.tls.ca = Some(self.home.ca());
        let tls = world.data().join("clustered");
        config.tls.cert = Some(tls.join("server.pem"));
        config.tls.key = Some(tls.join("server.key"));
        config.tls.node_cert = Some(tls.join("node.pem"));
        config.tls.node_key = Some(tls.join("node.key"));
        config
    }

    /// A data directory with certificates.
    fn world(&self, kind: NodeKind, name: &str) -> World {
        let world = World::prepare();
        let (pki, tls) = (self.home.pki(), world.data().join("clustered"));
        let hosts = ["127.0.0.1".to_owned()];
        let shown = pki.issue_server(&hosts).expect("issued");
        shown.write(&tls, "server").expect("written");
        let between = pki.issue_node(kind, name, &hosts).expect("issued");
        between.write(&tls, "node").expect("written");
        world
    }

    pub async fn add_node(&mut self) {
        let world = self.world(NodeKind::Match, &format!("match-{}", self.nodes.len()));
        let server = Server::start(self.settings(&world), Mode::Match).await;
        let server = Some(server.expect("the node starts"));
        self.nodes.push(Running { world, server });
    }

    async fn add_front(&mut self) {
        let world = self.world(NodeKind::Front, &format!("front-{}", self.fronts.len()));
        let server = Server::start(self.settings(&world), Mode::Front).await;
        let server = Some(server.expect("the front starts"));
        self.fronts.push(Running { world, server });
    }

    /// Hands over what a node has, and ends it.
    pub async fn stop_node(&mut self, at: usize) {
        self.nodes.get_mut(at).expect("there").stop().await;
    }

    /// On the directory that it had.
    pub async fn restart_node(&mut self, at: usize) {
        let config = self.settings(&self.nodes.get(at).expect("there").world);
        let server = Server::start(config, Mode::Match).await.expect("it starts");
        self.nodes.get_mut(at).expect("there").server = Some(server);
    }

    pub async fn stop_front(&mut self, at: usize) {
        self.fronts.get_mut(at).expect("there").stop().await;
    }

    /// On the directory that it had.
    pub async fn restart_front(&mut self, at: usize) {
        let config = self.settings(&self.fronts.get(at).expect("there").world);
        let server = Server::start(config, Mode::Front).await.expect("it starts");
        self.fronts.get_mut(at).expect("there").server = Some(server);
    }

    async fn caller(&self, front: usize, certificate: (String, String)) -> Caller {
        let front = self.fronts.get(front).and_then(|front| front.server.as_ref());
        let address = front.expect("it runs").address().to_string();
        let caller = Caller::connect(&address, &self.home.ca(), Some(certificate)).await;
        caller.expect("let in")
    }

    pub async fn operator(&self, front: usize, tenant: &str) -> Caller {
        self.caller(front, self.home.member(tenant, "operator", "ops"))
            .await
    }

    pub async fn admin(&self) -> Caller {
        self.caller(0, self.home.administrator()).await
    }

    /// Segments in the store.
    fn objects(&self) -> Vec<PathBuf> {
        let mut found = files(self.store.path().to_owned());
        found.retain(|path| path.extension().is_some_and(|kind| kind == "seg"));
        found
    }

    /// Erasures in the journal, the last one last.
    pub fn journal(&self) -> Vec<PathBuf> {
        let mut found = files(self.store.path().join("journal"));
        found.sort();
        found
    }

    /// Its one node ends, and starts again on its directory.
    pub async fn restart_alone(&mut self) {
        self.stop_node(0).await;
        self.restart_node(0).await;
    }

    pub async fn stop(mut self) {
        for at in 0..self.fronts.len() {
            self.stop_front(at).await;
        }
        // Where nobody is left to take over, a drain would last.
        for node in &mut self.nodes {
            drop(node.server.take());
        }
    }
}

/// All files under a directory.
fn files(dir: PathBuf) -> Vec<PathBuf> {
    let (mut dirs, mut found) = (vec![dir], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

pub async fn found(caller: &mut Caller, seed: u64) -> Option<String> {
    let answer = caller.identify(&palm(seed)).await.expect("answered");
    (answer.decision() == Decision::Match).then_some(answer.subject_id)
}

/// Whether a person has no signature in a segment of a tenant any more, which the receipt says.
pub async fn await_segments(caller: &mut Caller, tenant: &str, at_least: u64) {
    let there = async {
        loop {
            let stats = caller.stats(tenant).await.expect("told");
            if stats.segments >= at_least {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, there).await.expect("rows become segments");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_front_was_told_the_other_finds() {
    let Some(cluster) = Clustered::start(2, 2).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    for tenant in ["acme", "other"] {
        admin.create_tenant(tenant, policy(0.5)).await.expect("created");
    }
    let again = admin.create_tenant("acme", policy(0.5)).await;
    again.expect("the same again is answered as the first time");
    let mut one = cluster.operator(0, "acme").await;
    let mut other = cluster.operator(1, "acme").await;
    let mut elsewhere = cluster.operator(1, "other").await;
    for seed in 0..40 {
        let (teller, asker) = if seed % 2 == 0 {
            (&mut one, &mut other)
        } else {
            (&mut other, &mut one)
        };
        let subject = format!("s-{seed}");
        teller.enroll(&subject, &palm(seed)).await.expect("enrolled");
        assert_eq!(found(asker, seed).await, Some(subject.clone()), "found at once");
        assert_eq!(found(&mut elsewhere, seed).await, None, "of another tenant");
        let verified = asker.verify(&subject, &palm(seed)).await.expect("compared");
        assert_eq!(verified.decision(), Decision::Match);
    }
    let nearest = one.investigate(&palm(7), 5).await.expect("ranked");
    assert_eq!(
        nearest.candidates.first().map(|best| best.subject_id.as_str()),
        Some("s-7")
    );
    for seed in [3, 20] {
        let erased = one.erase(&format!("erase-{seed}"), &format!("s-{seed}")).await;
        erased.expect("erased");
        for asker in [&mut one, &mut other] {
            assert_eq!(found(asker, seed).await, None, "forgotten at once");
        }
    }
    let unknown = other.subject("s-3").await.expect_err("forgotten");
    assert_eq!(unknown.code(), Code::NotFound, "{unknown:?}");
    let [first, again] = [
        one.erase("erase-3", "s-3").await.expect("the same answer"),
        other.erase("erase-3", "s-3").await.expect("the same answer"),
    ];
    assert_eq!(first.erasure, again.erasure);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_leaves_the_store_and_every_cache() {
    let Some(cluster) = Clustered::start(3, 1).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut caller = cluster.operator(0, "acme").await;
    let count = 3 * FLUSH_ROWS as u64;
    for seed in 0..count {
        caller
            .enroll(&format!("s-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
    }
    await_segments(&mut admin, "acme", 1).await;
    let before = cluster.objects();
    let erased = caller.erase("erase", "s-0").await.expect("erased");
    caller.await_purged(erased.erasure).await;
    let after = cluster.objects();
    let gone: Vec<_> = before.iter().filter(|path| !after.contains(path)).collect();
    assert!(!gone.is_empty(), "a segment was written anew");
    for node in &cluster.nodes {
        for copy in files(node.world.data().join("cache")) {
            let is_gone = gone.iter().any(|path| path.file_name() == copy.file_name());
            assert!(
                !is_gone,
                "a node has a copy of what was purged: {}",
                copy.display()
            );
        }
    }
    assert_eq!(found(&mut caller, 0).await, None);
    for seed in 1..count {
        assert_eq!(found(&mut caller, seed).await, Some(format!("s-{seed}")));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_and_go_and_everybody_is_found_all_the_while() {
    let Some(mut cluster) = Clustered::start(2, 1).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut caller = cluster.operator(0, "acme").await;
    for seed in 0..40 {
        caller
            .enroll(&format!("s-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
    }
    await_segments(&mut admin, "acme", 1).await;
    cluster.add_node().await;
    cluster.stop_node(0).await;
    for seed in 0..40 {
        assert_eq!(found(&mut caller, seed).await, Some(format!("s-{seed}")));
    }
    caller.erase("erase", "s-1").await.expect("erased");
    cluster.restart_node(0).await;
    cluster.stop_node(1).await;
    for seed in 0..40 {
        let expected = (seed != 1).then(|| format!("s-{seed}"));
        assert_eq!(found(&mut caller, seed).await, expected);
    }
    cluster.stop().await;
}

/// The same where nobody may be able to look for a while.
async fn found_once_served(caller: &mut Caller, seed: u64) -> Option<String> {
    let answered = async {
        loop {
            match caller.identify(&palm(seed)).await {
                Ok(answer) => return (answer.decision() == Decision::Match).then_some(answer.subject_id),
                Err(refused) => assert_eq!(refused.code(), Code::Unavailable, "{refused:?}"),
            }
        }
    };
    timeout(PATIENCE, answered).await.expect("served again")
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_everybody_is_found_through_every_front() {
    let Some(mut cluster) = Clustered::start(2, 2).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut callers = [
        cluster.operator(0, "acme").await,
        cluster.operator(1, "acme").await,
    ];
    for seed in 0..40 {
        let subject = format!("s-{seed}");
        callers[0].enroll(&subject, &palm(seed)).await.expect("enrolled");
    }
    await_segments(&mut admin, "acme", 1).await;
    let former = cluster.objects();
    callers[1].erase("erase-0", "s-0").await.expect("erased");
    let mut erased = 1;
    for (purpose, version) in [
        (KeyPurpose::Data, 1),
        (KeyPurpose::Transform, 2),
        (KeyPurpose::Data, 2),
        (KeyPurpose::Transform, 3),
    ] {
        let rotated = rotate(&mut admin, purpose, &format!("rotate-{purpose:?}-{version}")).await;
        assert_eq!((rotated.transform_version, rotated.rotating), (version, false));
        for caller in &mut callers {
            for seed in 0..40 {
                let expected = (seed >= erased).then(|| format!("s-{seed}"));
                assert_eq!(found_once_served(caller, seed).await, expected, "{purpose:?}");
            }
        }
        let forgotten = format!("s-{erased}");
        let answer = callers[0].erase(&format!("erase-{erased}"), &forgotten).await;
        let answer = answer.expect("erased");
        assert_eq!(found_once_served(&mut callers[1], erased).await, None);
        callers[0].await_purged(answer.erasure).await;
        erased += 1;
    }
    let left: Vec<_> = cluster.objects();
    assert!(!left.is_empty() && former.iter().all(|path| !left.contains(path)));
    let generations = left.iter().filter_map(|path| path.parent()?.file_name());
    assert!(
        generations.into_iter().all(|generation| generation == "5"),
        "{left:?}"
    );
    // Whoever comes finds the keys of the moment.
    cluster.add_node().await;
    cluster.stop_node(0).await;
    for seed in erased..40 {
        assert_eq!(found(&mut callers[1], seed).await, Some(format!("s-{seed}")));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_segments_are_gone_keeps_no_node_from_serving_others() {
    let Some(mut cluster) = Clustered::start(1, 1).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    for tenant in ["acme", "other"] {
        admin.create_tenant(tenant, policy(0.5)).await.expect("created");
    }
    let mut caller = cluster.operator(0, "acme").await;
    for seed in 0..40 {
        let subject = format!("s-{seed}");
        caller.enroll(&subject, &palm(seed)).await.expect("enrolled");
    }
    await_segments(&mut admin, "acme", 1).await;
    for object in cluster.objects() {
        std::fs::remove_file(object).expect("there");
    }
    timeout(PATIENCE, cluster.add_node()).await.expect("it serves");
    let mut other = cluster.operator(0, "other").await;
    other.enroll("o-1", &palm(1)).await.expect("enrolled");
    assert_eq!(found(&mut other, 1).await.as_deref(), Some("o-1"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_dropped_for_all_and_made_anew_empty() {
    let Some(cluster) = Clustered::start(2, 2).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let [mut one, mut other] = [
        cluster.operator(0, "acme").await,
        cluster.operator(1, "acme").await,
    ];
    for seed in 0..20 {
        one.enroll(&format!("s-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
    }
    assert_eq!(found(&mut other, 5).await.as_deref(), Some("s-5"));
    admin.drop_tenant("acme").await.expect("dropped");
    for caller in [&mut one, &mut other] {
        let refused = caller.identify(&palm(5)).await.expect_err("no such tenant");
        assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    }
    assert!(cluster.objects().is_empty(), "its segments are destroyed");
    admin.create_tenant("acme", policy(0.5)).await.expect("made anew");
    for caller in [&mut one, &mut other] {
        let answered = async {
            // The other front has the keys of before until it is told that they are stale.
            loop {
                match caller.identify(&palm(5)).await {
                    Ok(answer) => return answer.decision(),
                    Err(refused) => assert_ne!(refused.code(), Code::Internal, "{refused:?}"),
                }
            }
        };
        let decision = timeout(PATIENCE, answered).await.expect("served again");
        assert_eq!(decision, Decision::NoMatch, "nobody is enrolled");
    }
    cluster.stop().await;
}
