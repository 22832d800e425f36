//! Answers given lately, so that a repeated question gets the same one. Bounded and aged; what an erasure made untrue is never found again.

use std::time::Duration;

use moka::sync::Cache;

use crate::model::id::RequestId;

/// A question, as far as a repetition must equal it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// State of the tenant's gallery: another one after each erasure, never the same for two tenants, so that an
    /// answer which was on its way while somebody was erased is stored where nobody looks.
    pub(super) epoch: u64,
    /// Path of the caller's SPIFFE id.
    pub(super) principal: String,
    /// The caller's id of the request.
    pub(super) request_id: RequestId,
    /// Keyed digest of what was asked.
    pub(super) digest: [u8; 32],
}

/// Answers of one method.
pub(super) struct Answers<A>(Cache<Question, A>);

impl<A: Clone + Send + Sync + 'static> Answers<A> {
    /// Keeps at most `answers_max` answers, each for `ttl`.
    pub(super) fn new(answers_max: u64, ttl: Duration) -> Self {
        Self(
            Cache::builder()
                .max_capacity(answers_max)
                .time_to_live(ttl)
                .build(),
        )
    }

    /// The answer to this very question, if it was given lately.
    pub(super) fn get(&self, question: &Question) -> Option<A> {
        self.0.get(question)
    }

    /// Keeps an answer.
    pub(super) fn put(&self, question: Question, answer: A) {
        self.0.insert(question, answer);
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
