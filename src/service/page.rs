//! Page tokens (AIP-158): opaque to callers, bound to what was asked, checked when they come back. They grant nothing: every page is authorised anew.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::reject::Rejected;

/// Page size when none is asked for.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Largest page.
pub const PAGE_SIZE_MAX: usize = 1_000;
const CHECK_LEN: usize = 8;
/// Longest token accepted, in characters; positions are ids and numbers.
const TOKEN_LEN_MAX: usize = 512;

/// The page size asked for, 0 meaning the default.
pub fn size(asked: u32) -> Result<usize, Rejected> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) if size <= PAGE_SIZE_MAX => Ok(size),
        _ => Err(Rejected::new(
            "page_size",
            format!("{asked} is not from 0 to {PAGE_SIZE_MAX}"),
        )),
    }
}

/// The token of the page that follows `position`, for the question named by `scope`.
pub fn token(scope: &str, position: &[u8]) -> String {
    let mut text = String::with_capacity(2 * (position.len() + CHECK_LEN));
    for byte in position.iter().chain(&check(scope, position)) {
        write!(text, "{byte:02x}").expect("writing to a string");
    }
    text
}

/// The position in a token; `None` for the first page.
pub fn position(scope: &str, token: &str) -> Result<Option<Vec<u8>>, Rejected> {
    if token.is_empty() {
        return Ok(None);
    }
    decode(token)
        .and_then(|bytes| {
            let (position, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_LEN)?)?;
            (check(scope, position) == sum).then(|| position.to_vec())
        })
        .map(Some)
        .ok_or_else(|| {
            Rejected::new(
                "page_token",
                "is not a token of an earlier answer to the same question; start again without one",
            )
        })
}

/// The position in a token as a number; see [`position`].
pub fn number(scope: &str, token: &str) -> Result<Option<u64>, Rejected> {
    let Some(bytes) = position(scope, token)? else {
        return Ok(None);
    };
    let bytes = bytes.as_slice().try_into();
    let bytes = bytes.map_err(|_| Rejected::new("page_token", "is not of a list of this kind"))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

fn decode(token: &str) -> Option<Vec<u8>> {
    if token.len() > TOKEN_LEN_MAX {
        return None;
    }
    let (pairs, rest) = token.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

fn check(scope: &str, position: &[u8]) -> [u8; CHECK_LEN] {
    let mut text = scope.as_bytes().to_vec();
    text.push(0);
    text.extend_from_slice(position);
    let sum = digest(&SHA256, &text);
    *sum.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
