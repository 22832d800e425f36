//! Promise: files of every format that was ever shipped open, with the same answers to the last bit, or are refused by name.
//!
//! `tests/fixtures/format-N` is a small data directory as a release left it when its process was lost, without certificates, and `expected.json` what it
//! answered; `thenar.backup` is the backup of its first tenant. The release that brings a new format makes its own, which then stays as it is:
//! `THENAR_WRITE_FIXTURE=1 cargo test --test it formats::write`. The key-encryption key beside it guards nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thenar::proto::v1::{self, TenantState};
use thenar::server::config::Config;
use thenar::server::{Journal, Mode, Server, Side, backup, restore};
use thenar::storage::data_dir::FORMAT;

use crate::harness::{Caller, World, copy_tree, palm};

const WRITE: &str = "THENAR_WRITE_FIXTURE";
const EXPECTED: &str = "expected.json";
/// The first tenant of the fixture, sealed with its key-encryption key.
const BACKUP: &str = "thenar.backup";
const JOURNAL: &str = "erasures.journal";
/// Written with a lost process's files, and made anew by whoever opens them; and what is no part of a data directory.
const LEFT_OUT: [&str; 5] = ["tls", "LOCK", "catalog.db-shm", EXPECTED, BACKUP];

/// What a fixture answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    tenants: Vec<Tenant>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tenant {
    id: String,
    subjects: u64,
    references: u64,
    pending: u64,
    segments: u64,
    sequence: u64,
    probes: Vec<Probe>,
    history: Vec<Event>,
    /// State, receipt and signature of erasure 1, where there is one.
    erasure: Option<(i32, String, Vec<u8>)>,
    /// Links of the subject that has some, kind and value.
    links: Vec<(i32, String)>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Probe {
    /// Number of the palm that it is a capture of.
    palm: u64,
    subject: String,
    score_bits: Option<u32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    micros: i128,
    kind: i32,
    outcome: i32,
    subject: String,
    request: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Another capture of a palm: near it, and nothing that any other palm comes near.
fn capture(seed: u64) -> Vec<f32> {
    let noise = palm(seed + 1_000_000);
    let mixed: Vec<f32> = palm(seed).iter().zip(&noise).map(|(a, b)| a + 0.4 * b).collect();
    let norm = mixed.iter().map(|v| v * v).sum::<f32>().sqrt();
    mixed.iter().map(|v| v / norm).collect()
}

/// What a running server answers about these tenants. Its own questions become history: they are asked last.
async fn answers(world: &World, palms: &[(&str, &[u64])]) -> Expected {
    let mut tenants = Vec::new();
    for (id, palms) in palms {
        let mut operator = world.operator(id).await;
        let stats = operator.stats(id).await.expect("figures");
        let history = operator.usage("").await.expect("history");
        let erasure = operator.erasure(1).await.ok();
        let links = operator
            .subject("linked")
            .await
            .map(|subject| subject.links)
            .unwrap_or_default();
        let mut probes = Vec::new();
        for palm in *palms {
            let answer = operator.identify_all(&capture(*palm)).await.expect("answered");
            probes.push(Probe {
                palm: *palm,
                score_bits: answer
                    .candidates
                    .first()
                    .map(|candidate| candidate.score.to_bits()),
                subject: answer.subject_id,
            });
        }
        tenants.push(Tenant {
            id: (*id).to_owned(),
            subjects: stats.subjects,
            references: stats.references,
            pending: stats.pending,
            segments: stats.segments,
            sequence: stats.sequence,
            probes,
            history: history.events.into_iter().map(event).collect(),
            erasure: erasure.map(|e| (e.state, e.receipt_json, e.signature.to_vec())),
            links: links.into_iter().map(|link| (link.kind, link.value)).collect(),
        });
    }
    Expected { tenants }
}

fn event(event: v1::UsageEvent) -> Event {
    let time = event.time.expect("a time");
    Event {
        micros: i128::from(time.seconds) * 1_000_000 + i128::from(time.nanos / 1_000),
        kind: event.kind,
        outcome: event.outcome,
        subject: event.subject_id,
        request: event.request_id,
    }
}

/// Palms asked for: in a segment, pending, in the log alone, erased, never seen.
const PALMS: [(&str, &[u64]); 2] = [("acme", &[1, 100, 101, 3, 999]), ("other", &[1, 5])];

#[tokio::test(flavor = "multi_thread")]
async fn write() {
    if std::env::var_os(WRITE).is_none() {
        return;
    }
    let world = World::start().await;
    for (tenant, _) in PALMS {
        let policy = v1::Policy {
            link_grants: vec![v1::LinkGrant {
                role: "operator".into(),
                kinds: vec![v1::LinkKind::BadgeId.into()],
            }],
            ..crate::harness::policy(0.5)
        };
        world.create_tenant_with(tenant, policy).await;
    }
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (1..=6).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    operator
        .enroll_linked("linked", &palm(100), "B-100")
        .await
        .expect("enrolled");
    let erased = operator.erase("erase", "i-3").await.expect("erased");
    operator.await_purged(erased.erasure).await;
    operator
        .identify_as("first", &capture(2))
        .await
        .expect("answered");
    world
        .operator("other")
        .await
        .enroll("i-5", &palm(5))
        .await
        .expect("enrolled");
    // A clean stop puts all of that into the catalogs; what comes after is in their logs.
    let world = world.restart().await;
    world
        .operator("acme")
        .await
        .enroll("late", &palm(101))
        .await
        .expect("enrolled");
    let target = folder().join(format!("format-{FORMAT}"));
    let _ = fs::remove_dir_all(&target);
    copy_tree(&world.data(), &target, &LEFT_OUT);
    world.stop().await;
    let copy = World::of(&target, &LEFT_OUT);
    let mut sealed = fs::File::create_new(target.join(BACKUP)).expect("made");
    backup(
        &copy.config(),
        Side::Nodes,
        &["acme".parse().expect("valid")],
        &mut sealed,
    )
    .expect("backed up");
    let copy = copy.boot().await;
    let text = serde_json::to_string_pretty(&answers(&copy, &PALMS).await).expect("valid");
    fs::write(target.join(EXPECTED), text + "\n").expect("written");
    copy.stop().await;
}

fn fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("fixtures");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    found.sort();
    assert!(
        found.contains(&folder().join(format!("format-{FORMAT}"))),
        "today's format has a fixture"
    );
    found
}

