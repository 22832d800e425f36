//! Tests of texts that are exchanged by comparing: the same for files and objects; of objects also who comes late, what is cut off, and many at once.

use std::sync::Barrier;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::keys::epochs::{EpochKeys, Epochs};
use crate::keys::keyring::Purpose;
use crate::keys::secret::SecretKey;
use crate::keys::text::FileText;
use crate::storage::objects::faults::{Fault, FaultyServer};
use crate::storage::objects::moto::Moto;
use crate::storage::objects::testing::{bucket, directory};

const NAME: &str = "keyrings/test";

fn tmp() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

fn kek() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

fn id(number: usize) -> TenantId {
    format!("t{number}").parse().expect("valid")
}

/// A text in a directory, as two machines have it.
fn two(tmp: &TempDir) -> [ObjectText; 2] {
    [(); 2].map(|()| ObjectText::new(&directory(&tmp.path().join("store")), NAME))
}

/// A server, and a text in a bucket of it.
fn faulty() -> (FaultyServer, ObjectText) {
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    store.probe().expect("usable");
    let text = ObjectText::new(&store, NAME);
    (server, text)
}

fn now(text: &dyn TextStore) -> Option<(String, u64)> {
    let read = text.read().expect("read")?;
    assert_eq!(text.version().expect("listed"), Some(read.version));
    Some((read.text, read.version))
}

fn is(text: &dyn TextStore, content: &str, version: u64) -> bool {
    now(text) == Some((content.to_owned(), version))
}

fn versions(text: &ObjectText) -> Vec<u64> {
    text.list().expect("listed").into_keys().collect()
}

/// What every text does.
fn behaves(text: &dyn TextStore) {
    assert_eq!(now(text), None);
    assert!(text.create("one").expect("made"));
    assert!(!text.create("other").expect("asked"), "one is there");
    assert!(is(text, "one", 1));
    assert!(text.replace(1, "two").expect("replaced"));
    assert!(!text.replace(1, "other").expect("asked"), "it was replaced");
    assert!(is(text, "two", 2));
    assert!(text.replace(2, "three").expect("replaced"));
    assert!(text.replace(3, "four").expect("replaced"));
    text.settle().expect("nothing is left");
    assert!(is(text, "four", 4));
    text.destroy().expect("destroyed");
    text.destroy().expect("it is gone already");
    assert_eq!(now(text), None);
}

#[test]
fn texts_behave_alike_wherever_they_are() {
    let tmp = tmp();
    behaves(&FileText::new(&tmp.path().join("file")));
    let [text, _] = two(&tmp);
    behaves(&text);
    let (server, text) = faulty();
    behaves(&text);
    assert_eq!(server.len(), 0);
    if let Some(moto) = Moto::start() {
        moto.make("texts", false);
        let store = moto.store("texts", None);
        store.probe().expect("usable");
        behaves(&ObjectText::new(&store, NAME));
    }
}

#[test]
fn nothing_of_a_former_text_stays() {
    let tmp = tmp();
    let [text, _] = two(&tmp);
    assert!(text.create("former").expect("made"));
    let file = tmp.path().join("store").join(text.object(1));
    std::fs::hard_link(&file, tmp.path().join("remnant")).expect("linked");
    assert!(text.replace(1, "next").expect("replaced"));
    assert_eq!(versions(&text), [2]);
    let remnant = std::fs::read(tmp.path().join("remnant")).expect("there");
    assert_eq!(remnant, [0; 6]);
}

#[test]
fn who_comes_late_changes_nothing() {
    let tmp = tmp();
    let [one, other] = two(&tmp);
    assert!(one.create("one").expect("made"));
    for version in 1..=3 {
        assert!(other.replace(version, "newer").expect("replaced"));
    }
    // It read version 1, whose next one was made and deleted since.
    for version in 1..=3 {
        assert!(!one.replace(version, "late").expect("asked"));
        assert_eq!(versions(&one), [4]);
    }
    assert!(!one.create("late").expect("asked"));
    // It looked when there was none.
    assert!(!one.exchange(FIRST_VERSION, "late").expect("asked"));
    assert_eq!(versions(&one), [4]);
    assert!(is(&one, "newer", 4));
}

#[test]
fn who_was_built_upon_before_he_looked_is_told_that_another_one_is_there() {
    let tmp = tmp();
    let [one, other] = two(&tmp);
    assert!(one.create("one").expect("made"));
    assert!(one.put(2, "two").expect("put"));
    assert!(is(&other, "two", 2), "it counts from its creation on");
    assert!(other.replace(2, "three").expect("replaced"));
    assert_eq!(one.is_first(2).expect("listed"), None);
    assert_eq!(versions(&one), [3]);
}

