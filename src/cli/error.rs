//! Why a command did not do what it was asked, and its exit code. Prints nothing.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tonic::Status;

use crate::client::ClientError;
use crate::client::explain;
use crate::encode::failure::FailureToAcquire;
use crate::model::reject::Rejected;

use super::calibrate::CalibrationError;
use super::demo::DemoError;
use super::eval::EvalError;
use super::load::LoadError;
use super::local::LocalError;
use super::npy::NpyError;
use super::top::TopError;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CliError {
    /// Options that don't go together.
    #[error("{0}")]
    Usage(String),
    /// A value that the server would refuse too.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// A `NumPy` file or a list of ids.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// No connection.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused.
    #[error("{}", explain::describe(.0))]
    Refused(Box<Status>),
    /// A request that may be done, of which nobody was told.
    #[error("{}; repeat the command with --request-id {request_id}", explain::describe(.refusal))]
    Unacknowledged {
        /// By which it is known.
        request_id: String,
        /// What came.
        refusal: Box<Status>,
    },
    /// An import did not come to its end, though nothing is wrong with it.
    #[error("{}; the import is kept for some minutes: repeat the command with --request-id {request_id} --given {given} to go on", explain::describe(.refusal))]
    ImportBrokenOff {
        /// Under which it goes on.
        request_id: String,
        /// When its consent was given, which is a part of what it is known by.
        given: String,
        /// What came last.
        refusal: Box<Status>,
    },
    /// Something on this machine: data directory, certificates, configuration, server.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The demo could not run, or a check of it did not hold.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// Load could not be sent, or an answer was wrong.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Nothing was evaluated.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// No threshold was found or set.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// No metrics of a server.
    #[error(transparent)]
    Top(#[from] TopError),
    /// A file of this command.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An image that gives no signature.
    #[error("{path}: failure to acquire ({}): {reason}", .reason.reason())]
    Acquire {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: FailureToAcquire,
    },
    /// What is on disk is not what was written.
    #[error("tenants that are not sound: {0}")]
    Damaged(usize),
    /// The erasure journal is not what was written.
    #[error("the erasure journal is not sound: {0}")]
    DamagedJournal(String),
    /// A file that is no signed receipt or checkpoint.
    #[error("{path}: {problem}")]
    NotSigned {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A receipt whose rows are still there.
    #[error("{0}")]
    ReceiptFails(&'static str),
    /// A history that is not as it was recorded.
    #[error("tenants whose history does not hold: {0}")]
    AuditFails(usize),
    /// Threads or sockets are missing.
    #[error("the asynchronous runtime can't start: {0}")]
    Runtime(std::io::Error),
    /// What was waited for did not come.
    #[error("{0}")]
    TimedOut(String),
}

impl CliError {
    /// 2 for wrong usage, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }

    /// The error of a file.
    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}
