//! Promise: a tenant's keys are rotated while it is served, nobody notices, and nothing is left under the former ones or fits them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thenar::keys::keyring::{Keyring, Purpose};
use thenar::keys::provider::KekSource;
use thenar::model::id::TenantId;
use thenar::model::tenant::TransformId;
use thenar::proto::v1::{self, Decision};
use thenar::server::verify;
use thenar::storage::data_dir::DataDir;
use thenar::storage::store::Store;

use crate::harness::{Caller, World, contains, dot, palm};

pub async fn rotate(admin: &mut Caller, purpose: v1::KeyPurpose, request_id: &str) -> v1::Tenant {
    let request = v1::RotateKeyRequest {
        request_id: request_id.to_owned(),
        tenant: "acme".to_owned(),
        purpose: purpose.into(),
    };
    let answer = admin.admin.rotate_key(request).await;
    answer.expect("rotated").into_inner()
}

/// Asks for palms that are enrolled and for one that is not until `over`; returns how often.
async fn scan(mut scanner: Caller, over: Arc<AtomicBool>) -> u64 {
    let mut asked = 0;
    while !over.load(Ordering::Acquire) {
        for seed in [asked % 500, 1_000, 9_000] {
            let answer = scanner.identify(&palm(seed)).await.expect("answered");
            match seed {
                77 | 9_000 => assert_eq!(answer.decision(), Decision::NoMatch, "{seed}"),
                1_000 => assert_eq!(answer.subject_id, "pending"),
                seed => assert_eq!(answer.subject_id, format!("i-{seed}")),
            }
        }
        asked += 1;
    }
    asked
}

