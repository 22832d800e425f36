//! A server that is started, restarted and killed keeps what was committed. Skipped, and said so, where PostgreSQL is not installed.

use super::*;
use crate::cluster::programs;

#[test]
fn what_was_committed_survives_a_restart_a_kill_and_a_failover_and_nothing_is_left_at_the_end() {
    let programs = match programs::postgres() {
        Ok(programs) => programs,
        Err(lacking) => {
            println!("SKIPPED: {lacking}");
            return;
        }
    };
    let server = Postgres::start(&programs).expect("started");
    server
        .query("CREATE TABLE tried (n bigint); INSERT INTO tried VALUES (7)")
        .expect("done");
    server.restart().expect("restarted");
    assert_eq!(server.query("SELECT n FROM tried").expect("asked"), "7\n");
    server.kill().expect("killed");
    server
        .query("SELECT n FROM tried")
        .expect_err("nobody answers while it is away");
    server.up().expect("up");
    assert_eq!(server.query("SELECT n FROM tried").expect("asked"), "7\n");
    server.query("SELECT nonsense").expect_err("no such column");
    server.add_standby().expect("one that follows");
    server
        .query("INSERT INTO tried VALUES (8)")
        .expect("acknowledged by both");
    server.kill().expect("killed");
    server.fail_over().expect("its standby takes its place");
    let all = "SELECT n FROM tried ORDER BY n";
    assert_eq!(server.query(all).expect("asked"), "7\n8\n");
    server.add_standby().expect("the next one");
    server.restart().expect("restarted");
    server.query("INSERT INTO tried VALUES (9)").expect("it is back");
    assert_eq!(server.query(all).expect("asked"), "7\n8\n9\n");
    let dir = server.dir.clone();
    drop(server);
    assert!(!dir.exists());
}
