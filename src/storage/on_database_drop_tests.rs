//! Tests of a tenant's two sides: they come and go together, and what a crash leaves of either is found.

use std::fs;

use super::data_dir::{Catalogs, DataDir};
use super::database::Database;
use super::database::testing::{Server, connect};
use super::error::StorageError;
use super::store::Store;
use super::testing::{House, id, keys, signer, spec};

/// Tenants `acme` and `other` on one database, with some rows each.
fn two() -> Option<(House, Store, Database, String)> {
    let address = Server::shared()?.fresh();
    let database = connect(&address);
    let tmp = tempfile::tempdir().expect("a directory");
    let path = tmp.path().join("data");
    DataDir::init(&path).expect("init");
    let mut dir = DataDir::open(&path).expect("open");
    dir.keep_catalogs_in_database().expect("new");
    let make = |name: &str| {
        Store::create_on(&database.clone().into(), &dir, &spec(name), &keys(), signer()).expect("created")
    };
    let (store, other) = (make("acme"), make("other"));
    let house = House { tmp, dir, store };
    house.flushed(2);
    house.enroll("pending", 7);
    house.erase("s1");
    Some((house, other, database, address))
}

fn rows_of(address: &str, tenant: u32) -> usize {
    let server = Server::shared().expect("it runs");
    let tables = [
        "tombstone",
        "erasure",
        "pending",
        "reference",
        "link",
        "subject",
        "segment",
        "usage",
        "checkpoint",
        "request",
        "tenant",
    ];
    let count = |table: &&str| {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant = {tenant}");
        server.sql(address, &sql).parse::<usize>().expect("a number")
    };
    tables.iter().map(count).sum()
}

#[test]
fn a_tenant_that_is_removed_leaves_neither_rows_nor_files() {
    let Some((house, other, database, address)) = two() else {
        return;
    };
    assert!(rows_of(&address, 1) > 5);
    let kept = rows_of(&address, 2);
    house.store.close();
    Store::remove_on(&database.clone().into(), &house.dir, &id("acme")).expect("removed");
    assert_eq!((rows_of(&address, 1), rows_of(&address, 2)), (0, kept));
    assert!(!house.dir.tenant_path(&id("acme")).exists());
    assert_eq!(
        database.tenants().expect("read").into_keys().collect::<Vec<_>>(),
        [id("other")]
    );
    // Asked again, it is done.
    Store::remove_on(&database.clone().into(), &house.dir, &id("acme")).expect("done before");
    drop(other);
}

#[test]
fn rows_without_their_directory_are_left_alone() {
    let Some((house, _other, database, address)) = two() else {
        return;
    };
    let before = rows_of(&address, 1);
    fs::rename(house.dir.tenant_path(&id("acme")), house.tmp.path().join("moved")).expect("moved");
    let refusal = Store::remove_on(&database.clone().into(), &house.dir, &id("acme")).expect_err("whose?");
    assert!(
        matches!(refusal, StorageError::DirectoryMissing { .. }),
        "{refusal}"
    );
    assert_eq!(rows_of(&address, 1), before);
    // A directory of another incarnation removes nothing of this one.
    let lost = house.dir.tenant_path(&id("acme"));
    fs::create_dir(&lost).expect("made");
    fs::copy(
        house.dir.tenant_path(&id("other")).join("catalog.epochs"),
        lost.join("catalog.epochs"),
    )
    .expect("copied");
    let others = rows_of(&address, 2);
    assert!(others > 0);
    Store::remove_on(&database.clone().into(), &house.dir, &id("acme")).expect("removed");
    assert_eq!(rows_of(&address, 1), before);
}

#[test]
fn a_making_that_was_cut_off_leaves_no_row() {
    let Some((house, other, database, address)) = two() else {
        return;
    };
    let path = house.dir.path().to_owned();
    drop(other);
    // As after a crash between the row and the name.
    let made = path.join("tenants/other");
    let unfinished = path.join("tenants/.new-01ARZ3NDEKTSV4RRFFQ69G5FAV");
    fs::rename(&made, &unfinished).expect("moved");
    let server = Server::shared().expect("it runs");
    server.sql(&address, "UPDATE tenant SET commits = 0 WHERE name = 'other'");
    let House { tmp, dir, store } = house;
    drop((dir, store));
    let dir = DataDir::open(&path).expect("open");
    assert!(unfinished.exists());
    Store::clear_unfinished_on(&database.clone().into(), &dir).expect("cleared");
    assert!(!unfinished.exists());
    assert_eq!(rows_of(&address, 2), 0);
    assert!(rows_of(&address, 1) > 5);
    drop(tmp);
}

#[test]
fn a_directory_says_that_its_catalogs_are_in_a_database() {
    let house = House::new();
    let House { tmp, mut dir, store } = house;
    let refusal = dir.keep_catalogs_in_database().expect_err("it has one");
    assert!(matches!(refusal, StorageError::CatalogHere { .. }), "{refusal}");
    drop((dir, store));
    let path = tmp.path().join("new");
    DataDir::init(&path).expect("init");
    let mut dir = DataDir::open(&path).expect("open");
    assert_eq!(dir.catalogs(), Catalogs::Here);
    dir.keep_catalogs_in_database().expect("it is empty");
    drop(dir);
    let mut dir = DataDir::open(&path).expect("open");
    assert_eq!(dir.catalogs(), Catalogs::InDatabase);
    dir.keep_catalogs_in_database().expect("it does");
    assert_eq!(
        fs::read_to_string(path.join("FORMAT")).expect("there"),
        "thenar 3\n"
    );
    let refusal = super::data_dir::tenants(&path).expect_err("not here");
    assert!(matches!(refusal, StorageError::CatalogElsewhere(_)), "{refusal}");
}
