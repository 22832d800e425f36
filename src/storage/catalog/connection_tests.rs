//! Tests of the writer's transactions and of its log.

use super::*;
use crate::storage::store::CATALOG_FILE;
use crate::storage::testing::House;

#[test]
fn a_failed_transaction_leaves_counters_and_rows_alone() {
    let house = House::new();
    let mut writer = house.writer();
    let before = writer.state();
    let failed: Result<(), _> = writer.transact(Durability::Power, |conn, state| {
        state.next_sequence();
        conn.execute(
            "INSERT INTO terms (policy_version, purpose, method) VALUES ('a', 'b', 'c')",
            [],
        )?;
        Err(StorageError::Rows("no".to_owned()))
    });
    assert!(failed.is_err());
    assert_eq!(writer.state(), before);
    let terms: i64 = writer
        .connection()
        .query_row("SELECT count(*) FROM terms", [], |row| row.get(0))
        .expect("readable");
    assert_eq!(terms, 0);
}

#[test]
fn a_commit_that_fails_poisons_all_later_writes() {
    let house = House::new();
    house.enroll("s1", 1);
    let mut writer = house.writer();
    let failed = writer.transact(Durability::Power, |conn, _| {
        // A violation that SQLite finds at the commit alone stands in for an fsync that fails there.
        conn.execute_batch("PRAGMA defer_foreign_keys = ON; DELETE FROM subject;")?;
        Ok(())
    });
    assert!(matches!(failed, Err(StorageError::Poisoned(_))), "{failed:?}");
    let refused = writer.transact(Durability::Process, |_, _| Ok(()));
    let text = refused.expect_err("poisoned").to_string();
    assert!(text.contains("until the server is restarted"), "{text}");
    assert!(matches!(writer.checkpoint(), Err(StorageError::Poisoned(_))));
    assert!(matches!(writer.check_poison(), Err(StorageError::Poisoned(_))));
    drop(writer);
    let house = house.reopen();
    assert_eq!(house.store.stats().expect("figures").subjects, 1);
    house.enroll("s2", 2);
}

#[test]
fn a_statement_is_planned_once_whatever_its_values() {
    let house = House::new();
    let writer = house.writer();
    let sql = "SELECT s.subject_id FROM reference r JOIN subject s ON s.handle = r.subject WHERE r.id = ? AND r.subject = ?";
    let mut statement = writer.connection().prepare(sql).expect("it is SQL");
    for value in 0..3 {
        let rows = statement.query_map([value, value], |row| row.get::<_, String>(0));
        assert_eq!(rows.expect("read").count(), 0, "nobody is there");
    }
    assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
}

#[test]
fn synchronous_follows_the_durability_asked_for() {
    let house = House::new();
    let mut writer = house.writer();
    let mut level = |durability| {
        writer.transact(durability, |_, _| Ok(())).expect("committed");
        let level: i64 = writer
            .connection()
            .query_row("PRAGMA synchronous", [], |row| row.get(0))
            .expect("readable");
        level
    };
    assert_eq!(level(Durability::Process), 1);
    assert_eq!(level(Durability::Power), 2);
    writer.restart_wal().expect("begun anew");
    writer
        .transact(Durability::Power, |conn, _| {
            let level: i64 = conn.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
            assert_eq!(level, 2);
            Ok(())
        })
        .expect("committed");
}

/// Bytes of the catalog without its log.
fn catalog_len(house: &House) -> u64 {
    let catalog = std::fs::metadata(house.path().join(CATALOG_FILE));
    catalog.expect("there").len()
}

fn commit_terms(writer: &mut Writer, version: &str) -> u64 {
    let done = writer.transact(Durability::Process, |conn, _| {
        conn.execute(
            "INSERT INTO terms (policy_version, purpose, method) VALUES (?, 'b', 'c')",
            [version],
        )?;
        Ok(())
    });
    done.expect("committed");
    writer.wal.pages.load(Ordering::Relaxed)
}

fn count_terms(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM terms", [], |row| row.get(0))
        .expect("read")
}

#[test]
fn a_commit_leaves_a_long_log_to_whoever_looks_after_it() {
    let house = House::new();
    let mut writer = house.writer();
    let before = catalog_len(&house);
    assert!((1..WAL_PAGES_LONG).contains(&commit_terms(&mut writer, "short")));
    assert!(!writer.wal_is_long());
    // It is in a table and in an index.
    let long = commit_terms(&mut writer, &"x".repeat(4 << 20));
    assert!((WAL_PAGES_LONG..WAL_PAGES_MAX).contains(&long));
    assert!(writer.wal_is_long());
    assert_eq!(catalog_len(&house), before, "all of it is in the log");
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 2);
    let longer = commit_terms(&mut writer, &"y".repeat(4 << 20));
    writer.restart_wal().expect("in part");
    assert!(
        !writer.wal_is_long(),
        "a reader is in the way, so that the log has to grow first"
    );
    let half = catalog_len(&house);
    assert!(half > before + (4 << 20) && half < before + (12 << 20), "{half}");
    assert!(commit_terms(&mut writer, "behind") > longer);
    drop(reading);
    writer.restart_wal().expect("all of it");
    assert!(catalog_len(&house) > before + (16 << 20));
    assert!(!writer.wal_is_long(), "the log has begun anew already");
    assert!(commit_terms(&mut writer, "anew") < WAL_PAGES_LONG);
    drop((other, writer));
    assert_eq!(count_terms(&house.crash().sql()), 5);
}

