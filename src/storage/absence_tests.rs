//! Tests of the search for erased rows: each is found wherever it is put back, and a clean directory has none.

use tempfile::TempDir;
use ulid::Ulid;

use super::*;
use crate::keys::receipt;
use crate::model::link::LinkKind;
use crate::storage::store::Store;
use crate::storage::testing::{House, enroll, erase, exact, files, id, key, link, signer, signers, spec};
use crate::storage::write::{Committed, EraseAnswer, Write};

/// A tenant with segments and pending rows, `s2` of which was erased and had a row in each.
struct Erased {
    house: House,
    receipt: ErasureReceipt,
    /// The sealed rows, and the segment's file, as they stood.
    rows: [Vec<u8>; 2],
    segment: PathBuf,
    segment_bytes: Vec<u8>,
}

impl Erased {
    fn new() -> Self {
        let house = House::new();
        let number = house.flushed(200);
        for seed in 300..500 {
            house.enroll(&format!("late{seed}"), seed);
        }
        house.enroll("s2", 20);
        let rows = [house.sealed_row(number, 1), sealed_pending(&house)];
        let segment = house.segment_file();
        let segment_bytes = fs::read(&segment).expect("readable");
        let (answer, _) = house.erase("s2");
        // Leaves free pages behind.
        for seed in 300..490 {
            house.erase(&format!("late{seed}"));
        }
        Self {
            receipt: receipt_of(&answer),
            house,
            rows,
            segment,
            segment_bytes,
        }
    }

    fn purged() -> Self {
        let mut erased = Self::new();
        erased.house.store.purge().expect("purged");
        let answer = erased.house.store.erasure(erased.receipt.erasure);
        erased.receipt = receipt_of(&answer.expect("readable").expect("there"));
        erased
    }

    /// A copy of the data directory in which something was done in the tenant's directory.
    fn with(&self, change: impl FnOnce(&Path)) -> TempDir {
        let copy = self.house.crash_copy();
        change(&tenant(&copy));
        copy
    }

    /// The same receipt as an earlier release wrote it.
    fn of_earlier_release(&self) -> ErasureReceipt {
        ErasureReceipt {
            sealed_row_search: Vec::new(),
            removed: None,
            ..self.receipt.clone()
        }
    }
}

fn receipt_of(answer: &EraseAnswer) -> ErasureReceipt {
    receipt::verify(&answer.receipt).expect("signed")
}

fn sealed_pending(house: &House) -> Vec<u8> {
    let conn = house.sql();
    let last = "SELECT sealed FROM pending ORDER BY reference DESC";
    let sealed = conn.query_row(last, [], |row| row.get(0));
    sealed.expect("pending")
}

fn data(copy: &TempDir) -> PathBuf {
    copy.path().join("data")
}

fn tenant(copy: &TempDir) -> PathBuf {
    data(copy).join("tenants/acme")
}

fn look(copy: &TempDir, receipt: &ErasureReceipt) -> Absence {
    search(&data(copy), receipt, Some((&key(1), &signers()))).expect("looked")
}

fn contradictions(copy: &TempDir, receipt: &ErasureReceipt) -> Vec<String> {
    look(copy, receipt).catalog.expect("asked").contradictions
}

fn listed(path: PathBuf, offset: usize) -> Found {
    Found {
        path,
        offset: Some(offset as u64),
        what: FoundKind::Listed,
    }
}

fn put(path: &Path, at: usize, row: &[u8]) {
    let mut bytes = fs::read(path).unwrap_or_default();
    bytes.resize(bytes.len().max(at + row.len()), 0);
    bytes.splice(at..at + row.len(), row.iter().copied());
    fs::write(path, bytes).expect("written");
}

fn position(bytes: &[u8], row: &[u8]) -> usize {
    let at = bytes.windows(row.len()).position(|window| window == row);
    at.expect("it stood there")
}