fn expected(fixture: &Path) -> Expected {
    let text = fs::read_to_string(fixture.join(EXPECTED)).expect("what it answered");
    serde_json::from_str(&text).expect("valid")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_opens_and_answers_as_it_did() {
    for fixture in fixtures() {
        let expected = expected(&fixture);
        let acme = expected.tenants.first().expect("a tenant");
        assert!(acme.pending > 0 && acme.segments > 0 && acme.erasure.is_some() && !acme.links.is_empty());
        let world = World::of(&fixture, &LEFT_OUT);
        let (verified, journal) = thenar::server::verify(&world.config(), None).expect("verified");
        assert!(
            journal.is_none_or(|journal| journal.fault.is_none()),
            "its journal"
        );
        assert_eq!(verified.len(), expected.tenants.len());
        for (tenant, found) in verified {
            let found = found.expect("it has a key");
            assert!(
                found.counted && found.faults.is_empty(),
                "{tenant}: {:?}",
                found.faults
            );
        }
        let world = world.boot().await;
        assert_eq!(answers(&world, &PALMS).await, expected, "{}", fixture.display());
        // And goes on from there: what it kept is there after a stop, beside what comes now.
        world
            .operator("acme")
            .await
            .enroll("now", &palm(102))
            .await
            .expect("enrolled");
        let world = world
            .restart_after(|world| {
                let audited = thenar::server::audit(&world.config(), None, &[], &[]).expect("audited");
                assert_eq!(audited.len(), expected.tenants.len());
                for (tenant, found) in audited {
                    let found = found.expect("it has a key");
                    assert_eq!(found.faults, [], "{tenant}");
                    assert!(
                        found.since.event > 0 && found.last > found.since.event,
                        "{tenant}"
                    );
                }
            })
            .await;
        let mut operator = world.operator("acme").await;
        for (seed, subject) in [(102, "now"), (101, "late"), (1, "i-1")] {
            assert_eq!(
                operator.identify(&palm(seed)).await.expect("answered").subject_id,
                subject
            );
        }
        world.stop().await;
    }
}

/// A new directory that has the fixture's key alone, to restore into.
fn vacant(fixture: &Path) -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("made");
    let kek = data.join("kek");
    fs::copy(fixture.join("kek"), &kek).expect("copied");
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o600)).expect("its owner's");
    let config = Config {
        data,
        ..Config::default()
    };
    (dir, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_backup_is_restored_and_answers_as_it_did() {
    for fixture in fixtures() {
        let (_dir, config) = vacant(&fixture);
        let mut sealed = fs::File::open(fixture.join(BACKUP)).expect("there");
        let journal = Journal {
            path: &fixture.join(JOURNAL),
            may_have_gaps: false,
        };
        restore(&config, Some(journal), &mut sealed).expect("restored");
        let world = World::of(&config.data, &LEFT_OUT).boot().await;
        let mut expected = expected(&fixture);
        expected.tenants.truncate(1);
        let mut found = answers(&world, &PALMS[..1]).await;
        // Numbers that may have been given out since the backup are passed over.
        for (found, expected) in found.tenants.iter_mut().zip(&expected.tenants) {
            assert!(found.sequence > expected.sequence + u64::from(u32::MAX));
            found.sequence = expected.sequence;
        }
        assert_eq!(found, expected, "{}", fixture.display());
        world.stop().await;
    }
}

#[test]
fn a_backup_that_was_changed_is_refused_and_leaves_nothing() {
    for fixture in fixtures() {
        let sealed = fs::read(fixture.join(BACKUP)).expect("readable");
        let last = sealed.len() - 1;
        for (at, words) in [
            (7, "version 3; this release reads 1"),
            (20, "does not open with this key"),
            (1_000, "frame 0 fails authentication"),
            (last, "frame 1 fails authentication"),
        ] {
            let mut changed = sealed.clone();
            changed[at] ^= 2;
            let (_dir, config) = vacant(&fixture);
            let refused = restore(&config, None, &mut changed.as_slice()).expect_err("changed");
            assert!(refused.to_string().contains(words), "{refused}");
            let left = fs::read_dir(&config.data).expect("a directory").count();
            assert_eq!(left, 1, "the key alone");
        }
    }
}

/// One change to one file, and the words of the refusal.
struct Damage {
    file: &'static str,
    change: fn(&mut Vec<u8>),
    words: &'static [&'static str],
}

