//! Tests of the log of a catalog: who puts it into the catalog and when it begins anew.

use super::*;
use crate::storage::catalog::connection::Writer;
use crate::storage::catalog::vfs::tests::SYNC_FAILS;
use crate::storage::store::{CATALOG_FILE, LOG_FILE};
use crate::storage::testing::{House, key};
use crate::storage::write::Durability;

/// Bytes of the catalog without its log.
fn catalog_len(house: &House) -> u64 {
    let catalog = std::fs::metadata(house.path().join(CATALOG_FILE));
    catalog.expect("there").len()
}

fn insert_terms(conn: &Connection, version: &str) -> Result<(), StorageError> {
    conn.execute(
        "INSERT INTO terms (policy_version, purpose, method) VALUES (?, 'b', 'c')",
        [version],
    )?;
    Ok(())
}

/// Pages of the log after a commit that need not be durable.
fn commit_terms(writer: &mut Writer, version: &str) -> u64 {
    let done = writer.transact(Durability::Process, |conn, _| insert_terms(conn, version));
    done.expect("committed");
    writer.log.pages()
}

/// The same of more than a thousand pages, in a table and in an index.
fn commit_many(writer: &mut Writer, letter: char) -> u64 {
    commit_terms(writer, &String::from(letter).repeat(4 << 20))
}

fn count_terms(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM terms", [], |row| row.get(0))
        .expect("read")
}

fn log_copy(house: &House, writer: &Writer) -> LogCopy {
    let seal = Arc::new(PageSeal::new(&key(1)));
    let copy = writer.copy_log(&house.path().join(CATALOG_FILE), &seal);
    copy.expect("opened").expect("nothing is refused")
}

/// Makes commits of some two thousand pages until the log begins anew; how long it was before.
fn fill_log(writer: &mut Writer, mark: &str) -> u64 {
    let mut last = 0;
    for number in 0..10 {
        let now = commit_terms(writer, &format!("{mark}{number}").repeat(2 << 20));
        if now < last {
            return last;
        }
        last = now;
    }
    panic!("the log has {last} pages");
}

#[test]
fn a_commit_leaves_a_long_log_to_whoever_looks_after_it() {
    let house = House::new();
    let mut writer = house.writer();
    let before = catalog_len(&house);
    assert!((1..PAGES_LONG).contains(&commit_terms(&mut writer, "short")));
    assert!(!writer.log_is_long());
    let long = commit_many(&mut writer, 'x');
    assert!((PAGES_LONG..PAGES_MAX).contains(&long));
    assert!(writer.log_is_long());
    assert_eq!(catalog_len(&house), before, "all of it is in the log");
    assert!(log_copy(&house, &writer).run().expect("copied"), "all of it");
    assert!(catalog_len(&house) > before + (8 << 20));
    assert!(!writer.log_is_long(), "it has to grow first");
    assert!(commit_terms(&mut writer, "anew") < PAGES_LONG);
    assert!(!writer.log_is_long());
    commit_many(&mut writer, 'y');
    assert!(writer.log_is_long(), "it was short before");
    drop(writer);
    assert_eq!(count_terms(&house.crash().sql()), 4);
}

#[test]
fn a_log_is_copied_beside_who_writes() {
    let house = House::new();
    let mut writer = house.writer();
    let long = commit_many(&mut writer, 'x');
    let before = catalog_len(&house);
    let copy = log_copy(&house, &writer);
    let done = writer.transact(Durability::Power, |conn, _| {
        insert_terms(conn, "begun")?;
        copy.run()?;
        insert_terms(conn, "done")
    });
    done.expect("committed");
    assert!(catalog_len(&house) > before + (8 << 20));
    assert!(
        commit_terms(&mut writer, "behind") > long,
        "some of it is in the log alone"
    );
    copy.run().expect("copied");
    drop(copy);
    assert!(commit_terms(&mut writer, "anew") < PAGES_LONG);
    drop(writer);
    assert_eq!(count_terms(&house.crash().sql()), 5);
}

