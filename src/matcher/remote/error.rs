//! Reasons that errors carry on the wire, and how a node's error is read back from a status. The table that makes statuses is `service::status`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::vocabulary::link_kind_from_proto;
use crate::matcher::node::NodeError;
use crate::model::reject::Rejected;

/// Domain of every `google.rpc.ErrorInfo` of this server.
pub const DOMAIN: &str = "thenar";
/// Names of limits learned from nodes; more than this many are told as [`LIMIT_UNNAMED`].
const LIMIT_NAMES_MAX: usize = 64;
const LIMIT_UNNAMED: &str = "a limit of the match node";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a call failed, as `google.rpc.ErrorInfo.reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as it travels.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// A field of the request is refused; `google.rpc.BadRequest` names it.
    InvalidField = "INVALID_FIELD",
    /// No such tenant.
    TenantUnknown = "TENANT_UNKNOWN",
    /// The tenant exists with other settings.
    TenantExists = "TENANT_EXISTS",
    /// The tenant was made anew, with another rotation.
    TransformStale = "TRANSFORM_STALE",
    /// No such subject.
    SubjectUnknown = "SUBJECT_UNKNOWN",
    /// A subject is not due to be erased. Between front and match alone.
    NotDue = "NOT_DUE",
    /// An import brings a subject that is there already.
    SubjectExists = "SUBJECT_EXISTS",
    /// No such erasure.
    ErasureUnknown = "ERASURE_UNKNOWN",
    /// A link belongs to another subject.
    LinkTaken = "LINK_TAKEN",
    /// The request id was used for something else.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// The rows of an import ended before the last.
    ImportBrokenOff = "IMPORT_BROKEN_OFF",
    /// An import is to go on from another row than the next.
    ImportPosition = "IMPORT_POSITION",
    /// The tenant can't be served.
    TenantUnavailable = "TENANT_UNAVAILABLE",
    /// The match node can't be reached or is stopping.
    NodeUnavailable = "NODE_UNAVAILABLE",
    /// No node answers for a part of the tenant's gallery.
    PartUnavailable = "PART_UNAVAILABLE",
    /// A node lacks some of the parts that it was asked for. Between front and match alone.
    PartsBehind = "PARTS_BEHIND",
    /// A node has let go of rows where a view has them. Between front and match alone.
    ViewGone = "VIEW_GONE",
    /// A named limit is reached.
    LimitReached = "LIMIT_REACHED",
    /// The disk is full or failing.
    StorageRefused = "STORAGE_REFUSED",
    /// The caller's deadline has passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The client certificate names no principal.
    NoPrincipal = "NO_PRINCIPAL",
    /// The role may not do this.
    RoleDenied = "ROLE_DENIED",
    /// Another tenant than the certificate's.
    TenantDenied = "TENANT_DENIED",
    /// A plain probe where the tenant takes sealed ones alone.
    SealedProbeRequired = "SEALED_PROBE_REQUIRED",
    /// A probe that was sealed with another key than the tenant's.
    ProbeKeyUnknown = "PROBE_KEY_UNKNOWN",
    /// A sealed probe that was captured too early or too late.
    ProbeStale = "PROBE_STALE",
    /// A sealed probe that was taken before.
    ProbeReplayed = "PROBE_REPLAYED",
    /// A message is larger than its method takes.
    MessageTooLarge = "MESSAGE_TOO_LARGE",
    /// A message can't be read.
    MessageMalformed = "MESSAGE_MALFORMED",
    /// No such method.
    MethodUnknown = "METHOD_UNKNOWN",
    /// The keyring can't be read or written.
    KeysUnavailable = "KEYS_UNAVAILABLE",
    /// A defect.
    Internal = "INTERNAL",
}

impl Reason {
    /// The reason with this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }
}

/// What `node` said with `status`. Anything that is no answer of a node means that it can't be reached.
pub fn from_status(node: &str, status: &Status) -> NodeError {
    let unavailable = || NodeError::NodeUnavailable {
        node: node.to_owned(),
        reason: format!("{:?}: {}", status.code(), status.message()),
    };
    if let Some(error) = status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN)
        .and_then(|info| from_parts(Reason::from_text(&info.reason)?, &info.metadata))
    {
        return error;
    }
    match status.code() {
        Code::DeadlineExceeded => NodeError::DeadlineExceeded,
        Code::Internal | Code::Unimplemented | Code::OutOfRange | Code::InvalidArgument | Code::DataLoss => {
            NodeError::Internal(format!(
                "match node {node} answered {:?}: {}",
                status.code(),
                status.message()
            ))
        }
        _ => unavailable(),
    }
}

fn from_parts(reason: Reason, metadata: &HashMap<String, String>) -> Option<NodeError> {
    let text = |key: &str| metadata.get(key).cloned();
    let number = |key: &str| metadata.get(key)?.parse::<u64>().ok();
    let tenant = || metadata.get("tenant")?.parse().ok();
    Some(match reason {
        Reason::InvalidField => NodeError::Rejected(Rejected::new(text("field")?, text("problem")?)),
        Reason::TenantUnknown => NodeError::TenantUnknown(tenant()?),
        Reason::TenantExists => NodeError::TenantExists(tenant()?),
        Reason::TransformStale => NodeError::TransformStale { tenant: tenant()? },
        Reason::SubjectUnknown => NodeError::SubjectUnknown(tenant()?),
        Reason::NotDue => NodeError::NotDue(tenant()?),
        Reason::SubjectExists => NodeError::SubjectExists {
            subject_id: metadata.get("subject_id")?.parse().ok()?,
        },
        Reason::ErasureUnknown => NodeError::ErasureUnknown(number("erasure")?),
        Reason::LinkTaken => {
            let code = metadata.get("kind")?.parse().ok()?;
            NodeError::LinkTaken(link_kind_from_proto("kind", code).ok()?)
        }
        Reason::RequestIdReused => NodeError::RequestIdReused(metadata.get("request_id")?.parse().ok()?),
        Reason::ImportBrokenOff => NodeError::ImportBrokenOff {
            reason: text("detail")?,
        },
        Reason::ImportPosition => NodeError::ImportPosition {
            held: number("rows_held")?,
        },
        Reason::TenantUnavailable => NodeError::TenantUnavailable {
            tenant: tenant()?,
            reason: text("detail")?,
        },
        Reason::NodeUnavailable => NodeError::NodeUnavailable {
            node: text("node")?,
            reason: text("detail")?,
        },
        Reason::PartUnavailable => NodeError::PartUnavailable {
            tenant: tenant()?,
            part: text("part")?,
            reason: text("detail")?,
        },
        Reason::LimitReached => NodeError::Exhausted {
            limit: limit_name(metadata.get("limit")?),
            value: number("value")?,
            retry_after: Duration::from_millis(number("retry_after_ms")?),
        },
        Reason::StorageRefused => NodeError::StorageRefused(text("detail")?),
        Reason::DeadlineExceeded => NodeError::DeadlineExceeded,
        Reason::Internal => NodeError::Internal(text("detail")?),
        // What a holder says of a scope, and no call without one gets.
        Reason::PartsBehind | Reason::ViewGone => return None,
        // A node knows no roles and no seals, lets nobody but fronts in and reads what they send: its refusal is a fault of the installation.
        Reason::NoPrincipal
        | Reason::RoleDenied
        | Reason::TenantDenied
        | Reason::SealedProbeRequired
        | Reason::ProbeKeyUnknown
        | Reason::ProbeStale
        | Reason::ProbeReplayed
        | Reason::MessageTooLarge
        | Reason::MessageMalformed
        | Reason::MethodUnknown
        | Reason::KeysUnavailable => {
            return None;
        }
    })
}

/// Limits have static names. Those of a node are learned once and kept for the life of the process;
/// their number is bounded, so that no node can make this grow.
fn limit_name(name: &str) -> &'static str {
    static NAMES: OnceLock<Mutex<BTreeSet<&'static str>>> = OnceLock::new();
    let names = NAMES.get_or_init(Mutex::default);
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    if names.len() >= LIMIT_NAMES_MAX {
        return LIMIT_UNNAMED;
    }
    let learned: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(learned);
    learned
}
