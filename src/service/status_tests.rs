//! Tests of the status table: code, reason and details of every error, and that a node's error survives the wire.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::matcher::remote::error::from_status;
use crate::model::link::LinkKind;
use crate::model::principal::Role;
use crate::model::timestamp::Timestamp;

fn rejected_input() -> Rejected {
    Rejected::new("probe.data", "is 3 bytes long")
}

#[expect(clippy::too_many_lines, reason = "a table, one entry a variant")]
/// One of every variant.
fn node_errors() -> Vec<(NodeError, Code, Reason)> {
    let tenant = || "acme".parse().expect("an id");
    let all = vec![
        (
            NodeError::TenantUnknown(tenant()),
            Code::NotFound,
            Reason::TenantUnknown,
        ),
        (
            NodeError::TenantExists(tenant()),
            Code::AlreadyExists,
            Reason::TenantExists,
        ),
        (
            NodeError::TransformStale { tenant: tenant() },
            Code::Unavailable,
            Reason::TransformStale,
        ),
        (
            NodeError::SubjectUnknown(tenant()),
            Code::NotFound,
            Reason::SubjectUnknown,
        ),
        (
            NodeError::NotDue(tenant()),
            Code::FailedPrecondition,
            Reason::NotDue,
        ),
        (
            NodeError::SubjectExists {
                subject_id: "ada".parse().expect("an id"),
            },
            Code::AlreadyExists,
            Reason::SubjectExists,
        ),
        (
            NodeError::ErasureUnknown(9),
            Code::NotFound,
            Reason::ErasureUnknown,
        ),
        (
            NodeError::LinkTaken(LinkKind::BadgeId),
            Code::AlreadyExists,
            Reason::LinkTaken,
        ),
        (
            NodeError::RequestIdReused("r-1".parse().expect("an id")),
            Code::InvalidArgument,
            Reason::RequestIdReused,
        ),
        (
            NodeError::ImportBrokenOff {
                reason: "9 rows were announced and 7 came".to_owned(),
            },
            Code::Aborted,
            Reason::ImportBrokenOff,
        ),
        (
            NodeError::ImportPosition { held: 7 },
            Code::FailedPrecondition,
            Reason::ImportPosition,
        ),
        (
            NodeError::Rejected(rejected_input()),
            Code::InvalidArgument,
            Reason::InvalidField,
        ),
        (
            NodeError::TenantUnavailable {
                tenant: tenant(),
                reason: "A.seg, sign plane, block 3 is damaged".to_owned(),
            },
            Code::Unavailable,
            Reason::TenantUnavailable,
        ),
        (
            NodeError::NodeUnavailable {
                node: "match-1".to_owned(),
                reason: "stopping".to_owned(),
            },
            Code::Unavailable,
            Reason::NodeUnavailable,
        ),
        (
            NodeError::PartUnavailable {
                tenant: tenant(),
                part: "group 7".to_owned(),
                reason: "node 9: the disk is full".to_owned(),
            },
            Code::Unavailable,
            Reason::PartUnavailable,
        ),
        (
            NodeError::Exhausted {
                limit: "engine.queue_max",
                value: 4_096,
                retry_after: Duration::from_millis(50),
            },
            Code::ResourceExhausted,
            Reason::LimitReached,
        ),
        (
            NodeError::StorageRefused("the disk is full".to_owned()),
            Code::ResourceExhausted,
            Reason::StorageRefused,
        ),
        (
            NodeError::DeadlineExceeded,
            Code::DeadlineExceeded,
            Reason::DeadlineExceeded,
        ),
        (
            NodeError::Internal("row 7 is not there".to_owned()),
            Code::Internal,
            Reason::Internal,
        ),
    ];
    for (error, _, _) in &all {
        known(error);
    }
    all
}

