//! Consent: what a person agreed to, and until when. Records it; judges nothing but its completeness.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reject::Rejected;
use super::timestamp::Timestamp;

/// Longest text of a consent field, in bytes.
pub const CONSENT_TEXT_LEN_MAX: usize = 256;

/// How far the clock of who took the consent may be ahead.
const CLOCK_SLACK: Duration = Duration::from_mins(5);

/// How a consent was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentMethod {
    /// A written release on paper.
    WrittenRelease,
    /// An electronic signature.
    ElectronicSignature,
    /// Confirmed in an application.
    InApp,
    /// Confirmed at the device that enrolled.
    AtDevice,
}

/// The written notice a person agreed to before collection (BIPA section 15(b), GDPR article 9(2)(a)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Version of the policy that was shown.
    pub policy_version: String,
    /// Purpose the palm is used for.
    pub purpose: String,
    /// When the consent was given.
    pub given_at: Timestamp,
    /// Until when it holds.
    pub expires_at: Timestamp,
    /// How it was given.
    pub method: ConsentMethod,
}

impl Consent {
    /// Checks that the consent is complete and holds at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), Rejected> {
        for (field, text) in [
            ("consent.policy_version", &self.policy_version),
            ("consent.purpose", &self.purpose),
        ] {
            if text.trim().is_empty() || text.len() > CONSENT_TEXT_LEN_MAX {
                return Err(Rejected::new(
                    field,
                    format!(
                        "is {} bytes long; 1 to {CONSENT_TEXT_LEN_MAX} are required",
                        text.len()
                    ),
                ));
            }
        }
        if self.given_at > now.plus(CLOCK_SLACK) {
            return Err(Rejected::new(
                "consent.give_time",
                format!("{} is after now ({now})", self.given_at),
            ));
        }
        if self.expires_at <= now || self.expires_at <= self.given_at {
            return Err(Rejected::new(
                "consent.expire_time",
                format!(
                    "{} is not after now ({now}) and after give_time ({})",
                    self.expires_at, self.given_at
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "consent_tests.rs"]
mod tests;
