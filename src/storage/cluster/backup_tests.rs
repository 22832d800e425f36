//! Tests of backups of a tenant that the nodes of a cluster share: what comes out of one is what was there at one moment, whoever writes meanwhile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::cluster::course::Reference;
use crate::model::signature::Dimension;
use crate::model::timestamp::Timestamp;
use crate::storage::archive::ArchiveReader;
use crate::storage::catalog::local;
use crate::storage::catalog::local::relocate::LocalRows;
use crate::storage::catalog::relocate::{Piece, Table};
use crate::storage::catalog::segments::Located;
use crate::storage::cluster::segments::{SegmentKeys, Segments};
use crate::storage::cluster::{SegmentObject, SharedCatalog};
use crate::storage::data_dir::{DataDir, tenant_path};
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::objects::Objects;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::testing::cache_config;
use crate::storage::on_cluster::KEY_GENERATION;
use crate::storage::place::StoredRow;
use crate::storage::relocate::tests::assert_same;
use crate::storage::relocate::tests::stopped::Stopped;
use crate::storage::restore;
use crate::storage::store::Store;
use crate::storage::testing::{DIM, enroll, enrolled, erase, erased, id, key, keys, rows, signer, signers};
use crate::storage::verify::verify;
use crate::storage::write::{SubjectKey, Write};

/// A tenant of a cluster, and a directory for what comes out of its backups.
struct World {
    stopped: Stopped,
    tmp: TempDir,
}

impl World {
    /// `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let stopped = Stopped::new()?;
        stopped.relocate().expect("relocated");
        let tmp = tempfile::tempdir().expect("a directory");
        fs::create_dir(tmp.path().join("scratch")).expect("made");
        Some(Self { stopped, tmp })
    }

    fn scratch(&self) -> PathBuf {
        self.tmp.path().join("scratch")
    }

    /// Backs up through this, and leaves nothing behind but what went through.
    fn backup_through(&self, to: &mut dyn io::Write) -> Result<Option<Snapshot>, StorageError> {
        let scratch = self.scratch();
        let engines = Engines {
            database: &self.stopped.database,
            store: &self.stopped.yard.store,
            signer: signer(),
            scratch: &scratch,
        };
        let mut archive = ArchiveWriter::new(to);
        let done = engines.backup(&id("acme"), &keys(), &mut archive);
        if matches!(done, Ok(Some(_))) {
            archive.finish().expect("written");
        }
        let left: Vec<_> = fs::read_dir(&scratch).expect("readable").collect();
        assert!(left.is_empty(), "{left:?}");
        done
    }

    fn backup(&self) -> (Snapshot, Vec<u8>) {
        let mut bytes = Vec::new();
        let snapshot = self.backup_through(&mut bytes).expect("sound").expect("there");
        (snapshot, bytes)
    }

    fn data(&self) -> PathBuf {
        self.tmp.path().join("data")
    }

    /// Writes the files of a backup.
    fn unpack(&self, bytes: &[u8]) -> Snapshot {
        let data = self.data();
        let mut from = bytes;
        let mut archive = ArchiveReader::new(&mut from);
        loop {
            match archive.next_entry().expect("readable").expect("a catalog comes") {
                EntryName::Segment(tenant, ulid) => {
                    restore::write_segment(&data, &tenant, ulid, &mut archive).expect("written");
                }
                EntryName::Catalog(tenant) => {
                    return restore::write_catalog(&data, &tenant, &key(1), &mut archive).expect("written");
                }
                other => panic!("{other}"),
            }
        }
    }

    /// Restores a backup, with who was erased since, and verifies all of it.
    fn restore(&self, bytes: &[u8], later: &[ErasureEntry]) -> (Snapshot, DataDir) {
        let (snapshot, data) = (self.unpack(bytes), self.data());
        let (_, found) = restore::finish(&data, &id("acme"), &key(1), (&signer(), &signers()), later, false)
            .expect("finished");
        assert!(found.faults.is_empty() && found.counted, "{:?}", found.faults);
        DataDir::init(&data).expect("made");
        (snapshot, DataDir::open(&data).expect("opened"))
    }

    fn segment_keys(&self) -> SegmentKeys {
        SegmentKeys {
            home: Home::of(&id("acme"), &self.stopped.incarnation()),
            generation: KEY_GENERATION,
            dimension: Dimension::new(DIM).expect("valid"),
            data_key: key(1),
        }
    }

    fn segments(&self) -> Segments {
        let store = self.stopped.yard.store.clone();
        let cache = cache_config(&self.tmp.path().join("node"), 1 << 20);
        let objects = Objects::of(store, &cache).expect("opened");
        Segments::open(&objects, self.tmp.path().join("staging")).expect("opened")
    }
}

fn write(shared: &SharedCatalog, segments: &Segments, keys: &SegmentKeys, write: Write) -> Answer {
    let sealed = |object: &SegmentObject, row| segments.sealed(keys, object, row);
    let mut answers = shared.commit(&[write], Timestamp::now(), &sealed).expect("done");
    answers.remove(0)
}

