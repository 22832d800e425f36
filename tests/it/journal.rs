//! Promise: what was acknowledged as erased is in the erasure journal, and a journal that lost something is not taken for a whole one.

use std::fs;

use crate::brought_back::{ENROLLED, IMPORTED, Keys, backed_up, journal, text};
use crate::harness::{Child, World, copy_tree, palm};

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_a_crash_kept_from_the_journal_is_in_it_after_the_next_start() {
    let world = World::prepare();
    let child = Child::start(&world).await;
    child.create_tenant("acme").await;
    let mut operator = child.operator("acme").await;
    for (subject, seed) in [("a", 1), ("b", 2)] {
        operator.enroll(subject, &palm(seed)).await.expect("enrolled");
        operator
            .erase(&format!("erase-{subject}"), subject)
            .await
            .expect("erased");
    }
    child.kill();
    let whole = fs::read_to_string(journal(&world)).expect("readable");
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 2);
    for (line, subject) in lines.iter().zip(["a", "b"]) {
        assert!(line.contains(&format!("\"subject_id\":\"{subject}\"")), "{line}");
    }
    let (is_sound, found) = verified(&world);
    assert!(is_sound, "{found}");
    assert_eq!(found["journal"]["entries"], 2);
    // A line that rotted.
    fs::write(journal(&world), whole.replacen("\"a\"", "\"x\"", 1)).expect("written");
    let (is_sound, found) = verified(&world);
    assert!(!is_sound && found["journal"]["sound"] == false, "{found}");
    let fault = found["journal"]["fault"].as_str().expect("a fault");
    assert!(fault.contains("line 1 is not as it was written"), "{fault}");
    // As a crash between the catalog and the journal leaves it, and one in the middle of a line.
    for left in [lines[0].len() + 1, lines[0].len() + 40, 0] {
        fs::write(journal(&world), &whole[..left]).expect("written");
        Child::start(&world).await.kill();
        assert_eq!(
            fs::read_to_string(journal(&world)).expect("readable"),
            whole,
            "{left} bytes left"
        );
    }
}

/// Whether `thenar data verify` finds nothing at fault, and what it says.
fn verified(world: &World) -> (bool, serde_json::Value) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(["data", "verify", "--json", "--data"])
        .arg(world.data())
        .output()
        .expect("started");
    let found = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.success(), found)
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_finds_a_tenant_that_came_back_older_than_the_journal() {
    let world = World::prepare();
    let older = tempfile::tempdir().expect("a directory");
    for (subject, seed) in [("a", 1), ("b", 2)] {
        let child = Child::start(&world).await;
        if seed == 1 {
            child.create_tenant("acme").await;
        }
        let mut operator = child.operator("acme").await;
        operator.enroll(subject, &palm(seed)).await.expect("enrolled");
        operator.erase(subject, subject).await.expect("erased");
        child.kill();
        let (is_sound, found) = verified(&world);
        assert!(is_sound, "{found}");
        if seed == 1 {
            copy_tree(&world.tenant_path("acme"), older.path(), &[]);
        }
    }
    fs::remove_dir_all(world.tenant_path("acme")).expect("removed");
    copy_tree(older.path(), &world.tenant_path("acme"), &[]);
    let (is_sound, found) = verified(&world);
    assert!(!is_sound && found["journal"]["sound"] == true, "{found}");
    let faults = found["tenants"][0]["faults"].to_string();
    let told = "its last erasure is number 1, that of the journal 2";
    assert!(faults.contains(told), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_with_a_gap_is_refused_and_then_does_all_it_has() {
    let keys = Keys::new();
    let (world, backup) = backed_up(&keys).await;
    let child = Child::start(&world).await;
    let mut operator = child.operator("acme").await;
    for n in 2..6 {
        operator
            .erase(&format!("erase-{n}"), &format!("i-{n}"))
            .await
            .expect("erased");
    }
    child.kill();
    let folder = tempfile::tempdir().expect("a directory");
    let (torn, data) = (folder.path().join("torn"), folder.path().join("data"));
    // The line of the third erasure, which the backup has not.
    let mut bytes = fs::read(journal(&world)).expect("readable");
    let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let third = newlines.map(|(at, _)| at + 1).nth(1).expect("lines");
    bytes[third + 40] = 0;
    fs::write(&torn, bytes).expect("written");
    let refused = keys.restore(&backup, &data, Some(&torn)).expect_err("a gap");
    for word in [
        "line 3 ",
        "erasure 3 of tenant acme is missing",
        "--incomplete-journal",
    ] {
        assert!(refused.contains(word), "{refused}");
    }
    assert!(!data.exists());
    let arguments = [
        "restore",
        text(&backup),
        "--data",
        text(&data),
        "--journal",
        text(&torn),
    ];
    let told = keys.data(&[&arguments[..], &["--incomplete-journal"]].concat(), &[]);
    let told = String::from_utf8(told.expect("restored")).expect("text");
    assert!(told.contains("the journal is incomplete: erasure 3"), "{told}");
    let mut config = world.config();
    config.data = data;
    let (verified, journal) = thenar::server::verify(&config, None).expect("sound");
    let journal = journal.expect("there");
    assert!(journal.fault.is_none(), "{journal:?}");
    // Erasures 2, 4 and 5 were done again.
    let rows: Vec<u64> = verified
        .iter()
        .filter_map(|(_, found)| found.as_ref())
        .map(|found| found.placed + found.pending)
        .collect();
    assert!(rows.contains(&(IMPORTED + ENROLLED - 4)), "{rows:?}");
}
