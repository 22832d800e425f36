//! Tests of the limit: what is as long as it may be is read, what is longer isn't.

use super::*;

#[test]
fn files_are_read_up_to_a_limit() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a");
    std::fs::write(&path, "12345").expect("written");
    assert_eq!(
        read_up_to(&path, 5).expect("read").as_deref(),
        Some(&b"12345"[..])
    );
    assert_eq!(read_up_to(&path, 4).expect("read"), None);
    let missing = read_up_to(&dir.path().join("b"), 5).expect_err("no such file");
    assert!(missing.to_string().contains("/b"), "{missing}");
}
