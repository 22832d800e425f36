//! Tests of the words for failures: what a directory's file system says.

use super::*;

fn told(kind: io::ErrorKind) -> StorageError {
    let error = DriverError::Generic {
        store: "LocalFileSystem",
        source: Box::new(io::Error::from(kind)),
    };
    from_driver("file:///x", "o", &error)
}

#[test]
fn a_full_disk_is_told_as_such() {
    let error = told(io::ErrorKind::StorageFull);
    assert!(
        matches!(&error, StorageError::Full(what) if what.contains("file:///x")),
        "{error}"
    );
}

#[test]
fn a_file_system_that_forbids_is_a_refusal_and_anything_else_may_pass() {
    let refused = told(io::ErrorKind::PermissionDenied);
    assert!(matches!(
        refused,
        StorageError::Object(ObjectError::Refused { .. })
    ));
    let passing = told(io::ErrorKind::TimedOut);
    assert!(matches!(
        passing,
        StorageError::Object(ObjectError::Unreachable { .. })
    ));
}

#[test]
fn a_code_is_repeated_only_where_it_is_one() {
    assert_eq!(code("<Code>SlowDown</Code>"), Some("SlowDown"));
    assert_eq!(code("<Code>key = s3cr3t</Code>"), None);
    assert_eq!(code(&format!("<Code>{}</Code>", "a".repeat(41))), None);
}