/// What is found with keys, without, and by a receipt without fingerprints.
fn looks(erased: &Erased, copy: &TempDir) -> [Vec<Found>; 3] {
    let without_keys = search(&data(copy), &erased.receipt, None).expect("looked");
    assert_eq!((without_keys.catalog, without_keys.rows), (None, 0));
    [
        look(copy, &erased.receipt).found,
        without_keys.found,
        look(copy, &erased.of_earlier_release()).found,
    ]
}

#[test]
fn a_clean_directory_has_none_and_all_of_it_was_looked_at() {
    let erased = Erased::purged();
    let copy = erased.with(|_| ());
    for found in looks(&erased, &copy) {
        assert_eq!(found, []);
    }
    let absence = look(&copy, &erased.receipt);
    let standing = absence.catalog.expect("asked");
    assert!(standing.purged, "{standing:?}");
    assert_eq!(
        (standing.contradictions.len(), standing.enrolled_again),
        (0, None)
    );
    assert_eq!(absence.rows, 200);
    let bytes = |dir: &Path| -> u64 {
        let len = |path: &PathBuf| fs::metadata(path).expect("there").len();
        files(dir).iter().map(len).sum()
    };
    // The index of the log came with the reader.
    let dir = tenant(&copy);
    assert_eq!(absence.bytes, bytes(&dir) + bytes(&dir.join("segments")));
    assert_eq!(absence.files, files(&dir).len() as u64 + 1);
    let removed = erased.receipt.removed.expect("counted");
    assert_eq!(
        (removed.references, removed.links, removed.usage_events),
        (2, 0, 2)
    );
    assert_eq!(removed.stored_answers, 2);
}

#[test]
fn a_row_is_found_in_a_free_page_of_the_catalog() {
    let erased = Erased::purged();
    let copy = erased.house.crash_copy();
    let catalog = tenant(&copy).join(CATALOG_FILE);
    let bytes = fs::read(&catalog).expect("readable");
    let free = bytes
        .chunks(4_096)
        .position(|page| page[..4_064].iter().all(|byte| *byte == 0));
    for (row, into) in erased.rows.iter().zip([0, 1_234]) {
        let at = free.expect("a free page") * 4_096 + into;
        fs::write(&catalog, &bytes).expect("written");
        put(&catalog, at, row);
        for found in looks(&erased, &copy) {
            assert_eq!(found, [listed(catalog.clone(), at)]);
        }
    }
}

#[test]
fn a_row_is_found_in_the_log() {
    let erased = Erased::purged();
    let copy = erased.house.crash_copy();
    let log = tenant(&copy).join("catalog.db-wal");
    let at = fs::read(&log).expect("there").len() + 77;
    put(&log, at, &erased.rows[1]);
    for found in looks(&erased, &copy) {
        assert_eq!(found, [listed(log.clone(), at)]);
    }
}

#[test]
fn a_row_is_found_in_a_copy_of_its_segment_under_any_name() {
    let erased = Erased::purged();
    let at = position(&erased.segment_bytes, &erased.rows[0]);
    let own = erased.segment.file_name().expect("named").to_owned();
    for name in [own, format!("{}.seg", Ulid::generate()).into(), "copy.bak".into()] {
        let copy = erased.house.crash_copy();
        let path = tenant(&copy).join(SEGMENTS_DIR).join(name);
        fs::write(&path, &erased.segment_bytes).expect("written");
        for found in looks(&erased, &copy) {
            assert_eq!(found, [listed(path.clone(), at)]);
        }
    }
}

#[test]
fn a_row_is_found_in_a_generation_that_was_replaced() {
    let erased = Erased::purged();
    let at = position(&erased.segment_bytes, &erased.rows[0]);
    for name in [".next-01J0", ".dropped-01J0", ".new-01J0"] {
        let copy = erased.house.crash_copy();
        let dir = data(&copy).join("tenants").join(name).join(SEGMENTS_DIR);
        fs::create_dir_all(&dir).expect("made");
        let path = dir.join("former.seg");
        fs::write(&path, &erased.segment_bytes).expect("written");
        for found in looks(&erased, &copy) {
            assert_eq!(found, [listed(path.clone(), at)]);
        }
    }
}

