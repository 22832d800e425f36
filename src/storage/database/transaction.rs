//! Transactions: what is sent together, what is waited for, and what is known of a COMMIT. Knows no table.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Object};
use futures::future::{join, join_all};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::{Database, unreachable};
use crate::storage::error::StorageError;

/// Begins what changes rows: whoever waited for a row's lock sees the row as it is then.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Begins reads of one moment.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Begins reads of one moment between which their reader does something else for longer than whoever holds a row's lock may.
const BEGIN_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '10min'; SET LOCAL statement_timeout = '10min'";
/// The longest that an answer within such reads is waited for: rows are counted.
const MOMENT_ANSWER_MAX: Duration = Duration::from_secs(605);

/// A value of a statement.
pub(in crate::storage) type Value = Box<dyn ToSql + Send + Sync>;

/// A statement and its values.
pub(in crate::storage) type Statement = (&'static str, Vec<Value>);

/// A statement with its values, each in a box.
macro_rules! statement {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        ($sql, vec![$(Box::new($value) as $crate::storage::database::transaction::Value),*])
    };
}
pub(in crate::storage) use statement;

/// How a transaction did not end well.
#[derive(Debug)]
pub(in crate::storage) enum Uncommitted {
    /// It was not done.
    Undone(StorageError),
    /// It may be done or not.
    Unknown(String),
}

/// A transaction that changes rows. Dropped before its end it changes nothing.
pub(in crate::storage) struct Transaction {
    database: Database,
    /// There until it is committed.
    client: Option<Arc<Client>>,
    /// How long each answer is waited for.
    limit: Duration,
}

/// A moment of the database that is read for as long as this lives. It locks no row; what was deleted since stays in the heap for as long.
pub(in crate::storage) struct Moment(Transaction);

impl Database {
    /// Rows of statements that all see one moment, in their order.
    pub(in crate::storage) fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StorageError> {
        let (database, limit) = (self.clone(), self.0.answer_timeout);
        let read = self.run(async move {
            let client = Arc::new(database.acquire().await?);
            if statements.len() == 1 {
                let rows = query_all(&client, statements, limit).await;
                if rows.as_ref().is_err_and(Fault::is_silence) {
                    // What comes next would wait behind it.
                    give_up(client);
                }
                return rows;
            }
            let rows = begin(&client, BEGIN_READ, statements, limit).await;
            let ended = match &rows {
                Ok(_) => within(limit, client.batch_execute("COMMIT")).await,
                Err(_) => roll_back(Arc::clone(&client), limit).await,
            };
            if ended.is_err() {
                give_up(client);
            }
            rows
        });
        read.map_err(|fault| self.named(fault))
    }

    /// Begins a transaction with a first statement, whose rows it gives.
    pub(in crate::storage) fn begin(
        &self,
        first: Statement,
    ) -> Result<(Transaction, Vec<Row>), StorageError> {
        let (transaction, rows) = self.begin_all(vec![first])?;
        Ok((transaction, rows.into_iter().next().unwrap_or_default()))
    }

    /// The same with several, which are sent together and done one after the other.
    pub(in crate::storage) fn begin_all(
        &self,
        first: Vec<Statement>,
    ) -> Result<(Transaction, Vec<Vec<Row>>), StorageError> {
        self.begin_by(BEGIN_WRITE, first, self.0.answer_timeout)
    }

    /// Holds on to a moment, with the rows of its first statements.
    pub(in crate::storage) fn moment(
        &self,
        first: Vec<Statement>,
    ) -> Result<(Moment, Vec<Vec<Row>>), StorageError> {
        let (transaction, rows) = self.begin_by(BEGIN_MOMENT, first, MOMENT_ANSWER_MAX)?;
        Ok((Moment(transaction), rows))
    }

    fn begin_by(
        &self,
        by: &'static str,
        first: Vec<Statement>,
        limit: Duration,
    ) -> Result<(Transaction, Vec<Vec<Row>>), StorageError> {
        let database = self.clone();
        let begun = self.run(async move {
            let client = Arc::new(database.acquire().await?);
            Ok((Arc::clone(&client), begin(&client, by, first, limit).await))
        });
        let (client, rows) = begun.map_err(|fault| self.named(fault))?;
        let transaction = Transaction {
            database: self.clone(),
            client: Some(client),
            limit,
        };
        Ok((transaction, rows.map_err(|fault| self.named(fault))?))
    }
}

impl Moment {
    /// Rows of statements, in their order.
    pub(in crate::storage) fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StorageError> {
        self.0.query_all(statements)
    }
}

