//! Tests of snapshots: one that was taken while a tenant is written to and purged is whole, and damage is named and never left out.

use std::io::Write;

use super::*;
use crate::storage::archive::ArchiveReader;
use crate::storage::place::Place;
use crate::storage::restore;
use crate::storage::testing::{House, exact, files, id, key, signer, signers};
use crate::storage::verify::verify;

fn data(house: &House) -> std::path::PathBuf {
    house.tmp.path().join("data")
}

fn written(house: &House, to: &mut dyn Write) -> Result<Option<Snapshot>, StorageError> {
    let mut archive = ArchiveWriter::new(to);
    let snapshot = backup(&data(house), &id("acme"), &key(1), &mut archive)?;
    archive.finish()?;
    Ok(snapshot)
}

/// Segments and pending rows, holes, tombstones and erasures.
fn furnished() -> House {
    let house = House::new();
    house.flushed(40);
    for seed in 100..110 {
        house.enroll(&format!("late{seed}"), seed);
    }
    house.erase("s3");
    house.store.purge().expect("purged");
    house.flush().expect("flushed");
    house.enroll("later", 200);
    house.erase("s4");
    house
}

/// Restores what was written, and opens it.
fn restored(bytes: &[u8]) -> (Snapshot, House) {
    let tmp = tempfile::tempdir().expect("a directory");
    let data = tmp.path().join("data");
    let mut from = bytes;
    let mut archive = ArchiveReader::new(&mut from);
    let mut snapshot = None;
    while let Some(name) = archive.next_entry().expect("readable") {
        match name {
            EntryName::Segment(tenant, ulid) => {
                restore::write_segment(&data, &tenant, ulid, &mut archive).expect("written");
            }
            EntryName::Catalog(tenant) => {
                let of = restore::write_catalog(&data, &tenant, &key(1), &mut archive);
                snapshot = Some(of.expect("written"));
            }
            other => panic!("{other}"),
        }
    }
    let (erased, found) =
        restore::finish(&data, &id("acme"), &key(1), (&signer(), &signers()), &[], false).expect("sound");
    assert_eq!(erased, 0);
    assert!(
        found.faults.is_empty() && found.orphans.is_empty(),
        "{:?}",
        found.faults
    );
    assert!(found.counted);
    data_dir::DataDir::init(&data).expect("made");
    (snapshot.expect("a catalog came"), House::open(tmp))
}

#[test]
fn what_is_restored_is_what_was_there() {
    let house = furnished();
    let mut bytes = Vec::new();
    let snapshot = written(&house, &mut bytes).expect("sound").expect("there");
    let stats = house.store.stats().expect("figures");
    assert_eq!(
        (
            snapshot.subjects,
            snapshot.references,
            snapshot.sequence,
            snapshot.segments
        ),
        (stats.subjects, stats.references, stats.sequence, stats.segments)
    );
    assert_eq!(snapshot.last_erasure, 2);
    let (from_catalog, again) = restored(&bytes);
    assert_eq!(from_catalog, snapshot);
    assert_eq!(again.store.spec(), house.store.spec());
    for segment in house.store.segments() {
        let places: Vec<Place> = (0..segment.rows)
            .map(|row| Place::Segment {
                segment: segment.number,
                row,
            })
            .collect();
        assert_eq!(again.exact(&places), house.exact(&places));
    }
    for reference in house.store.pending().expect("listed") {
        let place = [Place::Pending { reference }];
        assert_eq!(again.exact(&place), house.exact(&place));
    }
    assert_eq!(again.erase("later").0.erasure, 3, "no number is given out twice");
}

#[test]
fn a_backup_leaves_nothing_behind_in_the_data_directory() {
    let house = furnished();
    let list = || {
        let mut names = data_dir::list(&data(&house)).expect("listed");
        names.sort();
        names
    };
    let before = list();
    written(&house, &mut Vec::new()).expect("sound");
    assert_eq!(list(), before);
    house.store.commit(Vec::new()).expect("goes on");
    assert!(
        verify(&data(&house), &id("acme"), &key(1), &signers())
            .faults
            .is_empty()
    );
}