/// Stops compiling when a variant is added, so that it is added to the list above.
fn known(error: &NodeError) {
    match error {
        NodeError::TenantUnknown(_)
        | NodeError::TenantExists(_)
        | NodeError::TransformStale { .. }
        | NodeError::SubjectUnknown(_)
        | NodeError::NotDue(_)
        | NodeError::SubjectExists { .. }
        | NodeError::ErasureUnknown(_)
        | NodeError::LinkTaken(_)
        | NodeError::RequestIdReused(_)
        | NodeError::ImportBrokenOff { .. }
        | NodeError::ImportPosition { .. }
        | NodeError::Rejected(_)
        | NodeError::TenantUnavailable { .. }
        | NodeError::NodeUnavailable { .. }
        | NodeError::PartUnavailable { .. }
        | NodeError::Exhausted { .. }
        | NodeError::StorageRefused(_)
        | NodeError::DeadlineExceeded
        | NodeError::Internal(_) => {}
    }
}

fn reason(status: &Status) -> String {
    let info = status
        .get_details_error_info()
        .expect("every status has ErrorInfo");
    assert_eq!(info.domain, "thenar");
    info.reason
}

#[test]
fn every_node_error_has_its_code_and_reason() {
    for (error, code, expected) in node_errors() {
        let text = error.to_string();
        let status = from_front(&FrontError::Node(error), "r-7");
        assert_eq!(status.code(), code, "{text}");
        assert_eq!(reason(&status), expected.as_str(), "{text}");
        if code != Code::Internal {
            assert_eq!(status.message(), text);
        }
    }
}

#[test]
fn every_node_error_survives_the_wire() {
    for (error, _, _) in node_errors() {
        let back = from_status("match-9", &from_node(&error));
        assert_eq!(format!("{back:?}"), format!("{error:?}"));
    }
}

#[test]
fn every_front_error_has_its_code_and_reason() {
    let tenant = || "acme".parse().expect("an id");
    let cases = [
        (
            FrontError::Unauthenticated("no SPIFFE id".to_owned()),
            Code::Unauthenticated,
            Reason::NoPrincipal,
        ),
        (
            FrontError::RoleDenied {
                role: Role::Scanner,
                method: "Enroll",
            },
            Code::PermissionDenied,
            Reason::RoleDenied,
        ),
        (
            FrontError::TenantDenied(tenant()),
            Code::PermissionDenied,
            Reason::TenantDenied,
        ),
        (
            FrontError::Rejected(rejected_input()),
            Code::InvalidArgument,
            Reason::InvalidField,
        ),
        (
            FrontError::TransformMismatch {
                tenant: tenant(),
                reason: "version 1".to_owned(),
            },
            Code::Unavailable,
            Reason::TenantUnavailable,
        ),
        (
            FrontError::Keys("keyring".to_owned()),
            Code::Unavailable,
            Reason::KeysUnavailable,
        ),
    ];
    for (error, code, expected) in cases {
        let status = from_front(&error, "r-7");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (code, expected.as_str()),
            "{error}"
        );
    }
}

#[test]
fn a_refused_field_is_a_bad_request_that_names_it() {
    let status = from_rejected(&rejected_input());
    let details = status.get_details_bad_request().expect("BadRequest");
    let violation = details.field_violations.first().expect("one violation");
    assert_eq!(violation.field, "probe.data");
    assert_eq!(violation.description, "is 3 bytes long");
}

#[test]
fn every_refused_seal_has_its_code_and_reason_and_names_its_field() {
    let cases = [
        (
            SealedError::Required("acme".parse().expect("an id")),
            Code::FailedPrecondition,
            Reason::SealedProbeRequired,
        ),
        (
            SealedError::KeyUnknown("k-1".parse().expect("an id")),
            Code::FailedPrecondition,
            Reason::ProbeKeyUnknown,
        ),
        (
            SealedError::NotOpened,
            Code::InvalidArgument,
            Reason::InvalidField,
        ),
        (
            SealedError::Stale {
                captured_at: Timestamp(0),
                from: Timestamp(1),
                to: Timestamp(2),
            },
            Code::FailedPrecondition,
            Reason::ProbeStale,
        ),
        (
            SealedError::Replayed,
            Code::FailedPrecondition,
            Reason::ProbeReplayed,
        ),
    ];
    for (error, code, expected) in cases {
        let (text, field) = (error.to_string(), error.field());
        let status = from_front(&error.into(), "r-7");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (code, expected.as_str()),
            "{text}"
        );
        let details = status.get_details_bad_request().expect("BadRequest");
        let violation = details.field_violations.first().expect("one violation");
        assert_eq!(violation.field, field);
        assert_eq!(text, format!("{field}: {}", violation.description));
    }
}

