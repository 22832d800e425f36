//! What an answer of a cluster means beside what it acknowledged: the rules that count a broken promise. Asks nobody.

use serde::Serialize;

/// The tenants. Their palms are the same, and their subjects' names are not, so that an answer from the other gallery is seen.
pub const TENANTS: [&str; 2] = ["acme", "beta"];

/// What a caller knows of a subject that nobody else changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An enrolment was sent and not acknowledged: there or not.
    Enrolling,
    /// Acknowledged: there from now on.
    Present,
    /// An erasure was sent and not acknowledged: there or not.
    Erasing,
    /// Its erasure was acknowledged: never there again.
    Erased,
    /// A write of it was refused in a way that says nothing: nobody asks about it any more.
    Unknown,
}

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// At the end, when all is calm: somebody acknowledged is not found.
    Lost,
    /// Somebody whose erasure was acknowledged is found.
    Resurrected,
    /// An answer names a subject of the other tenant.
    Crossed,
    /// The caller's own write, acknowledged just before, is not in the first answer after it. Such an answer counts under its own name as well.
    Stale,
    /// "No match" for somebody who is enrolled.
    NoMatch,
    /// Anything else that must not be: somebody else's name, a refusal where none was due, a part that does not come back.
    Unexpected,
}

/// When a question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The first question after the subject's last write was acknowledged.
    JustWritten,
    /// At any time.
    Meanwhile,
    /// After the load, when every part is there again.
    AtTheEnd,
}

/// Name of a subject. It begins with its tenant's, so that a stray one is known.
pub fn subject_id(tenant: &str, number: u64) -> String {
    format!("{tenant}-{number}")
}

/// What an answer breaks that was given to a capture of subject `number`, whose state was the one before the question and the other after the answer.
pub fn judge(
    tenant: &str,
    number: u64,
    (before, after): (State, State),
    found: Option<&str>,
    when: When,
) -> Vec<Wrong> {
    if let Some(stray) = found.and_then(|found| stray(tenant, found)) {
        return vec![stray];
    }
    let is_own = found == Some(subject_id(tenant, number).as_str());
    if found.is_some() && !is_own {
        return vec![Wrong::Unexpected];
    }
    // While it changes, either answer is right.
    let wrong = match (before, after, is_own) {
        (State::Present, State::Present, false) if when == When::AtTheEnd => Wrong::Lost,
        (State::Present, State::Present, false) => Wrong::NoMatch,
        (State::Erased, State::Erased, true) => Wrong::Resurrected,
        _ => return Vec::new(),
    };
    if when == When::JustWritten {
        return vec![wrong, Wrong::Stale];
    }
    vec![wrong]
}

/// What an answer breaks that was given to a palm that was never enrolled.
pub fn judge_stranger(tenant: &str, found: Option<&str>) -> Option<Wrong> {
    let found = found?;
    Some(stray(tenant, found).unwrap_or(Wrong::Unexpected))
}

/// Whether a name is another tenant's.
fn stray(tenant: &str, found: &str) -> Option<Wrong> {
    let is_of = |tenant: &str| {
        found
            .strip_prefix(tenant)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    (!is_of(tenant)).then_some(Wrong::Crossed)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
