//! Tests of what puts left that were cut off: it goes with its object, or where there is none, and no object goes with it.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use super::*;
use crate::storage::objects::key::ObjectKey;
use crate::storage::objects::remote;
use crate::storage::objects::testing::{ROWS, Yard, home, listed, object_key};

/// A name beside that of an object.
fn beside(yard: &Yard, key: &ObjectKey, end: &str) -> PathBuf {
    let object = yard.object(key);
    object.with_file_name(format!("{}{end}", object.file_name().expect("named").display()))
}

#[test]
fn what_a_put_that_was_cut_off_left_goes_with_the_object() {
    let yard = Yard::new();
    let (key, other) = (yard.stored(ROWS), object_key(Ulid::generate()));
    // The long number is one that a destruction gave it which was cut off.
    let ends = [
        "",
        "#1",
        "#12",
        "#2171178302625134480104709866137082395",
        "#x",
        "0",
    ];
    for end in &ends[1..] {
        fs::copy(yard.object(&key), beside(&yard, &key, end)).expect("copied");
    }
    fs::write(beside(&yard, &other, "#1"), "half").expect("written");
    yard.store.delete(&key).expect("deleted");
    assert_eq!(
        ends.map(|end| beside(&yard, &key, end).exists()),
        [false, false, false, false, true, true]
    );
    assert!(beside(&yard, &other, "#1").exists(), "it is of another");
}

#[test]
fn what_a_put_left_where_there_never_was_an_object_is_destroyed() {
    let yard = Yard::new();
    let (here, never) = (yard.stored(ROWS), object_key(Ulid::generate()));
    let half = beside(&yard, &never, "#1");
    fs::write(&half, "half").expect("written");
    // Who has it open sees what became of its bytes.
    let open = File::open(&half).expect("there");
    let mut elsewhere = home();
    elsewhere.incarnation += 1;
    yard.store.clear_beginnings(&elsewhere).expect("nothing is there");
    // What is none of ours is passed over.
    fs::write(yard.path("store").join(home().to_string()).join("letters"), "x").expect("written");
    assert!(half.exists());
    yard.store.clear_beginnings(&home()).expect("cleared");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut &open, &mut bytes).expect("readable");
    assert_eq!(bytes, [0; 4]);
    let dir = half.parent().expect("a directory");
    let left = names(dir).expect("listed");
    assert_eq!(left, [here.to_string().rsplit('/').next().expect("a name")]);
}

#[test]
fn an_object_whose_put_was_cut_off_after_it_had_its_name_stays() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    // As the driver does it, whose last step is to remove the first name.
    fs::hard_link(yard.object(&key), beside(&yard, &key, "#1")).expect("linked");
    yard.store.clear_beginnings(&home()).expect("cleared");
    assert!(!beside(&yard, &key, "#1").exists());
    let segment = remote::open(&yard.store, &listed(&key, ROWS)).expect("authentic");
    assert!(segment.rows_at(&[0]).expect("read")[0].is_some());
}

#[test]
fn many_may_destroy_the_same_beginnings() {
    let yard = Yard::new();
    let begun: Vec<_> = (0..16)
        .flat_map(|_| {
            let object = object_key(Ulid::generate());
            ["#1", "#2"].map(|end| beside(&yard, &object, end))
        })
        .collect();
    fs::create_dir_all(begun[0].parent().expect("a directory")).expect("made");
    let open = begun.iter().map(|path| {
        fs::write(path, "half").expect("written");
        File::open(path).expect("there")
    });
    let open: Vec<_> = open.collect();
    let start = Barrier::new(6);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                start.wait();
                yard.store.clear_beginnings(&home()).expect("cleared");
                for file in &open {
                    let mut bytes = [1; 4];
                    file.read_exact_at(&mut bytes, 0).expect("readable");
                    assert_eq!(bytes, [0; 4], "who is told that it is gone may rely on it");
                }
            });
        }
    });
    assert!(begun.iter().all(|path| !path.exists()));
}