#[test]
fn what_others_were_cut_off_at_is_cleared_away() {
    let tmp = tmp();
    let [one, other] = two(&tmp);
    assert!(one.create("one").expect("made"));
    // Between putting and clearing.
    assert!(one.put(2, "two").expect("put"));
    assert_eq!(versions(&other), [1, 2]);
    other.settle().expect("cleared");
    assert_eq!(versions(&other), [2]);
    assert_eq!(
        one.is_first(2).expect("listed"),
        Some(Vec::new()),
        "whoever goes on after all finds his own"
    );
    // What came late, of whoever died before he looked.
    assert!(other.replace(2, "three").expect("replaced"));
    assert!(one.put(1, "old").expect("put"));
    assert!(is(&other, "three", 3));
    assert!(other.replace(3, "four").expect("replaced"));
    assert_eq!(versions(&other), [4]);
    assert!(one.put(2, "old").expect("put"));
    one.destroy().expect("destroyed");
    assert_eq!(versions(&other), Vec::<u64>::new());
}

#[test]
fn what_broke_off_in_a_directory_goes_with_its_version() {
    let tmp = tmp();
    let [one, _] = two(&tmp);
    assert!(one.create("one").expect("made"));
    let half = tmp.path().join("store").join(one.object(1) + "#1");
    std::fs::write(&half, "half").expect("written");
    assert!(one.replace(1, "two").expect("replaced"));
    assert!(!half.exists());
}

#[test]
fn long_texts_are_refused() {
    let tmp = tmp();
    let [one, _] = two(&tmp);
    let long = "x".repeat(TEXT_LEN_MAX + 1);
    assert!(matches!(one.create(&long), Err(KeyError::TooLong { .. })));
    assert!(one.create(&long[1..]).expect("made"));
    assert!(matches!(one.replace(1, &long), Err(KeyError::TooLong { .. })));
    assert!(is(&one, &long[1..], 1));
    std::fs::write(tmp.path().join("store").join(one.object(2)), &long).expect("written");
    assert!(one.read().is_err());
}

#[test]
fn names_that_are_no_versions_are_not_ours() {
    let tmp = tmp();
    let [one, _] = two(&tmp);
    assert!(one.create("one").expect("made"));
    let beside = tmp.path().join("store").join(NAME);
    for name in ["2", "99999999999999999999", "x"] {
        std::fs::write(beside.join(name), "other").expect("written");
    }
    assert!(is(&one, "one", 1));
    assert!(one.replace(1, "two").expect("replaced"));
    assert!(beside.join("2").exists());
}

#[test]
fn an_answer_that_never_came_is_looked_for() {
    let (server, text) = faulty();
    assert!(text.create("one").expect("made"));
    for (fault, version) in [(Fault::Cut, 1), (Fault::Status(503, "SlowDown"), 2)] {
        server.fail(fault, 1);
        assert!(text.replace(version, &format!("after {version}")).expect("done"));
        assert!(is(&text, &format!("after {version}"), version + 1));
        assert_eq!(versions(&text), [version + 1]);
    }
    // It was done; all that was heard is that something is there.
    assert!(text.put(4, "four").expect("put"));
    assert!(text.put(4, "four").expect("this very text"));
    assert!(!text.put(4, "another").expect("asked"));
}

#[test]
fn a_store_that_fails_is_told_and_the_same_is_done_later() {
    let (server, text) = faulty();
    assert!(text.create("one").expect("made"));
    server.refuse(Some("PUT"));
    let error = text.replace(1, "two").expect_err("it fails");
    assert!(error.is_away(), "{error}");
    server.refuse(None);
    assert!(is(&text, "one", 1));
    server.refuse(Some("DELETE"));
    text.replace(1, "two")
        .expect_err("the former one can't be deleted");
    text.settle().expect_err("nor now");
    assert!(is(&text, "two", 2));
    server.refuse(None);
    text.settle().expect("cleared");
    assert_eq!(versions(&text), [2]);
    assert_eq!(server.len(), 1);
}

#[test]
fn a_bucket_that_keeps_what_is_deleted_is_refused() {
    let (server, text) = faulty();
    assert!(text.create("one").expect("made"));
    server.version("v", true);
    let error = text.replace(1, "two").expect_err("it would stay");
    assert!(!error.is_away(), "{error}");
    assert!(text.settle().is_err());
}

