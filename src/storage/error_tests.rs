//! Tests of what the storage's errors say.

use super::*;

#[test]
fn a_full_disk_is_told_apart_from_other_failures() {
    let path = Path::new("segments/x.seg");
    let full = StorageError::io("write", path, io::Error::from(io::ErrorKind::StorageFull));
    assert!(matches!(full, StorageError::Full(_)), "{full}");
    assert!(full.to_string().contains("free some space"), "{full}");
    let other = StorageError::io("write", path, io::Error::from(io::ErrorKind::PermissionDenied));
    assert!(matches!(other, StorageError::Io { .. }), "{other}");
    assert!(
        other.to_string().starts_with("can't write segments/x.seg"),
        "{other}"
    );
}

#[test]
fn messages_name_the_way_out() {
    let in_use = StorageError::InUse {
        path: "data".into(),
        pid: Some(17),
    };
    assert_eq!(in_use.to_string(), "data is in use by process 17; stop it first");
    let missing = StorageError::NotADataDirectory("data".into());
    assert_eq!(
        missing.to_string(),
        "data is not a data directory (run `thenar init`)"
    );
    let newer = StorageError::NewerFormat {
        path: "data/FORMAT".into(),
        found: 9,
        supported: 1,
    };
    assert!(newer.to_string().contains("format 9"), "{newer}");
}
