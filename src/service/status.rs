//! The one table from errors to gRPC statuses with `google.rpc` details. Logs defects and counts refusals, once; tells callers nothing of their insides.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::cluster::question::{Refusal, Scope};
use crate::front::error::FrontError;
use crate::front::sealed::SealedError;
use crate::matcher::node::NodeError;
use crate::matcher::placed::holder::PartError;
use crate::matcher::remote::error::{DOMAIN, Reason};
use crate::matcher::remote::scope::{PARTS, parts_text};
use crate::matcher::remote::vocabulary::link_kind_to_proto;
use crate::model::reject::Rejected;
use crate::telemetry;

/// How long a caller should wait before it asks a node again that could not be reached.
const NODE_RETRY_AFTER: Duration = Duration::from_secs(1);
const INTERNAL_TEXT: &str = "internal error; the server's log has it under this request_id";
const KEYS_TEXT: &str = "the server's keys are unavailable; its log says why";

/// What the limit of messages is called.
const MESSAGE_BYTES: &str = "bytes of a message";

/// One line of the table.
struct Line {
    code: Code,
    reason: Reason,
    metadata: Vec<(&'static str, String)>,
    /// Field and description of a refused input.
    violation: Option<(String, String)>,
    retry_after: Option<Duration>,
}

impl Line {
    fn new(code: Code, reason: Reason) -> Self {
        Self {
            code,
            reason,
            metadata: Vec::new(),
            violation: None,
            retry_after: None,
        }
    }