/// A change for each file that has a format. A tenant's stand behind its name; `other` has an empty log, so that its catalog's pages count.
const DAMAGES: [Damage; 14] = [
    Damage {
        file: "FORMAT",
        change: |bytes| *bytes = b"thenar 1\n".to_vec(),
        words: &["FORMAT", "format 1", "reads 2"],
    },
    Damage {
        file: "FORMAT",
        change: |bytes| *bytes = b"thenar 4\n".to_vec(),
        words: &["FORMAT", "format 4", "up to 3", "newer release"],
    },
    Damage {
        file: "FORMAT",
        change: |bytes| *bytes = b"other 2\n".to_vec(),
        words: &["FORMAT", "damaged", "other 2"],
    },
    Damage {
        file: "keyring",
        change: |bytes| replace(bytes, "\"format\":1", "\"format\":2"),
        words: &["keyring", "format 2", "1"],
    },
    Damage {
        file: "keyring",
        change: |bytes| replace(bytes, "\"acme\"", "\"acne\""),
        words: &["keyring", "digest"],
    },
    Damage {
        file: JOURNAL,
        change: |bytes| replace(bytes, "i-3", "i-4"),
        words: &["erasures.journal", "damaged", "line 1"],
    },
    Damage {
        file: "acme/*",
        change: |bytes| bytes[8] = 2,
        words: &[".seg", "format 2", "up to 1"],
    },
    Damage {
        file: "acme/*",
        change: |bytes| bytes[4_096] ^= 1,
        words: &[".seg", "block 0 of the sign plane"],
    },
    Damage {
        file: "acme/*",
        change: |bytes| bytes.truncate(4_200),
        words: &[".seg", "4200 bytes"],
    },
    Damage {
        file: "other/catalog.db",
        change: |bytes| bytes[60] ^= 2,
        words: &["catalog.db", "damaged"],
    },
    Damage {
        file: "other/catalog.db",
        change: |bytes| bytes[4_000] ^= 1,
        words: &["catalog.db", "page"],
    },
    Damage {
        file: "acme/catalog.db-wal",
        change: |bytes| bytes.truncate(32),
        words: &["catalog.db", "log"],
    },
    Damage {
        file: "acme/catalog.mark",
        change: |bytes| bytes[7] = 2,
        words: &["catalog.mark", "authentication"],
    },
    Damage {
        file: "acme/catalog.mark",
        change: |bytes| bytes[8] ^= 1,
        words: &["catalog.mark", "authentication"],
    },
];

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(std::mem::take(bytes)).expect("text");
    assert!(text.contains(from), "{from} stands there");
    *bytes = text.replace(from, to).into_bytes();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_is_refused_by_name() {
    let fixture = folder().join(format!("format-{FORMAT}"));
    for Damage { file, change, words } in DAMAGES {
        let world = World::of(&fixture, &LEFT_OUT);
        let (tenant, path) = match file.split_once('/') {
            Some((tenant, "*")) => (tenant, world.segment_files(tenant).remove(0)),
            Some((tenant, file)) => (tenant, world.tenant_path(tenant).join(file)),
            None => ("acme", world.data().join(file)),
        };
        let mut bytes = fs::read(&path).expect("readable");
        let before = bytes.clone();
        change(&mut bytes);
        assert_ne!(bytes, before, "{file} was changed");
        fs::write(&path, bytes).expect("written");
        let told = refusal(&world, tenant).await;
        for word in words {
            assert!(
                told.contains(word),
                "{word:?} is missing after a change of {file}: {told}"
            );
        }
    }
}

