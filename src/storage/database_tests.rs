//! Tests of a database's connections: who is spoken to and how it is known to be them, what is waited for, and from where it may be called.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::testing::{Server, connect};
use super::transaction::{Uncommitted, statement};
use super::*;

fn refused(config: &DatabaseConfig) -> String {
    let error = Database::connect(config).err().expect("refused");
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
    error.to_string()
}

#[test]
fn an_address_that_is_not_understood_is_not_repeated() {
    for address in [
        "postgres://me:hunter2@host:port/db",
        "host=/tmp password=hunter2 hunter2=1",
        "hunter2",
    ] {
        let told = refused(&DatabaseConfig::new(address));
        assert!(!told.contains("hunter2"), "{told}");
        assert!(
            told.contains("neither a URL") || told.contains("names no host"),
            "{told}"
        );
    }
}

#[test]
fn another_machine_is_not_spoken_to_in_the_clear() {
    for address in [
        "postgres://me@database.example/thenar",
        "host=localhost,192.0.2.1 user=me",
        "host=localhost hostaddr=192.0.2.1 user=me",
    ] {
        let told = refused(&DatabaseConfig::new(address));
        assert!(told.contains("no root certificates are given"), "{told}");
    }
    let told = refused(&DatabaseConfig {
        roots: Some("nowhere.pem".into()),
        ..DatabaseConfig::new("postgres://me@database.example/thenar")
    });
    assert!(
        told.contains("database.example:5432/thenar") && told.contains("nowhere.pem"),
        "{told}"
    );
}