#[test]
fn a_limit_says_when_to_come_back() {
    let error = NodeError::Exhausted {
        limit: "engine.queue_max",
        value: 4_096,
        retry_after: Duration::from_millis(50),
    };
    let status = from_front(&FrontError::Node(error), "");
    let retry = status.get_details_retry_info().expect("RetryInfo");
    assert_eq!(retry.retry_delay, Some(Duration::from_millis(50)));
    assert!(status.message().contains("engine.queue_max") && status.message().contains("4096"));
}

#[test]
fn a_tenant_made_anew_is_asked_again_without_a_wait() {
    let stale = NodeError::TransformStale {
        tenant: "acme".parse().expect("an id"),
    };
    let status = from_front(&FrontError::Node(stale), "");
    assert!(status.get_details_retry_info().is_none());
    assert_eq!(
        status.message(),
        "tenant acme was made anew, or its transform key was rotated; ask again"
    );
}

#[test]
fn a_defect_is_told_without_its_insides() {
    let error = FrontError::Node(NodeError::Internal("row 7 in catalog.db".to_owned()));
    let status = from_front(&error, "r-7");
    let everything = format!("{status:?}{:?}", status.get_error_details());
    assert!(!everything.contains("catalog.db"), "{everything}");
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!(info.metadata.get("request_id").map(String::as_str), Some("r-7"));
    let keys = from_front(&FrontError::Keys("open keyring: denied".to_owned()), "r-8");
    assert!(!format!("{:?}", keys.get_error_details()).contains("denied"));
    assert!(!keys.message().contains("denied"));
}

#[test]
fn a_status_that_no_node_made_means_that_the_node_is_away() {
    let error = from_status("match-1", &Status::unavailable("connection refused"));
    let NodeError::NodeUnavailable { node, reason } = error else {
        panic!("{error:?}");
    };
    assert_eq!(node, "match-1");
    assert!(reason.contains("connection refused"));
    let error = from_status("match-1", &Status::deadline_exceeded("late"));
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
    let error = from_status("match-1", &Status::unimplemented("old node"));
    assert!(matches!(error, NodeError::Internal(_)), "{error:?}");
}

#[test]
fn reasons_are_read_back_and_unique() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_text(reason.as_str()), Some(*reason));
    }
    assert_eq!(Reason::from_text("NO_SUCH"), None);
    assert_eq!(Reason::ALL.len(), 32);
}

#[test]
fn what_the_library_refuses_gets_a_reason_and_all_else_stays() {
    let reason = |status: &Status| status.get_details_error_info().map(|info| info.reason);
    for (code, told_code, expected) in [
        (Code::OutOfRange, Code::OutOfRange, Some("MESSAGE_TOO_LARGE")),
        (Code::Internal, Code::InvalidArgument, Some("MESSAGE_MALFORMED")),
        (Code::Unimplemented, Code::Unimplemented, Some("METHOD_UNKNOWN")),
        (
            Code::DeadlineExceeded,
            Code::DeadlineExceeded,
            Some("DEADLINE_EXCEEDED"),
        ),
        (Code::Cancelled, Code::Cancelled, None),
    ] {
        let status = told(Status::new(code, "words of the library"));
        assert_eq!(status.code(), told_code);
        assert_eq!(reason(&status).as_deref(), expected);
    }
    let own = internal("a defect", "r-1");
    assert!(
        of_library(&own).is_none(),
        "a defect of ours is no fault of a caller's"
    );
}
