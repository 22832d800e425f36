//! Tests of the format of tables: made once, by whoever comes first; another one is refused by name and number and left as it is.

use std::thread;

use super::*;
use crate::storage::database::testing::{Server, connect};

#[test]
fn tables_are_made_once() {
    let Some(server) = Server::shared() else { return };
    let address = server.empty();
    let database = connect(&address);
    let refused = check(&database).expect_err("no tables");
    assert!(
        matches!(refused, StorageError::TableFormat { found: 0, .. }),
        "{refused}"
    );
    for from in [0, NEWEST] {
        let outcome = migrate(&database).expect("migrated");
        assert_eq!(outcome, Outcome { from, to: NEWEST });
    }
    check(&database).expect("its own");
}

#[test]
fn who_comes_at_once_with_another_waits() {
    let Some(server) = Server::shared() else { return };
    let address = server.empty();
    let migrated: Vec<_> = thread::scope(|scope| {
        let each = [(); 4].map(|()| scope.spawn(|| migrate(&connect(&address))));
        each.map(|one| one.join().expect("no panic")).into()
    });
    let made = |outcome: &Result<Outcome, StorageError>| outcome.as_ref().is_ok_and(|it| it.from == 0);
    assert!(migrated.iter().all(Result::is_ok), "{migrated:?}");
    assert!(migrated.iter().any(made));
    assert_eq!(server.sql(&address, "SELECT count(*) FROM format"), "1");
}

#[test]
fn newer_tables_that_have_only_more_are_taken_and_not_migrated() {
    let Some(server) = Server::shared() else { return };
    let address = server.fresh();
    let made = server.sql(&address, "SELECT since FROM compatible");
    let since = made.parse().expect("a number");
    assert!(
        (OLDEST.max(NEWEST - 1)..=NEWEST).contains(&since),
        "the release before goes on"
    );
    let (_, last) = STEPS.last().expect("there are some");
    assert!(last.contains("compatible"), "each step says what works with it");
    let (newer, database) = (NEWEST + 1, connect(&address));
    // As a step of the next release, while servers of this one run.
    server.sql(&address, "ALTER TABLE subject ADD COLUMN later bigint");
    server.sql(&address, "CREATE TABLE later (tenant bigint PRIMARY KEY)");
    server.sql(&address, &format!("UPDATE format SET version = {newer}"));
    server.sql(&address, &format!("UPDATE compatible SET since = {NEWEST}"));
    check(&database).expect("it has only more");
    let refused = migrate(&database).expect_err("newer");
    assert!(matches!(refused, StorageError::TableFormat { .. }), "{refused}");
    for since in [0, newer] {
        server.sql(&address, &format!("UPDATE compatible SET since = {since}"));
        let refused = check(&database).expect_err("it has other things");
        assert!(
            matches!(refused, StorageError::TableFormat { found, .. } if found == newer),
            "{refused}"
        );
    }
}

#[test]
fn newer_tables_are_refused_and_left() {
    let Some(server) = Server::shared() else { return };
    let address = server.fresh();
    let newer = NEWEST + 1;
    server.sql(&address, &format!("UPDATE format SET version = {newer}"));
    server.sql(&address, &format!("UPDATE compatible SET since = {newer}"));
    let database = connect(&address);
    for refused in [check(&database).map(|()| None), migrate(&database).map(Some)] {
        let told = refused.expect_err("newer").to_string();
        let numbers = format!("has tables of format {newer}; this release takes {OLDEST} to {NEWEST}");
        assert!(
            told.contains(&numbers) && told.contains(database.server()),
            "{told}"
        );
    }
    assert_eq!(
        server.sql(&address, "SELECT version FROM format"),
        newer.to_string()
    );
}
