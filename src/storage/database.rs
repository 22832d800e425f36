//! A PostgreSQL database in which catalogs are kept: its pool of connections, on a runtime of its own. Calls block; knows no table.
//!
//! A call hands its work to that runtime and waits on a channel, which works from any thread: of a pool of threads, or of another runtime. A driver that
//! runs a runtime in the thread of its caller panics where one runs already.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, Pool, PoolError, Runtime as PoolRuntime, TimeoutType};
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use self::connect::{Connector, Target};
use self::fault::Fault;
pub use super::catalog::postgres::migrate::{Outcome, migrate};
use super::error::StorageError;
use crate::keys::secret::SecretKey;

mod connect;
pub(super) mod fault;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod transaction;

/// Threads that wait for the server; what is waited for is done there.
const THREADS: usize = 1;
/// How much longer than its limit the server's answer to a statement is waited for. Then the connection is given up.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// Where a database is, and what is waited for it.
pub struct DatabaseConfig {
    /// A URL (`postgres://user@host:port/database`) or a list of keys and values, as libpq takes them.
    pub address: String,
    /// Takes the place of a password in the address.
    pub password: Option<Zeroizing<String>>,
    /// PEM file of the certificates that the server's certificate must lead to; its name must be the host's. Without it no host but this one is
    /// spoken to: by a Unix socket or the loopback interface, and in the clear.
    pub roots: Option<PathBuf>,
    /// Most connections.
    pub connections_max: usize,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long a call waits for a connection while all are in use.
    pub acquire_timeout: Duration,
    /// How long a statement may take. A COMMIT is waited for without a limit, since one that was given up may be done or not.
    pub statement_timeout: Duration,
}

impl DatabaseConfig {
    /// This address, with what is usual otherwise.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            password: None,
            roots: None,
            connections_max: 8,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// The keys of a tenant's catalog in a database.
#[derive(Debug, Clone)]
pub struct CatalogKeys {
    /// Seals cells and finds rows. The catalog's alone, so that a rotation of the data key does not touch it.
    pub secret: SecretKey,
    /// Seals the tenant's segments, and the keys of the epochs of pending rows.
    pub data_key: SecretKey,
}

/// A database. Clones share its connections.
#[derive(Clone)]
pub struct Database(Arc<Shared>);

struct Shared {
    /// Where it is, without what is secret.
    server: String,
    pool: Pool,
    answer_timeout: Duration,
    /// There until the value is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Without waiting, which is not allowed in a thread of another runtime. The server undoes what was not committed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Database {
    /// Connects, and looks whether what the server acknowledges is durable.
    pub fn connect(config: &DatabaseConfig) -> Result<Self, StorageError> {
        let Target {
            server,
            config: to,
            tls,
        } = Target::of(config)?;
        let manager =
            Manager::from_connect(to, Connector { tls }, deadpool_postgres::ManagerConfig::default());
        let limit_ms = config.statement_timeout.as_millis();
        // A transaction that its client left open would keep a tenant's row locked.
        let set_up = format!(
            "SET statement_timeout = {limit_ms}; SET idle_in_transaction_session_timeout = {};
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit', true) IN ('off', 'local')",
            limit_ms * 2
        );
        let set_up = Hook::async_fn(move |client, _| {
            let set_up = set_up.clone();
            Box::pin(async move { client.batch_execute(&set_up).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(config.connections_max)
            .create_timeout(Some(config.connect_timeout))
            .wait_timeout(Some(config.acquire_timeout))
            .recycle_timeout(Some(config.connect_timeout))
            .runtime(PoolRuntime::Tokio1)
            .post_create(set_up)
            .build()
            .map_err(|error| unreachable(&server, &error.to_string()))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("database")
            .enable_all()
            .build()
            .map_err(|error| unreachable(&server, &format!("no thread can be made for it: {error}")))?;
        let database = Self(Arc::new(Shared {
            server,
            pool,
            answer_timeout: config.statement_timeout + ANSWER_SLACK,
            runtime: Some(runtime),
        }));
        database.check_durable()?;
        Ok(database)
    }

    /// Where it is, as errors name it.
    pub fn server(&self) -> &str {
        &self.0.server
    }

    fn check_durable(&self) -> Result<(), StorageError> {
        let rows = self.read(vec![("SELECT current_setting('fsync', true)", Vec::new())])?;
        let fsync: Option<String> = rows
            .first()
            .and_then(|rows| rows.first())
            .and_then(|row| row.get(0));
        match fsync.as_deref() {
            Some("off") => Err(unreachable(
                self.server(),
                "it runs with fsync = off, so that what it acknowledges may be lost; set it to on",
            )),
            _ => Ok(()),
        }
    }

    /// Does work on the database's runtime and waits for it.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (send, receive) = sync_channel(1);
        let runtime = self
            .0
            .runtime
            .as_ref()
            .expect("it is there until this is dropped");
        runtime.spawn(async move {
            // Whoever waits is there until it has the answer.
            let _ = send.send(work.await);
        });
        receive.recv().expect("work ends with an answer")
    }

    /// A connection.
    async fn acquire(self) -> Result<deadpool_postgres::Client, Fault> {
        self.0.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Fault::of(&error)
            }
            PoolError::Timeout(TimeoutType::Wait) => {
                Fault::unanswered("all connections to it are in use for too long")
            }
            PoolError::Timeout(_) => Fault::unanswered("it does not take a connection in time"),
            other => Fault::unanswered(&other.to_string()),
        })
    }

    /// Names the server in what went wrong there.
    fn named(&self, fault: Fault) -> StorageError {
        fault.at(self.server())
    }
}

/// A server that can't be used.
fn unreachable(server: &str, problem: &str) -> StorageError {
    StorageError::Unreachable {
        server: server.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
