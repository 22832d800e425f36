//! Tests of the erasure journal: nothing acknowledged is missing in it whatever happens in between, and a file that is not its own is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::keys::secret::SecretKey;
use crate::storage::testing::{House, id, key, signer, spec};

struct Desk {
    tmp: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            tmp: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self) -> PathBuf {
        self.tmp.path().join("journal")
    }

    fn open(&self) -> Result<Journal, StorageError> {
        Journal::open(&self.path(), signer())
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let each = |entry, _| {
            entries.push(entry);
            Ok(())
        };
        entry::read(&self.path(), &signer(), false, each).expect("readable");
        entries
    }

    fn subjects(&self) -> Vec<String> {
        let subject = |entry| match entry {
            Entry::Erasure(erasure) => format!("{} {}", erasure.erasure, erasure.subject_id),
            Entry::Drop(drop) => format!("drop {}", drop.tenant),
        };
        self.entries().into_iter().map(subject).collect()
    }
}

fn house(subjects: u64) -> House {
    let house = House::new();
    for seed in 1..=subjects {
        house.enroll(&format!("s{seed}"), seed);
    }
    house
}

#[test]
fn an_erasure_is_noted_once_with_all_that_a_restore_needs() {
    let (desk, house) = (Desk::new(), house(3));
    let journal = desk.open().expect("made");
    for subject in ["s2", "s1"] {
        house.erase(subject);
        journal.record_erasures(&house.store).expect("appended");
        journal.record_erasures(&house.store).expect("nothing to do");
    }
    assert_eq!(desk.subjects(), ["1 s2", "2 s1"]);
    let Entry::Erasure(erasure) = desk.entries().remove(1) else {
        panic!("an erasure");
    };
    let receipt = house.store.erasure(2).expect("read").expect("there").receipt;
    let receipt = crate::keys::receipt::verify(&receipt).expect("signed");
    assert_eq!(
        (erasure.tenant, erasure.created_at, erasure.erased_at),
        (receipt.tenant, house.store.spec().created_at, receipt.erased_at)
    );
    assert_eq!(erasure.sequence, house.store.stats().expect("figures").sequence);
    let mode = fs::metadata(desk.path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_a_crash_left_out_is_appended_when_the_tenant_is_opened() {
    let (desk, house) = (Desk::new(), house(4));
    let journal = desk.open().expect("made");
    house.erase("s1");
    journal.record_erasures(&house.store).expect("appended");
    // Committed, and the process ends before the journal knows.
    house.erase("s2");
    house.erase("s3");
    let crashed = house.crash();
    drop(journal);
    let journal = desk.open().expect("opened");
    assert_eq!(desk.subjects(), ["1 s1"]);
    journal.record_erasures(&crashed.store).expect("caught up");
    assert_eq!(desk.subjects(), ["1 s1", "2 s2", "3 s3"]);
}

#[test]
fn a_journal_that_is_gone_is_written_again_from_the_receipts() {
    let (desk, house) = (Desk::new(), house(3));
    for subject in ["s1", "s2", "s3"] {
        house.erase(subject);
    }
    let journal = desk.open().expect("made");
    journal.record_erasures(&house.store).expect("written");
    let whole = desk.entries();
    drop(journal);
    fs::remove_file(desk.path()).expect("removed");
    let journal = desk.open().expect("made anew");
    journal.record_erasures(&house.store).expect("written");
    assert_eq!(desk.entries(), whole);
}

#[test]
fn an_append_that_fails_is_told_and_made_up_for_by_the_next() {
    let (desk, house) = (Desk::new(), house(3));
    let journal = desk.open().expect("made");
    house.erase("s1");
    journal.record_erasures(&house.store).expect("appended");
    house.erase("s2");
    journal.set_broken(true);
    let error = journal
        .record_erasures(&house.store)
        .expect_err("broken")
        .to_string();
    assert!(error.contains("journal"), "{error}");
    journal.set_broken(false);
    // Half of it may have been written.
    let mut bytes = fs::read(desk.path()).expect("readable");
    bytes.extend_from_slice(&[b'x'; 700]);
    fs::write(desk.path(), bytes).expect("written");
    house.erase("s3");
    journal.record_erasures(&house.store).expect("appended");
    assert_eq!(desk.subjects(), ["1 s1", "2 s2", "3 s3"]);
}

#[test]
fn a_last_line_that_was_torn_is_cut_and_any_other_damage_refused_by_line() {
    let (desk, house) = (Desk::new(), house(3));
    let journal = desk.open().expect("made");
    for subject in ["s1", "s2", "s3"] {
        house.erase(subject);
        journal.record_erasures(&house.store).expect("appended");
    }
    drop(journal);
    let whole = fs::read(desk.path()).expect("readable");
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .expect("lines")
        + 1;
    for end in last..whole.len() {
        fs::write(desk.path(), &whole[..end]).expect("written");
        let journal = desk.open().expect("cut");
        assert_eq!(desk.subjects(), ["1 s1", "2 s2"], "cut at {end}");
        journal.record_erasures(&house.store).expect("caught up");
        drop(journal);
        assert_eq!(fs::read(desk.path()).expect("readable"), whole, "cut at {end}");
    }
    // The file has its length and not what stands there.
    let mut lost = whole.clone();
    lost[last + 20..whole.len() - 5].fill(0);
    fs::write(desk.path(), lost).expect("written");
    drop(desk.open().expect("cut"));
    assert_eq!(desk.subjects(), ["1 s1", "2 s2"]);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // The end of the last line is what tells a torn one.
        if bit / 8 == whole.len() - 1 {
            continue;
        }
        fs::write(desk.path(), &flipped).expect("written");
        let error = desk.open().err().expect("refused").to_string();
        let line = whole[..bit / 8].split(|byte| *byte == b'\n').count();
        assert!(error.contains(&format!("line {line} ")), "bit {bit}: {error}");
    }
}

/// A journal of three erasures and, at the end, a drop, each line appended by itself; the second line is torn by a zero byte.
fn torn_in_the_middle(desk: &Desk, house: &House, with_drop: bool) -> Vec<u8> {
    let journal = desk.open().expect("made");
    for subject in ["s1", "s2", "s3"] {
        house.erase(subject);
        journal.record_erasures(&house.store).expect("appended");
    }
    if with_drop {
        journal.record_drop(&id("other"), None).expect("appended");
    }
    drop(journal);
    let whole = fs::read(desk.path()).expect("readable");
    let mut torn = whole.clone();
    let second = whole.iter().position(|byte| *byte == b'\n').expect("lines") + 1;
    torn[second + 30] = 0;
    fs::write(desk.path(), torn).expect("written");
    whole
}

#[test]
fn what_stands_behind_a_torn_line_is_read_and_written_again() {
    let (desk, house) = (Desk::new(), house(3));
    let whole = torn_in_the_middle(&desk, &house, false);
    assert_eq!(desk.subjects(), ["1 s1", "3 s3"]);
    let extent = entry::read(&desk.path(), &signer(), false, |_, _| Ok(())).expect("readable");
    assert_eq!((extent.torn, extent.has_more), (Some(2), true));
    let to = desk.tmp.path().join("copy");
    copy(&desk.path(), &to, &signer(), false).expect("copied");
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(fs::read(&to).expect("readable"), [lines[0], lines[2]].concat());
    let torn = fs::read(desk.path()).expect("readable");
    let journal = desk.open().expect("cut");
    assert_eq!(desk.subjects(), ["1 s1"]);
    journal.record_erasures(&house.store).expect("caught up");
    assert_eq!(fs::read(desk.path()).expect("readable"), whole);
    let kept = super::kept(&desk.path()).expect("listed");
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).expect("readable"), torn);
}

