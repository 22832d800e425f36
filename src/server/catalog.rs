//! The engines that have catalogs and segments, where they are configured: connected, the database's tables made, and it watched while the server runs. Knows no tenant.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ServerError;
use super::config::{Config, LimitError};
use super::health::Health;
use crate::keys::provider::KekSource;
use crate::storage::database::{self, Database, DatabaseConfig, Outcome};
use crate::storage::objects::config::ObjectStoreConfig;
use crate::storage::objects::{CacheConfig, ObjectStore, Objects};
use crate::storage::on_database::Engines;

/// How often the server looks whether its database answers.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What `thenar migrate` did.
#[derive(Debug)]
pub struct Migrated {
    /// Host, port and name of the database.
    pub server: String,
    /// The format of its tables before and after.
    pub outcome: Outcome,
}

/// Connects to the engines that are configured, if any are.
pub(super) fn engines(config: &Config) -> Result<Option<Engines>, ServerError> {
    let Some(database) = connect(config)? else {
        return Ok(None);
    };
    let objects = store(config).map(|to| Objects::open(&to, &cache(config)));
    let objects = objects.transpose()?;
    Ok(Some(Engines { database, objects }))
}

/// The database and the object store that the servers of a cluster share, for one that keeps copies of objects.
pub(super) fn shared_engines(config: &Config) -> Result<(Database, Objects), ServerError> {
    let (database, store) = (shared_database(config)?, shared_bucket_address(config)?);
    Ok((database, Objects::open(&store, &cache(config))?))
}

/// The same for one that keeps none.
pub(super) fn shared_store(config: &Config) -> Result<(Database, ObjectStore), ServerError> {
    Ok((shared_database(config)?, shared_bucket(config)?))
}

/// The object store alone, which holds keyrings and erasure journals.
pub(super) fn shared_bucket(config: &Config) -> Result<ObjectStore, ServerError> {
    let store = ObjectStore::connect(&shared_bucket_address(config)?)?;
    store.probe()?;
    Ok(store)
}

fn shared_bucket_address(config: &Config) -> Result<ObjectStoreConfig, LimitError> {
    store(config).ok_or_else(|| unset("storage.objects.url"))
}

fn shared_database(config: &Config) -> Result<Database, ServerError> {
    Ok(connect(config)?.ok_or_else(|| unset("catalog.address"))?)
}

fn unset(setting: &'static str) -> LimitError {
    LimitError {
        setting,
        problem: "is not set, and cluster.enabled is".to_owned(),
    }
}

/// The object store that is configured, if one is.
fn store(config: &Config) -> Option<ObjectStoreConfig> {
    let settings = &config.storage.objects;
    let url = settings.url.as_ref()?;
    Some(ObjectStoreConfig {
        region: settings.region.clone(),
        endpoint: settings.endpoint.clone(),
        allow_http: settings.allow_http,
        ..ObjectStoreConfig::new(url)
    })
}

fn cache(config: &Config) -> CacheConfig {
    let settings = &config.storage.objects;
    let dir = settings.cache.clone();
    CacheConfig {
        dir: dir.unwrap_or_else(|| config.data.join("cache")),
        bytes_max: settings.cache_bytes_max,
        fetches_max: settings.fetches_max,
    }
}

/// Connects to the database that is configured, if one is.
fn connect(config: &Config) -> Result<Option<Database>, ServerError> {
    let catalog = &config.catalog;
    let Some(address) = &catalog.address else {
        return Ok(None);
    };
    let password = catalog.password.as_ref().map(KekSource::password);
    let to = DatabaseConfig {
        address: address.clone(),
        password: password.transpose()?,
        roots: catalog.root_certificates.clone(),
        connections_max: catalog.connections_max,
        connect_timeout: Duration::from_secs(catalog.connect_seconds_max),
        acquire_timeout: Duration::from_secs(catalog.wait_seconds_max),
        statement_timeout: Duration::from_secs(catalog.statement_seconds_max),
    };
    Ok(Some(Database::connect(&to)?))
}

/// Makes the tables of the database that is configured, or brings them to this release's format. Changes nothing where they have it.
pub fn migrate(config: &Config) -> Result<Migrated, ServerError> {
    let database = connect(config)?.ok_or_else(|| LimitError {
        setting: "catalog.address",
        problem: "is not set: catalogs are files in the data directory, and need no migration".to_owned(),
    })?;
    Ok(Migrated {
        server: database.server().to_owned(),
        outcome: database::migrate(&database)?,
    })
}

/// The watch over a database. Dropped, it ends.
pub(super) struct Watch {
    stop: DropGuard,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Tells health and probes from now on whether the database answers and the server may serve.
    pub(super) fn start(
        database: Database,
        may_serve: Box<dyn Fn() -> bool + Send + Sync>,
        health: Health,
        is_ready: watch::Sender<bool>,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = follow(database, &*may_serve, health, is_ready) => {}
            }
        });
        Self {
            stop: stop.drop_guard(),
            task,
        }
    }

    /// Ends it; nothing is told after this returned.
    pub(super) async fn end(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the watch over the database ended early");
        }
    }
}

async fn follow(
    database: Database,
    may_serve: &(dyn Fn() -> bool + Send + Sync),
    health: Health,
    is_ready: watch::Sender<bool>,
) {
    let mut rounds = tokio::time::interval(CHECK_INTERVAL);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let asked = database.clone();
        let answer = match tokio::task::spawn_blocking(move || asked.check()).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "the database could not be looked at");
                continue;
            }
        };
        let is_well = answer.is_ok() && may_serve();
        if is_well == *is_ready.borrow() {
            continue;
        }
        match answer {
            Err(error) => tracing::error!(%error, "not ready until the database is back"),
            Ok(()) if is_well => tracing::info!("ready again"),
            Ok(()) => tracing::error!(
                "not ready until this server is joined with the match nodes of its cluster again"
            ),
        }
        if is_well {
            health.ready().await;
        } else {
            health.not_ready().await;
        }
        is_ready.send_replace(is_well);
    }
}
