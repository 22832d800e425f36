//! A PostgreSQL database in which catalogs are kept: its pool of connections, on a bridge of its own. Calls block; knows no table.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, Pool, PoolError, Runtime as PoolRuntime, TimeoutType};
use tokio::time::timeout;
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use self::connect::{Connector, Target};
use self::fault::Fault;
use super::bridge::Bridge;
pub use super::catalog::postgres::give_up_making;
use super::catalog::postgres::migrate::check as migrate_check;
pub use super::catalog::postgres::migrate::{Outcome, migrate};
use super::error::StorageError;
use crate::keys::secret::SecretKey;

mod connect;
pub(super) mod fault;
pub mod notices;
pub(super) mod tenants;
#[cfg(test)]
pub(crate) mod testing;
pub(super) mod transaction;

/// The longest that the server waits within a transaction for what comes next. Between its statements a transaction computes, so that a client that takes longer is stopped or out of reach, or waits for an object (an erasure of a row that has just
/// moved, which is then repeated); and everybody else waits for the row that it has locked.
const IDLE_MAX: Duration = Duration::from_secs(1);
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

impl DatabaseConfig {
    /// What is wrong with an address of a configuration, without a word of it: what was not understood may be a password.
    pub fn check_address(address: &str) -> Result<(), &'static str> {
        connect::check_address(address)
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
    /// How it is connected to.
    to: (tokio_postgres::Config, Option<MakeRustlsConnect>),
    pool: Pool,
    answer_timeout: Duration,
    /// Where the driver runs. The server undoes what was not committed when it goes.
    bridge: Bridge,
}

impl Database {
    /// Connects, and looks whether what the server acknowledges is durable.
    pub fn connect(config: &DatabaseConfig) -> Result<Self, StorageError> {
        let Target {
            server,
            config: to,
            tls,
        } = Target::of(config)?;
        let (kept, connector) = ((to.clone(), tls.clone()), Connector { tls });
        let manager = Manager::from_connect(to, connector, deadpool_postgres::ManagerConfig::default());
        let limit_ms = config.statement_timeout.as_millis();
        let limit = config.connect_timeout;
        // That a commit did not wait for its standby is told by a warning. A transaction whose client has gone, or is cut off, would keep a tenant's row locked.
        let set_up = format!(
            "SET client_min_messages = warning; SET statement_timeout = {limit_ms}; SET idle_in_transaction_session_timeout = {};
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit', true) IN ('off', 'local')",
            IDLE_MAX.as_millis()
        );
        let set_up = Hook::async_fn(move |client, _| {
            let set_up = set_up.clone();
            Box::pin(async move {
                let done = timeout(limit, client.batch_execute(&set_up)).await;
                let done = done.map_err(|_| HookError::message("it does not answer in time"))?;
                done.map_err(HookError::Backend)
            })
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
        let database = Self(Arc::new(Shared {
            server,
            to: kept,
            pool,
            answer_timeout: config.statement_timeout + ANSWER_SLACK,
            bridge: Bridge::start("database")?,
        }));
        database.check_durable()?;
        Ok(database)
    }

    /// Where it is, as errors name it.
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// Whether its server waits for a standby with each commit. Where it does not say, it is one that keeps copies in another way.
    pub fn has_synchronous_standby(&self) -> Result<bool, StorageError> {
        let names = self.setting("SELECT current_setting('synchronous_standby_names', true)")?;
        Ok(names.is_none_or(|names| !names.is_empty()))
    }

    fn setting(&self, question: &'static str) -> Result<Option<String>, StorageError> {
        let rows = self.read(vec![(question, Vec::new())])?;
        let row = rows.first().and_then(|rows| rows.first());
        Ok(row.and_then(|row| row.get(0)))
    }

    fn check_durable(&self) -> Result<(), StorageError> {
        let fsync = self.setting("SELECT current_setting('fsync', true)")?;
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
        self.0.bridge.wait(work)
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