#[test]
fn damage_that_is_put_up_with_is_told_and_the_rest_is_read() {
    let (desk, house) = (Desk::new(), house(3));
    let whole = torn_in_the_middle(&desk, &house, false);
    let second = whole.iter().position(|byte| *byte == b'\n').expect("lines") + 1;
    let mut rotten = whole.clone();
    rotten[second + 30] ^= 1;
    fs::write(desk.path(), &rotten).expect("written");
    let read = |any_damage| {
        let mut erasures = Vec::new();
        let extent = entry::read(&desk.path(), &signer(), any_damage, |entry, _| {
            if let Entry::Erasure(erasure) = entry {
                erasures.push(erasure.erasure);
            }
            Ok(())
        });
        extent
            .map(|extent| (extent.torn, erasures))
            .map_err(|error| error.to_string())
    };
    let refused = read(false).expect_err("damaged");
    assert!(
        refused.contains("line 2 ") && refused.contains("--incomplete-journal"),
        "{refused}"
    );
    assert_eq!(read(true), Ok((Some(2), vec![1, 3])));
    // The last line, too.
    let mut rotten = whole.clone();
    let at = whole.len() - 30;
    rotten[at] ^= 1;
    fs::write(desk.path(), &rotten).expect("written");
    assert_eq!(read(true), Ok((Some(3), vec![1, 2])));
}