#[test]
fn a_copy_leaves_what_a_reader_is_in_the_way_of() {
    let house = House::new();
    let mut writer = house.writer();
    let before = catalog_len(&house);
    commit_many(&mut writer, 'x');
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 1);
    let longer = commit_many(&mut writer, 'y');
    assert!(!log_copy(&house, &writer).run().expect("copied"), "in part");
    let half = catalog_len(&house);
    assert!(half > before + (4 << 20) && half < before + (12 << 20), "{half}");
    assert!(!writer.log_is_long(), "it has to grow first");
    assert!(commit_terms(&mut writer, "behind") > longer);
    assert_eq!(count_terms(&reading), 1, "the reader sees what it saw");
    drop(reading);
    assert!(log_copy(&house, &writer).run().expect("copied"), "all of it");
    assert!(catalog_len(&house) > before + (16 << 20));
    assert!(commit_terms(&mut writer, "anew") < PAGES_LONG);
}

#[test]
fn a_log_that_begins_anew_is_long_however_short_it_was_before() {
    let house = House::new();
    let mut writer = house.writer();
    let before = commit_many(&mut writer, 'x');
    let copy = log_copy(&house, &writer);
    let done = copy.run();
    writer.log_copied(copy, done).expect("copied");
    let anew = commit_terms(&mut writer, &"y".repeat(5 << 20));
    assert!(
        anew > before && anew < before + PAGES_LONG,
        "{before}, then {anew}"
    );
    assert!(writer.log_is_long());
}

#[test]
fn a_log_of_many_pages_is_begun_anew_once_it_was_copied() {
    let house = House::new();
    let mut writer = house.writer();
    let mut copied = |letter| {
        let pages = commit_many(&mut writer, letter);
        let (copy, before) = (log_copy(&house, &writer), catalog_len(&house));
        // Within a transaction, so that some of the log is not copied yet.
        let done = writer.transact(Durability::Process, |conn, _| {
            insert_terms(conn, &format!("after {letter}"))?;
            copy.run()
        });
        let is_whole = *done.as_ref().expect("copied");
        assert_eq!(is_whole, catalog_len(&house) > before + (7 << 20));
        writer.log_copied(copy, done).expect("taken note of");
        (pages, writer.log.pages(), is_whole && !writer.syncs_next())
    };
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 0);
    let (few, still, _) = copied('x');
    assert!(few < PAGES_MANY && still > few);
    let (many, still, _) = copied('y');
    assert!(many > PAGES_MANY && still > many, "a reader is in the way");
    drop(reading);
    let (more, anew, is_written) = copied('z');
    assert!(more > many && anew < PAGES_LONG, "{more}, then {anew}");
    assert!(is_written, "with its header");
}

#[test]
fn a_log_that_nobody_looks_after_is_bounded() {
    let house = House::new();
    let mut writer = house.writer();
    for mark in ["a", "b"] {
        let longest = fill_log(&mut writer, mark);
        assert!(
            (PAGES_MAX..PAGES_MAX + 2_100).contains(&longest),
            "{longest} with the one that was too much"
        );
    }
}

#[test]
fn readers_in_the_way_of_a_full_log_are_let_be() {
    let house = House::new();
    let mut writer = house.writer();
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 0);
    let mut pages = 0;
    while pages < PAGES_MAX {
        pages = commit_terms(&mut writer, &format!("{pages} ").repeat(1 << 20));
    }
    assert!(writer.log.is_full() && writer.syncs_next());
    assert!(commit_terms(&mut writer, "behind") > pages);
    assert!(
        !writer.log.is_full() && !writer.log_is_long(),
        "it was tried, and is not until the log has grown"
    );
    assert_eq!(count_terms(&reading), 0, "the reader sees what it saw");
    drop(reading);
    commit_many(&mut writer, 'x');
    assert!(writer.log.is_full());
    let anew = commit_terms(&mut writer, "anew");
    assert!(anew < PAGES_LONG, "{anew}");
    assert!(!writer.log_is_long());
}

#[test]
fn a_writer_says_whether_the_next_transaction_may_sync() {
    let house = House::new();
    let mut writer = house.writer();
    assert!(writer.syncs_next(), "there may be no log yet");
    commit_terms(&mut writer, "a");
    assert!(!writer.syncs_next());
    let copy = log_copy(&house, &writer);
    assert!(writer.syncs_next(), "it is being copied");
    commit_terms(&mut writer, "b");
    assert!(writer.syncs_next(), "still");
    copy.run().expect("copied");
    drop(copy);
    assert!(writer.syncs_next(), "it may begin anew");
    commit_terms(&mut writer, "c");
    assert!(!writer.syncs_next());
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 3);
    commit_terms(&mut writer, "d");
    writer.begin_log().expect("in part");
    assert!(writer.syncs_next(), "the reader may go");
    commit_terms(&mut writer, "e");
    assert!(!writer.syncs_next());
    drop(reading);
    writer.begin_log().expect("all of it");
    assert!(!writer.syncs_next(), "it has begun anew already");
    assert!(writer.cut_log().expect("cut"));
    assert!(writer.syncs_next());
}