fn assert_sound(world: &World) {
    for (tenant, found) in verify(&world.config(), None).expect("verified").0 {
        let found = found.expect("it has a key");
        assert!(
            found.faults.is_empty() && found.orphans.is_empty(),
            "{tenant}: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_key_is_rotated_while_scanners_ask() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..500).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    operator.enroll("pending", &palm(1_000)).await.expect("enrolled");
    let erased = operator.erase("erase", "i-77").await.expect("erased");
    let stats = operator.stats("acme").await.expect("figures");
    let former: Vec<u8> = std::fs::read(&world.segment_files("acme")[0]).expect("readable");

    let over = Arc::new(AtomicBool::new(false));
    let mut scanners = Vec::new();
    for name in ["gate-1", "gate-2", "gate-3"] {
        let scanner = world.caller("acme", "scanner", name).await;
        scanners.push(tokio::spawn(scan(scanner, Arc::clone(&over))));
    }
    let mut admin = world.admin().await;
    for (n, request_id) in ["first", "first", "second"].into_iter().enumerate() {
        assert!(
            !rotate(&mut admin, v1::KeyPurpose::Data, request_id)
                .await
                .rotating
        );
        let enrolled = format!("after-{n}");
        operator.enroll(&enrolled, &palm(2_000)).await.expect("enrolled");
        assert_eq!(
            operator
                .identify(&palm(2_000))
                .await
                .expect("answered")
                .subject_id,
            enrolled
        );
        operator
            .erase(&format!("erase-{n}"), &enrolled)
            .await
            .expect("erased");
    }
    over.store(true, Ordering::Release);
    for scanner in scanners {
        assert!(scanner.await.expect("every answer was right") > 0);
    }
    operator.await_purged(erased.erasure).await;

    let world = world.restart_after(assert_sound).await;
    let mut operator = world.operator("acme").await;
    let now = operator.stats("acme").await.expect("figures");
    assert_eq!((now.subjects, now.references), (stats.subjects, stats.references));
    for (seed, subject) in [(3, "i-3"), (1_000, "pending")] {
        assert_eq!(
            operator.identify(&palm(seed)).await.expect("answered").subject_id,
            subject
        );
        assert!(
            !operator.usage(subject).await.expect("answered").events.is_empty(),
            "{subject}"
        );
    }
    assert_eq!(
        operator.identify(&palm(77)).await.expect("answered").decision(),
        Decision::NoMatch
    );
    let bytes = world.all_bytes("acme");
    // Behind the header and the first blocks, where every byte is sealed.
    assert!(
        !contains(&bytes, &former[8_192..8_256]),
        "the former file is gone"
    );
}

/// Enrols, looks for and erases persons of its own until `over`; gives those who are to be found afterwards.
async fn work(mut operator: Caller, first: u64, over: Arc<AtomicBool>) -> Vec<u64> {
    let mut kept = Vec::new();
    for seed in first.. {
        if over.load(Ordering::Acquire) {
            break;
        }
        let subject = format!("w-{seed}");
        operator.enroll(&subject, &palm(seed)).await.expect("enrolled");
        let found = operator.identify(&palm(seed)).await.expect("answered");
        assert_eq!(found.subject_id, subject, "found at once");
        let verified = operator.verify(&subject, &palm(seed)).await.expect("answered");
        assert_eq!(verified.decision(), Decision::Match);
        let nearest = operator.investigate(&palm(seed), 3).await.expect("answered");
        assert_eq!(nearest.candidates[0].subject_id, subject);
        if seed % 3 == 0 {
            operator
                .erase(&format!("erase-{seed}"), &subject)
                .await
                .expect("erased");
            let found = operator.identify(&palm(seed)).await.expect("answered");
            assert_eq!(found.decision(), Decision::NoMatch, "{subject} is forgotten");
        } else {
            kept.push(seed);
        }
    }
    kept
}

/// All keys of a tenant that its keyring has, and the rows that stand in its files, by subject; the server is down.
struct Stolen {
    keys: Vec<String>,
    rows: Vec<Vec<f32>>,
    transform: TransformId,
}

fn stolen(world: &World, subjects: u64) -> Stolen {
    let acme: TenantId = "acme".parse().expect("an id");
    let kek = KekSource::File(world.data().join("kek")).load().expect("the key");
    let keyring = Keyring::read(&world.data().join("keyring"), &kek).expect("opens");
    let key = |purpose| keyring.get(&acme, purpose).expect("opens");
    assert!(key(Purpose::TransformNext).is_none() && key(Purpose::DataNext).is_none());
    let text = std::fs::read_to_string(world.data().join("keyring")).expect("readable");
    let text: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let keys = ["data", "transform"].map(|purpose| {
        let wrapped = text["body"]["tenants"]["acme"][purpose].as_str();
        wrapped.expect("there").to_owned()
    });
    let dir = DataDir::open(world.data()).expect("nobody else has it");
    let data_key = key(Purpose::Data).expect("there");
    let store = Store::open(&dir, &acme, &data_key, keyring.signer()).expect("opened");
    let rows = (0..subjects).map(|n| {
        let places = store.subject_rows(&format!("i-{n}").parse().expect("an id"));
        let rows = store
            .read(&places.expect("readable").expect("there"))
            .expect("readable");
        let exact = &rows[0].as_ref().expect("there").exact;
        let values = exact.as_chunks::<2>().0.iter();
        values
            .map(|bits| half::f16::from_le_bytes(*bits).to_f32())
            .collect()
    });
    Stolen {
        keys: keys.into(),
        rows: rows.collect(),
        transform: store.spec().transform.clone(),
    }
}

/// Palms whose nearest row of `b` is their own.
fn linked(a: &[Vec<f32>], b: &[Vec<f32>]) -> usize {
    let nearest = |row: &[f32]| {
        let scores = b.iter().map(|other| dot(row, other)).enumerate();
        scores.max_by(|x, y| x.1.total_cmp(&y.1)).expect("rows").0
    };
    a.iter()
        .enumerate()
        .filter(|(at, row)| nearest(row) == *at)
        .count()
}

/// Rotates twice while four work; gives whom they left enrolled.
async fn rotate_amid_work(world: &World) -> Vec<u64> {
    let over = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for worker in 0..4 {
        let operator = world.caller("acme", "operator", &format!("ops-{worker}")).await;
        let first = 1_000_000 * (worker + 1);
        workers.push(tokio::spawn(work(operator, first, Arc::clone(&over))));
    }
    let mut admin = world.admin().await;
    let purpose = v1::KeyPurpose::Transform;
    for (request_id, version) in [("first", 2), ("first", 2), ("second", 3)] {
        let rotated = rotate(&mut admin, purpose, request_id).await;
        assert_eq!((rotated.transform_version, rotated.rotating), (version, false));
        let known = admin.tenant("acme").await.expect("known");
        assert_eq!((known.transform_version, known.rotating), (version, false));
    }
    over.store(true, Ordering::Release);
    let mut kept = Vec::new();
    for worker in workers {
        kept.extend(worker.await.expect("every answer was right"));
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transform_key_is_rotated_while_everybody_works_and_no_former_row_fits() {
    const PERSONS: u64 = 400;
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..PERSONS).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    let mut before = None;
    let world = world
        .restart_after(|world| before = Some(stolen(world, PERSONS)))
        .await;
    let before = before.expect("stopped");
    let sealed = std::fs::read(&world.segment_files("acme")[0]).expect("readable");

    let kept = rotate_amid_work(&world).await;
    assert!(!kept.is_empty());
    let mut operator = world.operator("acme").await;
    for seed in &kept {
        let found = operator.identify(&palm(*seed)).await.expect("answered");
        assert_eq!(found.subject_id, format!("w-{seed}"), "nobody is lost");
    }

    let mut after = None;
    let look = |world: &World| {
        assert_sound(world);
        after = Some(stolen(world, PERSONS));
    };
    let world = world.restart_after(look).await;
    let after = after.expect("stopped");
    let mut operator = world.operator("acme").await;
    let everybody = (0..PERSONS).map(|n| (n, format!("i-{n}")));
    for (seed, subject) in everybody.chain(kept.iter().map(|seed| (*seed, format!("w-{seed}")))) {
        let found = operator.identify(&palm(seed)).await.expect("answered");
        assert_eq!(found.subject_id, subject);
    }
    assert_eq!((before.transform.version, after.transform.version), (1, 3));
    let links = linked(&before.rows, &after.rows);
    assert_eq!(
        linked(&before.rows, &before.rows),
        400,
        "the search does find what fits"
    );
    assert!(
        links < 10,
        "{links} of {PERSONS} rows fit a former one; chance gives 1"
    );

    let keyring = std::fs::read(world.data().join("keyring")).expect("readable");
    for (former, key) in before.keys.iter().zip(&after.keys) {
        assert!(!contains(&keyring, former.as_bytes()), "a former key is left");
        assert!(contains(&keyring, key.as_bytes()));
    }
    let bytes = world.all_bytes("acme");
    for part in sealed[8_192..].chunks_exact(64) {
        assert!(!contains(&bytes, part), "a former row is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transform_key_is_rotated_by_the_command_line() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    let (cert, key) = world.administrator();
    let dir = tempfile::tempdir().expect("a directory");
    let (cert_path, key_path) = (dir.path().join("a.pem"), dir.path().join("a.key"));
    std::fs::write(&cert_path, cert).expect("written");
    std::fs::write(&key_path, key).expect("written");
    let run = |key: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_thenar"))
            .args(["keys", "rotate", key, "--tenant", "acme", "--server"])
            .arg(format!("https://{}", world.address()))
            .args(["--server-name", "localhost"])
            .args(["--ca".as_ref(), world.ca().as_os_str()])
            .args(["--cert".as_ref(), cert_path.as_os_str()])
            .args(["--key".as_ref(), key_path.as_os_str()])
            .output()
            .expect("started");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    };
    let said = tokio::task::block_in_place(|| run("transform"));
    assert!(said.contains("the transform key of acme, to version 2"), "{said}");
    let said = tokio::task::block_in_place(|| run("data"));
    assert!(said.contains("the data key of acme"), "{said}");
    let found = operator.identify(&palm(1)).await.expect("answered");
    assert_eq!(found.subject_id, "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_administrators_alone_and_by_name() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let request = |purpose: i32| v1::RotateKeyRequest {
        request_id: "r".to_owned(),
        tenant: "acme".to_owned(),
        purpose,
    };
    let mut operator = world.operator("acme").await;
    let refused = operator
        .admin
        .rotate_key(request(1))
        .await
        .expect_err("not an operator's");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let mut admin = world.admin().await;
    let refused = admin
        .admin
        .rotate_key(request(0))
        .await
        .expect_err("no key is named");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("purpose"), "{}", refused.message());
}
