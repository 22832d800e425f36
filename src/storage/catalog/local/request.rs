//! Requests that were answered, in their table. Decides nothing.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::id::RequestId;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::code::{Coded, int};
use crate::storage::catalog::tables::StoredRequest;

/// A request that is remembered.
pub(super) fn find(conn: &Connection, id: &RequestId) -> rusqlite::Result<Option<StoredRequest>> {
    conn.prepare_cached("SELECT method, digest, answer, subject, at FROM request WHERE request_id = ?")?
        .query_row([id.as_str()], |row| {
            let subject: Option<i64> = row.get(3)?;
            Ok(StoredRequest {
                method: Coded::column(row, 0)?,
                digest: row.get(1)?,
                answer: row.get(2)?,
                subject: subject.map(i64::cast_unsigned),
                at: Timestamp(row.get(4)?),
            })
        })
        .optional()
}

/// Keeps a request.
pub(super) fn insert(conn: &Connection, id: &RequestId, request: &StoredRequest) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO request (request_id, method, digest, answer, subject, at) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        id.as_str(),
        request.method.code(),
        request.digest,
        request.answer,
        request.subject.map(int),
        request.at.0
    ])?;
    Ok(())
}

/// Wipes answers and digests of a subject's requests and counts them; their ids stay, so that a repetition is still known as one.
pub(super) fn scrub(conn: &Connection, subject: u64) -> rusqlite::Result<u64> {
    let wiped = conn
        .prepare_cached("UPDATE request SET digest = x'', answer = NULL, subject = NULL WHERE subject = ?")?
        .execute([int(subject)])?;
    Ok(wiped as u64)
}

/// Of the `max` oldest requests, removes those from before this time. Rows are numbered in the order of time, so that the oldest come first.
pub(super) fn prune(conn: &Connection, before: Timestamp, max: u32) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "DELETE FROM request WHERE id IN (SELECT id FROM request ORDER BY id LIMIT ?) AND at < ?",
    )?
    .execute(params![max, before.0])?;
    Ok(())
}
