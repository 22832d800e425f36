//! Which calls are struck, and how often.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Call, PATH_MAX, count, is_within, path_of, wanted};
use crate::layout::{COUNTDOWN, KIND, Kind, LEFT, SEEN, STRUCK, WORDS};

fn armed(kind: Kind, countdown: u64, left: u64) -> [AtomicU64; WORDS] {
    let words = [const { AtomicU64::new(0) }; WORDS];
    words[COUNTDOWN].store(countdown, Ordering::Relaxed);
    words[LEFT].store(left, Ordering::Relaxed);
    words[KIND].store(kind as u64, Ordering::Relaxed);
    words
}

#[test]
fn a_fault_strikes_after_its_countdown_and_as_often_as_it_was_told() {
    let words = armed(Kind::WriteFails, 2, 3);
    let struck: Vec<bool> = (0..8)
        .map(|_| count(&words, Kind::WriteFails).is_some())
        .collect();
    assert_eq!(struck, [false, false, true, true, true, false, false, false]);
    let read = |index: usize| words[index].load(Ordering::Relaxed);
    assert_eq!((read(STRUCK), read(SEEN)), (3, 8));
}

#[test]
fn a_lifted_fault_strikes_no_more() {
    let words = armed(Kind::DiskFull, 0, u64::MAX);
    assert_eq!(count(&words, Kind::DiskFull), Some(Kind::DiskFull));
    words[KIND].store(0, Ordering::Relaxed);
    assert_eq!(wanted(&words, Call::Write(10)), None);
    assert_eq!(count(&words, Kind::DiskFull), None);
}

#[test]
fn each_kind_strikes_its_own_calls() {
    let calls = [
        Call::Write(2_000),
        Call::Write(1_000),
        Call::Truncate,
        Call::Rename,
        Call::Sync,
    ];
    for (kind, expected) in [
        (Kind::WriteFails, [true, true, true, true, false]),
        (Kind::ShortWrite, [true, false, false, false, false]),
        (Kind::DiskFull, [true, true, false, true, false]),
        (Kind::SyncFails, [false, false, false, false, true]),
        (Kind::TornWrite, [true, false, false, false, false]),
    ] {
        let words = armed(kind, 0, 1);
        let found = calls.map(|call| wanted(&words, call) == Some(kind));
        assert_eq!(found, expected, "{kind:?}");
    }
}

#[test]
fn an_open_file_is_known_by_its_path() {
    let mut path = [0; PATH_MAX];
    let file = std::fs::File::open("/dev/null").expect("there is one");
    let len = path_of(std::os::fd::AsRawFd::as_raw_fd(&file), &mut path).expect("open");
    assert_eq!(&path[..len], b"/dev/null");
    assert_eq!(path_of(-1, &mut path), None);
    assert!(is_within(b"/a/data/x", b"/a/data/") && !is_within(b"/a/data-2/x", b"/a/data/"));
}