/// Erases somebody and purges whenever a segment begins to be written, so often.
struct Meddler<'a> {
    house: &'a House,
    bytes: Vec<u8>,
    times: std::ops::Range<u64>,
}

impl Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        if bytes.starts_with(b"THNRSEG")
            && let Some(n) = self.times.next()
        {
            self.house.enroll(&format!("new{n}"), 1_000 + n);
            self.house.erase(&format!("s{n}"));
            self.house.store.purge().expect("purged");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn segments_that_are_purged_meanwhile_are_taken_from_a_newer_moment() {
    let house = House::new();
    house.flushed(30);
    let mut meddler = Meddler {
        house: &house,
        bytes: Vec::new(),
        times: 1..4,
    };
    let snapshot = written(&house, &mut meddler).expect("sound").expect("there");
    assert_eq!(meddler.times, 4..4, "three times in the way");
    assert_eq!((snapshot.last_erasure, snapshot.subjects), (3, 30));
    let segments = meddler.bytes.windows(8).filter(|bytes| bytes == b"THNRSEG\0");
    assert_eq!(segments.count(), 4, "three of them of no use");
    let (_, again) = restored(&meddler.bytes);
    assert_eq!(files(&again.path().join(SEGMENTS_DIR)).len(), 1);
    let place = |row| [Place::Segment { segment: 1, row }];
    for row in 0..3 {
        assert_eq!(again.exact(&place(row)), [None], "erased");
    }
    assert_eq!(again.exact(&place(3)), [Some(exact(4))]);
    // Who was erased while it was made is in the receipts of the snapshot.
    assert!(again.store.erasure(3).expect("read").is_some());
}

#[test]
fn a_tenant_that_never_rests_is_told_of() {
    let house = House::new();
    house.flushed(30);
    let mut meddler = Meddler {
        house: &house,
        bytes: Vec::new(),
        times: 1..30,
    };
    let error = written(&house, &mut meddler).expect_err("never whole");
    assert!(matches!(error, StorageError::Restless(_)), "{error}");
    assert_eq!(meddler.times.start, 1 + TRIES as u64);
}

#[test]
fn damage_is_named_and_nothing_is_left_out() {
    let house = furnished();
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).expect("readable");
        bytes[at] ^= 1;
        fs::write(path, bytes).expect("writable");
    };
    let segment = house.segment_files().remove(0);
    for at in [5, 3_000, 4_200, fs::metadata(&segment).expect("there").len() - 1] {
        let at = usize::try_from(at).expect("small");
        flip(&segment, at);
        let error = written(&house, &mut Vec::new()).expect_err("damaged").to_string();
        let name = segment.file_name().and_then(|name| name.to_str()).expect("text");
        assert!(error.contains(name) && error.contains("damaged"), "{error}");
        flip(&segment, at);
    }
    let aside = segment.with_extension("aside");
    fs::rename(&segment, &aside).expect("renamed");
    let error = written(&house, &mut Vec::new()).expect_err("missing").to_string();
    assert!(error.contains("the file is missing"), "{error}");
    fs::rename(&aside, &segment).expect("renamed");
    written(&house, &mut Vec::new()).expect("sound again");
    // Of a stopped server, whose log is in the catalog.
    let House { tmp, dir, store } = house;
    drop((store, dir));
    let data = tmp.path().join("data");
    let catalog = data.join("tenants/acme").join(CATALOG_FILE);
    let written = || {
        let mut bytes = Vec::new();
        backup(&data, &id("acme"), &key(1), &mut ArchiveWriter::new(&mut bytes))
    };
    for page in 0..fs::metadata(&catalog).expect("there").len() / 4_096 {
        let at = usize::try_from(page).expect("small") * 4_096 + 2_000;
        flip(&catalog, at);
        let error = written().expect_err("damaged").to_string();
        assert!(error.contains("catalog.db is damaged"), "page {page}: {error}");
        flip(&catalog, at);
    }
    assert!(written().expect("sound again").is_some());
    fs::remove_dir_all(data.join("tenants/acme")).expect("removed");
    assert_eq!(written().expect("no damage"), None, "dropped meanwhile");
}
