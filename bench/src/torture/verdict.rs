//! What a server's answers mean beside what it promised: the rules that count a loss. Asks nobody.

use serde::Serialize;

/// What is known of a subject from the answers that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An enrolment was sent and not acknowledged: there or not.
    Enrolling,
    /// Acknowledged, or seen after a restart: there from now on.
    Present,
    /// An erasure was sent and not acknowledged: there or not.
    Erasing,
    /// Its erasure was acknowledged, or seen after a restart: never there again.
    Erased,
    /// Its enrolment was seen not to have happened: not there, unless the request is repeated.
    Absent,
}

/// What the server shows of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whom a probe of the palm finds.
    pub found: Option<String>,
    /// References, where the subject is known by its id.
    pub references: Option<usize>,
}

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// Something acknowledged is gone.
    Lost,
    /// Something erased, or never enrolled, is there.
    Resurrected,
    /// An answer names a subject of another tenant.
    Crossed,
    /// Anything else that must not be: an error where none was due, two answers to one request, a server that stays away.
    Unexpected,
}

/// Name of a subject. It begins with its tenant's, so that a stray one is known.
pub fn subject_id(tenant: &str, number: u64) -> String {
    format!("{tenant}-{number}")
}

/// Whether a name is of this tenant.
pub fn is_of(tenant: &str, subject: &str) -> bool {
    subject
        .strip_prefix(tenant)
        .is_some_and(|rest| rest.starts_with('-'))
}

/// The number in a name.
pub fn number_of(tenant: &str, subject: &str) -> Option<u64> {
    subject.strip_prefix(tenant)?.strip_prefix('-')?.parse().ok()
}

/// Whether the subject is there, by a restarted server's answers; or what they break.
pub fn judge(tenant: &str, number: u64, state: State, seen: &Seen) -> Result<bool, Wrong> {
    let id = subject_id(tenant, number);
    if seen.found.as_deref().is_some_and(|found| !is_of(tenant, found)) {
        return Err(Wrong::Crossed);
    }
    let found = seen.found.as_deref() == Some(&id);
    let known = seen.references.is_some();
    match state {
        State::Present if !found || !known => Err(Wrong::Lost),
        State::Erased | State::Absent if found || known => Err(Wrong::Resurrected),
        // Half of an enrolment, or half of an erasure.
        State::Enrolling | State::Erasing if found != known => {
            Err(if found { Wrong::Resurrected } else { Wrong::Lost })
        }
        // Somebody else's palm was found, or a repetition enrolled the same palm twice.
        _ if (!found && seen.found.is_some()) || seen.references.is_some_and(|count| count != 1) => {
            Err(Wrong::Unexpected)
        }
        _ => Ok(found),
    }
}

/// What an answer to an identification breaks that was given while others changed the gallery: `before` is the state when it was sent,
/// `after` when it was answered. A scanner's probe is of subject `number`.
pub fn judge_live(
    tenant: &str,
    number: u64,
    (before, after): (State, State),
    found: Option<&str>,
) -> Option<Wrong> {
    if found.is_some_and(|found| !is_of(tenant, found)) {
        return Some(Wrong::Crossed);
    }
    let own = found == Some(subject_id(tenant, number).as_str());
    match (before, after) {
        (State::Present, State::Present) if !own => Some(Wrong::Lost),
        (State::Erased | State::Absent, _) if own && before == after => Some(Wrong::Resurrected),
        _ if found.is_some() && !own => Some(Wrong::Unexpected),
        _ => None,
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
