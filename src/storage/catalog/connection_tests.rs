//! Tests of the writer's transactions and settings.

use super::*;
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
    assert!(matches!(writer.cut_log(), Err(StorageError::Poisoned(_))));
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
    writer.begin_log().expect("begun anew");
    writer
        .transact(Durability::Power, |conn, _| {
            let level: i64 = conn.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
            assert_eq!(level, 2);
            Ok(())
        })
        .expect("committed");
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
