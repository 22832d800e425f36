//! Promise: what a cluster has is brought back from its backups and its erasure journal, into another cluster, with everybody but those who were erased since; and a database that was set back is noticed.

use std::path::Path;

use tempfile::TempDir;
use thenar::keys::provider::KekSource;
use thenar::server::config::Config;
use thenar::server::{Journal, Side, Sides, backup, export_journal, relocate, restore};
use tokio::task::block_in_place;

use crate::clustered::{Clustered, Running, await_segments, found};
use crate::harness::{palm, policy};
use crate::relocated::await_answered;

/// The two backups of a cluster, and the configurations that open them.
struct Kept {
    folder: TempDir,
    nodes: Vec<u8>,
    fronts: Vec<u8>,
    config: Config,
}

fn former_kek(of: &Config) -> &Path {
    match &of.kek {
        Some(KekSource::File(path)) => path,
        _ => panic!("it is in a file"),
    }
}

impl Kept {
    fn of(cluster: &Clustered) -> Self {
        let settings = |of: &[Running]| cluster.settings(&of.first().expect("there is one").world);
        let (node, front) = (settings(&cluster.nodes), settings(&cluster.fronts));
        let taken = |config: &Config, side| {
            let mut sealed = Vec::new();
            let done = block_in_place(|| backup(config, side, &[], &mut sealed)).expect("backed up");
            (done.manifest.tenants.len(), sealed)
        };
        let ((tenants, nodes), (of_fronts, fronts)) =
            (taken(&node, Side::Nodes), taken(&front, Side::Fronts));
        assert!(tenants > 0 && of_fronts == 0, "{tenants} {of_fronts}");
        let folder = tempfile::tempdir().expect("a directory");
        // It outlives the cluster.
        let kek = folder.path().join("kek");
        std::fs::copy(former_kek(&node), &kek).expect("copied");
        Self {
            folder,
            nodes,
            fronts,
            config: Config {
                kek: Some(KekSource::File(kek)),
                ..Config::default()
            },
        }
    }

    fn config(&self, name: &str) -> Config {
        Config {
            data: self.folder.path().join(name),
            ..self.config.clone()
        }
    }

    /// Restores both to data directories, and moves the tenants from there.
    fn bring_back(&self, journal: &Path, to: &Clustered) {
        let (from, from_front) = (self.config("nodes"), self.config("fronts"));
        let journal = Journal {
            path: journal,
            may_have_gaps: false,
        };
        let restored = restore(&from, Some(journal), &mut &*self.nodes).expect("restored");
        assert_eq!(restored.erased.values().sum::<u64>(), 1, "{restored:?}");
        assert!(
            restored.behind.is_empty() && restored.gaps.is_empty(),
            "{restored:?}"
        );
        assert_eq!(restored.dropped, ["gone".parse().expect("valid")].into());
        restore(&from_front, None, &mut &*self.fronts).expect("restored");
        let settings = |of: &[Running]| to.settings(&of.first().expect("there is one").world);
        let sides = Sides {
            from: &from,
            from_front: Some(&from_front),
            node: &settings(&to.nodes),
            front: &settings(&to.fronts),
        };
        let mut arrived = 0;
        let moved = block_in_place(|| relocate(&sides, &[], &mut |_, _| (), &mut |_, _| arrived += 1));
        moved.expect("moved");
        assert_eq!(arrived, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_brought_back_in_another_one_without_those_who_were_erased_since() {
    let (Some(former), Some(cluster)) = (Clustered::start(2, 1).await, Clustered::start(1, 1).await) else {
        return;
    };
    let mut admin = former.admin().await;
    for tenant in ["acme", "gone"] {
        admin.create_tenant(tenant, policy(0.5)).await.expect("created");
    }
    let mut caller = former.operator(0, "acme").await;
    for seed in 0..40 {
        let subject = format!("s-{seed}");
        caller.enroll(&subject, &palm(seed)).await.expect("enrolled");
    }
    await_segments(&mut admin, "acme", 1).await;
    caller.erase("erase-3", "s-3").await.expect("erased");
    let kept = Kept::of(&former);
    let later = caller.erase("erase-9", "s-9").await.expect("erased");
    caller.enroll("late", &palm(60)).await.expect("enrolled");
    admin.drop_tenant("gone").await.expect("dropped");
    let journal = kept.folder.path().join("journal");
    let node = former.settings(&former.nodes.first().expect("there is one").world);
    let told = block_in_place(|| export_journal(&node, &journal)).expect("written");
    assert_eq!((told.erasures, told.drops), (2, 1));
    former.stop().await;

    kept.bring_back(&journal, &cluster);
    let mut caller = cluster.operator(0, "acme").await;
    await_answered(&mut caller, 7).await;
    for seed in 0..40 {
        let expected = (![3, 9].contains(&seed)).then(|| format!("s-{seed}"));
        assert_eq!(found(&mut caller, seed).await, expected);
    }
    assert_eq!(
        found(&mut caller, 60).await,
        None,
        "who came after the backup is not in it"
    );
    // Erasures go on behind those of before.
    let next = caller.erase("erase-11", "s-11").await.expect("erased");
    assert_eq!(next.erasure, later.erasure + 1);
    // What came from elsewhere, with receipts that were signed there, is backed up and restored as well.
    let again = Kept::of(&cluster);
    let node = cluster.settings(&cluster.nodes.first().expect("there is one").world);
    let journal = again.folder.path().join("journal");
    let told = block_in_place(|| export_journal(&node, &journal)).expect("written");
    assert_eq!(
        (told.erasures, told.drops),
        (2, 0),
        "the last one of before, and the new one"
    );
    let from = Journal {
        path: &journal,
        may_have_gaps: false,
    };
    let restored = restore(&again.config("again"), Some(from), &mut &*again.nodes).expect("restored");
    assert!(
        restored.behind.is_empty() && restored.gaps.is_empty(),
        "{restored:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_database_is_older_than_the_erasure_journal_is_not_served() {
    let Some(mut cluster) = Clustered::start_with(1, 1, 2).await else {
        return;
    };
    let mut admin = cluster.admin().await;
    for tenant in ["acme", "other"] {
        admin.create_tenant(tenant, policy(0.5)).await.expect("created");
    }
    let mut other = cluster.operator(0, "other").await;
    other.enroll("o-1", &palm(1)).await.expect("enrolled");
    let mut caller = cluster.operator(0, "acme").await;
    for seed in 0..4 {
        let subject = format!("s-{seed}");
        caller.enroll(&subject, &palm(seed)).await.expect("enrolled");
    }
    caller.erase("erase-1", "s-1").await.expect("erased");
    // As a database looks that has forgotten it: the journal has one more than the catalog.
    let entry = cluster.journal().pop().expect("an entry");
    std::fs::copy(&entry, entry.with_file_name(format!("{:020}", 2))).expect("copied");
    let refused = caller
        .erase("erase-2", "s-2")
        .await
        .expect_err("it would be the second one");
    assert!(refused.message().contains("erasure journal"), "{refused}");
    cluster.restart_alone().await;
    let refused = cluster.operator(0, "acme").await.identify(&palm(0)).await;
    let refused = refused.expect_err("whoever was erased since would be found");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    await_answered(&mut other, 1).await;
    assert_eq!(
        found(&mut other, 1).await.as_deref(),
        Some("o-1"),
        "others are served"
    );
    cluster.stop().await;
}