/// Makes commits of some two thousand pages until the log begins anew; how long it was before.
fn fill_wal(writer: &mut Writer, mark: &str) -> u64 {
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
fn a_log_that_nobody_looks_after_is_bounded() {
    let house = House::new();
    let mut writer = house.writer();
    for mark in ["a", "b"] {
        let longest = fill_wal(&mut writer, mark);
        assert!(
            (WAL_PAGES_MAX..WAL_PAGES_MAX + 2_100).contains(&longest),
            "{longest} with the one that was too much"
        );
    }
}

#[test]
fn readers_in_the_way_of_a_long_log_are_let_be() {
    let house = House::new();
    let mut writer = house.writer();
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 0);
    let mut pages = 0;
    while pages < WAL_PAGES_MAX {
        pages = commit_terms(&mut writer, &format!("{pages} ").repeat(1 << 20));
    }
    assert!(writer.wal_is_full() && writer.syncs_next());
    assert!(commit_terms(&mut writer, "behind") > pages);
    assert!(
        !writer.wal_is_full() && !writer.wal_is_long(),
        "it was tried, and is not until the log has grown"
    );
    assert_eq!(count_terms(&reading), 0, "the reader sees what it saw");
    drop(reading);
    commit_terms(&mut writer, &"x".repeat(4 << 20));
    assert!(writer.wal_is_full());
    let anew = commit_terms(&mut writer, "anew");
    assert!(anew < WAL_PAGES_LONG, "{anew}");
    assert!(!writer.wal_is_long());
}

#[test]
fn a_writer_says_whether_the_next_transaction_may_sync() {
    let house = House::new();
    let mut writer = house.writer();
    assert!(writer.syncs_next(), "there may be no log yet");
    commit_terms(&mut writer, "a");
    assert!(!writer.syncs_next());
    let other = house.sql();
    let reading = other.unchecked_transaction().expect("begun");
    assert_eq!(count_terms(&reading), 1);
    commit_terms(&mut writer, "b");
    writer.restart_wal().expect("in part");
    assert!(writer.syncs_next(), "the reader may go");
    commit_terms(&mut writer, "c");
    assert!(!writer.syncs_next());
    drop(reading);
    writer.restart_wal().expect("all of it");
    assert!(!writer.syncs_next(), "the log has begun anew already");
    assert!(writer.checkpoint().expect("cut"));
    assert!(writer.syncs_next());
}

/// Changes a byte in the middle of the log.
fn damage_log(house: &House) {
    let path = house.path().join(crate::storage::store::LOG_FILE);
    let mut log = std::fs::read(&path).expect("read");
    let middle = log.len() / 2;
    *log.get_mut(middle).expect("there") ^= 1;
    std::fs::write(&path, log).expect("written");
}

#[test]
fn a_log_with_a_damaged_page_has_writes_refused() {
    let house = House::new();
    let mut writer = house.writer();
    commit_terms(&mut writer, &"x".repeat(4 << 20));
    damage_log(&house);
    let refused = writer.restart_wal().expect_err("a page is damaged");
    assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");
    assert!(matches!(writer.check_poison(), Err(StorageError::Poisoned(_))));
    writer.restart_wal().expect("nothing is done");
    let refused = writer.transact(Durability::Process, |_, _| Ok(()));
    assert!(matches!(refused, Err(StorageError::Poisoned(_))));
}

#[test]
fn a_damaged_page_that_a_purge_finds_has_writes_refused() {
    let house = House::new();
    let mut writer = house.writer();
    commit_terms(&mut writer, &"x".repeat(4 << 20));
    damage_log(&house);
    let refused = writer.checkpoint().expect_err("a page is damaged");
    assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");
    assert!(matches!(writer.check_poison(), Err(StorageError::Poisoned(_))));
}

#[test]
fn the_catalog_is_set_up_as_promised() {
    let house = House::new();
    let writer = house.writer();
    let pragma = |name: &str| {
        writer
            .connection()
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .expect("readable")
    };
    assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    for (name, value) in [("secure_delete", 1), ("foreign_keys", 1), ("temp_store", 2)] {
        assert_eq!(pragma(name), value.into(), "{name}");
    }
}

#[test]
fn the_settings_of_an_import_end_with_it() {
    let house = House::new();
    let mut writer = house.writer();
    let setting = |writer: &Writer, name: &str| {
        let found = writer
            .connection()
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        found.expect("readable")
    };
    for fails in [false, true] {
        let done = writer.with_import_settings(|writer| {
            assert_eq!(setting(writer, "foreign_keys"), 0, "subjects are not looked up");
            if fails {
                Err(StorageError::Rows("no".to_owned()))
            } else {
                Ok(())
            }
        });
        assert_eq!(done.is_err(), fails);
        assert_eq!(setting(&writer, "foreign_keys"), 1);
        assert_eq!(setting(&writer, "cache_size"), -i64::from(CACHE_KIB));
    }
}
