//! Tests of texts in files: nothing of a former one stays. What all texts have in common is tried where there is another kind of them, in storage.

use std::fs::{self, File};
use std::io::Read;

use super::*;

#[test]
fn what_was_in_a_file_is_overwritten() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("text");
    let text = FileText::new(&path);
    assert!(text.create("first").expect("made"));
    let mut held = [
        File::open(&path).expect("there"),
        File::open(&path).expect("there"),
    ];
    assert!(text.replace(FIRST_VERSION, "second").expect("replaced"));
    held[1] = File::open(&path).expect("there");
    text.destroy().expect("destroyed");
    for mut file in held {
        let mut left = Vec::new();
        file.read_to_end(&mut left).expect("readable");
        assert!(!left.is_empty() && left.iter().all(|byte| *byte == 0));
    }
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

#[test]
fn what_a_crash_left_is_cleared_away() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("text");
    let text = FileText::new(&path);
    assert!(text.create("first").expect("made"));
    fs::write(dir.path().join(".text.thenar-old"), "former").expect("written");
    text.settle().expect("cleared");
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    assert_eq!(text.read().expect("read").expect("there").text, "first");
}