    fn with(mut self, key: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    fn violates(mut self, field: &str, problem: &str) -> Self {
        self.violation = Some((field.to_owned(), problem.to_owned()));
        self
    }

    fn retry(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    fn status(self, message: impl Into<String>) -> Status {
        let metadata: HashMap<String, String> = self
            .metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let mut details = ErrorDetails::with_error_info(self.reason.as_str(), DOMAIN, metadata);
        if let Some((field, problem)) = self.violation {
            details.add_bad_request_violation(field, problem);
        }
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        Status::with_error_details(self.code, message, details)
    }
}

fn rejected(rejected: &Rejected) -> Line {
    Line::new(Code::InvalidArgument, Reason::InvalidField)
        .with("field", &rejected.field)
        .with("problem", &rejected.problem)
        .violates(&rejected.field, &rejected.problem)
}

fn sealed(refusal: &SealedError) -> Line {
    let (code, reason) = match refusal {
        SealedError::NotOpened => (Code::InvalidArgument, Reason::InvalidField),
        SealedError::Required(_) => (Code::FailedPrecondition, Reason::SealedProbeRequired),
        SealedError::KeyUnknown(_) => (Code::FailedPrecondition, Reason::ProbeKeyUnknown),
        SealedError::Stale { .. } => (Code::FailedPrecondition, Reason::ProbeStale),
        SealedError::Replayed => (Code::FailedPrecondition, Reason::ProbeReplayed),
    };
    let (field, text) = (refusal.field(), refusal.to_string());
    let problem = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": "));
    Line::new(code, reason)
        .with("field", field)
        .violates(field, problem.unwrap_or(&text))
}

fn node(error: &NodeError) -> Line {
    match error {
        NodeError::TenantUnknown(tenant) => {
            Line::new(Code::NotFound, Reason::TenantUnknown).with("tenant", tenant)
        }
        NodeError::TenantExists(tenant) => {
            Line::new(Code::AlreadyExists, Reason::TenantExists).with("tenant", tenant)
        }
        // No RetryInfo: there is nothing to wait for.
        NodeError::TransformStale { tenant } => {
            Line::new(Code::Unavailable, Reason::TransformStale).with("tenant", tenant)
        }
        NodeError::SubjectUnknown(tenant) => {
            Line::new(Code::NotFound, Reason::SubjectUnknown).with("tenant", tenant)
        }
        NodeError::NotDue(tenant) => {
            Line::new(Code::FailedPrecondition, Reason::NotDue).with("tenant", tenant)
        }
        NodeError::SubjectExists { subject_id } => {
            Line::new(Code::AlreadyExists, Reason::SubjectExists).with("subject_id", subject_id)
        }
        NodeError::ErasureUnknown(erasure) => {
            Line::new(Code::NotFound, Reason::ErasureUnknown).with("erasure", erasure)
        }
        NodeError::LinkTaken(kind) => {
            Line::new(Code::AlreadyExists, Reason::LinkTaken).with("kind", &link_kind_to_proto(*kind))
        }
        NodeError::RequestIdReused(id) => Line::new(Code::InvalidArgument, Reason::RequestIdReused)
            .with("request_id", id)
            .violates("request_id", "was used before for a different request"),
        // Not UNAVAILABLE, which some clients repeat by themselves: the same rows again are not what is wanted.
        NodeError::ImportBrokenOff { reason } => {
            Line::new(Code::Aborted, Reason::ImportBrokenOff).with("detail", reason)
        }
        NodeError::ImportPosition { held } => {
            Line::new(Code::FailedPrecondition, Reason::ImportPosition).with("rows_held", held)
        }
        NodeError::Rejected(refusal) => rejected(refusal),
        NodeError::TenantUnavailable { tenant, reason } => {
            Line::new(Code::Unavailable, Reason::TenantUnavailable)
                .with("tenant", tenant)
                .with("detail", reason)
        }
        NodeError::NodeUnavailable { node, reason } => Line::new(Code::Unavailable, Reason::NodeUnavailable)
            .with("node", node)
            .with("detail", reason)
            .retry(NODE_RETRY_AFTER),
        NodeError::PartUnavailable { tenant, part, reason } => {
            Line::new(Code::Unavailable, Reason::PartUnavailable)
                .with("tenant", tenant)
                .with("part", part)
                .with("detail", reason)
                .retry(NODE_RETRY_AFTER)
        }
        NodeError::Exhausted {
            limit,
            value,
            retry_after,
        } => Line::new(Code::ResourceExhausted, Reason::LimitReached)
            .with("limit", limit)
            .with("value", value)
            .with("retry_after_ms", &retry_after.as_millis())
            .retry(*retry_after),
        NodeError::StorageRefused(detail) => {
            Line::new(Code::ResourceExhausted, Reason::StorageRefused).with("detail", detail)
        }
        NodeError::DeadlineExceeded => Line::new(Code::DeadlineExceeded, Reason::DeadlineExceeded),
        NodeError::Internal(detail) => Line::new(Code::Internal, Reason::Internal).with("detail", detail),
    }
}

/// What another node is told: everything, so that it can rebuild the error. A defect is logged by the front, not here.
pub fn from_node(error: &NodeError) -> Status {
    let message = match error {
        NodeError::Internal(_) => INTERNAL_TEXT.to_owned(),
        error => error.to_string(),
    };
    node(error).status(message)
}

/// What a front is told that asked for parts of a gallery.
pub fn from_part(error: &PartError, scope: &Scope) -> Status {
    let line = match error {
        PartError::Node(error) => return from_node(error),
        PartError::Refused(Refusal::ViewGone) => Line::new(Code::FailedPrecondition, Reason::ViewGone),
        PartError::Refused(Refusal::PartsBehind(parts)) => {
            Line::new(Code::FailedPrecondition, Reason::PartsBehind).with(PARTS, &parts_text(parts, scope))
        }
    };
    let text = match line.reason {
        Reason::ViewGone => "the node has gone on from the view that was asked for",
        _ => "the node has not come so far, or has not loaded all parts that were asked for",
    };
    line.status(text)
}

/// What a caller is told whose input was refused.
pub fn from_rejected(refusal: &Rejected) -> Status {
    rejected(refusal).status(refusal.to_string())
}

/// What a caller is told. `request_id` ties a defect in the log to the caller's complaint; it may be empty.
pub fn from_front(error: &FrontError, request_id: &str) -> Status {
    let line = match error {
        FrontError::Unauthenticated(_) => Line::new(Code::Unauthenticated, Reason::NoPrincipal),
        FrontError::RoleDenied { role, method } => Line::new(Code::PermissionDenied, Reason::RoleDenied)
            .with("role", role)
            .with("method", method),
        FrontError::TenantDenied(tenant) => {
            Line::new(Code::PermissionDenied, Reason::TenantDenied).with("tenant", tenant)
        }
        FrontError::Rejected(refusal) => rejected(refusal),
        FrontError::TransformMismatch { tenant, reason } => {
            Line::new(Code::Unavailable, Reason::TenantUnavailable)
                .with("tenant", tenant)
                .with("detail", reason)
        }
        FrontError::Sealed(refusal) => {
            metrics::counter!(telemetry::SEALED_PROBES, "outcome" => refusal.outcome()).increment(1);
            sealed(refusal)
        }
        FrontError::Keys(detail) => {
            tracing::error!(request_id, detail, "keys are unavailable");
            return Line::new(Code::Unavailable, Reason::KeysUnavailable)
                .with("request_id", request_id)
                .status(KEYS_TEXT);
        }
        FrontError::Node(NodeError::Internal(detail)) => return internal(detail, request_id),
        FrontError::Node(error) => {
            if let NodeError::Exhausted { limit, .. } = error {
                metrics::counter!(telemetry::REFUSALS, "limit" => *limit).increment(1);
            }
            node(error)
        }
    };
    line.status(error.to_string())
}

/// A defect: logged here under the request's id, told without its insides.
pub fn internal(detail: &str, request_id: &str) -> Status {
    tracing::error!(request_id, detail, "internal error");
    Line::new(Code::Internal, Reason::Internal)
        .with("request_id", request_id)
        .status(INTERNAL_TEXT)
}

/// What the gRPC library refused by itself, told as all refusals are; whatever else as it is.
pub fn told(status: Status) -> Status {
    of_library(&status).unwrap_or(status)
}

/// A refusal of the gRPC library, which has no details: a message that is too large or can't be read, a method that is not there, a request that did not come
/// in time. `None` for all others.
pub fn of_library(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    let (code, reason) = match status.code() {
        Code::OutOfRange => {
            metrics::counter!(telemetry::REFUSALS, "limit" => MESSAGE_BYTES).increment(1);
            (Code::OutOfRange, Reason::MessageTooLarge)
        }
        // The library calls that internal; the fault is its sender's.
        Code::Internal => (Code::InvalidArgument, Reason::MessageMalformed),
        Code::Unimplemented => (Code::Unimplemented, Reason::MethodUnknown),
        Code::DeadlineExceeded => (Code::DeadlineExceeded, Reason::DeadlineExceeded),
        _ => return None,
    };
    let text = match reason {
        Reason::MethodUnknown => "there is no such method, or its message is compressed",
        _ => status.message(),
    };
    Some(Line::new(code, reason).status(text))
}

/// The stream ends since the server is going away; what was in flight has been answered.
pub fn draining() -> Status {
    Line::new(Code::Unavailable, Reason::NodeUnavailable)
        .with("detail", "draining")
        .retry(NODE_RETRY_AFTER)
        .status("the server is draining; connect again")
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
