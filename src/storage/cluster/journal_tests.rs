//! Tests of the erasure journal of a cluster: what was erased is told by it, and a catalog that was set back is refused.

use super::*;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::storage::journal::entry::{self, ErasureEntry};
use crate::storage::objects::testing::Yard;
use crate::storage::relocate::tests::stopped::Stopped;
use crate::storage::testing::{erase, erased, id, signer};

fn entry(erasure: u64, subject: &str) -> ErasureEntry {
    ErasureEntry {
        tenant: id("acme"),
        created_at: Timestamp(1),
        erasure,
        sequence: erasure,
        subject_id: id(subject),
        erased_at: Timestamp(2),
    }
}

/// Puts an entry that this signer made.
fn put(journal: &SharedJournal, home: &Home, erasure: u64, subject: &str) -> Result<(), StorageError> {
    let line = Entry::Erasure(entry(erasure, subject)).line(&signer());
    journal.put(home, erasure, &line, &signer())
}

fn home(incarnation: u64) -> Home {
    Home {
        tenant: id("acme"),
        incarnation,
    }
}

/// The journal of a store that has its identity.
fn started(yard: &Yard) -> SharedJournal {
    yard.store.identity().expect("made");
    SharedJournal::new(&yard.store)
}

/// What a restore reads of an exported journal.
fn exported(yard: &Yard, name: &str) -> (Counts, Vec<Entry>) {
    let to = yard.path(name);
    let counts = SharedJournal::new(&yard.store)
        .export(&to, &signer())
        .expect("written");
    let mut entries = Vec::new();
    let extent = entry::read(&to, &signer(), false, |entry, _| {
        entries.push(entry);
        Ok(())
    });
    assert_eq!(extent.expect("sound").torn, None);
    (counts, entries)
}

#[test]
fn an_entry_is_put_once_and_another_one_under_its_number_is_refused() {
    let yard = Yard::new();
    let journal = started(&yard);
    for _ in 0..2 {
        put(&journal, &home(7), 3, "s3").expect("it is the same");
    }
    let other = put(&journal, &home(7), 3, "s4").expect_err("it is another");
    assert!(
        matches!(&other, StorageError::Outdated { tenant, .. } if *tenant == id("acme")),
        "{other}"
    );
    let (counts, entries) = exported(&yard, "journal");
    assert_eq!(
        counts,
        Counts {
            erasures: 1,
            drops: 0
        }
    );
    assert_eq!(entries, [Entry::Erasure(entry(3, "s3"))]);
    let again = journal.export(&yard.path("journal"), &signer());
    assert!(again.is_err(), "the file is there");
}

#[test]
fn what_two_incarnations_have_is_told_once_and_in_order() {
    let yard = Yard::new();
    let journal = started(&yard);
    for (incarnation, erasure) in [(900, 1), (900, 2), (900, 10), (31, 10), (31, 11)] {
        let subject = format!("s{erasure}");
        put(&journal, &home(incarnation), erasure, &subject).expect("put");
    }
    for _ in 0..2 {
        journal
            .record_drop(&home(900), Some(Timestamp(1)), &signer())
            .expect("put");
    }
    let (counts, entries) = exported(&yard, "journal");
    assert_eq!(
        counts,
        Counts {
            erasures: 4,
            drops: 1
        }
    );
    let numbers: Vec<Option<u64>> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Erasure(erasure) => Some(erasure.erasure),
            Entry::Drop(_) => None,
        })
        .collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(10), Some(11), None]);
}

#[test]
fn who_was_dropped_is_known_by_the_time_of_its_making() {
    let yard = Yard::new();
    let journal = started(&yard);
    let has = |made: i64| {
        journal
            .has_dropped(&id("acme"), Timestamp(made), &signer())
            .expect("read")
    };
    assert!(!has(1));
    journal
        .record_drop(&home(7), Some(Timestamp(1)), &signer())
        .expect("put");
    let other = Home {
        tenant: id("acme-2"),
        incarnation: 8,
    };
    journal.record_drop(&other, None, &signer()).expect("put");
    assert!(has(1) && !has(2));
    let made_later = Timestamp(Timestamp::now().0 + 1_000_000);
    assert!(
        journal
            .has_dropped(&id("acme-2"), Timestamp(1), &signer())
            .expect("read")
    );
    assert!(
        !journal
            .has_dropped(&id("acme-2"), made_later, &signer())
            .expect("read")
    );
}

