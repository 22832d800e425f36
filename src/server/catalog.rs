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
use crate::storage::objects::{CacheConfig, Objects};
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
    let settings = &config.storage.objects;
    let open = |url: &String| {
        let to = ObjectStoreConfig {
            region: settings.region.clone(),
            endpoint: settings.endpoint.clone(),
            allow_http: settings.allow_http,
            ..ObjectStoreConfig::new(url)
        };
        let cache = CacheConfig {
            dir: settings
                .cache
                .clone()
                .unwrap_or_else(|| config.data.join("cache")),
            bytes_max: settings.cache_bytes_max,
            fetches_max: settings.fetches_max,
        };
        Objects::open(&to, &cache)
    };
    let objects = settings.url.as_ref().map(open).transpose()?;
    Ok(Some(Engines { database, objects }))
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
    /// Tells health and probes from now on whether the database answers; both say that all is ready now.
    pub(super) fn start(database: Database, health: Health, is_ready: watch::Sender<bool>) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = follow(database, health, is_ready) => {}
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

async fn follow(database: Database, health: Health, is_ready: watch::Sender<bool>) {
    let mut rounds = tokio::time::interval(CHECK_INTERVAL);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut answered = true;
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
        match (&answer, answered) {
            (Err(error), true) => {
                tracing::error!(%error, "not ready until the database is back");
                is_ready.send_replace(false);
                health.not_ready().await;
            }
            (Ok(()), false) => {
                tracing::info!("ready: the database is back");
                health.ready().await;
                is_ready.send_replace(true);
            }
            _ => {}
        }
        answered = answer.is_ok();
    }
}