type Answer = Result<crate::storage::write::Committed, crate::storage::error::WriteError>;

#[test]
fn what_comes_back_is_what_was_there() {
    let Some(world) = World::new() else { return };
    let (snapshot, bytes) = world.backup();
    assert_eq!((snapshot.segments, snapshot.last_erasure), (3, 3), "{snapshot:?}");
    assert_eq!(world.unpack(&bytes), snapshot);
    let found = verify(&world.data(), &id("acme"), &key(1), &signers());
    assert!(found.faults.is_empty() && found.counted, "{:?}", found.faults);
    let dir = tenant_path(&world.data(), &id("acme"));
    let back = local::open(&dir, &id("acme"), &key(1), signer()).expect("opened");
    assert_same(&world.stopped.local(), &back);
    drop(back);
    // Every row of every table.
    let rows = |dir: &Path| LocalRows::open(dir, &id("acme"), &key(1)).expect("opened");
    let (was, is) = (rows(&world.stopped.path()), rows(&dir));
    for table in Table::ALL {
        let [one, other] = [&was, &is].map(|it| it.piece(table, 0, 1_000).expect("read"));
        let scrubbed = |piece: Piece| match piece {
            // The id of one whose answer is scrubbed is not kept.
            Piece::Requests(before, mut rows) => {
                rows.retain(|(_, kept)| !kept.digest.is_empty());
                Piece::Requests(before, rows)
            }
            piece => piece,
        };
        assert!(scrubbed(one) == scrubbed(other), "{table:?}");
    }
    let chain = |it: &LocalRows| it.summary().expect("read").chain;
    assert_eq!(chain(&was), chain(&is));
}

#[test]
fn a_tenant_that_was_restored_before_is_backed_up_in_a_few_reads() {
    let Some(world) = World::new() else { return };
    // As a restore leaves it: numbers that no loop could count through.
    let shared = world.stopped.shared();
    let (references, subjects) = shared.reserve(1 << 40).expect("given out");
    assert!(references > 0 && subjects > 0);
    let (segments, keys) = (world.segments(), world.segment_keys());
    enrolled(write(
        &shared,
        &segments,
        &keys,
        Write::Enroll(enroll("far", "far", &[80])),
    ));
    let (_, bytes) = world.backup();
    let (_, dir) = world.restore(&bytes, &[]);
    let store = Store::open(&dir, &id("acme"), &key(1), signer()).expect("opened");
    let far = store.subject(&SubjectKey::Id(id("far"))).expect("read");
    assert!(far.is_some());
}

#[test]
fn a_moment_between_the_steps_of_others_is_whole() {
    let Some(world) = World::new() else { return };
    let (shared, segments, keys) = (world.stopped.shared(), world.segments(), world.segment_keys());
    let write = |it| write(&shared, &segments, &keys, it);
    enrolled(write(Write::Enroll(enroll("early", "early", &[70]))));
    assert!(shared.forget_copies().expect("another epoch begins"));
    enrolled(write(Write::Enroll(enroll("late", "late", &[71]))));
    enrolled(write(Write::Enroll(enroll("short", "short", &[72]))));
    // Of a row in a segment, and of one that is in none.
    let in_segment = erased(write(erase("erase-s5", "s5"))).0.erasure;
    erased(write(erase("erase-s36", "s36")));
    // The first step of a flush: it is listed, and its rows do not count there yet.
    let (_, fresh) = shared.load_fresh(None).expect("read");
    let ids: Vec<_> = fresh.iter().map(|row| row.id).collect();
    let object = segments
        .put(&keys, &rows(&ids), |ulid| shared.intend(ulid))
        .expect("put");
    shared.warm(object, &ids).expect("listed");
    // Whose row is on its way there.
    erased(write(erase("erase-short", "short")));
    let (snapshot, bytes) = world.backup();
    assert_eq!((snapshot.segments, snapshot.last_erasure), (3, 6), "{snapshot:?}");
    let later = ErasureEntry {
        tenant: id("acme"),
        created_at: snapshot.created_at,
        erasure: 7,
        sequence: snapshot.sequence + 1,
        subject_id: id("s6"),
        erased_at: Timestamp::now(),
    };
    let (_, dir) = world.restore(&bytes, &[later]);
    let store = Store::open(&dir, &id("acme"), &key(1), signer()).expect("opened");
    for (subject, is_there) in [
        ("early", true),
        ("late", true),
        ("s7", true),
        ("s5", false),
        ("s36", false),
        ("short", false),
        ("s6", false),
    ] {
        let record = store.subject(&SubjectKey::Id(id(subject))).expect("read");
        assert_eq!(record.is_some(), is_there, "{subject}");
    }
    let answer = store.erasure(in_segment).expect("read").expect("it is known");
    assert!(answer.purged, "its row went out of the file: {answer:?}");
    drop(store);
    let back = local::open(&dir.tenant_path(&id("acme")), &id("acme"), &key(1), signer()).expect("opened");
    let references: Vec<u64> = fresh.iter().map(|row| row.id.reference).collect();
    let located = back.reader.locate(&references).expect("read").into_iter();
    let is_there = |row: &&StoredRow| row.id.subject != fresh.last().expect("short's").id.subject;
    for (at, row) in located.zip(fresh.iter()).filter(|(_, row)| is_there(row)) {
        assert!(
            matches!(at, Some(Located::Pending(there)) if there.id == row.id && *there.exact == *row.exact),
            "{:?}",
            row.id
        );
    }
}

