//! Tests of verification: a sound tenant is sound, and whatever is changed on disk is found and named.

use std::fs;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use ulid::Ulid;

use super::*;
use crate::storage::data_dir::DataDir;
use crate::storage::store::Store;
use crate::storage::testing::{House, enroll, id, key, signer, signers, spec};
use crate::storage::write::Write;

/// A tenant with segments, pending rows, tombstones, holes and a history, and the files that hold it.
fn furnished() -> House {
    let house = House::new();
    house.flushed(40);
    for seed in 100..140 {
        house.enroll(&format!("late{seed}"), seed);
    }
    house.erase("s3");
    house.store.purge().expect("purged");
    house.flush().expect("flushed");
    for seed in 200..230 {
        house.enroll(&format!("later{seed}"), seed);
    }
    house.erase("s4");
    house
}

fn verified(data: &Path) -> Verification {
    verify(data, &id("acme"), &key(1), &signers())
}

fn faults(data: &Path) -> Vec<String> {
    verified(data).faults.iter().map(ToString::to_string).collect()
}

/// The data directory of a house that is closed, as a clean stop or a crash leaves it.
struct Closed {
    tmp: tempfile::TempDir,
}

impl Closed {
    fn cleanly(house: House) -> Self {
        let House { tmp, dir, store } = house;
        drop((store, dir));
        Self { tmp }
    }

    fn data(&self) -> PathBuf {
        self.tmp.path().join("data")
    }

    fn tenant(&self) -> PathBuf {
        self.data().join("tenants/acme")
    }

    /// Catalog, mark and segments: all that a stopped server leaves.
    fn files(&self) -> Vec<PathBuf> {
        let tenant = self.tenant();
        let mut files = vec![tenant.join("catalog.db"), tenant.join("catalog.mark")];
        files.extend(crate::storage::testing::files(&tenant.join("segments")));
        files
    }

    /// Whether the tenant opens and all of it can be read.
    fn opens(&self) -> Result<(), StorageError> {
        let dir = DataDir::open(self.data())?;
        let store = Store::open(&dir, &id("acme"), &key(1), signer())?;
        for segment in store.segments() {
            store.load_segment(segment.number)?;
        }
        Ok(())
    }
}

#[test]
fn a_sound_tenant_is_sound_while_it_is_open_after_a_crash_and_after_a_stop() {
    let house = furnished();
    let data = house.tmp.path().join("data");
    let open = verified(&data);
    assert!(open.faults.is_empty(), "{:?}", open.faults);
    let stats = house.store.stats().expect("figures");
    assert_eq!(
        (open.placed, open.pending),
        (stats.references - stats.pending, stats.pending)
    );
    assert_eq!(open.segments, 2);
    assert!(open.blocks >= 8 && open.pages > 10 && open.orphans.is_empty() && open.counted);
    let crashed = house.crash_copy();
    assert_eq!(faults(&crashed.path().join("data")), Vec::<String>::new());
    let closed = Closed::cleanly(house);
    assert!(
        !closed.tenant().join("catalog.db-wal").exists(),
        "the log went into the catalog"
    );
    let closed = verified(&closed.data());
    assert!(closed.faults.is_empty(), "{:?}", closed.faults);
    assert_eq!((closed.placed, closed.pending), (open.placed, open.pending));
}

