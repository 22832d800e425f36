//! Ids of requests: the caller's, or one that the server makes where it may be left out.

use crate::model::id::RequestId;
use crate::model::reject::Rejected;

/// The caller's id, or a new one (a ULID) for an empty text.
pub fn given_or_made(text: &str) -> Result<RequestId, Rejected> {
    if text.is_empty() {
        return Ok(made());
    }
    text.parse()
}

/// The id of a question. A probe is sealed for one id, which must be given then.
pub fn of_question(text: &str, is_sealed: bool) -> Result<RequestId, Rejected> {
    if is_sealed {
        required(text)
    } else {
        given_or_made(text)
    }
}

/// A new id.
pub fn made() -> RequestId {
    ulid::Ulid::generate()
        .to_string()
        .parse()
        .expect("26 letters and digits are an id")
}

/// The caller's id of a write, which must be given: without it a repetition could not be told from a new write.
pub fn required(text: &str) -> Result<RequestId, Rejected> {
    text.parse()
}
