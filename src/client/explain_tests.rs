//! Tests of errors in words: nothing that the server said is lost, nothing is said twice.

use std::time::Duration;

use tonic::Code;
use tonic_types::ErrorDetails;

use super::*;

#[test]
fn a_plain_status_is_code_and_message() {
    let text = describe(&Status::not_found("subject is unknown with tenant acme"));
    assert_eq!(text, "NOT_FOUND: subject is unknown with tenant acme");
}

#[test]
fn fields_reason_and_delay_are_told() {
    let mut details = ErrorDetails::new();
    details
        .add_bad_request_violation("probe.data", "is 3 bytes long")
        .set_error_info("SIGNATURE_INVALID", "thenar", [])
        .set_retry_info(Some(Duration::from_millis(1_500)));
    let status = Status::with_error_details(Code::InvalidArgument, "refused", details);
    assert_eq!(
        describe(&status),
        "INVALID_ARGUMENT: refused; probe.data: is 3 bytes long [SIGNATURE_INVALID]; try again in 1.5 s"
    );
    assert_eq!(reason(&status).as_deref(), Some("SIGNATURE_INVALID"));
}

#[test]
fn a_violation_that_is_the_message_is_not_repeated() {
    let details = ErrorDetails::with_bad_request_violation("tenant", "\"A\" may hold only a-z");
    let message = "tenant: \"A\" may hold only a-z";
    let status = Status::with_error_details(Code::InvalidArgument, message, details);
    assert_eq!(describe(&status), format!("INVALID_ARGUMENT: {message}"));
}

#[test]
fn causes_are_told_once_each() {
    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;
    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: &'static str,
        #[source]
        inner: Inner,
    }
    let told = |text| chain(&Outer { text, inner: Inner });
    assert_eq!(told("outer"), "outer: inner");
    assert_eq!(told("outer: inner"), "outer: inner");
}

#[test]
fn a_connection_that_broke_tells_its_causes_and_the_likely_reason() {
    let mut status = Status::unknown("transport error");
    status.set_source(std::sync::Arc::new(std::io::Error::other(
        "received fatal alert: BadCertificate",
    )));
    let text = describe(&status);
    assert!(
        text.contains("fatal alert: BadCertificate") && text.contains("another authority"),
        "{text}"
    );
    assert!(
        !describe(&Status::unknown("x")).contains("authority"),
        "the server answered"
    );
}