impl Transaction {
    /// Rows of statements that are sent together and done one after the other.
    pub(in crate::storage) fn query_all(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, StorageError> {
        let client = Arc::clone(self.client.as_ref().expect("it was not committed"));
        let limit = self.limit;
        let rows = self
            .database
            .run(async move { query_all(&client, statements, limit).await });
        rows.map_err(|fault| self.database.named(fault))
    }

    /// Rows of one statement.
    pub(in crate::storage) fn query(&self, statement: Statement) -> Result<Vec<Row>, StorageError> {
        let mut rows = self.query_all(vec![statement])?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// Does statements, and counts the rows that each changed.
    pub(in crate::storage) fn execute_all(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Vec<u64>, StorageError> {
        let client = Arc::clone(self.client.as_ref().expect("it was not committed"));
        let limit = self.database.0.answer_timeout;
        let counts = self
            .database
            .run(async move { execute_all(&client, statements, limit).await });
        counts.map_err(|fault| self.database.named(fault))
    }

    /// Does one statement, and counts the rows that it changed.
    pub(in crate::storage) fn execute(&self, statement: Statement) -> Result<u64, StorageError> {
        let counts = self.execute_all(vec![statement])?;
        Ok(counts.into_iter().sum())
    }

    /// Does the statements of a text that has no values.
    pub(in crate::storage) fn batch(&self, sql: &'static str) -> Result<(), StorageError> {
        let client = Arc::clone(self.client.as_ref().expect("it was not committed"));
        let limit = self.database.0.answer_timeout;
        let done = self
            .database
            .run(async move { within(limit, client.batch_execute(sql)).await });
        done.map_err(|fault| self.database.named(fault))
    }

    /// Does the last statements and commits, all sent together. How long the server takes for the COMMIT is not limited.
    pub(in crate::storage) fn commit(mut self, last: Vec<Statement>) -> Result<(), Uncommitted> {
        let client = self.client.take().expect("it is committed once");
        let (database, limit) = (self.database.clone(), self.database.0.answer_timeout);
        let committed = database.run(async move {
            let unlimited = within(limit, client.batch_execute("SET LOCAL statement_timeout = 0"));
            let (last, unlimited) = join(execute_all(&client, last, limit), unlimited).await;
            if let Err(fault) = last.and(unlimited) {
                // No COMMIT was sent.
                if roll_back(Arc::clone(&client), limit).await.is_err() {
                    give_up(client);
                }
                return Err((fault, true));
            }
            let committed = client.batch_execute("COMMIT").await;
            committed.map_err(|error| {
                let fault = Fault::of(&error);
                let is_undone = fault.is_undone();
                give_up(client);
                (fault, is_undone)
            })
        });
        committed.map_err(|(fault, is_undone)| {
            if is_undone {
                Uncommitted::Undone(database.named(fault))
            } else {
                Uncommitted::Unknown(format!("the database {}: {}", database.server(), fault.problem()))
            }
        })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let limit = self.database.0.answer_timeout;
            // Waited for, so that nobody who comes next finds a row locked.
            self.database.run(async move {
                if roll_back(Arc::clone(&client), limit).await.is_err() {
                    give_up(client);
                }
            });
        }
    }
}

/// Begins and sends statements without waiting in between.
async fn begin(
    client: &Client,
    begin: &str,
    statements: Vec<Statement>,
    limit: Duration,
) -> Result<Vec<Vec<Row>>, Fault> {
    let (begun, rows) = join(
        within(limit, client.batch_execute(begin)),
        query_all(client, statements, limit),
    )
    .await;
    begun.and(rows)
}

async fn query_all(
    client: &Client,
    statements: Vec<Statement>,
    limit: Duration,
) -> Result<Vec<Vec<Row>>, Fault> {
    within(limit, async {
        let prepared = prepare(client, &statements).await?;
        let each = prepared.iter().zip(&statements);
        all(each.map(|(to, (_, values))| async { client.query(to, &borrowed(values)).await })).await
    })
    .await
}

async fn execute_all(
    client: &Client,
    statements: Vec<Statement>,
    limit: Duration,
) -> Result<Vec<u64>, Fault> {
    within(limit, async {
        let prepared = prepare(client, &statements).await?;
        let each = prepared.iter().zip(&statements);
        all(each.map(|(to, (_, values))| async { client.execute(to, &borrowed(values)).await })).await
    })
    .await
}

/// Prepares all before the first is done: one that is known already must not overtake one that is not.
async fn prepare(
    client: &Client,
    statements: &[Statement],
) -> Result<Vec<tokio_postgres::Statement>, tokio_postgres::Error> {
    all(statements.iter().map(|(sql, _)| client.prepare_cached(sql))).await
}

/// Waits for all of them, sent in their order; the first error is what the others follow from.
async fn all<T>(
    each: impl Iterator<Item = impl Future<Output = Result<T, tokio_postgres::Error>>>,
) -> Result<Vec<T>, tokio_postgres::Error> {
    join_all(each).await.into_iter().collect()
}

fn borrowed(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values
        .iter()
        .map(|value| {
            let value: &(dyn ToSql + Sync) = &**value;
            value
        })
        .collect()
}

/// An answer that must come in time.
async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Fault> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| Fault::of(&error)),
        Err(_) => Err(Fault::unanswered("it does not answer in time")),
    }
}

async fn roll_back(client: Arc<Client>, limit: Duration) -> Result<(), Fault> {
    within(limit, client.batch_execute("ROLLBACK")).await
}

/// Closes a connection of which it is not known what its session does.
fn give_up(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        drop(Object::take(client));
    }
}

/// An answer that is none of what was asked.
pub(in crate::storage) fn misread(database: &Database, problem: &str) -> StorageError {
    unreachable(database.server(), problem)
}