/// A group whose pages are more than the cache has: they are logged before the commit, and some of them again.
#[test]
fn a_group_that_outgrows_the_cache_is_sound() {
    let house = House::new();
    let group = |from: u64| {
        let subjects = (0..12_000).map(|n| (from + n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let writes = subjects.map(|n| Write::Enroll(enroll(&format!("r{n}"), &format!("s{n}"), &[n])));
        writes.collect::<Vec<_>>()
    };
    for from in [0, 100_000] {
        let answers = house.store.commit(group(from)).expect("committed");
        assert!(answers.iter().all(Result::is_ok));
        let data = house.tmp.path().join("data");
        assert_eq!(faults(&data), Vec::<String>::new());
        assert_eq!(
            faults(&house.crash_copy().path().join("data")),
            Vec::<String>::new()
        );
    }
    house.flush().expect("flushed");
    let house = house.reopen();
    let found = verified(&house.tmp.path().join("data"));
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    assert_eq!(found.placed, 24_000);
}

#[test]
fn every_flipped_bit_is_found() {
    let closed = Closed::cleanly(furnished());
    let files = closed.files();
    assert_eq!(files.len(), 4, "catalog, mark and two segments");
    let mut rng = ChaCha12Rng::seed_from_u64(7);
    let mut tried = 0;
    for file in &files {
        let whole = fs::read(file).expect("readable");
        let bits = whole.len() as u64 * 8;
        for _ in 0..bits.min(600) {
            let bit = usize::try_from(rng.next_u64() % bits).expect("small");
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(file, &flipped).expect("written");
            let found = faults(&closed.data());
            let name = file.file_name().expect("a name").to_string_lossy();
            assert!(
                found.iter().any(|fault| fault.contains(&*name)),
                "bit {bit} of {name}: {found:?}"
            );
            tried += 1;
        }
        fs::write(file, &whole).expect("restored");
    }
    assert_eq!(faults(&closed.data()), Vec::<String>::new());
    println!("{tried} bits flipped, {tried} found");
}

#[test]
fn every_file_that_is_cut_short_is_found() {
    let closed = Closed::cleanly(furnished());
    let mut rng = ChaCha12Rng::seed_from_u64(8);
    for file in closed.files() {
        let whole = fs::read(&file).expect("readable");
        let len = whole.len() as u64;
        let random = (0..40).map(|_| rng.next_u64() % len);
        for len in random
            .chain([0, len - 1, len / 8_192 * 4_096])
            .collect::<Vec<_>>()
        {
            fs::write(&file, &whole[..usize::try_from(len).expect("small")]).expect("cut");
            let found = faults(&closed.data());
            let name = file.file_name().expect("a name").to_string_lossy();
            let is_named = found.iter().any(|fault| fault.contains(&*name));
            assert!(is_named, "{name} cut to {len}: {found:?}");
        }
        fs::write(&file, &whole).expect("restored");
    }
    assert_eq!(faults(&closed.data()), Vec::<String>::new());
}

#[test]
fn a_log_that_lost_its_end_is_found_and_refused() {
    let house = furnished();
    let copy = house.crash_copy();
    let closed = Closed { tmp: copy };
    let log = closed.tenant().join("catalog.db-wal");
    let whole = fs::read(&log).expect("there is a log");
    assert_eq!(faults(&closed.data()), Vec::<String>::new());
    // Frames are checked by checksums that go on from one to the next: a bit anywhere ends the log there.
    let frame = 24 + PAGE_LEN;
    let mut rng = ChaCha12Rng::seed_from_u64(9);
    let live = 32 + (whole.len() - 32) / frame * frame;
    for _ in 0..200 {
        let bit = usize::try_from(rng.next_u64() % (live as u64 * 8)).expect("small");
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&log, &flipped).expect("written");
        let found = faults(&closed.data());
        assert!(!found.is_empty(), "bit {bit} of {} unnoticed", whole.len() * 8);
    }
    fs::write(&log, &whole[..live - frame]).expect("cut");
    let found = faults(&closed.data());
    assert!(
        found.iter().any(|fault| fault.contains("its log was cut")),
        "{found:?}"
    );
    let cut = fs::read(&log).expect("readable");
    let refused = closed.opens().expect_err("refused").to_string();
    assert!(
        refused.contains("catalog.db is damaged") && refused.contains("were acknowledged"),
        "{refused}"
    );
    assert_eq!(
        fs::read(&log).expect("still there"),
        cut,
        "whoever is refused changes nothing"
    );
    fs::write(&log, &whole).expect("restored");
    closed.opens().expect("all of it is back");
}

#[test]
fn older_and_others_files_are_found_and_refused() {
    let house = furnished();
    Store::create(&house.dir, &spec("bank"), &key(2), signer()).expect("created");
    let closed = Closed::cleanly(house);
    let saved: Vec<(PathBuf, Vec<u8>)> = closed
        .files()
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).expect("readable")))
        .collect();
    let restore = || {
        for (path, bytes) in &saved {
            fs::write(path, bytes).expect("restored");
        }
    };
    let refused = |what: &str| {
        assert!(!faults(&closed.data()).is_empty(), "{what}");
        let error = closed.opens().expect_err(what);
        assert!(
            matches!(error, StorageError::Damaged { .. } | StorageError::WrongKey(_)),
            "{what}: {error}"
        );
        restore();
        assert_eq!(faults(&closed.data()), Vec::<String>::new());
    };
    let [catalog, mark, first, second] = [0, 1, 2, 3].map(|at| &saved[at]);
    for (path, _) in [catalog, mark] {
        let name = path.file_name().expect("a name");
        fs::copy(closed.data().join("tenants/bank").join(name), path).expect("copied");
        refused("another tenant's file");
    }
    fs::write(&first.0, &second.1).expect("written");
    fs::write(&second.0, &first.1).expect("written");
    refused("segments changed places");
    let mut pages = catalog.1.clone();
    let (head, tail) = pages.split_at_mut(3 * PAGE_LEN);
    head[PAGE_LEN..2 * PAGE_LEN].swap_with_slice(&mut tail[..PAGE_LEN]);
    fs::write(&catalog.0, &pages).expect("written");
    assert!(!faults(&closed.data()).is_empty(), "pages changed places");
    restore();

    // A later state, then the earlier catalog.
    let dir = DataDir::open(closed.data()).expect("open");
    let store = Store::open(&dir, &id("acme"), &key(1), signer()).expect("open");
    store
        .commit(vec![crate::storage::testing::erase("r9", "s5")])
        .expect("committed")
        .pop()
        .expect("one")
        .expect("erased");
    drop((store, dir));
    assert_eq!(faults(&closed.data()), Vec::<String>::new());
    fs::write(&catalog.0, &catalog.1).expect("written");
    let found = faults(&closed.data());
    assert!(
        found.iter().any(|fault| fault.contains("older file")),
        "{found:?}"
    );
    assert!(closed.opens().is_err());
}

