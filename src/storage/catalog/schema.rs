//! The tables of a catalog (docs/format.md) and their version. Reads and writes no row.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::local::history;
use crate::model::id::TenantId;
use crate::storage::error::StorageError;

/// `PRAGMA application_id`: "thnr".
const APPLICATION_ID: i32 = 0x7468_6E72;
/// `PRAGMA user_version`: version of the tables.
pub(in crate::storage) const VERSION: u32 = 4;

const TABLES: &str = "
CREATE TABLE tenant(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    spec TEXT NOT NULL
) STRICT;
CREATE TABLE state(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commits INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    last_reference INTEGER NOT NULL,
    last_subject INTEGER NOT NULL,
    last_segment INTEGER NOT NULL,
    last_erasure INTEGER NOT NULL,
    last_usage INTEGER NOT NULL,
    subjects INTEGER NOT NULL,
    refs INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    erasures_open INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
CREATE TABLE terms(
    id INTEGER PRIMARY KEY,
    policy_version TEXT NOT NULL,
    purpose TEXT NOT NULL,
    method TEXT NOT NULL,
    UNIQUE (policy_version, purpose, method)
) STRICT;
CREATE TABLE subject(
    handle INTEGER PRIMARY KEY,
    subject_id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    terms INTEGER NOT NULL REFERENCES terms(id),
    consent_given_at INTEGER NOT NULL,
    consent_expires_at INTEGER NOT NULL,
    last_used INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX subject_consent_end ON subject(consent_expires_at);
CREATE INDEX subject_last_used ON subject(last_used);
CREATE TABLE reference(
    id INTEGER PRIMARY KEY,
    subject INTEGER NOT NULL REFERENCES subject(handle),
    hand INTEGER NOT NULL,
    quality INTEGER NOT NULL,
    captured_at INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    pad INTEGER NOT NULL,
    segment INTEGER,
    row INTEGER,
    sequence INTEGER NOT NULL,
    CHECK ((segment IS NULL) = (row IS NULL))
) STRICT;
CREATE INDEX reference_subject ON reference(subject);
CREATE TABLE pending(
    reference INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE link(
    subject INTEGER NOT NULL REFERENCES subject(handle),
    kind INTEGER NOT NULL,
    lookup BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (subject, kind)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX link_lookup ON link(kind, lookup);
CREATE TABLE segment(
    number INTEGER PRIMARY KEY,
    ulid TEXT NOT NULL UNIQUE,
    rows INTEGER NOT NULL,
    holes INTEGER NOT NULL
) STRICT;
CREATE TABLE erasure(
    id INTEGER PRIMARY KEY,
    subject_id TEXT NOT NULL,
    purged INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    signature BLOB NOT NULL,
    public_key BLOB NOT NULL
) STRICT;
CREATE INDEX erasure_open ON erasure(id) WHERE purged = 0;
CREATE TABLE tombstone(
    reference INTEGER PRIMARY KEY,
    erasure INTEGER NOT NULL REFERENCES erasure(id),
    segment INTEGER,
    row INTEGER
) STRICT;
CREATE INDEX tombstone_segment ON tombstone(segment, row);
CREATE INDEX tombstone_erasure ON tombstone(erasure);
CREATE TABLE usage(
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    subject INTEGER REFERENCES subject(handle),
    site TEXT,
    principal TEXT NOT NULL,
    request_id TEXT NOT NULL,
    salt BLOB NOT NULL DEFAULT x'',
    commitment BLOB NOT NULL DEFAULT x'',
    told BLOB
) STRICT;
CREATE INDEX usage_subject ON usage(subject) WHERE subject IS NOT NULL;
CREATE UNIQUE INDEX usage_told ON usage(told) WHERE told IS NOT NULL;
CREATE TABLE request(
    id INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    method INTEGER NOT NULL,
    digest BLOB NOT NULL,
    answer TEXT,
    subject INTEGER,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX request_subject ON request(subject) WHERE subject IS NOT NULL;
";

/// What the chain over the history needs beside `usage`.
const CHAIN: &str = "
CREATE TABLE usage_erased(
    id INTEGER PRIMARY KEY,
    commitment BLOB NOT NULL
) STRICT;
CREATE TABLE chain(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    since_event INTEGER NOT NULL,
    since_erasure INTEGER NOT NULL,
    erased INTEGER NOT NULL,
    event INTEGER NOT NULL,
    head BLOB NOT NULL
) STRICT;
INSERT INTO chain VALUES (1, 0, 0, 0, 0, zeroblob(32));
CREATE TABLE checkpoint(
    id INTEGER PRIMARY KEY,
    checkpoint TEXT NOT NULL,
    signature BLOB NOT NULL,
    public_key BLOB NOT NULL
) STRICT;
";

/// From version 1, which did not keep when a subject was last seen: an enrolment, or a use with outcome match or done.
const FROM_1: &str = "
ALTER TABLE subject ADD COLUMN last_used INTEGER NOT NULL DEFAULT 0;
UPDATE subject SET last_used = max(
    created_at,
    ifnull((SELECT max(enrolled_at) FROM reference WHERE subject = handle), 0),
    ifnull((SELECT max(at) FROM usage WHERE subject = handle AND outcome IN (1, 6)), 0)
);
CREATE INDEX subject_consent_end ON subject(consent_expires_at);
CREATE INDEX subject_last_used ON subject(last_used);
";

/// From version 2, whose history had no chain: it begins here.
const FROM_2: &str = "
ALTER TABLE usage ADD COLUMN salt BLOB NOT NULL DEFAULT x'';
ALTER TABLE usage ADD COLUMN commitment BLOB NOT NULL DEFAULT x'';
";

/// From version 3, whose events were recorded as often as they were told.
const FROM_3: &str = "
ALTER TABLE usage ADD COLUMN told BLOB;
CREATE UNIQUE INDEX usage_told ON usage(told) WHERE told IS NOT NULL;
";

/// Brings the tables of an earlier release, which [`check`] let through, to this one's.
pub(in crate::storage) fn migrate(conn: &Connection, tenant: &TenantId) -> Result<(), StorageError> {
    let found = version(conn)?;
    if found == VERSION {
        return Ok(());
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    if found < 2 {
        tx.execute_batch(FROM_1)?;
    }
    if found < 3 {
        tx.execute_batch(FROM_2)?;
        tx.execute_batch(CHAIN)?;
        history::begin_chain(&tx, tenant)?;
    }
    tx.execute_batch(FROM_3)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

/// The version of the tables.
pub(in crate::storage) fn version(conn: &Connection) -> rusqlite::Result<u32> {
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(u32::try_from(found).unwrap_or(u32::MAX))
}

/// Makes the tables in an empty catalog.
pub(in crate::storage) fn create(conn: &Connection) -> Result<(), StorageError> {
    conn.execute_batch(&format!(
        "BEGIN; {TABLES} {CHAIN} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))?;
    Ok(())
}

/// Checks that the file is a catalog that this release reads.
pub(in crate::storage) fn check(conn: &Connection, path: &Path) -> Result<(), StorageError> {
    let id: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != i64::from(APPLICATION_ID) {
        return Err(StorageError::damaged(path, "it is not a catalog of thenar"));
    }
    let found = version(conn)?;
    if found > VERSION {
        return Err(StorageError::NewerFormat {
            path: path.to_owned(),
            found,
            supported: VERSION,
        });
    }
    Ok(())
}