#[test]
fn a_drop_behind_a_torn_line_is_never_cut_off() {
    let (desk, house) = (Desk::new(), house(3));
    torn_in_the_middle(&desk, &house, true);
    let torn = fs::read(desk.path()).expect("readable");
    let error = desk.open().err().expect("refused").to_string();
    assert!(error.contains("line 2 ") && error.contains("drop"), "{error}");
    assert_eq!(fs::read(desk.path()).expect("readable"), torn);
    assert_eq!(desk.subjects(), ["1 s1", "3 s3", "drop other"]);
}

#[test]
fn a_journal_of_another_keyring_or_process_is_refused() {
    let (desk, house) = (Desk::new(), house(1));
    let journal = desk.open().expect("made");
    house.erase("s1");
    journal.record_erasures(&house.store).expect("appended");
    let busy = desk.open().err().expect("in use");
    assert!(matches!(busy, StorageError::InUse { .. }), "{busy}");
    drop(journal);
    let other = ReceiptSigner::new(&SecretKey::from_bytes([3; 32]));
    let error = Journal::open(&desk.path(), other)
        .err()
        .expect("foreign")
        .to_string();
    assert!(
        error.contains("line 1 ") && error.contains("another keyring"),
        "{error}"
    );
}

#[test]
fn a_journal_that_was_moved_away_under_the_server_takes_no_entry() {
    let (desk, house) = (Desk::new(), house(2));
    let journal = desk.open().expect("made");
    house.erase("s1");
    journal.record_erasures(&house.store).expect("appended");
    let elsewhere = desk.tmp.path().join("moved");
    fs::rename(desk.path(), &elsewhere).expect("moved");
    house.erase("s2");
    journal.record_erasures(&house.store).expect_err("gone");
    fs::write(desk.path(), "").expect("written");
    let error = journal
        .record_erasures(&house.store)
        .expect_err("another one")
        .to_string();
    assert!(error.contains("another file has its name"), "{error}");
    fs::rename(&elsewhere, desk.path()).expect("put back");
    journal.record_erasures(&house.store).expect("appended");
    assert_eq!(desk.subjects(), ["1 s1", "2 s2"]);
}

#[test]
fn a_journal_that_was_cut_under_the_server_takes_no_entry() {
    let (desk, house) = (Desk::new(), house(2));
    let journal = desk.open().expect("made");
    house.erase("s1");
    journal.record_erasures(&house.store).expect("appended");
    let whole = fs::read(desk.path()).expect("readable");
    fs::write(desk.path(), &whole[..whole.len() / 2]).expect("cut");
    house.erase("s2");
    let refused = journal
        .record_erasures(&house.store)
        .expect_err("cut")
        .to_string();
    assert!(refused.contains("somebody cut it"), "{refused}");
    fs::write(desk.path(), whole).expect("put back");
    journal.record_erasures(&house.store).expect("appended");
    assert_eq!(desk.subjects(), ["1 s1", "2 s2"]);
}

