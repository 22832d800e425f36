//! Tests of `thenar import`: which refusals it repeats. What it does then is tested in `tests/it/imports.rs`.

use tonic_types::{ErrorDetails, StatusExt};

use super::*;

fn of_server(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "thenar", std::collections::HashMap::new());
    Status::with_error_details(code, "refused", details)
}

#[test]
fn what_may_pass_is_tried_again_and_nothing_else() {
    for (code, reason, expected) in [
        (Code::Aborted, "IMPORT_BROKEN_OFF", true),
        (Code::FailedPrecondition, "IMPORT_POSITION", true),
        (Code::ResourceExhausted, "LIMIT_REACHED", true),
        (Code::Unavailable, "NODE_UNAVAILABLE", true),
        (Code::ResourceExhausted, "STORAGE_REFUSED", false),
        (Code::InvalidArgument, "INVALID_FIELD", false),
        (Code::InvalidArgument, "REQUEST_ID_REUSED", false),
        (Code::AlreadyExists, "SUBJECT_EXISTS", false),
        (Code::Internal, "INTERNAL", false),
    ] {
        assert_eq!(may_go_on(&of_server(code, reason)), expected, "{reason}");
    }
    assert!(may_go_on(&Status::unknown("h2 protocol error")));
    assert!(!may_go_on(&Status::unimplemented("an older server")));
}