#[test]
fn a_rollback_journal_that_somebody_put_there_is_not_played() {
    let closed = Closed::cleanly(furnished());
    let catalog = fs::read(closed.tenant().join("catalog.db")).expect("readable");
    let journal = closed.tenant().join("catalog.db-journal");
    // The header of a journal of one page of 512-byte sectors, and a page.
    let mut bytes = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    for word in [1, 0, 1, 512, 4_096_u32] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.resize(512, 0);
    bytes.extend_from_slice(&1_u32.to_be_bytes());
    bytes.extend_from_slice(&[0x5a; PAGE_LEN + 4]);
    fs::write(&journal, bytes).expect("written");
    let outcome = closed.opens();
    assert_eq!(
        fs::read(closed.tenant().join("catalog.db")).expect("readable"),
        catalog
    );
    assert!(outcome.is_err(), "somebody's journal is told, not ignored");
}

#[test]
fn a_file_that_the_catalog_does_not_have_is_told_and_no_fault() {
    let closed = Closed::cleanly(furnished());
    let orphan = closed.tenant().join("segments").join(file_name(Ulid::generate()));
    fs::write(&orphan, b"left by a crash").expect("written");
    // No start destroys it.
    fs::write(orphan.with_file_name("README"), b"not ours").expect("written");
    let found = verified(&closed.data());
    assert!(found.faults.is_empty());
    assert_eq!(found.orphans, [orphan]);
}

#[test]
fn a_wrong_key_is_told_and_costs_nothing() {
    let closed = Closed::cleanly(furnished());
    let found = verify(&closed.data(), &id("acme"), &key(3), &signers());
    assert!(!found.faults.is_empty());
    let closed = Closed {
        tmp: furnished().crash_copy(),
    };
    let log = fs::read(closed.tenant().join("catalog.db-wal")).expect("there is a log");
    let dir = DataDir::open(closed.data()).expect("open");
    let refused = Store::open(&dir, &id("acme"), &key(3), signer()).err();
    assert!(matches!(refused, Some(StorageError::WrongKey(_))), "{refused:?}");
    drop(dir);
    assert!(
        !verify(&closed.data(), &id("acme"), &key(3), &signers())
            .faults
            .is_empty()
    );
    assert_eq!(
        fs::read(closed.tenant().join("catalog.db-wal")).expect("still there"),
        log
    );
    closed.opens().expect("with the right key all is there");
    assert_eq!(faults(&closed.data()), Vec::<String>::new());
}

#[test]
fn what_a_checkpoint_left_half_done_is_no_fault() {
    let house = furnished();
    let closed = Closed {
        tmp: house.crash_copy(),
    };
    let catalog = closed.tenant().join("catalog.db");
    let log = closed.tenant().join("catalog.db-wal");
    let whole = fs::read(&catalog).expect("readable");
    let logged = logged(&log);
    assert!(!logged.is_empty());
    for number in logged {
        let at = usize::try_from(number - 1).expect("small") * PAGE_LEN;
        let mut torn = whole.clone();
        torn.resize(torn.len().max(at + PAGE_LEN), 0);
        torn[at + 700..at + PAGE_LEN].fill(0);
        fs::write(&catalog, torn).expect("written");
        assert_eq!(faults(&closed.data()), Vec::<String>::new(), "page {number}");
    }
    let mut ragged = whole.clone();
    ragged.truncate(whole.len() - 100);
    fs::write(&catalog, &ragged).expect("written");
    let last = u32::try_from(whole.len() / PAGE_LEN).expect("small");
    let is_logged = super::logged(&log).contains(&last);
    assert_eq!(faults(&closed.data()).is_empty(), is_logged);
}

#[test]
fn a_receipt_that_is_not_what_was_signed_is_found() {
    for change in [
        "UPDATE erasure SET receipt = replace(receipt, 's3', 's5') WHERE id = 1",
        "UPDATE erasure SET signature = zeroblob(64) WHERE id = 2",
        "UPDATE erasure SET subject_id = 's5' WHERE id = 1",
        "UPDATE erasure SET receipt = (SELECT receipt FROM erasure WHERE id = 2),
            signature = (SELECT signature FROM erasure WHERE id = 2) WHERE id = 1",
        "UPDATE erasure SET public_key = zeroblob(32) WHERE id = 1",
    ] {
        let house = furnished();
        let conn = house.sql();
        assert_eq!(conn.execute(change, []).expect("changed"), 1);
        drop(conn);
        let faults = faults(&house.crash_copy().path().join("data"));
        assert_eq!(faults.len(), 1, "{change}: {faults:?}");
        assert!(faults[0].contains(": erasure "), "{faults:?}");
    }
}
