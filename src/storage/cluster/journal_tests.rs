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

fn line(erasure: u64, subject: &str) -> String {
    Entry::Erasure(entry(erasure, subject)).line(&signer())
}

fn home(incarnation: u64) -> Home {
    Home {
        tenant: id("acme"),
        incarnation,
    }
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
    let journal = SharedJournal::new(&yard.store);
    for _ in 0..2 {
        journal.put(&home(7), 3, &line(3, "s3")).expect("it is the same");
    }
    let other = journal
        .put(&home(7), 3, &line(3, "s4"))
        .expect_err("it is another");
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
    let journal = SharedJournal::new(&yard.store);
    for (incarnation, erasure) in [(900, 1), (900, 2), (900, 10), (31, 10), (31, 11)] {
        let subject = format!("s{erasure}");
        journal
            .put(&home(incarnation), erasure, &line(erasure, &subject))
            .expect("put");
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
    let journal = SharedJournal::new(&yard.store);
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
fn an_object_that_nobody_here_signed_is_told() {
    let yard = Yard::new();
    let journal = SharedJournal::new(&yard.store);
    let other = ReceiptSigner::new(&SecretKey::random());
    let foreign = Entry::Erasure(entry(1, "s1")).line(&other);
    journal.put(&home(7), 1, &foreign).expect("put");
    let refused = journal
        .export(&yard.path("journal"), &signer())
        .expect_err("not ours");
    assert!(refused.to_string().contains("00000000000000000001"), "{refused}");
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
    journal
        .put(&home, erasure + 1, &line(erasure + 1, "s39"))
        .expect("put");
    let outdated = journal.check(&home, &shared).expect_err("it is older");
    assert!(matches!(outdated, StorageError::Outdated { .. }), "{outdated}");
    let mut answers = shared
        .commit(&[erase("again", "s38")], Timestamp::now(), &no_row)
        .expect("done");
    let next = erased(answers.remove(0)).0.erasure;
    let refused = journal
        .record(&home, &shared, &[next])
        .expect_err("it has another");
    assert!(matches!(refused, StorageError::Outdated { .. }), "{refused}");
}
