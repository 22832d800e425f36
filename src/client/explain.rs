//! Errors in words: a gRPC status with its `google.rpc` details, or an error with its causes. Decides nothing.

use std::error::Error;
use std::fmt::Write;

use tonic::Status;
use tonic_types::StatusExt;

use crate::proto::code_name;

/// With TLS 1.3 a client learns that its certificate is refused only after it has sent its first call,
/// and often by nothing but a closed connection.
const CERTIFICATE_HINT: &str = " (no answer of the server: it may be stopping, or not accept the certificate: expired, or of another authority)";

/// Code, message and details of a status: refused fields, reason and when to try again.
pub fn describe(status: &Status) -> String {
    let mut text = format!("{}: {}", code_name(status.code()), status.message());
    let details = status.get_error_details();
    let violations = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
    for violation in violations {
        let line = format!("{}: {}", violation.field, violation.description);
        // A single violation is usually the message itself.
        if !status.message().contains(&line) {
            add(&mut text, &format!("; {line}"));
        }
    }
    if let Some(cause) = status.source() {
        add(&mut text, &format!(": {}{CERTIFICATE_HINT}", chain(cause)));
    }
    if let Some(info) = details.error_info() {
        add(&mut text, &format!(" [{}]", info.reason));
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        add(&mut text, &format!("; try again in {:.1} s", delay.as_secs_f64()));
    }
    text
}

/// The reason in `google.rpc.ErrorInfo`, if the status carries one.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// An error and all its causes, outermost first, without repetitions.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.contains(&line) {
            add(&mut text, &format!(": {line}"));
        }
        cause = inner.source();
    }
    text
}

fn add(text: &mut String, more: &str) {
    text.write_str(more).expect("a String takes any text");
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