#[test]
fn what_can_t_be_reached_is_named() {
    let dir = TempDir::new().expect("a temporary directory");
    let address = format!(
        "host={} port=6543 user=me password=hunter2 dbname=thenar",
        dir.path().display()
    );
    let told = refused(&DatabaseConfig::new(address));
    assert!(
        told.contains(&format!("{}:6543/thenar", dir.path().display())),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_server_that_does_not_keep_what_it_acknowledges_is_refused() {
    let Some(server) = Server::start() else { return };
    let address = server.empty();
    connect(&address);
    server.kill();
    server.configure("fsync = off\n");
    server.up();
    let told = refused(&DatabaseConfig::new(address));
    assert!(told.contains("fsync = off"), "{told}");
}

#[test]
fn a_session_keeps_what_it_acknowledges() {
    let Some(server) = Server::shared() else { return };
    let address = server.empty();
    let (_, name) = address.rsplit_once('=').expect("it ends with the name");
    server.sql(
        &address,
        &format!("ALTER DATABASE {name} SET synchronous_commit = off"),
    );
    let rows = connect(&address)
        .read(vec![statement!("SHOW synchronous_commit")])
        .expect("read");
    assert_eq!(rows[0][0].get::<_, String>(0), "on");
}

#[test]
fn calls_work_from_any_thread() {
    let Some(server) = Server::shared() else { return };
    let database = connect(&server.empty());
    let one = |database: &Database| -> i32 {
        let rows = database.read(vec![statement!("SELECT 1")]).expect("read");
        rows[0][0].get(0)
    };
    // Within another runtime, where a driver that runs its own panics, and dropped there.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let inside = connect(&server.empty());
    assert_eq!(runtime.block_on(async move { one(&inside) }), 1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .build()
        .expect("threads");
    let sums = pool.broadcast(|_| one(&database));
    assert_eq!(sums.into_iter().sum::<i32>(), 4);
}

#[test]
fn what_takes_too_long_is_given_up_and_nothing_of_it_stays() {
    let Some(server) = Server::shared() else { return };
    let address = server.empty();
    server.sql(&address, "CREATE TABLE kept (n int)");
    let database = Database::connect(&DatabaseConfig {
        statement_timeout: Duration::from_millis(50),
        acquire_timeout: Duration::from_millis(50),
        connections_max: 1,
        ..DatabaseConfig::new(&address)
    })
    .expect("connected");
    let (transaction, _) = database.begin(statement!("SELECT 1")).expect("begun");
    transaction
        .execute(statement!("INSERT INTO kept VALUES (1)"))
        .expect("done");
    let busy = database
        .read(vec![statement!("SELECT 1")])
        .expect_err("none is free");
    assert!(
        busy.to_string().contains("all connections to it are in use"),
        "{busy}"
    );
    let slow = transaction
        .query(statement!("SELECT pg_sleep(600)"))
        .expect_err("too long");
    assert!(slow.to_string().contains("(57014)"), "{slow}");
    drop(transaction);
    let rows = database
        .read(vec![statement!("SELECT count(*) FROM kept")])
        .expect("free again");
    assert_eq!(rows[0][0].get::<_, i64>(0), 0);
}

#[test]
fn whoever_says_nothing_within_a_transaction_keeps_nobody_else_waiting() {
    let Some(server) = Server::shared() else { return };
    let address = server.empty();
    server.sql(&address, "CREATE TABLE row (n int); INSERT INTO row VALUES (1)");
    let [silent, other] = [(); 2].map(|()| connect(&address));
    let lock = || statement!("SELECT n FROM row FOR UPDATE");
    let change = || statement!("UPDATE row SET n = n + 1");
    let (stopped, _) = silent.begin(lock()).expect("begun");
    stopped.execute(change()).expect("changed");
    // It waits for the row, and its own limit is far longer than the test may take.
    let (transaction, found) = other.begin(lock()).expect("the row is free in the end");
    assert_eq!(
        found[0].get::<_, i32>(0),
        1,
        "nothing of what was not committed is there"
    );
    transaction.commit(vec![change()]).expect("committed");
    let ended = stopped.commit(vec![change()]);
    assert!(matches!(ended, Err(Uncommitted::Undone(_))), "{ended:?}");
    let rows = silent
        .read(vec![statement!("SELECT n FROM row")])
        .expect("it is well again");
    assert_eq!(rows[0][0].get::<_, i32>(0), 2);
}

/// A certificate for a host, signed by an authority of its own: the server's files, and the authority's.
fn certify(host: &str, dir: &Path) -> std::path::PathBuf {
    let key = || KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, key()).expect("signed");
    let server_key = key();
    let params = CertificateParams::new([host.to_owned()]).expect("a name");
    let certificate = params.signed_by(&server_key, &issuer).expect("signed");
    let roots = dir.join(format!("{host}.pem"));
    fs::write(&roots, issuer.pem()).expect("written");
    fs::write(dir.join("server.crt"), certificate.pem()).expect("written");
    fs::write(dir.join("server.key"), server_key.serialize_pem()).expect("written");
    roots
}

#[test]
fn a_server_is_known_by_its_certificate_and_its_name() {
    let Some(server) = Server::start() else { return };
    let name = server
        .empty()
        .rsplit_once('=')
        .expect("it ends with the name")
        .1
        .to_owned();
    let own = TempDir::new().expect("a temporary directory");
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .expect("a port")
        .port();
    let [other, roots] = ["other.example", "localhost"].map(|host| certify(host, own.path()));
    server.take_in(&own.path().join("server.crt"));
    server.take_in(&own.path().join("server.key"));
    server.kill();
    server.configure(&format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\n"
    ));
    server.up();
    let config = |host: &str, roots: &Path| DatabaseConfig {
        roots: Some(roots.to_owned()),
        ..DatabaseConfig::new(format!(
            "host={host} hostaddr=127.0.0.1 port={port} user=thenar dbname={name}"
        ))
    };
    let database = Database::connect(&config("localhost", &roots)).expect("it is who it is taken for");
    let is_sealed = statement!("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    assert!(database.read(vec![is_sealed]).expect("read")[0][0].get::<_, bool>(0));
    for (host, roots) in [("localhost", &other), ("database.example", &roots)] {
        let told = refused(&config(host, roots));
        assert!(told.contains("TLS handshake") && told.contains(host), "{told}");
    }
}