#[test]
fn an_object_that_is_not_as_it_was_written_is_told_and_names_nobody() {
    let yard = Yard::new();
    let journal = started(&yard);
    put(&journal, &home(7), 1, "ada-lovelace").expect("put");
    let path = yard.path("store").join(object_of(&home(7), 1));
    let sealed = std::fs::read(&path).expect("there");
    let name = b"ada-lovelace";
    assert!(!sealed.windows(name.len()).any(|window| window == name));
    let other = ReceiptSigner::new(&SecretKey::random());
    let refused = [journal.export(&yard.path("stranger"), &other), {
        std::fs::rename(&path, path.with_file_name(format!("{:020}", 2))).expect("moved");
        journal.export(&yard.path("moved"), &signer())
    }];
    for refused in refused {
        let told = refused.expect_err("it is not what it is to be").to_string();
        assert!(told.contains("0000000000000000000"), "{told}");
    }
    let left = std::fs::read_dir(yard.path("")).expect("readable");
    let left: Vec<_> = left.map(|entry| entry.expect("readable").file_name()).collect();
    assert_eq!(left, ["store"], "nothing looks like a journal");
}

#[test]
fn nothing_is_recorded_where_the_store_is_not_mounted() {
    let yard = Yard::new();
    let journal = started(&yard);
    let store = yard.path("store");
    std::fs::rename(&store, yard.path("away")).expect("moved");
    let refused = put(&journal, &home(7), 1, "s1").expect_err("it would be nowhere");
    assert!(refused.is_away() && !store.exists(), "{refused}");
    std::fs::rename(yard.path("away"), &store).expect("moved");
    put(&journal, &home(7), 1, "s1").expect("it is back");
}

#[test]
fn later_erasures_of_a_tenant_are_known_under_whatever_incarnation() {
    let yard = Yard::new();
    let journal = started(&yard);
    put(&journal, &home(7), 9, "s9").expect("put");
    let has = |made: i64, last| journal.has_later(&id("acme"), (Timestamp(made), last), &signer());
    assert!(has(1, 8).expect("read") && !has(1, 9).expect("read"));
    assert!(!has(2, 8).expect("read"), "another tenant of the name");
}

#[test]
fn a_catalog_that_was_set_back_is_refused() {
    let Some(stopped) = Stopped::new() else { return };
    stopped.relocate().expect("relocated");
    let (shared, journal) = (stopped.shared(), SharedJournal::new(&stopped.yard.store));
    let home = Home::of(&id("acme"), &stopped.incarnation());
    // The last one that was done before it came.
    let (counts, entries) = exported(&stopped.yard, "before");
    assert_eq!(
        counts,
        Counts {
            erasures: 1,
            drops: 0
        }
    );
    assert!(matches!(&entries[..], [Entry::Erasure(erasure)] if erasure.erasure == 3));
    journal.check(&home, &shared).expect("it is as new");
    let no_row = |_: &_, _| panic!("nobody in a segment is erased");
    let mut answers = shared
        .commit(&[erase("erase", "s40")], Timestamp::now(), &no_row)
        .expect("done");
    let erasure = erased(answers.remove(0)).0.erasure;
    for _ in 0..2 {
        journal.record(&home, &shared, &[erasure]).expect("recorded");
    }
    journal.check(&home, &shared).expect("it is as new");
    let (_, entries) = exported(&stopped.yard, "after");
    assert!(
        matches!(&entries[..], [_, Entry::Erasure(last)] if last.erasure == erasure && last.subject_id == id("s40"))
    );
    // Of a time after that to which the database was set back.
    put(&journal, &home, erasure + 2, "s39").expect("put");
    let outdated = journal.check(&home, &shared).expect_err("it is older");
    assert!(matches!(outdated, StorageError::Outdated { .. }), "{outdated}");
    let refused = |answer: Result<(), StorageError>| {
        let refused = answer.expect_err("it was set back");
        assert!(matches!(refused, StorageError::Outdated { .. }), "{refused}");
    };
    // It goes on, and comes to a number that another erasure had.
    for (request, subject) in [("again", "s38"), ("once-more", "s37")] {
        let mut answers = shared
            .commit(&[erase(request, subject)], Timestamp::now(), &no_row)
            .expect("done");
        let next = erased(answers.remove(0)).0.erasure;
        if next == erasure + 2 {
            refused(journal.record(&home, &shared, &[next]));
            refused(journal.check(&home, &shared));
            return;
        }
    }
    panic!("it came so far");
}
