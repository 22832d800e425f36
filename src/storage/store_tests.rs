//! Tests of a store as a whole: creation, damage, and that tenants share nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::model::policy::Policy;
use crate::storage::error::WriteError;
use crate::storage::files::SEGMENTS_DIR;
use crate::storage::place::Place;
use crate::storage::testing::{House, exact, files, id, key, signer, spec};

fn failure(house: House) -> String {
    let House { tmp, dir, store } = house;
    drop(store);
    let error = Store::open(&dir, &id("acme"), &key(1), signer())
        .err()
        .expect("damaged");
    drop(tmp);
    error.to_string()
}

#[test]
fn a_tenant_is_created_once_and_keeps_its_spec() {
    let house = House::new();
    let again = Store::create(&house.dir, &spec("acme"), &key(1), signer())
        .err()
        .expect("there");
    assert!(matches!(again, StorageError::TenantExists(_)), "{again}");
    let house = house.reopen();
    assert_eq!(*house.store.spec(), spec("acme"));
    assert_eq!(
        fs::read_dir(house.path().parent().expect("tenants"))
            .expect("listed")
            .count(),
        1
    );
}

#[test]
fn files_are_private() {
    let house = House::new();
    house.flushed(3);
    house.enroll("late", 9);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for path in files(&house.path()).iter().chain(&house.segment_files()) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert_eq!(mode(&house.path()), 0o700);
    assert_eq!(mode(&house.path().join(SEGMENTS_DIR)), 0o700);
}

#[test]
fn another_key_is_refused_in_words() {
    let house = House::new();
    let House { tmp, dir, store } = house;
    drop(store);
    let refused = Store::open(&dir, &id("acme"), &key(2), signer())
        .err()
        .expect("refused");
    assert!(matches!(refused, StorageError::WrongKey(_)), "{refused}");
    let unknown = Store::open(&dir, &id("bank"), &key(1), signer())
        .err()
        .expect("unknown");
    assert!(matches!(unknown, StorageError::TenantUnknown(_)), "{unknown}");
    drop(tmp);
}

#[test]
fn damage_is_named_with_its_file() {
    let house = House::new();
    house.flushed(3);
    let file = house.segment_file();
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let whole = fs::read(&file).expect("readable");
    fs::write(&file, &whole[..whole.len() - 1]).expect("cut");
    let text = failure(house);
    assert!(text.contains(&name) && text.contains("bytes long"), "{text}");

    let house = House::new();
    house.flushed(3);
    fs::remove_file(house.segment_file()).expect("removed");
    assert!(failure(house).contains("missing"));

    let house = House::new();
    let catalog = house.path().join(CATALOG_FILE);
    let House { tmp, dir, store } = house;
    drop(store);
    fs::write(&catalog, vec![7; 8_192]).expect("written");
    let error = Store::open(&dir, &id("acme"), &key(1), signer())
        .err()
        .expect("damaged");
    assert!(error.to_string().contains("catalog.db is damaged"), "{error}");
    fs::remove_file(&catalog).expect("removed");
    let error = Store::open(&dir, &id("acme"), &key(1), signer())
        .err()
        .expect("damaged");
    assert!(error.to_string().contains("the file is missing"), "{error}");
    drop(tmp);
}

#[test]
fn a_flipped_byte_under_an_open_store_is_named_by_load_or_read() {
    let house = House::new();
    let segment = house.flushed(3);
    let file = house.segment_file();
    let whole = fs::read(&file).expect("readable");
    let place = Place::Segment { segment, row: 1 };
    // Behind the header every block is small here: one byte in each plane and tag is a sample of all.
    for at in (4_096..whole.len()).step_by(5) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x80;
        fs::write(&file, &flipped).expect("written");
        let fault = house
            .store
            .load_segment(segment)
            .err()
            .or_else(|| house.store.read(&[place]).err());
        let text = fault.unwrap_or_else(|| panic!("byte {at} unnoticed")).to_string();
        assert!(
            text.contains("fails authentication") && text.contains("block 0"),
            "{text}"
        );
    }
    fs::write(&file, &whole).expect("restored");
    assert_eq!(house.exact(&[place]), [Some(exact(2))]);
}

