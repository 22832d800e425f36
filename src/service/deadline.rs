//! When the caller stops waiting: the `grpc-timeout` header as a point in time. Enforces nothing.

use std::time::{Duration, Instant};

use tonic::codegen::http::HeaderMap;

/// Digits that the gRPC protocol allows in a timeout.
const DIGITS_MAX: usize = 8;

/// The deadline of a request that came now. A header that does not parse counts as none, as gRPC asks for.
pub fn of(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    Instant::now().checked_add(parse(text)?)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "deadline_tests.rs"]
mod tests;
