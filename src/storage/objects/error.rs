//! Why an object store did not do what it was asked, told apart by what has to be done about it. Quotes no answer of a store: some repeat credentials.

use std::error::Error as StdError;
use std::io;

use object_store::Error as DriverError;
use object_store::client::HttpError;
use thiserror::Error;

use crate::storage::error::StorageError;

/// Longest code of a store that is repeated, such as `SlowDown`.
const CODE_LEN_MAX: usize = 40;

/// What is told where no status, network or file system is to blame: an answer that does not fit the question.
const DRIVER_FAILED: &str = "its answer does not fit the question";

/// Why an object could not be read, written or removed, or a store not be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ObjectError {
    /// An object that the catalog lists is not there. That is damage, and never an empty segment.
    #[error("{object} is missing from {store}: restore it from a backup")]
    Missing {
        /// The store.
        store: String,
        /// The object.
        object: String,
    },
    /// The store was not reached, was busy or broke off, also after the retries. What it holds is not known to be wrong.
    #[error("{store} can't be used now, for {object}: {problem}; try again")]
    Unreachable {
        /// The store.
        store: String,
        /// What was asked for.
        object: String,
        /// How it failed.
        problem: String,
    },
    /// The store refuses these credentials, or what they may not do.
    #[error("{store} refuses {object}: {problem}; look at the credentials and what they are permitted")]
    Refused {
        /// The store.
        store: String,
        /// What was asked for.
        object: String,
        /// Status and code.
        problem: String,
    },
    /// An object is not what was written.
    #[error("{object} in {store} is damaged: {fault}; restore it from a backup")]
    Damaged {
        /// The store.
        store: String,
        /// The object.
        object: String,
        /// Length, plane, block and fault.
        fault: String,
    },
    /// Something else is stored under the name. Nothing is overwritten.
    #[error("{store} has another {object} already; nothing was overwritten")]
    Taken {
        /// The store.
        store: String,
        /// The object.
        object: String,
    },
    /// The bucket keeps what is deleted and nobody said for how long.
    #[error(
        "{store} keeps what is deleted, or nothing shows that it does not (versions, soft deletion): turn that off, in a bucket where it can be seen that it is off"
    )]
    KeepsVersions {
        /// The store.
        store: String,
    },
    /// The settings are no settings of a store.
    #[error("the object store {store} can't be used: {problem}")]
    Settings {
        /// The store, as far as it is known.
        store: String,
        /// Which setting, and what is wrong with it.
        problem: String,
    },
    /// A file does not fit into the cache, or all that is in it is in use.
    #[error(
        "{object} takes {needed} bytes of the cache, which holds at most {max}, of which {in_use} are in use now; enlarge the cache"
    )]
    CacheFull {
        /// The object.
        object: String,
        /// Bytes of its file.
        needed: u64,
        /// The cache's limit.
        max: u64,
        /// Bytes of files that are read or fetched now.
        in_use: u64,
    },
    /// Whoever brought, checked or destroyed the object's file for the cache panicked.
    #[error("the work on {object} in the cache broke off by a panic; try again, and report what was logged")]
    BrokenOff {
        /// The object.
        object: String,
    },
    /// A copy that is to go is still read, or could not be destroyed.
    #[error("a copy of {object} is still in the cache; it is destroyed once nobody reads it")]
    StillHere {
        /// The object.
        object: String,
    },
    /// The cache was told to forget the object, which nobody may read from then on.
    #[error("{object} was replaced or erased; read the catalog again")]
    Forgotten {
        /// The object.
        object: String,
    },
}

impl ObjectError {
    /// Whether the store is out of reach, or does not let us in: nothing was changed, and the same may be asked again.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }

    /// Whether the answer may have failed since the object has no such range.
    pub(super) fn is_about_range(&self) -> bool {
        match self {
            Self::Unreachable { problem, .. } => problem == DRIVER_FAILED,
            Self::Refused { problem, .. } => problem.contains("status 416"),
            _ => false,
        }
    }
}

/// Puts an error of the driver into words of ours.
pub(super) fn from_driver(store: &str, object: &str, error: &DriverError) -> StorageError {
    let (store, object) = (store.to_owned(), object.to_owned());
    let problem = problem(error);
    // The driver has one variant for a missing object and a missing bucket.
    let is_bucket = problem.contains("NoSuchBucket") || problem.contains("ContainerNotFound");
    let error = match error {
        DriverError::NotFound { .. } if !is_bucket => ObjectError::Missing { store, object },
        DriverError::AlreadyExists { .. } | DriverError::Precondition { .. } => {
            ObjectError::Taken { store, object }
        }
        error if is_full(error) => return StorageError::Full(format!("write {object} to {store}")),
        error if is_bucket || is_refusal(error) => ObjectError::Refused {
            store,
            object,
            problem,
        },
        _ => ObjectError::Unreachable {
            store,
            object,
            problem,
        },
    };
    StorageError::Object(error)
}

/// A status that trying again won't change.
fn is_refusal(error: &DriverError) -> bool {
    let told = matches!(
        error,
        DriverError::PermissionDenied { .. } | DriverError::Unauthenticated { .. }
    );
    let by_system = io_kind(error) == Some(io::ErrorKind::PermissionDenied);
    let status = status(&error.to_string());
    told || by_system
        || status.is_some_and(|status| (300..500).contains(&status) && ![408, 429].contains(&status))
}

fn is_full(error: &DriverError) -> bool {
    matches!(
        io_kind(error),
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    )
}

fn io_kind(error: &DriverError) -> Option<io::ErrorKind> {
    sources(error).find_map(|source| source.downcast_ref::<io::Error>().map(io::Error::kind))
}

/// What went wrong, of what the driver says: status and code, or what the network said. Never the answer's body or address.
fn problem(error: &DriverError) -> String {
    let text = error.to_string();
    if let Some(status) = status(&text) {
        let code = code(&text).map_or_else(String::new, |code| format!(" ({code})"));
        return format!("it answers with status {status}{code}");
    }
    if let Some(http) = sources(error).find_map(|source| source.downcast_ref::<HttpError>()) {
        let kind = format!("{:?}", http.kind()).to_lowercase();
        return match sources(error).find_map(|source| source.downcast_ref::<io::Error>()) {
            Some(cause) => format!("the network failed ({kind}): {cause}"),
            None => format!("the network failed ({kind})"),
        };
    }
    match sources(error).find_map(|source| source.downcast_ref::<io::Error>()) {
        Some(cause) => cause.to_string(),
        None => DRIVER_FAILED.to_owned(),
    }
}

fn sources<'a>(error: &'a DriverError) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let next = |error: &&'a (dyn StdError + 'static)| StdError::source(*error);
    std::iter::successors(error.source(), next)
}

/// The status in a message of the driver, whose error type for it is private.
fn status(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

/// A store's own code in its answer: `<Code>SlowDown</Code>`.
fn code(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("<Code>")?;
    let (code, _) = after.split_once("</Code>")?;
    let plain = code.len() <= CODE_LEN_MAX && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then_some(code)
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
