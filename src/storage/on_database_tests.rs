//! Tests of a store whose catalog is in a database: what holds of one in a directory holds of it, over files here and rows there.

use std::ops::Deref;
use std::path::PathBuf;

use tempfile::TempDir;

use super::catalog::postgres;
use super::data_dir::DataDir;
use super::database::give_up_making;
use super::database::testing::{Server, connect};
use super::error::{StorageError, WriteError};
use super::import::ImportStart;
use super::objects::testing::{objects, stored_in};
use super::on_database::Engines;
use super::place::{Place, RowId};
use super::store::Store;
use super::testing::{House, enroll, exact, files, id, import, key, keys, rows, signer, spec, subjects};
use super::write::Write;
use crate::keys::receipt;
use crate::model::erasure::ErasureState;
use crate::model::policy::ThresholdRule;

/// A tenant `acme` with its catalog in a database, and its segments in a data directory or an object store.
struct Joined {
    house: House,
    engines: Engines,
}

impl Deref for Joined {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl Joined {
    /// One with its segments in each place; none where there is no server.
    fn everywhere() -> Vec<Self> {
        let Some(server) = Server::shared() else {
            return Vec::new();
        };
        [false, true]
            .map(|with_objects| {
                let tmp = TempDir::new().expect("a temporary directory");
                DataDir::init(tmp.path().join("data")).expect("init");
                let engines = Engines {
                    database: connect(&server.fresh()),
                    objects: with_objects.then(|| objects(tmp.path())),
                };
                let dir = DataDir::open(tmp.path().join("data")).expect("open");
                let store =
                    Store::create_on(&engines, &dir, &spec("acme"), &keys(), signer()).expect("created");
                let house = House { tmp, dir, store };
                Self { house, engines }
            })
            .into()
    }

    /// Closes all and opens it again.
    fn reopen(self) -> Self {
        let Self { house, mut engines } = self;
        let House { tmp, dir, store } = house;
        drop((store, dir));
        if engines.objects.take().is_some() {
            engines.objects = Some(objects(tmp.path()));
        }
        let dir = DataDir::open(tmp.path().join("data")).expect("open");
        let store = Store::open_on(&engines, &dir, &id("acme"), &keys(), signer()).expect("open");
        let house = House { tmp, dir, store };
        Self { house, engines }
    }

    /// Segment files, or objects.
    fn segment_files(&self) -> Vec<PathBuf> {
        if self.engines.objects.is_none() {
            return self.house.segment_files();
        }
        assert_eq!(files(&self.path().join("staging")), [] as [PathBuf; 0]);
        stored_in(&self.tmp.path().join("store"))
    }

