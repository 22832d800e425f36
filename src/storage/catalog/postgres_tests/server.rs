//! Servers that go away, call a transaction off, or can't tell whether a commit was done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

/// A tenant on a server of this test alone.
fn on(server: &Server) -> (Database, TempDir) {
    let database = connect(&server.fresh());
    let dir = TempDir::new().expect("a temporary directory");
    create(&database, dir.path(), &spec("acme"), &keys()).expect("made");
    (database, dir)
}

fn open_on(database: &Database, dir: &TempDir) -> OpenCatalog {
    super::super::open(database, dir.path(), &id("acme"), &keys(), signer()).expect("opened")
}

fn known(catalog: &OpenCatalog, subject: &str) -> bool {
    catalog
        .reader
        .first_known(&[id(subject)])
        .expect("read")
        .is_some()
}

#[test]
fn nothing_acknowledged_is_lost_with_the_server() {
    let Some(server) = Server::start() else { return };
    let (database, dir) = on(&server);
    let mut catalog = open_on(&database, &dir);
    enrolled(&mut catalog, "s1", 1);
    // Between transactions.
    server.kill();
    let away = commit(&mut catalog, vec![erase("e1", "s1")]).expect_err("no server");
    assert!(matches!(away, StorageError::Unreachable { .. }), "{away}");
    catalog.writer.check().expect("nothing is in doubt");
    server.up();
    assert!(known(&catalog, "s1"));
    enrolled(&mut catalog, "s2", 2);
    // Within one: what it would have made true is not.
    let located = catalog.reader.locate(&[2]).expect("read").remove(0);
    let Some(Located::Pending(row)) = located else {
        panic!("pending")
    };
    let cut = catalog.writer.flush(&written(1), &[row.id], &mut |_| {
        server.kill();
        Ok(())
    });
    let cut = cut.err().expect("no server");
    assert!(matches!(cut, StorageError::Unreachable { .. }), "{cut}");
    catalog.writer.check().expect("no COMMIT was sent");
    server.up();
    assert_eq!(catalog.reader.pending().expect("read"), [1, 2]);
    flushed(&mut catalog, &[1, 2]);
    drop(catalog);
    let catalog = open_on(&database, &dir);
    assert_eq!((catalog.segments.len(), catalog.writer.state().pending), (1, 0));
}

/// How many wait for a standby.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// A server takes new settings up in its own time: commits until one waits for the standby, and ends that wait.
fn await_standby(server: &Server, address: &str) {
    let is_seen = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_seen.load(Ordering::SeqCst) {
                // The one whose wait is ended is in doubt, by which its connection is given up.
                let _ = server.try_sql(address, "INSERT INTO tried VALUES (1)");
            }
        });
        while server.sql(address, WAITING) != "1" {
            thread::yield_now();
        }
        is_seen.store(true, Ordering::SeqCst);
        let end = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        server.sql(address, end);
    });
}

/// Commits while no standby acknowledges, until `end` ends the wait for it; gives what the writer says of that.
fn in_doubt(server: &Server, end: impl FnOnce(&Server)) -> (StorageError, Database, TempDir) {
    let (database, dir) = on(server);
    let mut catalog = open_on(&database, &dir);
    enrolled(&mut catalog, "s1", 1);
    let settings = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    let admin = database
        .server()
        .rsplit_once('/')
        .expect("it names the database")
        .1;
    let address = server.address(admin);
    assert!(!database.has_synchronous_standby().expect("told"));
    server.sql(&address, "CREATE TABLE tried (n bigint)");
    server.sql(&address, settings);
    server.sql(&address, "SELECT pg_reload_conf()");
    await_standby(server, &address);
    assert!(database.has_synchronous_standby().expect("told"));
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    let writing = thread::spawn(move || {
        let write = Write::Enroll(enroll("r2", "s2", &[2]));
        let refused = commit(&mut catalog, vec![write]);
        told.store(true, Ordering::SeqCst);
        let check = catalog.writer.check();
        assert!(
            matches!(check, Err(StorageError::Poisoned(_))),
            "every later one is refused"
        );
        refused
    });
    while server.sql(&address, WAITING) != "1" {
        assert!(!is_over.load(Ordering::SeqCst), "it waits for the standby");
        thread::yield_now();
    }
    end(server);
    let refused = writing.join().expect("no panic").expect_err("in doubt");
    (refused, database, dir)
}

fn is_told(refused: &StorageError) {
    assert!(
        matches!(refused, StorageError::Poisoned(why) if why.contains("can't be told whether a commit was done")),
        "{refused}"
    );
}

