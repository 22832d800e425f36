//! What went wrong at a database, and what that means for a transaction. Never repeats values, which the server's details do.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::storage::error::StorageError;

/// What went wrong.
#[derive(Debug)]
pub(in crate::storage) struct Fault {
    problem: String,
    /// The server's code; `None` where no answer came.
    code: Option<SqlState>,
}

impl Fault {
    /// Of the driver's error.
    pub(super) fn of(error: &Error) -> Self {
        if let Some(told) = error.as_db_error() {
            // Without its details, which show the values of rows.
            return Self {
                problem: format!("{} ({})", told.message(), told.code().code()),
                code: Some(told.code().clone()),
            };
        }
        let mut problem = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            problem = format!("{problem}: {error}");
            source = error.source();
        }
        Self { problem, code: None }
    }

    /// Of a server that gave no answer.
    pub(super) fn unanswered(problem: &str) -> Self {
        Self {
            problem: problem.to_owned(),
            code: None,
        }
    }

    /// Whether no answer came.
    pub(super) fn is_silence(&self) -> bool {
        self.code.is_none()
    }

    /// Whether the whole transaction may succeed when it is done again.
    pub(super) fn is_passing(&self) -> bool {
        [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .iter()
        .any(|code| self.code.as_ref() == Some(code))
    }

    /// Whether a COMMIT that was answered so was not done for certain: rolled back (class 40, but for what the server itself does not know), a
    /// constraint (23), or a session that the server had ended before, since nothing came for too long (25P03).
    pub(super) fn is_undone(&self) -> bool {
        self.code.as_ref().is_some_and(|code| {
            let is_of = |class| code.code().starts_with(class);
            *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
                && ["40", "23", "25P03"].into_iter().any(is_of)
        })
    }

    /// As an error of the storage.
    pub(super) fn at(self, server: &str) -> StorageError {
        let server = server.to_owned();
        match self.code {
            Some(SqlState::DISK_FULL) => {
                StorageError::Full(format!("the database {server}: {}", self.problem))
            }
            Some(_) => StorageError::Database {
                passing: self.is_passing(),
                server,
                problem: self.problem,
            },
            None => StorageError::Unreachable {
                server,
                problem: self.problem,
            },
        }
    }

    /// In words, without the server.
    pub(super) fn problem(&self) -> &str {
        &self.problem
    }
}
