//! Why a value was refused: the field, the value and the limit in words. Never carries biometric data.

use thiserror::Error;

/// Longest text of a refusal, in bytes: what came may be long, and it travels in headers.
const PROBLEM_LEN_MAX: usize = 512;

/// A refused input. The message names the field, the value that came and the limit it broke.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct Rejected {
    /// Path of the field in the request, for instance `probe.signature`.
    pub field: String,
    /// What came and what was expected.
    pub problem: String,
}

impl Rejected {
    /// Refuses `field` because of `problem`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        let mut problem = problem.into();
        if problem.len() > PROBLEM_LEN_MAX {
            let mut end = PROBLEM_LEN_MAX;
            while !problem.is_char_boundary(end) {
                end -= 1;
            }
            problem.truncate(end);
            problem.push('…');
        }
        Self {
            field: field.into(),
            problem,
        }
    }

    /// The same refusal seen from the message that holds the field: `outer.field`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            problem: self.problem,
        }
    }
}

#[cfg(test)]
#[path = "reject_tests.rs"]
mod tests;
