//! Promise: a backup is consistent while the server serves, and sealed; a restore overwrites nothing, and brings back nobody who was erased and no tenant
//! that was dropped after it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use thenar::keys::provider::KekSource;
use thenar::proto::v1::{Decision, IdentifyResponse};
use tonic::Code;

use crate::harness::{Caller, Child, World, palm};

/// Persons of the import, and those enrolled one by one.
pub const IMPORTED: u64 = 300;
pub const ENROLLED: u64 = 100;

/// A configuration with a key for backups.
pub struct Keys {
    pub dir: TempDir,
}

impl Keys {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let kek = dir.path().join("backup.kek");
        KekSource::create_file(&kek).expect("made");
        let text = format!("backup_kek = {{ file = \"{}\" }}\n", kek.display());
        fs::write(dir.path().join("thenar.toml"), text).expect("written");
        Self { dir }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("thenar.toml")
    }

    /// `thenar data ARGUMENTS`; says why when it fails.
    pub fn data(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_thenar"))
            .arg("data")
            .args(arguments)
            .args([Path::new("--config"), &self.config()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut to = process.stdin.take().expect("piped");
        // A restore that refuses reads no further.
        let _ = to.write_all(input);
        drop(to);
        let output = process.wait_with_output().expect("ended");
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(String::from_utf8(output.stderr).expect("text"))
    }

    pub fn backup(&self, world: &World, to: &Path) -> Result<Vec<u8>, String> {
        self.data(&["backup", "--data", text(&world.data()), "--to", text(to)], &[])
    }

    pub fn restore(&self, from: &Path, data: &Path, journal: Option<&Path>) -> Result<String, String> {
        let mut arguments = vec!["restore", text(from), "--data", text(data)];
        match journal {
            Some(journal) => arguments.extend(["--journal", text(journal)]),
            None => arguments.push("--without-journal"),
        }
        let output = self.data(&arguments, &[])?;
        Ok(String::from_utf8(output).expect("text"))
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

pub fn journal(world: &World) -> PathBuf {
    world.data().join("erasures.journal")
}

/// Enrols without end, and erases every third person again, until it is told to stop. Gives who was acknowledged: kept, and erased.
async fn work(mut operator: Caller, worker: u64, stop: Arc<AtomicBool>) -> (Vec<u64>, Vec<u64>) {
    let (mut kept, mut erased) = (Vec::new(), Vec::new());
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let seed = 1_000_000 * (worker + 1) + n;
        operator
            .enroll(&format!("w-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
        if n % 3 == 2 {
            operator
                .erase(&format!("erase-{seed}"), &format!("w-{seed}"))
                .await
                .expect("erased");
            erased.push(seed);
        } else {
            kept.push(seed);
        }
    }
    (kept, erased)
}

/// What is the same in both servers: everything but the request's id and the certificate, which tells of all rows, and of the candidates those who were
/// there before.
fn answer_of(mut answer: IdentifyResponse) -> IdentifyResponse {
    answer.request_id.clear();
    answer.certificate = None;
    answer
        .candidates
        .retain(|candidate| !candidate.subject_id.starts_with("w-"));
    answer
}

/// Persons who are there before the backup, and stay.
fn persons() -> BTreeMap<String, u64> {
    let imported = (0..IMPORTED).filter(|n| *n != 7).map(|n| (format!("i-{n}"), n));
    let enrolled = (0..ENROLLED)
        .filter(|n| *n != 3)
        .map(|n| (format!("s-{n}"), 10_000 + n));
    imported.chain(enrolled).collect()
}

/// Every answer about these persons, as bits.
async fn answers(
    operator: &mut Caller,
    persons: &BTreeMap<String, u64>,
) -> Vec<(IdentifyResponse, Option<u32>)> {
    let mut answers = Vec::new();
    for (subject, seed) in persons {
        // Not the enrolled palm itself: a score that is not 1.
        let mut probe = palm(*seed);
        for (value, other) in probe.iter_mut().zip(palm(seed + 77_000)) {
            *value = 0.9 * *value + 0.3 * other;
        }
        let norm = probe.iter().map(|value| value * value).sum::<f32>().sqrt();
        for value in &mut probe {
            *value /= norm;
        }
        let found = operator.identify_all(&probe).await.expect("answered");
        assert_eq!(found.subject_id, *subject);
        let verified = operator.verify(subject, &probe).await.expect("answered");
        answers.push((answer_of(found), verified.score.map(f32::to_bits)));
    }
    answers
}

async fn furnish(child: &Child<'_>) -> Caller {
    child.create_tenant("acme").await;
    child.create_tenant("zeta").await;
    let mut zeta = child.operator("zeta").await;
    zeta.enroll("z", &palm(1)).await.expect("enrolled");
    let mut operator = child.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..IMPORTED).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    for n in 0..ENROLLED {
        operator
            .enroll(&format!("s-{n}"), &palm(10_000 + n))
            .await
            .expect("enrolled");
    }
    operator
}

/// Backs up while others enrol and erase; gives the seeds of those whom they enrolled and left, and of those whom they erased.
async fn back_up_at_work(
    keys: &Arc<Keys>,
    (world, child): (&World, &Child<'_>),
    operator: &mut Caller,
    to: &Path,
) -> (Vec<u64>, Vec<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for worker in 0..2 {
        let caller = child.operator("acme").await;
        workers.push(tokio::spawn(work(caller, worker, Arc::clone(&stop))));
    }
    let before = IMPORTED + ENROLLED;
    while operator.stats("acme").await.expect("figures").subjects < before + 10 {}
    let (keys, data, to) = (Arc::clone(keys), world.data(), to.to_owned());
    let made = move || keys.data(&["backup", "--data", text(&data), "--to", text(&to)], &[]);
    let made = tokio::task::spawn_blocking(made).await.expect("ended");
    made.expect("backed up");
    stop.store(true, Ordering::Relaxed);
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for worker in workers {
        let (enrolled, erased) = worker.await.expect("worked");
        kept.extend(enrolled);
        gone.extend(erased);
    }
    (kept, gone)
}

/// Neither palm nor id nor history leads to the subject.
async fn assert_forgotten(operator: &mut Caller, subject: &str, seed: u64) {
    let found = operator.identify(&palm(seed)).await.expect("answered");
    assert_eq!(found.decision(), Decision::NoMatch, "{subject}");
    let unknown = operator.verify(subject, &palm(seed)).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound, "{subject}");
    let history = operator.usage(subject).await.expect("answered");
    assert!(history.events.is_empty(), "{subject}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_server_at_work_brings_back_all_but_the_erased() {
    let keys = Arc::new(Keys::new());
    let world = World::prepare();
    let child = Child::start(&world).await;
    let mut operator = furnish(&child).await;
    operator.identify_as("seen", &palm(7)).await.expect("answered");
    let folder = tempfile::tempdir().expect("a directory");
    let backup = folder.path().join("b.backup");
    let (kept, gone) = back_up_at_work(&keys, (&world, &child), &mut operator, &backup).await;
    operator.erase("erase-i", "i-7").await.expect("erased");
    operator.erase("erase-s", "s-3").await.expect("erased");
    child.admin().await.drop_tenant("zeta").await.expect("dropped");
    operator.enroll("after", &palm(50_000)).await.expect("enrolled");
    let original = answers(&mut operator, &persons()).await;
    child.kill();

    let tmp = tempfile::tempdir().expect("a directory");
    let data = tmp.path().join("data");
    let told = keys
        .restore(&backup, &data, Some(&journal(&world)))
        .expect("restored");
    assert!(
        told.contains("zeta") && told.contains("dropped after the backup"),
        "{told}"
    );
    let restored = World::adopt(tmp);
    let child = Child::start(&restored).await;
    let mut operator = child.operator("acme").await;
    let again = answers(&mut operator, &persons()).await;
    assert_eq!(again.len(), original.len());
    for (again, original) in again.iter().zip(&original) {
        assert_eq!(again, original);
    }
    let mut workers_there = 0;
    for seed in &kept {
        // Those whom the moment of the backup met, and nobody else.
        let found = operator.identify(&palm(*seed)).await.expect("answered");
        assert!(["", &format!("w-{seed}")].contains(&found.subject_id.as_str()));
        workers_there += u64::from(!found.subject_id.is_empty());
    }
    let stats = operator.stats("acme").await.expect("figures");
    assert_eq!(stats.subjects, persons().len() as u64 + workers_there);
    assert!(workers_there >= 5, "{workers_there} of those at work");
    let erased = gone.iter().map(|seed| (format!("w-{seed}"), *seed));
    for (subject, seed) in erased.chain([("i-7".to_owned(), 7), ("s-3".to_owned(), 10_003)]) {
        assert_forgotten(&mut operator, &subject, seed).await;
    }
    let history = operator.usage("").await.expect("history");
    assert!(history.events.iter().all(|event| event.subject_id != "i-7"));
    let later = operator.identify(&palm(50_000)).await.expect("answered");
    assert_eq!(later.decision(), Decision::NoMatch);
    let unknown = child.admin().await.tenant("zeta").await.expect_err("dropped");
    assert_eq!(unknown.code(), Code::NotFound, "{unknown:?}");
    assert!(!restored.tenant_path("zeta").exists());
    let keyring = fs::read_to_string(restored.data().join("keyring")).expect("readable");
    assert!(
        keyring.contains("acme") && !keyring.contains("zeta"),
        "its keys are gone too"
    );
    child.kill();
    assert_eq!(
        fs::read(journal(&restored)).expect("readable"),
        fs::read(journal(&world)).expect("readable")
    );
}

/// A stopped server's directory with two tenants, and a backup of it.
pub async fn backed_up(keys: &Keys) -> (World, PathBuf) {
    let world = World::prepare();
    let child = Child::start(&world).await;
    let mut operator = furnish(&child).await;
    operator.erase("erase", "i-1").await.expect("erased");
    child.kill();
    let backup = keys.dir.path().join("b.backup");
    keys.backup(&world, &backup).expect("backed up");
    (world, backup)
}

fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            let bytes = fs::read(&path).expect("readable");
            files.insert(path, bytes);
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_overwrites_nothing() {
    let keys = Keys::new();
    let (world, backup) = backed_up(&keys).await;
    let before = tree(&world.data());
    let refused = keys
        .restore(&backup, &world.data(), Some(&journal(&world)))
        .expect_err("there already");
    assert!(
        refused.contains("is there already; nothing was changed"),
        "{refused}"
    );
    assert!(tree(&world.data()) == before);
    let again = keys.backup(&world, &backup).expect_err("there already");
    assert!(again.contains("b.backup"), "{again}");
    // A single file in the way is enough, and the only one that may be there is the key.
    let folder = tempfile::tempdir().expect("a directory");
    fs::write(folder.path().join("notes"), "mine").expect("written");
    let refused = keys.restore(&backup, folder.path(), None).expect_err("not empty");
    assert!(refused.contains("notes is there already"), "{refused}");
    fs::rename(folder.path().join("notes"), folder.path().join("kek")).expect("renamed");
    let refused = keys.restore(&backup, folder.path(), None).expect_err("no key");
    assert!(refused.contains("kek"), "{refused}");
    assert_eq!(fs::read(folder.path().join("kek")).expect("stays"), b"mine");
    assert_eq!(tree(folder.path()).len(), 1, "what was written is gone again");
    fs::remove_file(folder.path().join("kek")).expect("removed");
    let told = keys.restore(&backup, folder.path(), None).expect("empty");
    assert!(told.contains("no journal was used"), "{told}");
    // As it was: the key of the restored directory is its own.
    let verified = keys
        .data(&["verify", "--data", text(folder.path())], &[])
        .expect("sound");
    let verified = String::from_utf8(verified).expect("text");
    assert_eq!(verified.matches("  sound").count(), 2, "{verified}");
    assert!(!verified.contains("backup_kek"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_changed_or_cut_or_has_another_key_is_refused() {
    let keys = Keys::new();
    let (world, backup) = backed_up(&keys).await;
    let mut config = world.config();
    config.backup_kek = Some(KekSource::File(keys.dir.path().join("backup.kek")));
    let folder = tempfile::tempdir().expect("a directory");
    config.data = folder.path().join("data");
    let restore = |bytes: &[u8]| {
        let restored = thenar::server::restore(&config, None, &mut &*bytes);
        if restored.is_err() {
            assert!(!config.data.exists(), "nothing is left of it");
        }
        restored.map(drop).map_err(|error| error.to_string())
    };
    let whole = fs::read(&backup).expect("readable");
    let step = whole.len() / 60;
    for at in (0..60)
        .map(|n| n * step + n)
        .chain([0, 7, 8, 39, 40, 55, 56, whole.len() - 1])
    {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = restore(&flipped).expect_err("changed");
        assert!(error.contains("can't read the backup"), "byte {at}: {error}");
    }
    for len in (0..20).map(|n| n * whole.len() / 20).chain([whole.len() - 1]) {
        restore(&whole[..len]).expect_err("cut");
    }
    restore(&[&whole[..], &[0]].concat()).expect_err("longer");
    let other = Keys::new();
    let refused = other
        .restore(&backup, &config.data, None)
        .expect_err("another key");
    assert!(refused.contains("does not open with this key"), "{refused}");
    restore(&whole).expect("sound");
    // Sealed: no name of anybody is in it.
    for word in [&b"i-42"[..], b"acme", b"PRIVATE KEY", b"THNRSEG"] {
        assert!(!crate::harness::contains(&whole, word));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_stream_too_and_damage_is_never_left_out() {
    let keys = Keys::new();
    let (world, _) = backed_up(&keys).await;
    // Certificates may be links to where something else renews them.
    let tls = world.data().join("tls");
    let renewed = keys.dir.path().join("renewed.pem");
    fs::write(&renewed, "a certificate").expect("written");
    std::os::unix::fs::symlink(&renewed, tls.join("linked.pem")).expect("linked");
    fs::create_dir(tls.join("old")).expect("made");
    let stream = keys.backup(&world, Path::new("-")).expect("backed up");
    let told = keys.backup(&world, &keys.dir.path().join("told.backup"));
    let told = String::from_utf8(told.expect("backed up")).expect("text");
    assert!(told.contains("tls/old is left out"), "{told}");
    let folder = tempfile::tempdir().expect("a directory");
    let data = folder.path().join("data");
    let arguments = ["restore", "-", "--data", text(&data), "--without-journal"];
    keys.data(&arguments, &stream).expect("restored");
    assert!(tree(&data.join("tls")).values().eq(tree(&tls).values()));

    // The kill may have left one behind that no catalog names.
    for segment in world.segment_files("acme") {
        let mut bytes = fs::read(&segment).expect("readable");
        bytes[5_000] ^= 1;
        fs::write(&segment, bytes).expect("written");
    }
    let to = keys.dir.path().join("damaged.backup");
    let refused = keys.backup(&world, &to).expect_err("damaged");
    assert!(refused.contains(".seg is damaged"), "{refused}");
    assert!(!to.exists());
    let only = |tenant: &str| {
        let to = keys.dir.path().join(format!("{tenant}.backup"));
        let data = world.data();
        let arguments = [
            "backup",
            "--data",
            text(&data),
            "--tenant",
            tenant,
            "--to",
            text(&to),
        ];
        keys.data(&arguments, &[]).map(|_| to)
    };
    only("acme").expect_err("damaged");
    only("nobody").expect_err("unknown");
    let zeta = only("zeta").expect("the other one");
    let data = folder.path().join("zeta");
    let told = keys.restore(&zeta, &data, None).expect("restored");
    assert!(told.contains("zeta") && !told.contains("acme"), "{told}");
}
