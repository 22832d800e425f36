//! Tests of what a loss of power leaves.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

fn note(kind: u64, file: Identity, size: u64, at: u64, replaced: &[u8]) -> Vec<u8> {
    let words = [kind, file.0, file.1, size, at, replaced.len() as u64];
    let mut note: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    note.extend_from_slice(replaced);
    note
}

/// A file that was written as ones, then as twos, then made longer by threes, and the notes of the two changes.
fn scene(between: impl Fn(Identity, u64) -> Vec<u8>) -> (tempfile::TempDir, Power) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let path = data.join("file");
    std::fs::write(&path, [vec![2; 4 * SECTOR], vec![3; 2 * SECTOR]].concat()).expect("written");
    let [(_, identity)] = files(&data).expect("listed").try_into().expect("one file");
    let mut notes = note(CHANGED, identity, 4 * SECTOR as u64, 0, &[1; 4 * SECTOR]);
    notes.extend(between(identity, notes.len() as u64));
    notes.extend(note(CHANGED, identity, 4 * SECTOR as u64, 4 * SECTOR as u64, &[]));
    // Cut short by a kill.
    notes.extend([1; 20]);
    std::fs::write(folder.path().join("notes"), notes).expect("written");
    let notes = OpenOptions::new()
        .read(true)
        .write(true)
        .open(folder.path().join("notes"))
        .expect("opened");
    (folder, Power { notes, data })
}

/// The states that many losses leave the file in.
fn outcomes(between: impl Fn(Identity, u64) -> Vec<u8>) -> Vec<Vec<u8>> {
    let run = |seed| {
        let (folder, power) = scene(&between);
        power.lose(&mut ChaCha8Rng::seed_from_u64(seed)).expect("lost");
        assert_eq!(
            power.notes.metadata().expect("there").len(),
            0,
            "notes begin anew"
        );
        std::fs::read(folder.path().join("data/file")).expect("there")
    };
    (0..60).map(run).collect()
}

#[test]
fn what_was_not_synced_is_there_or_not_sector_by_sector() {
    let outcomes = outcomes(|_, _| Vec::new());
    assert!(outcomes.contains(&vec![1; 4 * SECTOR]), "all of it is gone once");
    assert!(
        outcomes.contains(&[vec![2; 4 * SECTOR], vec![3; 2 * SECTOR]].concat()),
        "and there once"
    );
    let mixed = |bytes: &Vec<u8>| bytes.contains(&1) && bytes.contains(&2);
    assert!(outcomes.iter().any(mixed), "and half of it");
    for bytes in outcomes {
        for sector in bytes.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
        }
    }
}

#[test]
fn what_was_synced_stays() {
    let synced = |identity, noted| note(SYNCED, identity, 0, noted, &[]);
    for bytes in outcomes(synced) {
        let (head, tail) = bytes.split_at(4 * SECTOR);
        assert!(head.iter().all(|byte| *byte == 2), "the first change is durable");
        assert!(tail.iter().all(|byte| matches!(*byte, 0 | 3)));
    }
}

#[test]
fn a_change_noted_after_the_sync_began_is_not_made_durable_by_it() {
    let before_it = |identity, _| note(SYNCED, identity, 0, 0, &[]);
    assert!(outcomes(before_it).contains(&vec![1; 4 * SECTOR]));
}

#[test]
fn notes_behind_one_that_was_cut_short_are_read() {
    let (_folder, power) = scene(|_, _| Vec::new());
    let whole = power.notes.metadata().expect("there").len() - 20;
    power.keep().expect("cut");
    assert_eq!(power.notes.metadata().expect("there").len(), whole);
    power.keep().expect("nothing to cut");
    assert_eq!(power.notes.metadata().expect("there").len(), whole);
}