#[test]
fn a_row_is_found_in_a_stray_file_where_stretches_meet() {
    let erased = Erased::purged();
    for at in [
        0,
        1,
        STRETCH_LEN - 1,
        STRETCH_LEN - 50,
        STRETCH_LEN,
        2 * STRETCH_LEN + 3,
    ] {
        let copy = erased.house.crash_copy();
        let dir = tenant(&copy).join(".tmp");
        fs::create_dir(&dir).expect("made");
        let path = dir.join("dump");
        put(&path, at, &erased.rows[0]);
        let found = look(&copy, &erased.receipt).found;
        assert_eq!(found, [listed(path, at)]);
    }
}

#[test]
fn a_directory_that_goes_away_meanwhile_is_not_taken_for_a_clean_one() {
    let erased = Erased::purged();
    let look = Look {
        traces: traces(&erased.receipt, None).expect("to look for"),
        owner: None,
    };
    let gone = erased.house.path().join("gone");
    let looked = look.everything_else(&gone, None, BTreeSet::new(), &mut Absence::default());
    assert!(looked.is_err());
}

#[test]
fn a_link_to_a_directory_is_refused_by_name() {
    let erased = Erased::purged();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let copy = erased.with(|tenant| {
        std::os::unix::fs::symlink(elsewhere.path(), tenant.join("more")).expect("linked");
    });
    let searched = search(&data(&copy), &erased.receipt, Some((&key(1), &signers())));
    let error = searched.expect_err("not searched").to_string();
    assert!(
        error.contains("more") && error.contains("link to a directory"),
        "{error}"
    );
}

#[test]
fn rows_that_are_not_purged_are_found_where_they_stand() {
    let erased = Erased::new();
    let copy = erased.with(|_| ());
    let found = look(&copy, &erased.receipt).found;
    let segment = tenant(&copy)
        .join(SEGMENTS_DIR)
        .join(erased.segment.file_name().expect("named"));
    let at = position(&erased.segment_bytes, &erased.rows[0]);
    assert!(found.contains(&listed(segment.clone(), at)), "{found:?}");
    let standing = look(&copy, &erased.receipt).catalog.expect("asked");
    assert!(
        !standing.purged && standing.contradictions.is_empty(),
        "{standing:?}"
    );
    // A segment with a flipped bit is not taken at its word.
    let mut bytes = erased.segment_bytes.clone();
    *bytes.last_mut().expect("long") ^= 1;
    fs::write(&segment, bytes).expect("written");
    let absence = look(&copy, &erased.receipt);
    assert_eq!(absence.rows, 0);
    assert!(absence.found.iter().any(|found| found.path == segment));
}

#[test]
fn a_row_that_was_sealed_otherwise_before_is_known_by_its_subject() {
    let house = House::new();
    house.flushed(5);
    let oldest = house.segment_file();
    let bytes = fs::read(&oldest).expect("readable");
    house.erase("s1");
    house.store.purge().expect("purged");
    let (answer, _) = house.erase("s2");
    house.store.purge().expect("purged");
    let receipt = receipt_of(&answer);
    let copy = house.crash_copy();
    let path = tenant(&copy)
        .join(SEGMENTS_DIR)
        .join(oldest.file_name().expect("named"));
    assert_eq!(look(&copy, &receipt).found, []);
    fs::write(&path, bytes).expect("written");
    let found = look(&copy, &receipt).found;
    assert!(
        matches!(found.as_slice(), [Found { path: at, what: FoundKind::OfSubject, .. }] if *at == path),
        "{found:?}"
    );
}