#[test]
fn a_commit_that_no_standby_has_is_in_doubt() {
    let Some(server) = Server::start() else { return };
    let (refused, database, dir) = in_doubt(&server, |server| {
        let cancel =
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        server.sql(&server.address("postgres"), cancel);
    });
    is_told(&refused);
    server.sql(
        &server.address("postgres"),
        "ALTER SYSTEM RESET synchronous_standby_names",
    );
    server.sql(&server.address("postgres"), "SELECT pg_reload_conf()");
    let mut catalog = open_on(&database, &dir);
    assert!(
        known(&catalog, "s1") && known(&catalog, "s2"),
        "this one was done"
    );
    // Whoever asks again is answered.
    let write = Write::Enroll(enroll("r2", "s2", &[2]));
    let answer = commit(&mut catalog, vec![write]).expect("answered").remove(0);
    assert!(crate::storage::testing::enrolled(answer).1, "replayed");
}

#[test]
fn a_commit_that_the_server_did_not_answer_is_in_doubt() {
    let Some(server) = Server::start() else { return };
    let (refused, database, dir) = in_doubt(&server, Server::kill);
    is_told(&refused);
    server.configure("synchronous_standby_names = ''\n");
    server.forget_system_settings();
    server.up();
    let catalog = open_on(&database, &dir);
    assert!(known(&catalog, "s1"));
    assert_eq!(
        catalog.writer.state().subjects,
        1 + u64::from(known(&catalog, "s2"))
    );
}

#[test]
fn an_opening_waits_for_a_commit_that_is_still_under_way() {
    let Some(kept) = Kept::new() else { return };
    drop(kept.open());
    // Stands for the transaction of a process that is gone: the server still works at it.
    let database = connect(&kept.address);
    let (transaction, _) = database
        .begin(statement!(
            "SELECT tenant FROM tenant WHERE name = 'acme' FOR UPDATE"
        ))
        .expect("begun");
    thread::scope(|scope| {
        let opening = scope.spawn(|| kept.open().writer.state().commits);
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while kept.sql(waiting) == "0" {
            assert!(!opening.is_finished(), "it waits");
            thread::yield_now();
        }
        transaction.commit(Vec::new()).expect("done");
        assert_eq!(opening.join().expect("no panic"), 2);
    });
}

/// Lets the server call off the first so many changes of the tenant's row.
fn called_off(kept: &Kept, times: u32) {
    kept.sql(&format!(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION call_off() RETURNS trigger AS $$ BEGIN
             IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'called off' USING ERRCODE = '40001'; END IF;
             RETURN NEW;
         END $$ LANGUAGE plpgsql;
         CREATE TRIGGER call_off BEFORE UPDATE ON tenant FOR EACH ROW EXECUTE FUNCTION call_off()"
    ));
}

#[test]
fn what_is_called_off_for_others_sake_is_done_again() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    called_off(&kept, 2);
    enrolled(&mut catalog, "s1", 1);
    assert_eq!(kept.sql("SELECT last_value FROM tries"), "3");
    let state = catalog.writer.state();
    assert_eq!((state.subjects, state.references, state.commits), (1, 1, 2));
    let (events, _) = catalog.reader.usage(None, None, 10).expect("history");
    assert_eq!(events.len(), 1);
}

#[test]
fn what_is_always_called_off_fails_and_is_not_in_doubt() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    enrolled(&mut catalog, "s1", 1);
    let before = catalog.writer.state();
    called_off(&kept, 1_000);
    let refused = commit(&mut catalog, vec![erase("e1", "s1")]).expect_err("called off");
    assert!(
        matches!(&refused, StorageError::Database { problem, .. } if problem.contains("called off (40001)")),
        "{refused}"
    );
    assert_eq!(catalog.writer.state(), before);
    // Whoever was told of it is told once.
    let tried = kept.sql("SELECT last_value FROM tries");
    let located = catalog.reader.locate(&[1]).expect("read").remove(0);
    let Some(Located::Pending(row)) = located else {
        panic!("pending")
    };
    let mut told = 0;
    let refused = catalog.writer.flush(&written(1), &[row.id], &mut |_| {
        told += 1;
        Ok(())
    });
    assert!(refused.is_err());
    assert_eq!(told, 1);
    let tried: u32 = tried.parse().expect("a number");
    assert_eq!(kept.sql("SELECT last_value FROM tries"), (tried + 1).to_string());
    kept.sql("DROP TRIGGER call_off ON tenant");
    commit(&mut catalog, vec![erase("e1", "s1")]).expect("done");
}

#[test]
fn what_the_server_says_shows_no_values() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    kept.sql("ALTER TABLE request ADD CHECK (method <> 1)");
    let refused = commit(&mut catalog, vec![Write::Enroll(enroll("r1", "s1", &[1]))]).expect_err("refused");
    let told = refused.to_string();
    assert!(
        told.contains("(23514)") && !told.contains("Failing row") && !told.contains("\\x"),
        "{told}"
    );
    kept.sql("ALTER TABLE request DROP CONSTRAINT request_method_check");
    enrolled(&mut catalog, "s1", 1);
}