/// Does something once, before it takes the first bytes.
struct Interrupted<'a, F: FnOnce()> {
    to: &'a mut Vec<u8>,
    first: Option<F>,
}

impl<F: FnOnce()> io::Write for Interrupted<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(first) = self.first.take() {
            first();
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_segment_that_is_rewritten_while_it_is_copied_is_left_behind() {
    let Some(world) = World::new() else { return };
    let (shared, segments, keys) = (world.stopped.shared(), world.segments(), world.segment_keys());
    let purge = || {
        let (answer, _) = erased(write(&shared, &segments, &keys, erase("erase-s5", "s5")));
        let (_, listed) = shared.load_segment(1).expect("read");
        let listed = listed.expect("there");
        let (row, reference) = listed
            .dead
            .iter()
            .next()
            .map(|(row, of)| (*row, *of))
            .expect("s5's");
        let gone: BTreeMap<u32, Reference> = BTreeMap::from([(row, reference)]);
        let object = segments
            .rewrite(&keys, &listed.object, &gone, |ulid| shared.intend(ulid))
            .expect("put");
        shared
            .replace(1, listed.object.ulid, object, &gone)
            .expect("listed");
        segments
            .destroy(&keys.home, &[(listed.object.ulid, KEY_GENERATION)])
            .expect("gone");
        assert!(shared.forget_copies().expect("another epoch"));
        assert_eq!(
            shared
                .mark_purged(&[answer.erasure], Timestamp::now())
                .expect("marked"),
            1
        );
    };
    let mut bytes = Vec::new();
    let mut through = Interrupted {
        to: &mut bytes,
        first: Some(purge),
    };
    let snapshot = world.backup_through(&mut through).expect("sound").expect("there");
    assert!(through.first.is_none());
    assert_eq!((snapshot.segments, snapshot.last_erasure), (3, 4), "{snapshot:?}");
    let (_, dir) = world.restore(&bytes, &[]);
    let store = Store::open(&dir, &id("acme"), &key(1), signer()).expect("opened");
    assert!(store.subject(&SubjectKey::Id(id("s5"))).expect("read").is_none());
    assert!(store.subject(&SubjectKey::Id(id("s6"))).expect("read").is_some());
}

#[test]
fn what_is_not_there_is_told_and_nothing_is_called_a_backup() {
    let Some(world) = World::new() else { return };
    let dump = world
        .stopped
        .shared()
        .load_segment(1)
        .expect("read")
        .1
        .expect("there");
    let key = world.segment_keys().key(dump.object.ulid);
    let path = world.stopped.yard.object(&key);
    let mut object = fs::read(&path).expect("there");
    let last = object.last_mut().expect("it is long");
    *last ^= 1;
    fs::write(&path, &object).expect("written");
    let spoiled = world.backup_through(&mut io::sink()).expect_err("not authentic");
    assert!(
        spoiled.to_string().contains(&dump.object.ulid.to_string()),
        "{spoiled}"
    );
    fs::remove_file(&path).expect("there");
    let missing = world.backup_through(&mut io::sink()).expect_err("it is gone");
    assert!(
        matches!(&missing, StorageError::Object(ObjectError::Missing { .. })),
        "{missing}"
    );
    let sql = "DELETE FROM reference WHERE segment IS NULL";
    world.stopped.server.sql(&world.stopped.address, sql);
    let uncounted = world.backup_through(&mut io::sink()).expect_err("rows are gone");
    assert!(
        matches!(uncounted, StorageError::CatalogDamaged { .. }),
        "{uncounted}"
    );
    world
        .stopped
        .server
        .sql(&world.stopped.address, "DELETE FROM tenant");
    let dropped = world.backup_through(&mut io::sink()).expect("nothing is wrong");
    assert_eq!(dropped, None);
}

#[test]
fn an_output_that_fails_is_told() {
    struct Full(RefCell<usize>);
    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut left = self.0.borrow_mut();
            *left = left.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let Some(world) = World::new() else { return };
    let (_, whole) = world.backup();
    // Before anything, within a segment, within the catalog.
    for room in [0, 5_000, whole.len() - 5_000] {
        let failed = world
            .backup_through(&mut Full(RefCell::new(room)))
            .expect_err("full");
        assert!(failed.to_string().contains("the backup"), "{failed}");
    }
}
