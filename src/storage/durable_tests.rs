//! Tests of files that are there whole or gone.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_file_is_replaced_whole_and_private() {
    let tmp = tempfile::tempdir().expect("a directory");
    let path = tmp.path().join("f");
    // Left by a crash before the rename.
    fs::write(tmp.path().join("f.tmp"), "half").expect("written");
    write_file(&path, b"one").expect("written");
    write_file(&path, b"two").expect("replaced");
    assert_eq!(fs::read(&path).expect("there"), b"two");
    assert_eq!(fs::read_dir(tmp.path()).expect("a directory").count(), 1);
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_destroyed_file_is_overwritten_before_it_goes() {
    let tmp = tempfile::tempdir().expect("a directory");
    let path = tmp.path().join("f");
    let len = OVERWRITE_CHUNK_LEN + 17;
    fs::write(&path, vec![0xAB; len]).expect("written");
    // An open descriptor still sees the bytes after the unlink.
    let mut witness = File::open(&path).expect("there");
    destroy_file(&path).expect("destroyed");
    assert!(!path.exists());
    let mut seen = Vec::new();
    witness.read_to_end(&mut seen).expect("readable");
    assert_eq!(seen, vec![0; len]);
}

#[test]
fn a_file_that_is_gone_is_destroyed_already() {
    let tmp = tempfile::tempdir().expect("a directory");
    destroy_file(&tmp.path().join("none")).expect("nothing to do");
}
