//! What is read of the database and of disks.

use tempfile::TempDir;

use super::*;

#[test]
fn columns_are_as_many_as_are_expected() {
    assert_eq!(columns::<3>("acme|16|7").expect("three"), ["acme", "16", "7"]);
    columns::<2>("acme|16|7").expect_err("there is one more");
}

#[test]
fn copies_of_segments_count_wherever_they_are_and_nothing_else_does() {
    let folder = TempDir::new().expect("a folder");
    let below = folder.path().join("tenants/acme.7/1");
    std::fs::create_dir_all(&below).expect("made");
    std::fs::write(below.join("A.seg"), [0; 100]).expect("written");
    std::fs::write(folder.path().join("B.seg"), [0; 28]).expect("written");
    std::fs::write(folder.path().join("lock"), [0; 5]).expect("written");
    let held = sum(folder.path()).expect("read");
    assert_eq!(held, Held { files: 2, bytes: 128 });
    let nothing = sum(&folder.path().join("nowhere")).expect("nothing there");
    assert_eq!(nothing, Held { files: 0, bytes: 0 });
}