    fn purged(&self, erasure: u64) -> bool {
        let answer = self.store.erasure(erasure).expect("read").expect("there");
        let receipt = receipt::verify_of(&answer.receipt, signer().public_key()).expect("signed");
        assert_eq!(receipt.state == ErasureState::Purged, answer.purged);
        answer.purged
    }
}

#[test]
fn what_was_enrolled_is_read_from_database_and_segments() {
    for joined in Joined::everywhere() {
        joined.flushed(3);
        joined.enroll("late", 9);
        let joined = joined.reopen();
        let places: Vec<Place> = ["s2", "late", "s1"]
            .iter()
            .flat_map(|subject| {
                joined
                    .store
                    .subject_rows(&id(subject))
                    .expect("read")
                    .expect("there")
            })
            .collect();
        let expected = [2, 9, 1].map(|seed| Some(exact(seed)));
        assert_eq!(joined.exact(&places), expected);
        let stats = joined.store.stats().expect("counted");
        assert_eq!(
            (stats.subjects, stats.references, stats.pending, stats.segments),
            (4, 4, 1, 1)
        );
        assert_eq!(joined.store.pending().expect("read"), [4]);
        let mut policy = spec("acme").policy;
        policy.threshold = ThresholdRule::Score(0.75);
        joined.set_policy("p1", &policy).expect("set");
        assert_eq!(joined.reopen().store.policy().expect("read"), policy);
    }
}

#[test]
fn a_purge_takes_an_erased_row_from_segments_and_database() {
    for joined in Joined::everywhere() {
        let segment = joined.flushed(3);
        joined.enroll("p1", 7);
        joined.enroll("p2", 8);
        let before = joined.segment_files().remove(0);
        let (in_segment, removed) = joined.erase("s2");
        assert_eq!(removed, [Place::Segment { segment, row: 1 }]);
        assert_eq!(joined.exact(&removed), [None]);
        let (in_database, _) = joined.erase("p1");
        let numbers = [in_segment.erasure, in_database.erasure];
        assert!(numbers.iter().all(|erasure| !joined.purged(*erasure)));
        assert_eq!(joined.store.purge().expect("purged"), 2);
        assert!(numbers.iter().all(|erasure| joined.purged(*erasure)));
        assert!(!before.exists());
        // Whoever was pending and stays is read under the next epoch.
        let joined = joined.reopen();
        assert_eq!(joined.exact(&[Place::Pending { reference: 5 }]), [Some(exact(8))]);
        assert_eq!(joined.store.erasures_pending(), 0);
        assert_eq!(
            joined.exact(&[Place::Segment { segment, row: 2 }]),
            [Some(exact(3))]
        );
    }
}

#[test]
fn an_erasure_beside_a_flush_is_dead_in_it() {
    for joined in Joined::everywhere() {
        joined.enroll("s1", 1);
        joined.enroll("s2", 2);
        let flushed = joined
            .store
            .flush(&joined.store.pending().expect("read"), &|exact, rows| {
                joined.erase("s1");
                super::testing::encode(exact, rows)
            });
        let flushed = flushed.expect("flushed");
        assert_eq!(flushed.dead, [0]);
        let segment = flushed.segment;
        let at = |row| Place::Segment { segment, row };
        assert_eq!(joined.exact(&[at(0), at(1)]), [None, Some(exact(2))]);
        assert_eq!(joined.store.purge().expect("purged"), 1);
        let joined = joined.reopen();
        assert_eq!(joined.exact(&[at(0), at(1)]), [None, Some(exact(2))]);
    }
}

#[test]
fn an_import_is_there_whole_or_not_at_all() {
    for joined in Joined::everywhere() {
        joined.enroll("i2", 1);
        let import_rows = |request: &str, from: u64| {
            let ImportStart::New(mut importer) = joined.store.import(import(request, 10)).expect("begun")
            else {
                panic!("not asked before")
            };
            let ids: Vec<RowId> = importer.reserve(&subjects(from..from + 10))?;
            importer.push(rows(&ids))?;
            importer.commit()
        };
        let refused = import_rows("r1", 0).expect_err("i2 is there");
        assert!(
            matches!(&refused, StorageError::Write(WriteError::SubjectExists { subject_id }) if *subject_id == id("i2")),
            "{refused}"
        );
        assert_eq!(joined.segment_files().len(), 0);
        let (answer, segments) = import_rows("r2", 100).expect("imported");
        assert_eq!((answer.rows, segments.len()), (10, 1));
        assert!(
            matches!(joined.store.import(import("r2", 10)), Ok(ImportStart::Replayed(again)) if again == answer)
        );
        let joined = joined.reopen();
        let place = joined
            .store
            .subject_rows(&id("i104"))
            .expect("read")
            .expect("there");
        assert_eq!(
            joined.exact(&place),
            [Some(exact(answer_reference(&joined, &place)))]
        );
        assert_eq!(joined.store.stats().expect("counted").subjects, 11);
    }
}

/// The reference whose number is the seed of an imported row.
fn answer_reference(joined: &Joined, places: &[Place]) -> u64 {
    let rows = joined.store.read(places).expect("read");
    rows[0].as_ref().expect("there").id.reference
}

#[test]
fn its_keys_are_not_rotated_and_nothing_is_lost_by_trying() {
    for joined in Joined::everywhere() {
        joined.flushed(2);
        let rotation = joined.store.begin_rotation(&joined.dir, &key(5), None);
        let refused = rotation
            .and_then(|rotation| rotation.finish(|_| Ok::<_, StorageError>(())))
            .err()
            .expect("not built");
        assert!(matches!(refused, StorageError::NotBuilt(_)), "{refused}");
        joined.enroll("s3", 3);
        assert_eq!(joined.reopen().store.stats().expect("counted").subjects, 3);
    }
}

#[test]
fn a_making_that_was_cut_off_is_made_again_once_it_is_given_up() {
    let Some(server) = Server::shared() else { return };
    let database = connect(&server.fresh());
    let make = || {
        let tmp = TempDir::new().expect("a temporary directory");
        DataDir::init(tmp.path().join("data")).expect("init");
        let dir = DataDir::open(tmp.path().join("data")).expect("open");
        let made = Store::create_on(&database.clone().into(), &dir, &spec("acme"), &keys(), signer());
        made.map(|store| House { tmp, dir, store })
    };
    // Its files never got a name, and are gone.
    let files = TempDir::new().expect("a temporary directory");
    postgres::create(&database, files.path(), &spec("acme"), &keys()).expect("made");
    let refused = make().err().expect("somebody may still make it");
    assert!(matches!(refused, StorageError::InTheMaking { .. }), "{refused}");
    assert!(give_up_making(&database, &id("acme")).expect("given up"));
    let house = make().expect("made again");
    let other = make().err().expect("it is there, though nobody is enrolled");
    assert!(matches!(other, StorageError::TenantExists(_)), "{other}");
    let write = Write::Enroll(enroll("r1", "s1", &[1]));
    assert!(house.one(write).is_ok());
    let again = make().err().expect("somebody is there");
    assert!(matches!(again, StorageError::TenantExists(_)), "{again}");
}

#[test]
fn a_gallery_of_twenty_thousand_is_imported_opened_and_forgotten_from() {
    const ROWS: u64 = 20_000;
    const AT_ONCE: u64 = 5_000;
    for joined in Joined::everywhere() {
        let ImportStart::New(mut importer) = joined.store.import(import("r1", ROWS)).expect("begun") else {
            panic!("not asked before")
        };
        for from in (0..ROWS).step_by(usize::try_from(AT_ONCE).expect("small")) {
            let ids: Vec<RowId> = importer
                .reserve(&subjects(from..from + AT_ONCE))
                .expect("reserved");
            importer.push(rows(&ids)).expect("taken");
        }
        let (answer, _) = importer.commit().expect("imported");
        assert_eq!(answer.rows, ROWS);
        let joined = joined.reopen();
        assert_eq!(joined.store.stats().expect("counted").subjects, ROWS);
        let (erased, removed) = joined.erase("i12345");
        assert_eq!(removed.len(), 1);
        assert_eq!(joined.store.purge().expect("purged"), 1);
        assert!(joined.purged(erased.erasure));
        let joined = joined.reopen();
        assert_eq!(joined.store.stats().expect("counted").references, ROWS - 1);
        for kept in ["i0", "i12344", "i12346", "i19999"] {
            let place = joined
                .store
                .subject_rows(&id(kept))
                .expect("read")
                .expect("there");
            let expected = exact(answer_reference(&joined, &place));
            assert_eq!(joined.exact(&place), [Some(expected)], "{kept}");
        }
    }
}
