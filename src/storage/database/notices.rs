//! Hints between processes that share a database, that something of a tenant changed (LISTEN, NOTIFY). Nothing rests on them: whoever misses one looks by itself. Knows no table.

use std::sync::Arc;
use std::time::Duration;

use futures::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, NoTls, Socket};

use super::Database;
use super::fault::Fault;
use super::transaction::{Uncommitted, statement};
use crate::model::id::TenantId;
use crate::storage::error::StorageError;

/// What the hints of all tenants come on.
const CHANNEL: &str = "thenar";
const LISTEN: &str = "LISTEN thenar";
/// How long after a connection was lost the next one is tried.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Hears of changes until it is dropped.
#[derive(Debug)]
pub struct Listening(AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is told of a tenant that was made or dropped begins with this.
const WHOLE: char = '!';

/// What is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something of a tenant changed.
    Change(TenantId),
    /// A tenant was made or dropped.
    Whole(TenantId),
    /// A connection was made: what was told before may have been missed.
    Anything,
}

impl Notice {
    fn payload(&self) -> String {
        match self {
            Self::Change(tenant) => tenant.as_str().to_owned(),
            Self::Whole(tenant) => format!("{WHOLE}{tenant}"),
            Self::Anything => String::new(),
        }
    }

    /// `None` for what nobody of ours says.
    fn parse(payload: &str) -> Option<Self> {
        match payload.strip_prefix(WHOLE) {
            Some(tenant) => tenant.parse().ok().map(Self::Whole),
            None => payload.parse().ok().map(Self::Change),
        }
    }
}

type Heard = dyn Fn(Notice) + Send + Sync;

impl Database {
    /// Tells whoever listens. In a transaction of its own, which nobody waits to be durable: it takes a lock of the whole database.
    pub fn notify(&self, notice: &Notice) -> Result<(), StorageError> {
        let (transaction, _) = self.begin_all(vec![
            statement!("SET LOCAL synchronous_commit = off"),
            statement!("SELECT pg_notify($1, $2)", CHANNEL.to_owned(), notice.payload()),
        ])?;
        transaction.commit(Vec::new()).map_err(|error| match error {
            Uncommitted::Undone(error) => error,
            Uncommitted::Unknown(problem) => StorageError::Unreachable {
                server: self.server().to_owned(),
                problem,
            },
        })
    }

    /// Calls `heard`, which must not block, whenever somebody tells something. A connection of its own, made again where it is lost. Where the server has no such hints that is told once, and nothing is heard.
    pub fn listen(&self, heard: impl Fn(Notice) + Send + Sync + 'static) -> Listening {
        let (database, heard) = (self.clone(), Arc::new(heard));
        Listening(self.0.bridge.spawn(async move {
            let mut is_told = false;
            loop {
                let fault = database.hear(&*heard, &mut is_told).await;
                if !std::mem::replace(&mut is_told, true) {
                    let (server, problem) = (database.server(), fault.problem());
                    tracing::warn!(
                        server,
                        problem,
                        "nothing is heard of changes by other servers until they are looked for"
                    );
                }
                sleep(AGAIN_AFTER).await;
            }
        }))
    }

    /// Until the connection ends.
    async fn hear(&self, heard: &Heard, is_told: &mut bool) -> Fault {
        let (config, tls) = &self.0.to;
        let ended = match tls.clone() {
            Some(tls) => match config.connect(tls).await {
                Ok((client, connection)) => attend(client, connection, heard, is_told).await,
                Err(error) => Err(error),
            },
            None => match config.connect(NoTls).await {
                Ok((client, connection)) => attend(client, connection, heard, is_told).await,
                Err(error) => Err(error),
            },
        };
        match ended {
            Ok(()) => Fault::unanswered("its connection ended"),
            Err(error) => Fault::of(&error),
        }
    }
}

async fn attend<T: AsyncRead + AsyncWrite + Unpin>(
    client: Client,
    mut connection: Connection<Socket, T>,
    heard: &Heard,
    is_told: &mut bool,
) -> Result<(), Error> {
    let listen = client.batch_execute(LISTEN);
    tokio::pin!(listen);
    let mut is_listening = false;
    loop {
        tokio::select! {
            done = &mut listen, if !is_listening => {
                done?;
                is_listening = true;
                if std::mem::take(is_told) {
                    tracing::info!("changes by other servers are heard of again");
                }
                heard(Notice::Anything);
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                None => return Ok(()),
                Some(Err(error)) => return Err(error),
                Some(Ok(AsyncMessage::Notification(notice))) => {
                    if let Some(told) = Notice::parse(notice.payload()) {
                        heard(told);
                    }
                }
                Some(Ok(_)) => {}
            },
        }
    }
}

#[cfg(test)]
#[path = "notices_tests.rs"]
mod tests;