#[test]
fn a_log_that_a_reader_was_in_the_way_of_is_seen_as_long_once_it_began_anew() {
    let house = House::new();
    let mut writer = house.writer();
    commit_many(&mut writer, 'x');
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 1, "of the newest state");
    writer.begin_log().expect("all is copied, and it can't begin");
    drop(reading);
    assert!(commit_terms(&mut writer, "anew") < PAGES_LONG);
    commit_many(&mut writer, 'y');
    assert!(writer.log_is_long());
}

#[test]
fn a_copy_beside_which_somebody_wrote_leaves_a_log_that_has_to_grow() {
    let house = House::new();
    let mut writer = house.writer();
    commit_many(&mut writer, 'x');
    let copy = log_copy(&house, &writer);
    let done = writer.transact(Durability::Process, |conn, _| {
        insert_terms(conn, "meanwhile")?;
        copy.run()
    });
    assert!(*done.as_ref().expect("copied"), "all that there was");
    writer.log_copied(copy, done).expect("taken note of");
    assert!(commit_terms(&mut writer, "behind") > PAGES_LONG);
    assert!(!writer.log_is_long());
}

#[test]
fn a_copy_that_can_not_be_synced_has_writes_refused() {
    let house = House::new();
    let mut writer = house.writer();
    commit_many(&mut writer, 'x');
    let copy = log_copy(&house, &writer);
    SYNC_FAILS.set(true);
    let done = copy.run();
    SYNC_FAILS.set(false);
    let refused = writer.log_copied(copy, done).expect_err("it is not durable");
    assert!(refused.to_string().contains("can't be synced"), "{refused}");
    assert!(matches!(writer.check_poison(), Err(StorageError::Poisoned(_))));
}

#[test]
fn a_log_is_not_begun_anew_by_who_refuses_writes() {
    let house = House::new();
    let mut writer = house.writer();
    commit_many(&mut writer, 'x');
    assert!(commit_many(&mut writer, 'y') > PAGES_MANY);
    let copy = log_copy(&house, &writer);
    let done = copy.run();
    writer.poison("a commit left the disk in doubt");
    let log = || std::fs::read(house.path().join(LOG_FILE)).expect("read");
    let before = log();
    writer.log_copied(copy, done).expect("copied");
    assert!(log() == before, "nothing is written to it");
}

type Finder = fn(&House, &mut Writer) -> Result<(), StorageError>;

/// Changes a byte in the middle of the log.
fn damage_log(house: &House) {
    let path = house.path().join(LOG_FILE);
    let mut log = std::fs::read(&path).expect("read");
    let middle = log.len() / 2;
    *log.get_mut(middle).expect("there") ^= 1;
    std::fs::write(&path, log).expect("written");
}

#[test]
fn a_log_with_a_damaged_page_has_writes_refused_whoever_finds_it() {
    let begins = |_: &House, writer: &mut Writer| writer.begin_log();
    let cuts = |_: &House, writer: &mut Writer| writer.cut_log().map(drop);
    let copies = |house: &House, writer: &mut Writer| {
        let copy = log_copy(house, writer);
        let done = copy.run();
        assert!(writer.check_poison().is_ok(), "it is not told yet");
        writer.log_copied(copy, done)
    };
    let finders: [Finder; 3] = [begins, cuts, copies];
    for find in finders {
        let house = House::new();
        let mut writer = house.writer();
        commit_many(&mut writer, 'x');
        damage_log(&house);
        let refused = find(&house, &mut writer).expect_err("a page is damaged");
        assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");
        assert!(matches!(writer.check_poison(), Err(StorageError::Poisoned(_))));
        let refused = writer.transact(Durability::Process, |_, _| Ok(()));
        assert!(matches!(refused, Err(StorageError::Poisoned(_))));
        let seal = Arc::new(PageSeal::new(&key(1)));
        let copy = writer.copy_log(&house.path().join(CATALOG_FILE), &seal);
        assert!(copy.expect("no error of its own").is_none(), "who writes is told");
    }
}
