//! Tests of the server's options.

use super::*;

#[test]
fn the_address_is_written_whole_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("address");
    write_whole(&path, "127.0.0.1:7443").expect("written");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "127.0.0.1:7443\n");
    let files = std::fs::read_dir(directory.path()).expect("there").count();
    assert_eq!(files, 1);
    assert!(write_whole(&directory.path().join("no/address"), "x").is_err());
}
