//! Other writers of a tenant, other keys and incarnations, and epochs that are over.

use super::*;
use crate::keys::epochs::Epochs;
use crate::storage::catalog::seam::WriteCatalog;
use crate::storage::database::CatalogKeys;

fn open_with(kept: &Kept, keys: &CatalogKeys) -> StorageError {
    let database = connect(&kept.address);
    let opened = super::super::open(&database, kept.dir.path(), &id("acme"), keys, signer());
    opened.err().expect("refused")
}

#[test]
fn of_two_writers_the_second_is_told_and_refuses_from_then_on() {
    let Some(kept) = Kept::new() else { return };
    // Who opens it last goes on.
    let (mut other, mut one) = (kept.open(), kept.open());
    enrolled(&mut one, "s1", 1);
    let group = || vec![Write::Enroll(enroll("r2", "s2", &[2]))];
    let refused = commit(&mut other, group()).expect_err("stale");
    assert!(
        matches!(&refused, StorageError::Overtaken(reason) if reason.starts_with("it has change ")),
        "{refused}"
    );
    assert!(other.writer.check().is_err());
    // It reads what is there, and what it wrote is nowhere.
    assert_eq!(
        other.reader.first_known(&[id("s1")]).expect("read"),
        Some(id("s1"))
    );
    assert_eq!(other.reader.first_known(&[id("s2")]).expect("read"), None);
    enrolled(&mut one, "s3", 3);
    let mut other = kept.open();
    enrolled(&mut other, "s2", 2);
    assert_eq!(other.writer.state().subjects, 3);
    assert!(commit(&mut one, group()).is_err());
    kept.open();
}

#[test]
fn two_writers_at_once_corrupt_nothing() {
    let Some(kept) = Kept::new() else { return };
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let kept = &kept;
        let each = [(); 2].map(|()| kept.open()).into_iter().enumerate();
        let running: Vec<_> = each
            .map(|(who, mut catalog)| {
                scope.spawn(move || {
                    let names = (0..20).map(|n| format!("w{who}-{n}"));
                    let done = names.take_while(|name| {
                        let write = Write::Enroll(enroll(name, name, &[1]));
                        commit(&mut catalog, vec![write]).is_ok()
                    });
                    done.collect::<Vec<_>>()
                })
            })
            .collect();
        running
            .into_iter()
            .flat_map(|one| one.join().expect("no panic"))
            .collect()
    });
    assert!(acknowledged.len() >= 20, "one of them goes on");
    // Counted against its head as it is opened.
    let catalog = kept.open();
    assert_eq!(catalog.writer.state().subjects, acknowledged.len() as u64);
    for name in &acknowledged {
        let known = catalog.reader.first_known(&[id(name)]).expect("read");
        assert!(known.is_some(), "{name}");
    }
}

#[test]
fn another_key_is_told_in_words() {
    let Some(kept) = Kept::new() else { return };
    let secret = CatalogKeys {
        secret: key(3),
        ..keys()
    };
    let refused = open_with(&kept, &secret);
    assert!(matches!(refused, StorageError::CatalogKey { .. }), "{refused}");
    let data_key = CatalogKeys {
        data_key: key(3),
        ..keys()
    };
    let refused = open_with(&kept, &data_key);
    assert!(matches!(refused, StorageError::Keys(_)), "{refused}");
    kept.open();
}

#[test]
fn another_incarnation_is_told_in_words() {
    let (Some(kept), Some(other)) = (Kept::new(), Kept::new()) else {
        return;
    };
    let of = |kept: &Kept| kept.dir.path().join(EPOCHS_FILE);
    fs::copy(of(&other), of(&kept)).expect("copied");
    let refused = open_with(&kept, &keys());
    assert!(matches!(refused, StorageError::Incarnation { .. }), "{refused}");
}

