//! One reading of the head, asked of the nodes that hold its parts until each part has one answer. Reads no head, and merges nothing.
//!
//! A call is for the parts of one node. What answers in its place (another holder, or several that have these parts together) is for the same parts, and of both one counts: so answers
//! are for parts that don't overlap, without keeping books. Everything runs within the future of the round, so that dropping a future takes back the calls that it made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select, try_join_all};
use tokio::time::{Instant, timeout};

use super::budget::{Budget, CALLS_PER_EXTRA};
use super::holder::{Holder, PartError};
use super::merge::check;
use super::nodes::{Holders, Nodes, Peer};
use crate::cluster::placement::{Gallery, NodeId, Part};
use crate::cluster::question::{Next, Question, READINGS_MAX, Refusal, Scope};
use crate::matcher::node::{NodeError, RankQuery, SearchQuery};
use crate::model::decision::{CANDIDATES_MAX, SearchAnswer};
use crate::model::id::TenantId;

/// What is asked of each part.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// Everybody at or above a threshold.
    Search(&'a SearchQuery),
    /// The best, without one.
    Rank(&'a RankQuery),
}

impl Asked<'_> {
    pub(super) fn tenant(&self) -> &TenantId {
        match self {
            Self::Search(query) => &query.tenant,
            Self::Rank(query) => &query.tenant,
        }
    }

    /// As each node bounds it: beyond that no answer over a part has the candidates that one over the whole would need.
    pub(super) fn candidates_max(&self) -> usize {
        let wanted = match self {
            Self::Search(query) => query.candidates_max,
            Self::Rank(query) => query.candidates_max,
        };
        wanted.clamp(1, CANDIDATES_MAX)
    }

    fn threshold(&self) -> Option<f32> {
        match self {
            Self::Search(query) => Some(query.threshold),
            Self::Rank(_) => None,
        }
    }

    /// What is left until the nodes' deadline.
    fn left(&self) -> Option<Duration> {
        let deadline = match self {
            Self::Search(query) => query.deadline,
            Self::Rank(query) => query.deadline,
        };
        deadline.map(|deadline| deadline.saturating_duration_since(Instant::now().into_std()))
    }

    /// Whether that deadline has passed.
    fn is_late(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    async fn put(&self, holder: &dyn Holder, scope: &Scope) -> Result<SearchAnswer, PartError> {
        match self {
            Self::Search(query) => holder.search(query, scope).await,
            Self::Rank(query) => holder.rank(query, scope).await,
        }
    }
}

/// An answer and what it is for.
pub(super) type Found = (Scope, SearchAnswer);

/// Why a round ends without its answers.
pub(super) enum Stop {
    /// The view is gone: the head is to be read again.
    ReadAgain,
    /// Nobody answers for a part, as [`NodeError::PartUnavailable`] says; or all its owners say the same of the tenant, or that they have too much to do, as far as they may be asked, which then is the answer.
    Nobody(NodeError),
    /// Nothing is to be had from others either.
    Failed(NodeError),
}

/// That a node does not answer for some parts, and others may.
struct Elsewhere {
    /// The parts that it does not have: the others it has. None: it answers for nothing now.
    behind: Option<BTreeSet<Part>>,
    /// Whether the node may have done work, or have had too much of it: then asking others is counted.
    is_counted: bool,
    reason: String,
    /// What it says of the tenant, or that it has too much to do. That is the answer where all say so who are asked: one alone may know an earlier tenant, whatever its contract is.
    verdict: Option<NodeError>,
}

impl Elsewhere {
    /// Whether it says of the tenant what those say who were asked after it.
    fn agrees(&self, error: &NodeError) -> bool {
        let verdict = self.verdict.as_ref();
        verdict.is_some_and(|own| std::mem::discriminant(own) == std::mem::discriminant(error))
    }
}

/// What came of a call.
enum Said {
    Answer(Found),
    Elsewhere(Elsewhere),
    Stop(Stop),
}

/// So many times as long as others take is slow.
const SLOWER_MAX: u32 = 4;

/// A call to a node. One that is taken back before it came to an end, by whoever was faster or since nobody waits any more, counts against the node where it was slow by then.
struct Call<'a> {
    peer: &'a Peer,
    began: Instant,
    slow_after: Duration,
    is_over: bool,
}

