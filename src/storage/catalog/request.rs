//! Answers to requests, so that a repetition is answered and not done again (AIP-155). Holds an answer for a day and no longer than its subject.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::code::{from_json, int, to_json};
use crate::model::id::RequestId;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};

/// How long an answer is kept.
pub(in crate::storage) const REQUEST_KEPT: Duration = Duration::from_hours(24);
/// Most outdated answers that one transaction removes.
const PRUNED_MAX: u32 = 256;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Method {
    /// An enrolment.
    Enroll = 1,
    /// An erasure.
    Erase = 2,
    /// An import.
    Import = 3,
    /// A change of the policy.
    Policy = 4,
}

/// The stored answer to a request, or `None` when it was never asked. An id that was used for something else is
/// [`WriteError::RequestIdReused`]; an answer that was scrubbed because its subject was erased is
/// [`WriteError::SubjectUnknown`], so that a late repetition of an enrolment doesn't enrol the person again.
pub(in crate::storage) fn find<T: serde::de::DeserializeOwned>(
    conn: &Connection,
    id: &RequestId,
    method: Method,
    digest: &[u8; 32],
) -> Result<Option<T>, StorageError> {
    match known(conn, id, method)? {
        None => Ok(None),
        Some((found, _)) if found != digest => Err(WriteError::RequestIdReused.into()),
        Some((_, answer)) => Ok(Some(from_json(2, &answer)?)),
    }
}

/// The same for whoever does not know what the request's content was.
pub(in crate::storage) fn find_any<T: serde::de::DeserializeOwned>(
    conn: &Connection,
    id: &RequestId,
    method: Method,
) -> Result<Option<T>, StorageError> {
    let found = known(conn, id, method)?;
    Ok(found.map(|(_, answer)| from_json(2, &answer)).transpose()?)
}

/// Digest and answer.
fn known(
    conn: &Connection,
    id: &RequestId,
    method: Method,
) -> Result<Option<(Vec<u8>, String)>, StorageError> {
    let found = conn
        .prepare_cached("SELECT method, digest, answer FROM request WHERE request_id = ?")?
        .query_row([id.as_str()], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, Option<String>>(2)?,
            ))
        })
        .optional()?;
    let Some((found_method, found_digest, answer)) = found else {
        return Ok(None);
    };
    if found_method != method as i64 {
        return Err(WriteError::RequestIdReused.into());
    }
    match answer {
        Some(answer) => Ok(Some((found_digest, answer))),
        None => Err(WriteError::SubjectUnknown.into()),
    }
}

/// Keeps an answer. `subject` is the handle of whom it tells of.
pub(in crate::storage) fn insert(
    conn: &Connection,
    (id, method, digest): (&RequestId, Method, &[u8; 32]),
    answer: &impl serde::Serialize,
    subject: Option<u64>,
    at: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO request (request_id, method, digest, answer, subject, at) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        id.as_str(),
        method as i64,
        digest,
        to_json(answer),
        subject.map(int),
        at.0
    ])?;
    Ok(())
}

/// Wipes answers and digests of a subject's requests and counts them; their ids stay, so that a repetition is still known as one.
pub(in crate::storage) fn scrub(conn: &Connection, subject: u64) -> rusqlite::Result<u64> {
    let wiped = conn
        .prepare_cached("UPDATE request SET digest = x'', answer = NULL, subject = NULL WHERE subject = ?")?
        .execute([int(subject)])?;
    Ok(wiped as u64)
}

/// Removes some outdated answers. Rows are numbered in the order of time, so that the oldest come first.
pub(in crate::storage) fn prune(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let kept_us = i64::try_from(REQUEST_KEPT.as_micros()).expect("a day fits");
    conn.prepare_cached(
        "DELETE FROM request WHERE id IN (SELECT id FROM request ORDER BY id LIMIT ?) AND at < ?",
    )?
    .execute(params![PRUNED_MAX, now.0.saturating_sub(kept_us)])?;
    Ok(())
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
