//! Tests of the mark: what it says is what was noted last, and only under its key.

use std::fs;

use super::*;

fn text(error: Option<StorageError>) -> String {
    error.expect("refused").to_string()
}

#[test]
fn the_last_number_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = SecretKey::random();
    Mark::create(dir.path(), &key, 0).expect("made");
    let (mark, commits) = Mark::open(dir.path(), &key).expect("there");
    assert_eq!(commits, 0);
    for commits in [1, 2, 70_000] {
        mark.advance(commits);
        let (_, found) = Mark::open(dir.path(), &key).expect("there");
        assert_eq!(found, commits);
    }
}

#[test]
fn any_other_byte_length_or_key_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = SecretKey::random();
    let missing = text(Mark::open(dir.path(), &key).err());
    assert!(
        missing.contains("catalog.mark is damaged: the file is missing"),
        "{missing}"
    );
    Mark::create(dir.path(), &key, 0).expect("made");
    let file = dir.path().join(MARK_FILE);
    let whole = fs::read(&file).expect("readable");
    assert_eq!(whole.len(), LEN);
    for bit in 0..LEN * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, flipped).expect("written");
        let fault = text(Mark::open(dir.path(), &key).err());
        assert!(fault.contains("fails authentication"), "{fault}");
    }
    for len in [0, LEN - 1] {
        fs::write(&file, &whole[..len]).expect("written");
        assert!(Mark::open(dir.path(), &key).is_err());
    }
    fs::write(&file, [&whole[..], &[0]].concat()).expect("written");
    assert!(Mark::open(dir.path(), &key).is_err());
    fs::write(&file, &whole).expect("written");
    assert!(Mark::open(dir.path(), &SecretKey::random()).is_err());
    assert!(Mark::open(dir.path(), &key).is_ok());
}
