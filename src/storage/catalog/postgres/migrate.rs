//! The tables of a database and their format: made and changed by numbered steps, each a transaction of its own. Reads and writes no tenant's row.

use tokio_postgres::Row;

use crate::storage::database::Database;
use crate::storage::database::transaction::{Transaction, Uncommitted, misread, statement};
use crate::storage::error::StorageError;

/// What makes each format of the one before it, by number. A step only adds, so that the release before goes on beside this one, and says so: it puts into the table `compatible` the oldest format whose release may go on with these tables, and start anew.
const STEPS: [(u32, &str); 5] = [
    (1, include_str!("0001.sql")),
    (2, include_str!("0002.sql")),
    (3, include_str!("0003.sql")),
    (4, include_str!("0004.sql")),
    (5, include_str!("0005.sql")),
];
/// The newest format, which this release makes.
const NEWEST: u32 = 5;
/// The oldest that this release works with: whoever made an earlier one may not know of segments that were merged. No release had an earlier one.
const OLDEST: u32 = 5;

/// Where the format stands. One row, whose lock is what lets one process at a time change tables.
const FORMAT: &str =
    "CREATE TABLE IF NOT EXISTS format (id bigint PRIMARY KEY, version bigint NOT NULL, CHECK (id = 1))";
/// How often making that table is tried: of two who make it at once the server refuses one.
const TRIES: usize = 3;

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The format before; 0 where there were no tables.
    pub from: u32,
    /// The format now.
    pub to: u32,
}

/// Brings the tables of a database to this release's format, or makes them. One that is newer is refused and left as it is.
pub fn migrate(database: &Database) -> Result<Outcome, StorageError> {
    make_format(database)?;
    let mut from = None;
    loop {
        let locked = statement!("SELECT version FROM format WHERE id = 1 FOR UPDATE");
        let (transaction, rows) = database.begin(locked)?;
        let version = version(database, rows.first())?;
        let from = *from.get_or_insert(version);
        if version > NEWEST {
            return Err(other_format(database, version));
        }
        let Some((number, sql)) = STEPS.iter().find(|(number, _)| *number == version + 1) else {
            return Ok(Outcome { from, to: version });
        };
        step(transaction, *number, sql)?;
    }
}

/// Refuses tables that this release doesn't work with. Newer ones say whether it does.
pub(in crate::storage) fn check(database: &Database) -> Result<(), StorageError> {
    let there = database.read(vec![statement!(
        "SELECT EXISTS (SELECT 1 FROM information_schema.tables
                        WHERE table_name = 'format' AND table_schema = ANY(current_schemas(false)))"
    )])?;
    let is_there = there.first().and_then(|rows| rows.first());
    if !is_there.is_some_and(|row| row.get(0)) {
        return Err(other_format(database, 0));
    }
    let rows = database.read(vec![statement!("SELECT version FROM format WHERE id = 1")])?;
    let found = version(database, rows.first().and_then(|rows| rows.first()))?;
    if (OLDEST..=NEWEST).contains(&found) || found > NEWEST && is_known(database)? {
        Ok(())
    } else {
        Err(other_format(database, found))
    }
}

/// Whether tables that are newer have only more than this release knows.
fn is_known(database: &Database) -> Result<bool, StorageError> {
    let rows = database.read(vec![statement!("SELECT since FROM compatible WHERE id = 1")])?;
    let since = version(database, rows.first().and_then(|rows| rows.first()))?;
    Ok((1..=NEWEST).contains(&since))
}

fn make_format(database: &Database) -> Result<(), StorageError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let made = database
            .begin(statement!("SELECT 1"))
            .and_then(|(transaction, _)| {
                transaction.batch(FORMAT)?;
                let first =
                    statement!("INSERT INTO format (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING");
                transaction.commit(vec![first]).map_err(uncommitted)
            });
        match made {
            Err(StorageError::Database { .. }) if tried < TRIES => {}
            made => return made,
        }
    }
}

fn step(transaction: Transaction, number: u32, sql: &'static str) -> Result<(), StorageError> {
    transaction.batch(sql)?;
    let update = statement!("UPDATE format SET version = $1 WHERE id = 1", i64::from(number));
    transaction.commit(vec![update]).map_err(uncommitted)
}

/// A step of unknown outcome is done or not; whoever repeats it finds out.
fn uncommitted(error: Uncommitted) -> StorageError {
    match error {
        Uncommitted::Undone(error) => error,
        Uncommitted::Unknown(problem) => StorageError::Poisoned(format!(
            "a step of the migration may be done or not ({problem}); repeat it"
        )),
    }
}

fn version(database: &Database, row: Option<&Row>) -> Result<u32, StorageError> {
    let version = row.and_then(|row| row.try_get::<_, i64>(0).ok());
    version
        .and_then(|version| u32::try_from(version).ok())
        .ok_or_else(|| misread(database, "its table `format` says no format"))
}

fn other_format(database: &Database, found: u32) -> StorageError {
    StorageError::TableFormat {
        server: database.server().to_owned(),
        found,
        oldest: OLDEST,
        newest: NEWEST,
        way_out: if found > NEWEST {
            "use the newer release that made them"
        } else {
            "migrate them first"
        },
    }
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
