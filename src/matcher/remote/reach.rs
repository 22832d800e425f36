//! One way to call a match node: bounded in time and number, and behind its breaker. Knows no message.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tonic::{Code, Response, Status};

use super::breaker::Breaker;
use super::error::from_status;
use crate::matcher::node::NodeError;
use crate::model::id::TenantId;

/// Most calls under way with one node; half of what a front takes in all, so that one node does not use up the places of the others.
pub const IN_FLIGHT_MAX: usize = 4_096;
/// When to ask again a node that has no place.
const PLACE_RETRY_AFTER: Duration = Duration::from_millis(100);
/// Longest wait for an answer that a node has in memory.
pub const LOOKUP_MAX: Duration = Duration::from_secs(5);
/// Longest wait for any other answer.
pub const CALL_MAX: Duration = Duration::from_secs(30);
/// Longest wait for work that grows with a tenant. A node that can't be reached ends it far earlier, by the pings of its connection.
pub const WORK_MAX: Duration = Duration::from_hours(24);
/// A node that left calls unanswered for so long, one after the other, and said nothing to anybody else, can't be reached: that counts for its breaker.
const SILENCE: Duration = Duration::from_secs(1);
/// A call to which that happened for so long alone is told that its node can't be reached. A shorter wait says nothing about the node.
const OWN_SILENCE: Duration = Duration::from_millis(200);
/// How long before its deadline a caller is told that, so that the word arrives.
const BEFORE_DEADLINE: Duration = Duration::from_millis(100);

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    /// [`LOOKUP_MAX`].
    Lookup,
    /// Until the caller's deadline, [`WORK_MAX`] at most; for [`CALL_MAX`] where it names none.
    Until(Option<Instant>),
    /// [`WORK_MAX`].
    Work,
}

impl Wait {
    /// Whether a node that can be reached says something soon.
    fn is_short(self) -> bool {
        !matches!(self, Self::Work)
    }

    /// When the caller has to have its answer, and when the wait ends.
    fn ends(self, now: Instant) -> (Option<Instant>, Instant) {
        let ends = now
            + match self {
                Self::Lookup => LOOKUP_MAX,
                Self::Until(None) => CALL_MAX,
                Self::Until(Some(_)) | Self::Work => WORK_MAX,
            };
        match self {
            Self::Until(Some(deadline)) if deadline < ends => (Some(deadline), deadline),
            _ => (None, ends),
        }
    }
}

/// The reach of one node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reach {
    node: Arc<str>,
    breaker: Arc<Breaker>,
    places: Arc<Semaphore>,
}

impl Reach {
    pub(super) fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            breaker: Arc::new(Breaker::new(node.to_owned())),
            places: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
        }
    }

    /// Makes a call on behalf of `tenant`, if it is for one.
    pub(super) fn ask<T>(
        &self,
        tenant: Option<&TenantId>,
        wait: Wait,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> impl Future<Output = Result<T, NodeError>> {
        self.ask_or(tenant, wait, call, |_| None)
    }

    /// The same, of a call whose node also `says` something that is no error of a node.
    pub(super) async fn ask_or<T, E: From<NodeError>>(
        &self,
        tenant: Option<&TenantId>,
        wait: Wait,
        call: impl Future<Output = Result<Response<T>, Status>>,
        says: impl FnOnce(&Status) -> Option<E>,
    ) -> Result<T, E> {
        let began = Instant::now();
        self.breaker.enter(began).map_err(|failures| {
            let reason = format!("{failures} calls in a row did not reach it; it is tried every second");
            self.unavailable(tenant, &reason)
        })?;
        let _place = self.places.try_acquire().map_err(|_| NodeError::Exhausted {
            limit: "calls under way with the match node",
            value: IN_FLIGHT_MAX as u64,
            retry_after: PLACE_RETRY_AFTER,
        })?;
        let (deadline, ends) = wait.ends(began);
        let _waiting = wait.is_short().then(|| self.breaker.wait(began));
        let Some(answer) = self.answer(began, deadline, ends, call).await else {
            return Err(self.late(tenant, began, deadline).into());
        };
        let status = match answer {
            Ok(answer) => {
                self.breaker.reached(Instant::now());
                return Ok(answer.into_inner());
            }
            Err(status) => status,
        };
        // The timer that the library keeps of the same deadline.
        if status.code() == Code::Cancelled && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(self.late(tenant, began, deadline).into());
        }
        // What a node says has no cause in this process.
        if status.source().is_some() {
            self.breaker.unreached(Instant::now());
            let reason = format!("{:?}: {}", status.code(), causes(&status));
            return Err(self.unavailable(tenant, &reason).into());
        }
        self.breaker.reached(Instant::now());
        Err(
            says(&status).unwrap_or_else(|| match from_status(&self.node, &status) {
                NodeError::NodeUnavailable { reason, .. } => self.unavailable(tenant, &reason).into(),
                error => error.into(),
            }),
        )
    }

    /// `None` where none came in time, or none will.
    async fn answer<T>(
        &self,
        began: Instant,
        deadline: Option<Instant>,
        ends: Instant,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(call);
        let early = deadline.and_then(|deadline| deadline.checked_sub(BEFORE_DEADLINE));
        if let Some(early) = early.filter(|early| *early >= began + OWN_SILENCE) {
            match tokio::time::timeout_at(early.into(), &mut call).await {
                Ok(answer) => return Some(answer),
                Err(_) if self.breaker.silent_since(began) => return None,
                Err(_) => {}
            }
        }
        tokio::time::timeout_at(ends.into(), call).await.ok()
    }

    fn late(&self, tenant: Option<&TenantId>, began: Instant, deadline: Option<Instant>) -> NodeError {
        let now = Instant::now();
        let waited = now - began;
        let silent = waited >= OWN_SILENCE && self.breaker.silent_since(began);
        if silent && self.breaker.silence(now) >= SILENCE {
            self.breaker.unreached(now);
        }
        if silent || deadline.is_none() {
            return self.unavailable(tenant, &format!("no answer within {:.1} s", waited.as_secs_f64()));
        }
        NodeError::DeadlineExceeded
    }

    fn unavailable(&self, tenant: Option<&TenantId>, reason: &str) -> NodeError {
        NodeError::NodeUnavailable {
            node: self.node.to_string(),
            reason: match tenant {
                Some(tenant) => format!("tenant {tenant} is out of reach: {reason}"),
                None => reason.to_owned(),
            },
        }
    }
}

/// The message of a status and of what caused it: the last one names the fault.
fn causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
