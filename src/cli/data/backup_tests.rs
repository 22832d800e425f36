//! Tests of where a backup goes: a new file, whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::model::timestamp::Timestamp;

fn done() -> BackedUp {
    BackedUp {
        manifest: crate::server::Manifest {
            made_at: Timestamp(1),
            tenants: Vec::new(),
        },
        bytes: 5,
        left_out: Vec::new(),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| entry.expect("readable").file_name().into_string().expect("text"))
        .collect()
}

#[test]
fn a_file_is_there_whole_and_for_its_owner_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = destination(&dir.path().join("b"));
    to_file(&path, |to| {
        to.write_all(b"sealed").expect("written");
        assert!(!path.exists(), "not before it is whole");
        Ok(done())
    })
    .expect("made");
    assert_eq!(fs::read(&path).expect("readable"), b"sealed");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(names(dir.path()), ["b"]);
}

#[test]
fn one_that_fails_leaves_nothing_and_one_that_is_there_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("b");
    let failed = to_file(&path, |to| {
        to.write_all(b"half").expect("written");
        Err(CliError::Usage("no".to_owned()))
    });
    assert!(failed.is_err());
    assert!(names(dir.path()).is_empty());
    fs::write(&path, "old").expect("written");
    let refused = to_file(&path, |_| panic!("refused before it begins"));
    assert!(refused.is_err());
    fs::remove_file(&path).expect("removed");
    // Put there while the backup was made.
    let refused = to_file(&path, |_| {
        fs::write(&path, "old").expect("written");
        Ok(done())
    });
    assert!(refused.is_err());
    assert_eq!(fs::read(&path).expect("readable"), b"old");
    assert_eq!(names(dir.path()), ["b"]);
}

#[test]
fn in_a_directory_the_file_is_named_after_the_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = destination(dir.path());
    assert_eq!(path.parent(), Some(dir.path()));
    let name = path.file_name().and_then(|name| name.to_str()).expect("text");
    let digits = name
        .strip_prefix("thenar-")
        .and_then(|rest| rest.strip_suffix("Z.backup"))
        .expect(name);
    assert_eq!(digits.len(), 15);
    assert!(digits.chars().all(|c| c.is_ascii_digit() || c == 'T'), "{name}");
}
