//! Promise: a server whose catalogs are in PostgreSQL keeps what it acknowledged and finds nobody it forgot, whichever of the two is restarted or killed; and it
//! says what is missing where directory and database don't fit.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thenar::proto::v1::{Decision, KeyPurpose, RotateKeyRequest, TenantState};
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::postgres::Server;
use crate::harness::{Caller, Child, PATIENCE, SETTINGS, World, copy_tree, palm};

/// A server of PostgreSQL, and a data directory whose catalogs are to be there.
struct Joined {
    postgres: Server,
    world: World,
    /// Whether segments are in an object store: a directory.
    has_objects: bool,
}

impl Joined {
    /// `None` where PostgreSQL is not installed.
    fn prepare() -> Option<Self> {
        let postgres = Server::start()?;
        let world = World::prepare();
        Some(Self {
            postgres,
            world,
            has_objects: false,
        })
    }

    /// The same with tables.
    fn migrated() -> Option<Self> {
        let joined = Self::prepare()?;
        let made = joined.run(&["migrate"]);
        assert!(made.status.success(), "{}", words(&made));
        Some(joined)
    }

    /// The same with segments in an object store.
    fn with_objects() -> Option<Self> {
        let mut joined = Self::migrated()?;
        joined.has_objects = true;
        Some(joined)
    }

    fn settings(&self) -> String {
        let address = self.postgres.address("postgres");
        let mut settings = format!("[catalog]\naddress = \"{address}\"\nconnect_seconds_max = 2\n");
        if self.has_objects {
            let store = self.store();
            writeln!(
                settings,
                "[storage.objects]\nurl = \"file://{}\"",
                store.display()
            )
            .expect("a text");
        }
        settings
    }

    /// The object store, where there is one.
    fn store(&self) -> PathBuf {
        self.world.data().with_file_name("store")
    }

    /// Segments in the object store.
    fn objects(&self) -> usize {
        let mut dirs = vec![self.store()];
        let mut count = 0;
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).expect("a directory") {
                let path = entry.expect("an entry").path();
                count += usize::from(path.extension().is_some_and(|kind| kind == "seg"));
                dirs.extend(path.is_dir().then_some(path));
            }
        }
        count
    }

    async fn serve(&self) -> Child<'_> {
        Child::start_on(&self.world, &self.settings()).await
    }

    /// Runs a command that ends by itself.
    fn run(&self, command: &[&str]) -> Output {
        run(&self.world.data(), &self.settings(), command)
    }
}

fn run(data: &Path, settings: &str, command: &[&str]) -> Output {
    let files = tempfile::tempdir().expect("a directory");
    let config: PathBuf = files.path().join("thenar.toml");
    let data = data.to_str().expect("a text");
    let text = format!("data = {data:?}\n{SETTINGS}{settings}")
        .replace("[metrics]", "[listen]\naddress = \"127.0.0.1:0\"\n[metrics]");
    std::fs::write(&config, text).expect("written");
    let mut run = Command::new(env!("CARGO_BIN_EXE_thenar"));
    let output = run.args(command).arg("--config").arg(&config).output();
    output.expect("it runs")
}

/// All that a command said.
fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn assert_refused(output: &Output, why: &str) {
    let told = words(output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(why), "{told}");
}

async fn found(caller: &mut Caller, seed: u64) -> Option<String> {
    let answer = caller.identify(&palm(seed)).await.expect("answered");
    (answer.decision() == Decision::Match).then_some(answer.subject_id)
}

async fn is_serving(caller: &mut Caller) -> bool {
    let answer = caller.health.check(HealthCheckRequest::default()).await;
    answer.expect("answered").into_inner().status() == ServingStatus::Serving
}

/// Waits until health says so.
async fn await_serving(caller: &mut Caller, serving: bool) {
    let says = async { while is_serving(caller).await != serving {} };
    timeout(PATIENCE, says).await.expect("it is noticed");
}