#[test]
fn segments_of_another_tenant_and_swapped_segments_are_refused() {
    let house = House::new();
    house.flushed(3);
    let bank = Store::create(&house.dir, &spec("bank"), &key(1), signer()).expect("created");
    let foreign = House {
        tmp: tempfile::tempdir().expect("a directory"),
        store: bank,
        dir: house.dir,
    };
    foreign.flushed(3);
    let files = |tenant: &str| files(&foreign.dir.tenant_path(&id(tenant)).join(SEGMENTS_DIR));
    let (ours, theirs) = (files("acme").remove(0), files("bank").remove(0));
    // The same key on purpose: the tenant's name alone must tell them apart.
    drop((house.store, foreign.store));
    let bytes = fs::read(&theirs).expect("readable");
    fs::write(&ours, &bytes).expect("copied");
    let error = Store::open(&foreign.dir, &id("acme"), &key(1), signer())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("another"), "{error}");

    let house = House::new();
    house.flushed(3);
    house.enroll("a", 10);
    house.enroll("b", 11);
    house.enroll("c", 12);
    house.flush().expect("flushed");
    let two = house.segment_files();
    let bytes = [&two[0], &two[1]].map(|path| fs::read(path).expect("readable"));
    fs::write(&two[0], &bytes[1]).expect("written");
    fs::write(&two[1], &bytes[0]).expect("written");
    assert!(failure(house).contains("its header is of another segment"));
}

#[test]
fn the_same_palm_gives_unrelated_bytes_in_two_tenants() {
    let house = House::new();
    house.flushed(1);
    let other = House::new();
    other.flushed(1);
    let plain = exact(1);
    for house in [&house, &other] {
        assert!(house.files_with(&plain[..16]).is_empty(), "nothing in the clear");
    }
    let sealed = house.sealed_row(1, 0);
    assert!(other.files_with(&sealed[..16]).is_empty());
}

#[test]
fn a_catalog_of_a_newer_release_is_refused() {
    let house = House::new();
    let conn = house.sql();
    conn.execute_batch("PRAGMA user_version = 5").expect("set");
    drop(conn);
    assert!(failure(house).contains("catalog.db has format 5"));
}

#[test]
fn a_catalog_that_disagrees_with_a_segment_is_found() {
    let house = House::new();
    let segment = house.flushed(3);
    let conn = house.sql();
    conn.execute_batch("UPDATE segment SET holes = 1").expect("set");
    drop(conn);
    let house = house.reopen();
    let error = house.store.load_segment(segment).err().expect("damaged");
    assert!(
        error.to_string().contains("it has 0 holes; the catalog has 1"),
        "{error}"
    );
}

#[test]
fn rows_that_are_not_those_of_the_catalog_are_damage() {
    let house = House::new();
    house.flushed(2);
    house.enroll("late", 9);
    house.store.check_loaded(3).expect("all of them");
    let refused = house
        .store
        .check_loaded(2)
        .expect_err("one is missing")
        .to_string();
    assert!(
        refused.contains("its segments and pending rows are 2 references; its catalog counts 3"),
        "{refused}"
    );
}

#[test]
fn holes_are_rows_without_scale() {
    let mut scale = vec![1; 5 * SCALE_LEN];
    scale[..SCALE_LEN].fill(0);
    scale[3 * SCALE_LEN..4 * SCALE_LEN].fill(0);
    assert_eq!(holes(&scale).collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn a_policy_is_replaced_once_a_request_and_stays() {
    let house = House::new();
    let first = house.store.policy().expect("there");
    assert_eq!(first, spec("acme").policy);
    let with = |margin: f32| Policy {
        margin,
        ..first.clone()
    };
    house.set_policy("a", &with(0.1)).expect("set");
    house.set_policy("b", &with(0.2)).expect("set");
    // Repetitions, and the same id for something else.
    house.set_policy("a", &with(0.1)).expect("done before");
    assert_eq!(
        house.set_policy("a", &with(0.3)),
        Err(WriteError::RequestIdReused)
    );
    assert_eq!(house.store.policy().expect("there"), with(0.2));
    let crashed = house.crash();
    assert_eq!(crashed.store.policy().expect("there"), with(0.2));
    assert_eq!(crashed.store.spec().policy, with(0.2));
    assert_eq!(house.reopen().store.spec().policy, with(0.2));
}
