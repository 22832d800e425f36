//! Turns errors of storage and engine into what a node answers. Loses no reason and adds none.

use std::time::Duration;

use super::node::NodeError;
use crate::engine::EngineError;
use crate::model::id::{RequestId, TenantId};
use crate::model::reject::Rejected;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::objects::error::ObjectError;

/// When to try again where the queue of scans is full.
const QUEUE_RETRY_AFTER: Duration = Duration::from_millis(50);

/// The longest wait that is told where the queue of scans is long: an estimate, and the next one may be better.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What is kept of the tenant is not what was written, or not what is held in memory, so its gallery can't be searched whole.
pub(super) fn is_damage(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Damaged { .. }
            | StorageError::WrongKey(_)
            | StorageError::CatalogDamaged { .. }
            | StorageError::CatalogKey { .. }
            | StorageError::Incarnation { .. }
            | StorageError::Overtaken(_)
            | StorageError::Outdated { .. }
            | StorageError::KeysRotated(_)
            | StorageError::Object(ObjectError::Missing { .. } | ObjectError::Damaged { .. })
    )
}

pub(super) fn node_error(tenant: &TenantId, error: &StorageError) -> NodeError {
    if is_damage(error) {
        return NodeError::TenantUnavailable {
            tenant: tenant.clone(),
            reason: error.to_string(),
        };
    }
    // What another node may be able to do: it was told the key-encryption key.
    let is_passed_over = matches!(error, StorageError::Keys(keys) if keys.is_wrong_kek());
    match error {
        error if error.is_away() || is_passed_over => NodeError::TenantUnavailable {
            tenant: tenant.clone(),
            reason: error.to_string(),
        },
        StorageError::Limit { limit, max, value } => {
            Rejected::new(*limit, format!("{value} came; at most {max} are allowed")).into()
        }
        _ => NodeError::StorageRefused(error.to_string()),
    }
}

pub(super) fn engine_error(tenant: &TenantId, error: &EngineError) -> NodeError {
    let exhausted = |limit, value, retry_after| NodeError::Exhausted {
        limit,
        value,
        retry_after,
    };
    let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match error {
        EngineError::QueueFull { max } => exhausted("engine.queue_max", *max as u64, QUEUE_RETRY_AFTER),
        EngineError::QueueLong { wait, max } => {
            exhausted("engine.wait_ms_max", millis(max), (*wait).min(WAIT_MAX))
        }
        EngineError::TooLate { wait } => exhausted("deadline", millis(wait), (*wait).min(WAIT_MAX)),
        // Only an operator can lift it, so that nobody is told to try again.
        EngineError::MemoryFull { .. } => NodeError::StorageRefused(error.to_string()),
        EngineError::DeadlineExceeded => NodeError::DeadlineExceeded,
        other => NodeError::TenantUnavailable {
            tenant: tenant.clone(),
            reason: other.to_string(),
        },
    }
}

pub(super) fn write_error(tenant: &TenantId, request: &RequestId, error: WriteError) -> NodeError {
    match error {
        WriteError::SubjectUnknown => NodeError::SubjectUnknown(tenant.clone()),
        WriteError::NotDue => NodeError::NotDue(tenant.clone()),
        WriteError::SubjectExists { subject_id } => NodeError::SubjectExists { subject_id },
        WriteError::SubjectErased { .. } => Rejected::new("rows.subject_ids", error.to_string()).into(),
        WriteError::LinkTaken(kind) => NodeError::LinkTaken(kind),
        WriteError::RequestIdReused => NodeError::RequestIdReused(request.clone()),
        WriteError::ReferencesFull { hand, max } => Rejected::new(
            "signatures",
            format!("the {hand:?} palm would have more than {max} references"),
        )
        .into(),
        WriteError::RowLength { .. } => Rejected::new("rows", error.to_string()).into(),
        WriteError::RowCount { .. } => Rejected::new("header.rows", error.to_string()).into(),
    }
}