/// Enrols, again and again while the tenant is unavailable.
async fn enroll_at_last(caller: &mut Caller, seed: u64) {
    let request = format!("last-{seed}");
    let done = async {
        while let Err(status) = caller
            .enroll_as(&request, &format!("s-{seed}"), &palm(seed))
            .await
        {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
    };
    timeout(PATIENCE, done).await.expect("it comes back by itself");
}

#[test]
fn tables_are_made_once_and_a_server_without_them_says_how() {
    let Some(joined) = Joined::prepare() else { return };
    assert_refused(&joined.run(&["serve"]), "thenar migrate");
    let made = joined.run(&["migrate"]);
    assert!(
        made.status.success() && words(&made).contains("made the tables"),
        "{}",
        words(&made)
    );
    let again = joined.run(&["migrate"]);
    assert!(
        again.status.success() && words(&again).contains("nothing was changed"),
        "{}",
        words(&again)
    );
    assert_refused(&run(&joined.world.data(), "", &["migrate"]), "catalog.address");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_enrolled_is_found_and_whoever_is_erased_is_not_after_restarts() {
    let Some(joined) = Joined::migrated() else { return };
    stays_and_goes(joined).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_an_object_store_is_found_and_whoever_is_erased_is_not_after_restarts() {
    let Some(joined) = Joined::with_objects() else {
        return;
    };
    stays_and_goes(joined).await;
}

/// What works on catalogs in files alone, or needs an object store that is not named, says so.
async fn refuses_what_is_not_built(joined: &Joined) {
    for command in [["data", "verify"], ["audit", "verify"]] {
        assert_refused(&joined.run(&command), "are in a PostgreSQL database");
    }
    let target = joined.world.data().join("x.backup");
    let backup = joined.run(&["data", "backup", "--to", target.to_str().expect("a text")]);
    assert_refused(&backup, "are in a PostgreSQL database");
    assert_refused(&run(&joined.world.data(), "", &["serve"]), "set catalog.address");
    if joined.has_objects {
        let database = joined.settings();
        let (database, _) = database.split_once("[storage.objects]").expect("named");
        let child = Child::start_on(&joined.world, database).await;
        let found = child.admin().await.tenant("acme").await.expect("listed");
        assert_eq!(found.state(), TenantState::Unavailable);
        assert!(found.reason.contains("storage.objects.url"), "{found:?}");
        child.kill();
    }
}

/// Enrols, erases, restarts, drops, and holds all answers against that.
async fn stays_and_goes(joined: Joined) {
    let child = joined.serve().await;
    child.create_tenant("acme").await;
    let mut operator = child.operator("acme").await;
    // Some in a segment, some pending.
    for seed in 0..70 {
        operator
            .enroll(&format!("s-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
    }
    let erased = operator.erase("e-1", "s-3").await.expect("erased");
    let purged = operator.await_purged(erased.erasure).await;
    assert!(!purged.receipt_json.is_empty());
    if joined.has_objects {
        let flushed = async {
            while joined.objects() != 1 {
                operator.stats("acme").await.expect("read");
            }
        };
        timeout(PATIENCE, flushed)
            .await
            .expect("one segment, and no former one");
    }
    assert_eq!(found(&mut operator, 4).await.as_deref(), Some("s-4"));
    assert_eq!(found(&mut operator, 3).await, None);
    let uses = operator.usage("s-4").await.expect("read").events.len();
    child.kill();
    refuses_what_is_not_built(&joined).await;
    joined.postgres.kill();
    assert_refused(&joined.run(&["serve"]), "can't be used");
    joined.postgres.up();

    let child = joined.serve().await;
    let mut operator = child.operator("acme").await;
    for seed in (0..70).filter(|seed| *seed != 3) {
        assert_eq!(found(&mut operator, seed).await, Some(format!("s-{seed}")));
    }
    assert_eq!(found(&mut operator, 3).await, None);
    let again = operator.erasure(erased.erasure).await.expect("known");
    assert_eq!(
        (again.receipt_json, again.signature),
        (purged.receipt_json, purged.signature)
    );
    assert_eq!(operator.usage("s-4").await.expect("read").events.len(), uses + 1);
    let mut admin = child.admin().await;
    let rotated = admin.admin.rotate_key(RotateKeyRequest {
        request_id: "k-1".into(),
        tenant: "acme".into(),
        purpose: KeyPurpose::Data.into(),
    });
    let refusal = rotated.await.expect_err("not built");
    assert!(refusal.message().contains("not built"), "{refusal:?}");
    admin.drop_tenant("acme").await.expect("dropped");
    if joined.has_objects {
        assert_eq!(joined.objects(), 0);
    }
    child.create_tenant("acme").await;
    let mut operator = child.operator("acme").await;
    assert_eq!(found(&mut operator, 4).await, None);
    child.kill();
    let child = joined.serve().await;
    let mut operator = child.operator("acme").await;
    assert_eq!(operator.stats("acme").await.expect("read").subjects, 0);
    enroll_at_last(&mut operator, 1).await;
}

/// Enrols and erases until it is told to stop: what was acknowledged of either.
async fn work(mut caller: Caller, worker: u64, stop: Arc<AtomicBool>) -> (Vec<u64>, Vec<u64>) {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for n in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let seed = worker * 100_000 + n;
        let subject = format!("s-{seed}");
        if let Err(status) = caller.enroll(&subject, &palm(seed)).await {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            continue;
        }
        if n % 3 != 0 {
            kept.push(seed);
            continue;
        }
        let request = format!("e-{seed}");
        while let Err(status) = caller.erase(&request, &subject).await {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
        gone.push(seed);
    }
    (kept, gone)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_under_load_loses_nothing_and_comes_back_by_itself() {
    let Some(joined) = Joined::with_objects() else {
        return;
    };
    let child = joined.serve().await;
    child.create_tenant("acme").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for worker in 1..=3 {
        let caller = child.operator("acme").await;
        workers.push(tokio::spawn(work(caller, worker, Arc::clone(&stop))));
    }
    let mut watcher = child.operator("acme").await;
    for round in 0..2 {
        let target = 40 * (round + 1);
        let grown = async { while watcher.stats("acme").await.map_or(0, |stats| stats.subjects) < target {} };
        timeout(PATIENCE, grown).await.expect("they enrol");
        joined.postgres.kill();
        await_serving(&mut watcher, false).await;
        let refusal = watcher.enroll("s-0", &palm(0)).await.expect_err("it is away");
        assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
        joined.postgres.up();
        await_serving(&mut watcher, true).await;
        enroll_at_last(&mut watcher, 900_000 + round).await;
    }
    stop.store(true, Ordering::Release);
    let (mut kept, mut gone) = (vec![900_000, 900_001], Vec::new());
    for worker in workers {
        let (enrolled, erased) = worker.await.expect("ended");
        kept.extend(enrolled);
        gone.extend(erased);
    }
    assert!(kept.len() > 20 && gone.len() > 10);
    check(&mut watcher, &kept, &gone).await;
    child.kill();
    let child = joined.serve().await;
    check(&mut child.operator("acme").await, &kept, &gone).await;
}

async fn check(caller: &mut Caller, kept: &[u64], gone: &[u64]) {
    for &seed in kept {
        assert_eq!(found(caller, seed).await, Some(format!("s-{seed}")));
    }
    for &seed in gone {
        // Among so many drawn palms somebody else may be near.
        let nearest = found(caller, seed).await;
        assert_ne!(nearest, Some(format!("s-{seed}")), "it was erased");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_takes_a_tenant_over_and_the_first_is_told() {
    let Some(joined) = Joined::migrated() else { return };
    let child = joined.serve().await;
    child.create_tenant("acme").await;
    child.kill();
    let second = World::prepare();
    std::fs::remove_dir_all(second.data()).expect("removed");
    copy_tree(&joined.world.data(), &second.data(), &["LOCK"]);
    let child = joined.serve().await;
    let other = Child::start_on(&second, &joined.settings()).await;
    // Who opened it last goes on, as a server does after one that hangs.
    let mut operator = other.operator("acme").await;
    for seed in 0..3 {
        operator
            .enroll(&format!("s-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
    }
    let mut told = child.operator("acme").await;
    // It doesn't know of those who came since, and never says that they are nobody: no answer is given that can't be recorded.
    let refusal = told.identify(&palm(1)).await.expect_err("it was taken over");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    for _ in 0..2 {
        let refusal = told
            .enroll("late", &palm(9))
            .await
            .expect_err("it was taken over");
        assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
        assert!(
            refusal.message().contains("have one server on it alone"),
            "{refusal:?}"
        );
    }
    operator
        .enroll("s-3", &palm(3))
        .await
        .expect("the second goes on");
    assert_eq!(found(&mut operator, 3).await.as_deref(), Some("s-3"));
    assert_eq!(found(&mut operator, 9).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_in_one_place_alone_is_unavailable_and_never_missing() {
    let Some(joined) = Joined::migrated() else { return };
    let child = joined.serve().await;
    child.create_tenant("acme").await;
    child.create_tenant("other").await;
    let mut operator = child.operator("acme").await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    child.kill();
    let (there, moved) = (
        joined.world.tenant_path("acme"),
        joined.world.data().join("moved"),
    );
    std::fs::rename(&there, &moved).expect("moved");
    let stray = joined.world.tenant_path("stray");
    copy_tree(&joined.world.tenant_path("other"), &stray, &[]);
    let child = joined.serve().await;
    let mut admin = child.admin().await;
    for (tenant, why) in [("acme", "has no directory of it"), ("stray", "has no rows of it")] {
        let found = admin.tenant(tenant).await.expect("listed");
        assert_eq!(found.state(), TenantState::Unavailable);
        assert!(found.reason.contains(why), "{found:?}");
    }
    // Whose rows they are can't be told.
    let refusal = admin.drop_tenant("acme").await.expect_err("refused");
    assert!(
        refusal.message().contains("bring back its directory"),
        "{refusal:?}"
    );
    child.kill();
    std::fs::remove_dir_all(&stray).expect("removed");
    std::fs::rename(&moved, &there).expect("moved back");
    let child = joined.serve().await;
    let mut operator = child.operator("acme").await;
    assert_eq!(found(&mut operator, 1).await.as_deref(), Some("ada"));
}