#[test]
fn an_epoch_that_could_not_be_ended_is_ended_by_the_same_call_again() {
    let (server, text) = faulty();
    let (text, key) = (Arc::new(text), SecretKey::from_bytes([1; 32]));
    let keys = EpochKeys::create_in(Arc::clone(&text) as _, &key, [7; 16]).expect("made");
    keys.begin(1).expect("begun");
    server.refuse(Some("DELETE"));
    keys.end_before(2).expect_err("the former text is there");
    assert_eq!(versions(&text), [2, 3]);
    keys.end_before(2).expect_err("still");
    server.refuse(None);
    keys.end_before(2).expect("ended");
    assert_eq!(versions(&text), [3]);
    assert_eq!(keys.read(1).expect("read"), None);
    let opened = EpochKeys::open_in(text, &key).expect("opened");
    assert!(opened.read(1).expect("read").is_none() && opened.read(2).expect("read").is_some());
}

/// Machines that make keys of tenants of their own and of one in common, and destroy every third, in a store that each opens by itself.
fn race(open: &(dyn Fn() -> ObjectStore + Sync), machines: usize, tenants: usize) {
    let begin = Barrier::new(machines);
    let work = |machine: usize| {
        let store = open();
        begin.wait();
        let keyring = open_keyring(&store, NAME, &kek(), false).expect("opened");
        let common = keyring.get_or_create(&id(0), Purpose::Catalog).expect("made");
        let mut kept = Vec::new();
        for number in 1..=tenants {
            let id = id(machine * 100 + number);
            let key = keyring.get_or_create(&id, Purpose::Data).expect("made");
            if number % 3 == 0 {
                keyring.destroy(&id).expect("destroyed");
            } else {
                kept.push((id, key));
            }
        }
        (common, kept, keyring.signer().sign_entry("{}"))
    };
    let done: Vec<_> = thread::scope(|scope| {
        let machines: Vec<_> = (1..=machines)
            .map(|machine| scope.spawn(move || work(machine)))
            .collect();
        let ended = machines
            .into_iter()
            .map(|machine| machine.join().expect("no panic"));
        ended.collect()
    });
    let keyring = open_keyring(&open(), NAME, &kek(), true).expect("opened");
    let mut expected = BTreeMap::new();
    for (common, kept, signature) in done {
        assert!(
            keyring.signer().verify_entry("{}", &signature),
            "one keyring was made"
        );
        expected.insert(id(0), common.clone());
        assert_eq!(keyring.get(&id(0), Purpose::Catalog).expect("read"), Some(common));
        for (id, key) in kept {
            assert_eq!(
                keyring.get(&id, Purpose::Data).expect("read").as_ref(),
                Some(&key)
            );
            expected.insert(id, key);
        }
    }
    let found = keyring.all(Purpose::Data).expect("opened");
    assert!(
        found.keys().eq(expected.keys()),
        "none is lost, and none came back"
    );
    assert_eq!(versions(&ObjectText::new(&open(), NAME)).len(), 1);
}

#[test]
fn many_machines_lose_no_key_in_a_directory() {
    let tmp = tmp();
    race(&|| directory(&tmp.path().join("store")), 6, 9);
}

#[test]
fn many_machines_lose_no_key_in_a_bucket() {
    let server = FaultyServer::start();
    let open = || {
        let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
        store.probe().expect("usable");
        store
    };
    race(&open, 3, 4);
}

#[test]
fn incarnations_and_generations_of_keys_are_told_by_the_names_of_their_epochs() {
    let tmp = tmp();
    let store = directory(&tmp.path().join("store"));
    let key = SecretKey::from_bytes([1; 32]);
    for (tenant, incarnation, generation) in [
        (1, [7; 16], 1),
        (1, [7; 16], 2),
        (1, [7; 16], 10),
        (1, [8; 16], 1),
        (11, [9; 16], 1),
    ] {
        let text = epochs_text(&store, &id(tenant), &incarnation, generation);
        EpochKeys::create_in(Arc::new(text), &key, incarnation).expect("made");
    }
    let found = incarnations(&store, &id(1)).expect("listed");
    let expected = [
        ([7; 16], BTreeSet::from([1, 2, 10])),
        ([8; 16], BTreeSet::from([1])),
    ];
    assert_eq!(found, Incarnations::from(expected));
    epochs_text(&store, &id(1), &[7; 16], 2)
        .destroy()
        .expect("destroyed");
    let left = incarnations(&store, &id(1)).expect("listed");
    assert_eq!(left[&[7; 16]], BTreeSet::from([1, 10]));
    assert!(incarnations(&store, &id(2)).expect("listed").is_empty());
}