impl Call<'_> {
    fn is_slow(&self, now: Instant) -> bool {
        now - self.began >= self.slow_after
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        if !self.is_over && self.is_slow(now) {
            self.peer.record.lock().lost(now - self.began, now);
        }
    }
}

/// One reading, and whom to ask.
pub(super) struct Round<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) question: &'a Question,
    pub(super) nodes: &'a Nodes,
    pub(super) budget: &'a Budget,
    /// Whether it is by the first reading: further ones earn nothing.
    pub(super) is_first: bool,
}

impl Round<'_> {
    /// Answers that together are for all parts, each part in one of them.
    pub(super) async fn run(&self, gallery: Gallery, turn: usize) -> Result<Vec<Found>, Stop> {
        let holders = self
            .nodes
            .plan(self.asked.tenant(), gallery, self.question.missing(), turn);
        let calls = Self::calls(holders, |part| {
            self.nobody(part, "no node is known that may hold it")
        })?;
        if self.is_first {
            self.budget.earn(calls.len());
        }
        self.cover(calls).await
    }

    /// Makes calls at once. The first that finds its parts nowhere ends them all.
    fn cover(&self, calls: BTreeMap<NodeId, Holders>) -> BoxFuture<'_, Result<Vec<Found>, Stop>> {
        let found = try_join_all(calls.into_iter().map(|(node, rest)| self.call(node, rest)));
        async move { Ok(found.await?.concat()) }.boxed()
    }

    /// Asks a node for parts, and the `rest` of their holders where it does not answer, or not soon.
    async fn call(&self, node: NodeId, rest: Holders) -> Result<Vec<Found>, Stop> {
        let Some(peer) = self.nodes.peer(node) else {
            return Err(Stop::Failed(NodeError::Internal(format!(
                "node {node} was planned for and is not known"
            ))));
        };
        let slow_after = self.slow_after(peer, &rest);
        // Where little time is left, others are to have some of it.
        let hedge_after = self
            .asked
            .left()
            .map_or(slow_after, |left| slow_after.min(left / 2));
        let scope = self.question.scope(rest.keys().copied());
        let first = rest.keys().next().copied().unwrap_or(Part::Fresh);
        let mut said = pin!(self.ask(node, peer, scope, slow_after));
        let (said, hedged) = match timeout(hedge_after, &mut said).await {
            Ok(said) => (said, None),
            Err(_) => match self.hedge(&rest) {
                None => (said.await, None),
                Some(hedge) => match select(said, hedge).await {
                    Either::Left((Said::Elsewhere(elsewhere), hedge)) => {
                        (Said::Elsewhere(elsewhere), Some(hedge.await))
                    }
                    Either::Left((said, _)) => (said, None),
                    Either::Right((Err(Stop::Nobody(error)), said)) => {
                        (said.await, Some(Err(Stop::Nobody(error))))
                    }
                    Either::Right((hedged, _)) => return hedged,
                },
            },
        };
        match (said, hedged) {
            (Said::Answer(found), _) => Ok(vec![found]),
            (Said::Stop(stop), _) => Err(stop),
            (Said::Elsewhere(mut said), hedged) => {
                let outcome = match hedged {
                    None => self.elsewhere(node, rest, &said).await,
                    // It lacks some parts, and the others lack others: together they may have all. Now others are asked once more, which counts.
                    Some(Err(Stop::Nobody(_))) if said.behind.is_some() => {
                        said.is_counted = true;
                        self.elsewhere(node, rest, &said).await
                    }
                    Some(hedged) => hedged,
                };
                outcome.map_err(|stop| match stop {
                    Stop::Nobody(NodeError::PartUnavailable { .. }) => stop,
                    Stop::Nobody(error) if !said.agrees(&error) => self.nobody(first, &said.reason),
                    stop => stop,
                })
            }
        }
    }

    /// How long a call takes that is slow for this node, or beside those who would be asked after it: one that is always slow is slow all the same.
    fn slow_after(&self, peer: &Peer, rest: &Holders) -> Duration {
        let next = rest
            .values()
            .filter_map(|holders| self.nodes.peer(*holders.front()?));
        let others = next.map(|peer| peer.record.lock().hedge_after()).max();
        let own = peer.record.lock().hedge_after();
        others.map_or(own, |others| own.min(others * SLOWER_MAX))
    }

    /// Asks the next holders of parts that a node has not answered for yet, where there are some for all, and the budget is enough.
    fn hedge(&self, rest: &Holders) -> Option<BoxFuture<'_, Result<Vec<Found>, Stop>>> {
        let calls = Self::calls(rest.clone(), |part| self.nobody(part, "")).ok()?;
        self.budget.spend(calls.len()).then(|| self.cover(calls))
    }

    /// Asks the next holders of parts that a node does not answer for.
    async fn elsewhere(&self, node: NodeId, mut rest: Holders, said: &Elsewhere) -> Result<Vec<Found>, Stop> {
        // It has the others, and is asked for them alone. Those that it named are fewer each time, so that this ends.
        if let Some(behind) = &said.behind {
            for (part, holders) in &mut rest {
                if !behind.contains(part) {
                    holders.push_front(node);
                }
            }
        }
        let first = rest.keys().next().copied();
        let calls = Self::calls(rest, |part| match &said.verdict {
            Some(verdict) => Stop::Nobody(verdict.clone()),
            None => self.nobody(part, &said.reason),
        })?;
        if said.is_counted && !self.budget.spend(calls.len()) {
            if let Some(verdict) = &said.verdict {
                return Err(Stop::Nobody(verdict.clone()));
            }
            let reason = format!(
                "{}; no other is asked: one call of {CALLS_PER_EXTRA} may be repeated",
                said.reason
            );
            return Err(self.nobody(first.unwrap_or(Part::Fresh), &reason));
        }
        self.cover(calls).await
    }

    /// The calls to the first holders of parts: one a node. `none` says what it means that a part has none.
    fn calls(holders: Holders, none: impl Fn(Part) -> Stop) -> Result<BTreeMap<NodeId, Holders>, Stop> {
        let mut calls: BTreeMap<NodeId, Holders> = BTreeMap::new();
        for (part, mut rest) in holders {
            let node = rest.pop_front().ok_or_else(|| none(part))?;
            calls.entry(node).or_default().insert(part, rest);
        }
        Ok(calls)
    }

    async fn ask(&self, node: NodeId, peer: &Peer, scope: Scope, slow_after: Duration) -> Said {
        let mut call = Call {
            peer,
            began: Instant::now(),
            slow_after,
            is_over: false,
        };
        let answer = self.asked.put(&*peer.holder, &scope).await;
        let sound = |answer: SearchAnswer| {
            check(&answer, self.asked.threshold(), self.asked.candidates_max())?;
            Ok(answer)
        };
        let answer = answer.and_then(sound);
        self.remember(&mut call, &answer);
        match answer {
            Ok(answer) => Said::Answer((scope, answer)),
            Err(PartError::Refused(refusal)) => self.refused(node, &scope, refusal),
            Err(PartError::Node(error)) => self.failed(node, error),
        }
    }

    fn remember(&self, call: &mut Call<'_>, answer: &Result<SearchAnswer, PartError>) {
        let (now, tenant) = (Instant::now(), self.asked.tenant());
        call.is_over = true;
        let mut record = call.peer.record.lock();
        match answer {
            Ok(_) => record.answered(tenant, now - call.began),
            Err(PartError::Node(NodeError::NodeUnavailable { .. })) => record.missed(now),
            // Whatever it said, and if it is that time is up, others would have been faster.
            Err(PartError::Refused(_) | PartError::Node(NodeError::DeadlineExceeded))
                if call.is_slow(now) =>
            {
                record.lost(now - call.began, now);
            }
            // These say nothing of the node.
            Err(PartError::Refused(_) | PartError::Node(NodeError::Rejected(_))) => record.spoke(),
            Err(PartError::Node(error)) if is_verdict(error) => record.spoke(),
            Err(PartError::Node(NodeError::DeadlineExceeded)) if self.asked.is_late() => record.spoke(),
            Err(PartError::Node(_)) => record.failed(tenant, now),
        }
    }

    fn refused(&self, node: NodeId, scope: &Scope, refusal: Refusal) -> Said {
        let stop = match self.question.refused(scope, refusal) {
            Next::Elsewhere(parts) if parts.is_disjoint(&scope.parts) => {
                let text = "it refused by parts that it was not asked for";
                return self.failed(node, NodeError::Internal(text.to_owned()));
            }
            Next::Elsewhere(parts) => {
                return Said::Elsewhere(Elsewhere {
                    behind: Some(parts),
                    // It has searched nothing.
                    is_counted: false,
                    reason: format!("node {node} has not come so far, or has not loaded it"),
                    verdict: None,
                });
            }
            Next::ReadAgain => Stop::ReadAgain,
            Next::GiveUp => {
                let reason = format!("the view was gone at each of {READINGS_MAX} readings of the head");
                self.nobody(scope.parts.first().copied().unwrap_or(Part::Fresh), &reason)
            }
            Next::Ignore => Stop::Failed(NodeError::Internal(
                "a node was asked for an earlier reading's scope".to_owned(),
            )),
        };
        // No other holder can help, also where one is being asked.
        Said::Stop(match stop {
            Stop::Nobody(error) => Stop::Failed(error),
            stop => stop,
        })
    }

    /// What is wrong with the request is so with every node; what is wrong with a node is not.
    fn failed(&self, node: NodeId, error: NodeError) -> Said {
        let elsewhere = |is_counted: bool, reason: &dyn Display| Elsewhere {
            behind: None,
            is_counted,
            reason: format!("node {node}: {reason}"),
            verdict: None,
        };
        Said::Elsewhere(match error {
            NodeError::Rejected(_) => return Said::Stop(Stop::Failed(error)),
            NodeError::DeadlineExceeded if self.asked.is_late() => return Said::Stop(Stop::Failed(error)),
            // It has searched nothing.
            NodeError::TenantUnavailable { .. } => elsewhere(false, &error),
            error if is_verdict(&error) => Elsewhere {
                verdict: Some(error.clone()),
                ..elsewhere(false, &error)
            },
            // Others may have less to do.
            NodeError::Exhausted { .. } => Elsewhere {
                verdict: Some(error.clone()),
                ..elsewhere(true, &error)
            },
            NodeError::NodeUnavailable { .. }
            | NodeError::PartUnavailable { .. }
            | NodeError::StorageRefused(_)
            | NodeError::DeadlineExceeded => elsewhere(true, &error),
            // A defect, or what a holder never answers.
            _ => {
                tracing::error!(%node, %error, "a node answered with a defect");
                elsewhere(true, &"a defect, which the log has")
            }
        })
    }

    fn nobody(&self, part: Part, reason: &str) -> Stop {
        Stop::Nobody(NodeError::PartUnavailable {
            tenant: self.asked.tenant().clone(),
            part: match part {
                Part::Fresh => "fresh".to_owned(),
                Part::Group(number) => format!("group {number}"),
            },
            reason: reason.to_owned(),
        })
    }
}

/// Whether an error says something of the tenant, which other nodes say too unless one of them is behind.
fn is_verdict(error: &NodeError) -> bool {
    matches!(
        error,
        NodeError::TenantUnknown(_) | NodeError::TransformStale { .. }
    )
}
