//! Tests of hints between processes, on a real server.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;
use crate::storage::database::testing::{Server, connect};

/// Longest wait for what comes at once.
const PATIENCE: Duration = Duration::from_mins(1);

fn hear(database: &Database) -> (Listening, Receiver<Notice>) {
    let (told, heard) = channel();
    let listening = database.listen(move |notice| {
        // Nobody may hear it any more.
        let _ = told.send(notice);
    });
    assert_eq!(
        heard.recv_timeout(PATIENCE),
        Ok(Notice::Anything),
        "it listens, and may have missed some"
    );
    (listening, heard)
}

fn change(tenant: &str) -> Notice {
    Notice::Change(tenant.parse().expect("an id"))
}

#[test]
fn what_is_said_is_what_is_heard() {
    let acme: TenantId = "acme".parse().expect("an id");
    for notice in [Notice::Change(acme.clone()), Notice::Whole(acme)] {
        assert_eq!(Notice::parse(&notice.payload()), Some(notice));
    }
    assert_eq!(Notice::parse("NOT AN ID"), None);
    assert_eq!(Notice::parse(""), None);
}

#[test]
fn what_one_process_tells_the_others_hear() {
    let Some(server) = Server::shared() else { return };
    let address = server.empty();
    let [one, other] = [(); 2].map(|()| connect(&address));
    let elsewhere = connect(&server.empty());
    let (_listening, heard) = hear(&one);
    let acme = change("acme");
    elsewhere.notify(&change("other")).expect("told");
    for teller in [&other, &one] {
        teller.notify(&acme).expect("told");
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(acme.clone()));
    }
}

#[test]
fn a_lost_connection_is_made_again_and_says_that_some_may_be_missed() {
    let Some(server) = Server::shared() else { return };
    let address = server.empty();
    let database = connect(&address);
    let (_listening, heard) = hear(&database);
    let (_, name) = address.rsplit_once('=').expect("it ends with the name");
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'LISTEN thenar' AND datname =";
    server.sql(&server.address("postgres"), &format!("{end} '{name}'"));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Notice::Anything));
    let acme = change("acme");
    database.notify(&acme).expect("told");
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(acme));
}

#[test]
fn who_stops_listening_hears_no_more() {
    let Some(server) = Server::shared() else { return };
    let database = connect(&server.empty());
    let (listening, heard) = hear(&database);
    drop(listening);
    // The sender goes with the task.
    while heard.recv_timeout(PATIENCE).is_ok() {}
    assert!(heard.try_recv().is_err());
    database.notify(&change("acme")).expect("told to nobody");
}