/// Why the server does not start, or what it and a verification say of the tenant that it does not serve.
async fn refusal(world: &World, damaged: &str) -> String {
    let verified = thenar::server::verify(&world.config(), None).map(|(tenants, _)| {
        let faults = tenants
            .into_iter()
            .filter_map(|(_, found)| found)
            .flat_map(|found| found.faults);
        faults
            .map(|fault| fault.to_string())
            .collect::<Vec<_>>()
            .join("; ")
    });
    let server = match Server::start(world.config(), Mode::Serve).await {
        Ok(server) => server,
        Err(error) => return error.to_string(),
    };
    let certificate = Some(world.administrator());
    let mut admin = Caller::connect(&server.address().to_string(), &world.ca(), certificate)
        .await
        .expect("let in");
    let tenant = admin.tenant(damaged).await.expect("known");
    let unharmed = if damaged == "acme" { "other" } else { "acme" };
    let other = admin.tenant(unharmed).await.expect("known");
    assert_eq!(other.state(), TenantState::Ready, "the other tenant is served");
    server.stop().await.expect("stopped");
    let faults = verified.expect("verified");
    assert_ne!(
        tenant.state(),
        TenantState::Ready,
        "{damaged} is served; a verification found: {faults}"
    );
    assert!(
        !faults.is_empty(),
        "a verification finds it too: {}",
        tenant.reason
    );
    tenant.reason
}
