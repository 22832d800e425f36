//! Tests of the vault: each secret has a place of its own, which is wiped before it is used again.

use super::*;

#[test]
fn secrets_keep_apart_and_are_wiped() {
    let places: Vec<Place> = (1..=200).map(|n| Place::new(&[n; SECRET_LEN])).collect();
    for (n, place) in (1..).zip(&places) {
        assert_eq!(*place.get(), [n; SECRET_LEN]);
    }
    let copy = places[0].clone();
    let left: Vec<(usize, usize)> = places.iter().map(|place| (place.page, place.at)).collect();
    drop(places);
    assert_eq!(*copy.get(), [1; SECRET_LEN], "a copy is one of its own");
    // Other tests use the vault meanwhile: what is still free holds nothing.
    let vault = VAULT.lock();
    let free: Vec<(usize, usize)> = left
        .into_iter()
        .filter(|place| vault.free.contains(place))
        .collect();
    assert!(!free.is_empty());
    for (page, at) in free {
        let bytes = &vault.pages[page][at..at + SECRET_LEN];
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
    drop(vault);
}
