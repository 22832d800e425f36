//! Answers to requests, so that a repetition is answered and not done again (AIP-155). Holds an answer for a day and no longer than its subject.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::code::to_json;
use super::tables::{StoredRequest, Tables};
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
    Enroll,
    /// An erasure.
    Erase,
    /// An import.
    Import,
    /// A change of the policy.
    Policy,
}

/// Id, method and keyed digest of what is asked.
pub(in crate::storage) type Asked<'a> = (&'a RequestId, Method, &'a [u8; 32]);

/// The stored answer to a request, or `None` when it was never asked. See [`answer`].
pub(super) fn find<T: DeserializeOwned>(
    tables: &impl Tables,
    (id, method, digest): Asked<'_>,
) -> Result<Option<T>, StorageError> {
    answer(tables.request(id)?, method, Some(digest))
}

/// What is answered to a request that is kept. One whose id was used for something else is [`WriteError::RequestIdReused`]; an answer that was scrubbed because its
/// subject was erased is [`WriteError::SubjectUnknown`], so that a late repetition of an enrolment doesn't enrol the person again. The digest is left out by
/// whoever does not know what the request's content was.
pub(in crate::storage) fn answer<T: DeserializeOwned>(
    kept: Option<StoredRequest>,
    method: Method,
    digest: Option<&[u8; 32]>,
) -> Result<Option<T>, StorageError> {
    let Some(kept) = kept else {
        return Ok(None);
    };
    if kept.method != method {
        return Err(WriteError::RequestIdReused.into());
    }
    let Some(answer) = kept.answer else {
        return Err(WriteError::SubjectUnknown.into());
    };
    if digest.is_some_and(|digest| kept.digest != digest) {
        return Err(WriteError::RequestIdReused.into());
    }
    // Without what is there: it may name a subject.
    serde_json::from_str(&answer)
        .map(Some)
        .map_err(|error| StorageError::StoredAnswer(error.classify()))
}

/// Keeps an answer. `subject` is the handle of whom it tells of.
pub(super) fn insert(
    tables: &mut impl Tables,
    (id, method, digest): Asked<'_>,
    answer: &impl Serialize,
    subject: Option<u64>,
    at: Timestamp,
) -> Result<(), StorageError> {
    let kept = StoredRequest {
        method,
        digest: digest.to_vec(),
        answer: Some(to_json(answer)),
        subject,
        at,
    };
    tables.insert_request(id, kept)
}

/// Removes some outdated answers.
pub(super) fn prune(tables: &mut impl Tables, now: Timestamp) -> Result<(), StorageError> {
    tables.prune_requests(now.minus(REQUEST_KEPT), PRUNED_MAX)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