#[test]
fn a_pending_row_that_lies_in_two_pages_is_found_through_the_catalog() {
    const WIDE: usize = 2_048;
    let house = House::new();
    let mut wide = spec("wide");
    wide.dimension = Dimension::new(WIDE).expect("valid");
    let store = Store::create(&house.dir, &wide, &key(1), signer()).expect("created");
    let House { tmp, dir, .. } = house;
    let house = House { tmp, dir, store };
    let mut write = enroll("enroll", "s1", &[1]);
    write.references[0].exact = Zeroizing::new(exact(1).repeat(WIDE / 32));
    house.one(Write::Enroll(write)).expect("enrolled");
    let sealed = sealed_pending(&house);
    let (answer, _) = house.erase("s1");
    house.store.purge().expect("purged");
    let receipt = receipt_of(&answer);
    assert_eq!(look(&house.crash_copy(), &receipt).found, []);
    let insert = "INSERT INTO pending (reference, sealed) VALUES (1, ?)";
    let conn = house.sql();
    conn.execute(insert, [sealed]).expect("put back");
    drop(conn);
    let found = look(&house.crash_copy(), &receipt).found;
    assert!(
        matches!(
            found.as_slice(),
            [Found {
                offset: None,
                what: FoundKind::Listed,
                ..
            }]
        ),
        "{found:?}"
    );
}

#[test]
fn what_the_catalog_says_otherwise_is_told() {
    let erased = Erased::purged();
    let copy = erased.house.crash_copy();
    let differs = |change: &dyn Fn(&mut ErasureReceipt)| {
        let mut receipt = erased.receipt.clone();
        change(&mut receipt);
        contradictions(&copy, &receipt)
    };
    assert_eq!(differs(&|_| ()), Vec::<String>::new());
    assert_eq!(
        differs(&|receipt| receipt.erasure = 999),
        ["the catalog has no erasure 999"]
    );
    for change in [
        (|receipt| receipt.erased_at.0 += 1) as fn(&mut ErasureReceipt),
        |receipt| receipt.subject_id = id("s3"),
    ] {
        let said = differs(&|receipt| {
            change(receipt);
            receipt.sealed_row_search.clear();
        });
        assert!(said[0].contains("is another one"), "{said:?}");
    }
    // A restore that did it again did so to rows that were sealed otherwise.
    let other_rows = differs(&|receipt| {
        receipt.sealed_row_sha256.truncate(1);
        receipt.sealed_row_search.clear();
    });
    assert_eq!(other_rows, Vec::<String>::new());
    let of_a_living = differs(&|receipt| {
        receipt.subject_id = id("s3");
        receipt.removed.as_mut().expect("counted").subject_handle = 3;
    });
    assert_eq!(of_a_living.len(), 5, "{of_a_living:?}");
    let unpurged = Erased::new();
    let mut early = unpurged.receipt.clone();
    early.purged_at = Some(early.erased_at);
    let said = contradictions(&unpurged.house.crash_copy(), &early);
    assert_eq!(said, ["the catalog does not call it purged"]);
}

#[test]
fn a_subject_that_was_enrolled_again_is_told_and_contradicts_nothing() {
    let erased = Erased::purged();
    let mut write = enroll("again", "s2", &[21]);
    write.links = vec![link(LinkKind::BadgeId, 9)];
    erased.house.one(Write::Enroll(write)).expect("enrolled");
    let copy = erased.house.crash_copy();
    for receipt in [&erased.receipt, &erased.of_earlier_release()] {
        let standing = look(&copy, receipt).catalog.expect("asked");
        assert_eq!(standing.contradictions, Vec::<String>::new());
        assert!(standing.enrolled_again > Some(receipt.erased_at));
    }
    let Ok(Committed::Erased { receipt, .. }) = erased.house.one(erase("again-erased", "s2")) else {
        panic!("erased again");
    };
    let removed = receipt::verify(&receipt).expect("signed").removed;
    assert_eq!(removed.expect("counted").links, 1);
}

#[test]
fn another_tenants_receipt_finds_nobody_here() {
    let erased = Erased::purged();
    let mut receipt = erased.receipt.clone();
    receipt.tenant = id("other");
    let copy = erased.house.crash_copy();
    let unknown = search(&data(&copy), &receipt, Some((&key(1), &signers()))).expect_err("refused");
    assert!(matches!(unknown, StorageError::TenantUnknown(_)), "{unknown}");
    drop(Store::create(&erased.house.dir, &spec("other"), &key(1), signer()).expect("created"));
    let said = contradictions(&erased.house.crash_copy(), &receipt);
    assert_eq!(said, [format!("the catalog has no erasure {}", receipt.erasure)]);
}
