//! What is written, in a folder that stands for the system's; the system's own groups need root.

use super::*;

#[test]
fn a_share_is_written_as_time_in_each_period() {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("cgroup.procs"), "").expect("written");
    let nowhere = root.path().join("no-such");
    let quota = Quota::make_in(&[nowhere.as_path(), root.path()], "node-1", 0.25).expect("made");
    let limit = quota.folder.join("cpu.max");
    assert_eq!(fs::read_to_string(&limit).expect("it is there"), "2500 10000");
    assert!(
        quota
            .within()
            .last()
            .expect("a file")
            .ends_with("node-1/cgroup.procs")
    );
    // Files of a real group are no entries of its folder.
    fs::remove_file(limit).expect("it is there");
    let folder = quota.folder.clone();
    drop(quota);
    assert!(!folder.exists());
}

#[test]
fn a_system_without_groups_is_told() {
    let root = tempfile::tempdir().expect("a folder");
    let refused = Quota::make_in(&[root.path()], "node-1", 0.25).expect_err("nowhere");
    assert!(refused.to_string().contains("no control groups"), "{refused}");
}
