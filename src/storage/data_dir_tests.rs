//! Tests of the data directory: lock, format, tenants and what a crash leaves.

use super::*;
use crate::storage::store::Store;
use crate::storage::testing::{House, id, key, signer, spec};

#[test]
fn a_second_opening_is_refused_with_the_process_named() {
    let house = House::new();
    let refusal = DataDir::open(house.dir.path()).expect_err("in use");
    let text = refusal.to_string();
    assert!(
        text.contains(&format!("in use by process {}", std::process::id())),
        "{text}"
    );
    let path = house.dir.path().to_owned();
    let House { tmp, dir, store } = house;
    drop((dir, store));
    DataDir::open(path).expect("free again");
    drop(tmp);
}

#[test]
fn what_is_not_a_data_directory_is_refused() {
    let tmp = tempfile::tempdir().expect("a directory");
    for path in [tmp.path().to_owned(), tmp.path().join("none")] {
        let refusal = DataDir::open(path).expect_err("no data directory");
        assert!(matches!(refusal, StorageError::NotADataDirectory(_)), "{refusal}");
    }
}

#[test]
fn a_directory_into_which_everybody_may_put_files_is_refused() {
    let tmp = tempfile::tempdir().expect("a directory");
    let path = tmp.path();
    let set = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    set(0o777);
    let refusal = DataDir::init(path).expect_err("refused");
    assert!(
        matches!(refusal, StorageError::Exposed { mode: 0o777, .. }),
        "{refusal}"
    );
    assert_eq!(fs::read_dir(path).expect("listed").count(), 0, "nothing was made");
    // As the root of a container's volume is.
    set(0o755);
    DataDir::init(path).expect("made");
    drop(DataDir::open(path).expect("opened"));
    set(0o757);
    let refusal = DataDir::open(path).expect_err("refused");
    assert!(matches!(refusal, StorageError::Exposed { .. }), "{refusal}");
}

#[test]
fn init_happens_once() {
    let house = House::new();
    let again = DataDir::init(house.dir.path()).expect_err("there already");
    assert!(matches!(again, StorageError::Initialised(_)), "{again}");
    assert_eq!(house.dir.tenants().expect("listed"), [id("acme")]);
}

#[test]
fn other_and_damaged_formats_are_refused() {
    let tmp = tempfile::tempdir().expect("a directory");
    DataDir::init(tmp.path()).expect("init");
    fs::write(tmp.path().join(FORMAT_FILE), "thenar 4\n").expect("written");
    let newer = DataDir::open(tmp.path()).expect_err("newer");
    assert!(
        matches!(
            newer,
            StorageError::NewerFormat {
                found: 4,
                supported: 3,
                ..
            }
        ),
        "{newer}"
    );
    fs::write(tmp.path().join(FORMAT_FILE), "thenar 1\n").expect("written");
    let older = DataDir::open(tmp.path()).expect_err("older");
    assert!(
        matches!(older, StorageError::OlderFormat { found: 1, .. }),
        "{older}"
    );
    assert!(tenants(tmp.path()).is_err());
    fs::write(tmp.path().join(FORMAT_FILE), "?").expect("written");
    let damaged = DataDir::open(tmp.path()).expect_err("damaged");
    assert!(damaged.to_string().contains("FORMAT is damaged"), "{damaged}");
}

#[test]
fn what_a_crash_left_half_made_or_half_removed_is_cleared() {
    let tmp = tempfile::tempdir().expect("a directory");
    DataDir::init(tmp.path()).expect("init");
    let tenants = tmp.path().join(TENANTS_DIR);
    for name in [".new-01ABC", ".dropped-01ABC"] {
        fs::create_dir_all(tenants.join(name).join("segments")).expect("created");
    }
    let dir = DataDir::open(tmp.path()).expect("opened");
    assert_eq!(fs::read_dir(&tenants).expect("a directory").count(), 0);
    assert!(dir.tenants().expect("listed").is_empty());
}

#[test]
fn a_removed_tenant_is_gone_and_can_be_made_anew() {
    let house = House::new();
    house.flushed(3);
    let House { tmp, dir, store } = house;
    drop(store);
    dir.remove_tenant(&id("acme")).expect("removed");
    assert!(!dir.tenant_path(&id("acme")).exists());
    assert!(dir.tenants().expect("listed").is_empty());
    let unknown = dir.remove_tenant(&id("acme")).expect_err("gone");
    assert!(matches!(unknown, StorageError::TenantUnknown(_)), "{unknown}");
    let store = Store::create(&dir, &spec("acme"), &key(2), signer()).expect("anew");
    assert_eq!(store.stats().expect("figures").references, 0);
    drop(tmp);
}

#[test]
fn tenants_are_listed_by_id() {
    let house = House::new();
    for tenant in ["zoo", "bank"] {
        Store::create(&house.dir, &spec(tenant), &key(3), signer()).expect("created");
    }
    assert_eq!(
        house.dir.tenants().expect("listed"),
        [id("acme"), id("bank"), id("zoo")]
    );
}