#[test]
fn a_tenant_is_made_once_and_a_making_is_nobody_elses_to_take() {
    let Some(kept) = Kept::new() else { return };
    let database = connect(&kept.address);
    let make = || {
        let dir = TempDir::new().expect("a temporary directory");
        create(&database, dir.path(), &spec("acme"), &keys()).map(|made| (dir, made))
    };
    let is_in_the_making = |refused: &StorageError| matches!(refused, StorageError::InTheMaking { .. });
    let refused = make().expect_err("another process makes it");
    assert!(is_in_the_making(&refused), "{refused}");
    let other = [9; INCARNATION_LEN];
    assert!(
        !take_back(&database, &id("acme"), &other).expect("asked"),
        "it is not its own"
    );
    // Who opens it has its keys: from then on it is there, though nobody is enrolled.
    kept.open();
    let refused = make().expect_err("it is there");
    assert!(matches!(refused, StorageError::TenantExists(_)), "{refused}");
    assert!(
        !give_up_making(&database, &id("acme")).expect("asked"),
        "it is made"
    );
    enrolled(&mut kept.open(), "s1", 1);
    let unknown = super::super::open(&database, kept.dir.path(), &id("nobody"), &keys(), signer());
    assert!(matches!(unknown.err(), Some(StorageError::TenantUnknown(_))));
}

#[test]
fn a_making_that_was_cut_off_is_given_up_and_its_number_is_not_given_out_again() {
    let Some(kept) = Kept::new() else { return };
    let database = connect(&kept.address);
    assert!(give_up_making(&database, &id("acme")).expect("given up"));
    assert!(
        !give_up_making(&database, &id("acme")).expect("asked"),
        "there is none"
    );
    assert!(kept.try_open().is_err(), "whoever still makes it has nothing");
    let dir = TempDir::new().expect("a temporary directory");
    let made = create(&database, dir.path(), &spec("acme"), &keys()).expect("made");
    assert_eq!(kept.sql("SELECT tenant FROM tenant"), "2");
    assert!(take_back(&database, &id("acme"), &made).expect("taken back"));
    create(
        &database,
        TempDir::new().expect("one").path(),
        &spec("acme"),
        &keys(),
    )
    .expect("made");
    assert_eq!(kept.sql("SELECT tenant FROM tenant"), "3");
}

#[test]
fn tenants_of_one_database_share_nothing() {
    let Some(kept) = Kept::new() else { return };
    let database = connect(&kept.address);
    let dir = TempDir::new().expect("a temporary directory");
    create(&database, dir.path(), &spec("other"), &keys()).expect("made");
    let open = || super::super::open(&database, dir.path(), &id("other"), &keys(), signer()).expect("opened");
    let (mut one, mut other) = (kept.open(), open());
    enrolled(&mut one, "s1", 1);
    enrolled(&mut other, "s1", 1);
    commit(&mut one, vec![erase("e1", "s1")]).expect("erased");
    assert!(other.reader.first_known(&[id("s1")]).expect("read").is_some());
    assert_eq!(other.reader.erasures_open().expect("read"), [0; 0]);
    let lookups = kept.sql("SELECT count(DISTINCT lookup) FROM request");
    assert_eq!(lookups, "3", "the same request of two tenants has two lookups");
    open();
}

#[test]
fn what_an_epoch_sealed_does_not_open_once_it_is_over() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    enrolled(&mut catalog, "s1", 1);
    enrolled(&mut catalog, "s2", 2);
    kept.sql("CREATE TABLE heap AS SELECT * FROM pending");
    let former = kept.epochs().read(1).expect("read").expect("there");
    commit(&mut catalog, vec![erase("e1", "s1")]).expect("erased");
    assert!(catalog.writer.forget_copies().expect("done"));
    assert_eq!(kept.sql("SELECT epoch FROM pending"), "2");
    let file = fs::read_to_string(kept.dir.path().join(EPOCHS_FILE)).expect("readable");
    assert!(!file.contains("\"1\":") && file.contains("\"2\":"));
    assert_eq!(kept.epochs().read(1).expect("read"), None);
    // The remnant is whole, and only the key is gone.
    let row = connect(&kept.address)
        .read(vec![statement!("SELECT sealed FROM heap WHERE reference = 1")])
        .expect("read");
    let sealed: &[u8] = row[0][0].get(0);
    let seal = EpochSeal::new(&former, 1, kept.epochs().incarnation());
    assert_eq!(seal.open(1, sealed).as_deref(), Some(&exact(1)));
    let second = kept.epochs().read(2).expect("read").expect("there");
    let seal = EpochSeal::new(&second, 2, kept.epochs().incarnation());
    assert_eq!(seal.open(1, sealed), None);
    kept.sql("DELETE FROM pending; INSERT INTO pending SELECT * FROM heap WHERE reference = 2");
    let refused = catalog.reader.locate(&[2]).err().expect("its key is gone");
    assert!(
        refused.to_string().contains("lacks the key of epoch 1"),
        "{refused}"
    );
}

