//! Tests of the keys of epochs: kept until their epoch is over, and gone from the disk then; a crash in between is mended, a foreign file refused.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

fn made() -> (TempDir, PathBuf, EpochKeys) {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("epochs");
    let keys = EpochKeys::create(&path, &key(1), [7; 16]).expect("made");
    (dir, path, keys)
}

#[test]
fn a_key_is_kept_until_its_epoch_is_over() {
    let (_dir, path, keys) = made();
    let first = keys.read(1).expect("read").expect("there");
    let (epoch, second) = keys.begin(1).expect("begun");
    assert!(first != second && epoch == 2);
    let (epoch, third) = keys.begin(1).expect("begun");
    assert!(
        second != third && epoch == 3,
        "what a key sealed that did not come is under no later one"
    );
    let opened = EpochKeys::open(&path, &key(1)).expect("opened");
    assert_eq!(opened.incarnation(), [7; 16]);
    assert_eq!(opened.read(1).expect("read"), Some(first));
    keys.end_before(3).expect("ended");
    let opened = EpochKeys::open(&path, &key(1)).expect("opened");
    opened.end_before(3).expect("ended");
    for keys in [&opened, &EpochKeys::open(&path, &key(1)).expect("opened")] {
        assert_eq!(keys.read(1).expect("read"), None);
        assert_eq!(keys.read(2).expect("read"), None);
        assert_eq!(keys.read(3).expect("read").as_ref(), Some(&third));
    }
}

#[test]
fn what_the_file_held_before_is_overwritten() {
    let (dir, path, keys) = made();
    let before = fs::read(&path).expect("readable");
    // Whoever holds the former file sees what becomes of its content.
    let held = fs::File::open(&path).expect("there");
    keys.begin(1).expect("begun");
    keys.end_before(2).expect("ended");
    let mut left = Vec::new();
    std::io::Read::read_to_end(&mut &held, &mut left).expect("readable");
    assert_eq!(left.len(), before.len());
    assert!(left.iter().all(|byte| *byte == 0));
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
}

#[test]
fn another_key_and_a_changed_byte_are_noticed() {
    let (_dir, path, _) = made();
    let damaged = |data_key: &SecretKey| {
        let opened = EpochKeys::open(&path, data_key);
        matches!(opened.err(), Some(KeyError::Damaged { .. }))
    };
    assert!(!damaged(&key(1)));
    assert!(damaged(&key(2)));
    let text = fs::read_to_string(&path).expect("readable");
    for (from, to) in [("\"1\":", "\"2\":"), ("\"0707", "\"0807")] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        fs::write(&path, changed).expect("written");
        assert!(damaged(&key(1)), "{from}");
    }
}