#[test]
fn a_journal_that_is_no_regular_file_is_refused_at_once() {
    let desk = Desk::new();
    fs::create_dir(desk.path()).expect("made");
    let refused = desk.open().err().expect("a directory").to_string();
    assert!(refused.contains("it is no regular file"), "{refused}");
}

#[test]
fn lines_out_of_order_are_refused() {
    let (desk, house) = (Desk::new(), house(2));
    let journal = desk.open().expect("made");
    house.erase("s1");
    house.erase("s2");
    journal.record_erasures(&house.store).expect("appended");
    drop(journal);
    let text = fs::read_to_string(desk.path()).expect("readable");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.reverse();
    fs::write(desk.path(), lines.join("\n") + "\n").expect("written");
    let error = desk.open().err().expect("refused").to_string();
    assert!(error.contains("line 2 comes out of order"), "{error}");
}

#[test]
fn files_that_are_older_than_the_journal_are_refused() {
    let (desk, house) = (Desk::new(), house(2));
    let journal = desk.open().expect("made");
    house.erase("s1");
    let older = house.crash();
    house.erase("s2");
    journal.record_erasures(&house.store).expect("appended");
    let error = journal.record_erasures(&older.store).expect_err("older");
    assert!(matches!(error, StorageError::Outdated { .. }), "{error}");
    assert!(
        error.to_string().contains("number 1, that of the journal 2"),
        "{error}"
    );
}

#[test]
fn a_dropped_tenant_is_noted_and_the_next_of_its_name_is_another() {
    let (desk, house) = (Desk::new(), house(1));
    let journal = desk.open().expect("made");
    house.erase("s1");
    journal.record_erasures(&house.store).expect("appended");
    let made_at = house.store.spec().created_at;
    // Where its catalog can't be read, when it was made is not known.
    journal.record_drop(&id("acme"), None).expect("appended");
    for _ in 0..2 {
        let error = journal
            .record_erasures(&house.store)
            .expect_err("dropped")
            .to_string();
        assert!(error.contains("it was dropped"), "{error}");
        journal.record_drop(&id("acme"), Some(made_at)).expect("appended");
    }
    drop(journal);
    let journal = desk.open().expect("opened");
    assert_eq!(desk.subjects(), ["1 s1", "drop acme", "drop acme", "drop acme"]);
    let error = journal
        .record_erasures(&house.store)
        .expect_err("dropped")
        .to_string();
    assert!(error.contains("it was dropped"), "{error}");
    let House { dir, store, .. } = &house;
    store.close();
    dir.remove_tenant(&id("acme")).expect("removed");
    let mut next = spec("acme");
    next.created_at = Timestamp::now();
    let store = Store::create(dir, &next, &key(1), signer()).expect("made");
    journal.record_erasures(&store).expect("another tenant");
}

#[test]
fn a_drop_means_its_tenant_or_all_before_it() {
    let entry = |created_at| DropEntry {
        tenant: id("acme"),
        created_at,
        dropped_at: Timestamp(10),
    };
    assert!(entry(Some(Timestamp(5))).is_of(Timestamp(5)));
    assert!(!entry(Some(Timestamp(5))).is_of(Timestamp(4)));
    assert!(entry(None).is_of(Timestamp(4)) && entry(None).is_of(Timestamp(10)));
    assert!(!entry(None).is_of(Timestamp(11)));
}

#[test]
fn a_copy_holds_the_sound_lines_and_replaces_nothing() {
    let (desk, house) = (Desk::new(), house(2));
    let journal = desk.open().expect("made");
    house.erase("s1");
    journal.record_erasures(&house.store).expect("appended");
    let whole = fs::read(desk.path()).expect("readable");
    fs::write(desk.path(), [&whole[..], b"{\"entry\":"].concat()).expect("written");
    let to = desk.tmp.path().join("copy");
    copy(&desk.path(), &to, &signer(), false).expect("copied");
    assert_eq!(fs::read(&to).expect("readable"), whole);
    assert!(copy(&desk.path(), &to, &signer(), false).is_err());
}