#[test]
fn what_an_epoch_sealed_that_did_not_come_opens_under_no_later_one() {
    let Some(kept) = Kept::new() else { return };
    enrolled(&mut kept.open(), "s1", 1);
    // A purge that was undone: its key was made, and rows that were never committed were sealed with it.
    let (epoch, key) = kept.epochs().begin(1).expect("begun");
    let remnant = EpochSeal::new(&key, epoch, kept.epochs().incarnation()).seal(1, &exact(1));
    let mut catalog = kept.open();
    let found = catalog.reader.locate(&[1]).expect("read").remove(0);
    assert!(matches!(found, Some(Located::Pending(row)) if *row.exact == exact(1)));
    commit(&mut catalog, vec![erase("e1", "s1")]).expect("erased");
    assert!(catalog.writer.forget_copies().expect("done"));
    let left = [1, 2, 3].map(|epoch| kept.epochs().read(epoch).expect("read"));
    assert_eq!(left.each_ref().map(Option::is_some), [false, false, true]);
    let [_, _, Some(third)] = left else {
        panic!("there")
    };
    for epoch in [2, 3] {
        let seal = EpochSeal::new(&third, epoch, kept.epochs().incarnation());
        assert_eq!(seal.open(1, &remnant), None);
    }
}

/// Keys of epochs whose end does not come to the disk.
struct CutOff(EpochKeys);

impl Epochs for CutOff {
    fn incarnation(&self) -> [u8; INCARNATION_LEN] {
        self.0.incarnation()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, epoch: u64) -> Result<Option<SecretKey>, crate::keys::error::KeyError> {
        self.0.read(epoch)
    }

    fn known(&self, epoch: u64) -> Result<Option<SecretKey>, crate::keys::error::KeyError> {
        self.0.known(epoch)
    }

    fn may_look_ahead(&self, epoch: u64) -> bool {
        self.0.may_look_ahead(epoch)
    }

    fn look_ahead(&self) -> Result<(), crate::keys::error::KeyError> {
        self.0.look_ahead()
    }

    fn begin(&self, after: u64) -> Result<(u64, SecretKey), crate::keys::error::KeyError> {
        self.0.begin(after)
    }

    fn end_before(&self, _epoch: u64) -> Result<(), crate::keys::error::KeyError> {
        Ok(())
    }
}

#[test]
fn an_epoch_whose_end_was_cut_off_is_ended() {
    let Some(kept) = Kept::new() else { return };
    enrolled(&mut kept.open(), "s1", 1);
    let (database, epochs) = (connect(&kept.address), Arc::new(CutOff(kept.epochs())));
    let tenant = Tenant::find(&database, &id("acme"), &keys().secret, epochs, signer()).expect("found");
    let (head, _, _) = tenant.take_up().expect("taken up");
    let mut writer = tenant.writer(head, Mode::Alone).expect("opened");
    assert!(writer.forget_copies().expect("done"));
    let left = || [1, 2].map(|epoch| kept.epochs().read(epoch).expect("read").is_some());
    assert_eq!(left(), [true, true]);
    let catalog = kept.open();
    assert_eq!(left(), [false, true]);
    let found = catalog.reader.locate(&[1]).expect("read").remove(0);
    assert!(matches!(found, Some(Located::Pending(row)) if *row.exact == exact(1)));
}

#[test]
fn a_rotation_is_refused_in_words() {
    let Some(kept) = Kept::new() else { return };
    let catalog = kept.open();
    let segments = std::collections::BTreeMap::new();
    let next = crate::storage::catalog::seam::NextGeneration {
        path: kept.dir.path(),
        data_key: &key(3),
        segments: &segments,
        convert: None,
    };
    let writer: &dyn WriteCatalog = &*catalog.writer;
    let refused = writer.copy_to(&next).expect_err("not built").to_string();
    assert_eq!(
        refused,
        "the rotation of a tenant's keys is not built for a catalog in a database"
    );
}
