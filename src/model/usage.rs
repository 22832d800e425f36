//! Usage events: where and when a palm was used, and with what outcome. Holds no score and no signature.

use serde::{Deserialize, Serialize};

use super::decision::RetakeReason;
use super::id::{PrincipalName, RequestId, SiteId, SubjectId};
use super::timestamp::Timestamp;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageKind {
    /// 1:N.
    Identify,
    /// 1:1.
    Verify,
    /// A palm was enrolled.
    Enroll,
    /// The nearest subjects were asked for; the event names none.
    Investigate,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The subject of the event.
    Match,
    /// Nobody, or for Verify not the claimed subject.
    NoMatch,
    /// Captured again.
    Retake(RetakeReason),
    /// A write was done.
    Done,
}

/// One use of a palm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// When.
    pub at: Timestamp,
    /// What was asked.
    pub kind: UsageKind,
    /// What came out.
    pub outcome: Outcome,
    /// Who, where somebody was found or claimed.
    pub subject_id: Option<SubjectId>,
    /// Where, as the caller said.
    pub site: Option<SiteId>,
    /// Which principal asked.
    pub principal: PrincipalName,
    /// The request.
    pub request_id: RequestId,
}

/// Bytes of an [`EventId`].
pub const EVENT_ID_LEN: usize = 16;

/// By what a use is known again that was told before: random, so that it says nothing of the use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(pub [u8; EVENT_ID_LEN]);

/// A use that is to be recorded: once, however often and to however many nodes it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// By which it is known again.
    pub id: EventId,
    /// What happened.
    pub event: UsageEvent,
}

impl From<UsageEvent> for UsageRecord {
    /// One that nobody was told of yet.
    fn from(event: UsageEvent) -> Self {
        let mut id = [0; EVENT_ID_LEN];
        aws_lc_rs::rand::fill(&mut id).expect("the operating system's generator answers");
        Self {
            id: EventId(id),
            event,
        }
    }
}
