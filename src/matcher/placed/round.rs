//! One reading of the head, asked of the nodes that hold its parts until each part has one answer. Reads no head, and merges nothing.
//!
//! A call is for the parts of one node. What answers in its place (another holder, or several that have these parts together) is for the same parts, and of both one counts: so answers
//! are for parts that don't overlap, without keeping books. Everything runs within the future of the round, so that dropping a future takes back the calls that it made.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::pin::pin;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select, try_join_all};
use tokio::time::{Instant, timeout};

use super::budget::{Budget, CALLS_PER_EXTRA};
use super::holder::{Holder, PartError};
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

    /// Whether the nodes' deadline has passed.
    fn is_late(&self) -> bool {
        let deadline = match self {
            Self::Search(query) => query.deadline,
            Self::Rank(query) => query.deadline,
        };
        deadline.is_some_and(|deadline| deadline <= Instant::now().into_std())
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
    /// Nobody answers for a part, as [`NodeError::PartUnavailable`] says.
    Nobody(NodeError),
    /// Nothing is to be had from others either.
    Failed(NodeError),
}

/// That a node does not answer for some parts, and others may.
struct Elsewhere {
    /// The part that it does not have. None: it answers for nothing now.
    part: Option<Part>,
    /// Whether the node may have done work, or have had too much of it: then asking others is counted.
    is_counted: bool,
    reason: String,
}

/// What came of a call.
enum Said {
    Answer(Found),
    Elsewhere(Elsewhere),
    Stop(Stop),
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
        let holders = self.nodes.plan(gallery, self.question.missing(), turn);
        let calls = self.calls(holders, "no node is known that may hold it")?;
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
        let hedge_after = peer.record.lock().hedge_after();
        let scope = self.question.scope(rest.keys().copied());
        let mut said = pin!(self.ask(node, peer, scope));
        let began = Instant::now();
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
                    Either::Right((hedged, _)) => {
                        if hedged.is_ok() {
                            let now = Instant::now();
                            peer.record.lock().lost(now - began, now);
                        }
                        return hedged;
                    }
                },
            },
        };
        match (said, hedged) {
            (Said::Answer(found), _) => Ok(vec![found]),
            (Said::Stop(stop), _) => Err(stop),
            (Said::Elsewhere(elsewhere), None) => self.elsewhere(node, rest, &elsewhere).await,
            // It lacks one part, and the others lack another: together they may have all. Now others are asked once more, which counts.
            (Said::Elsewhere(elsewhere), Some(Err(Stop::Nobody(_)))) if elsewhere.part.is_some() => {
                let elsewhere = Elsewhere {
                    is_counted: true,
                    ..elsewhere
                };
                self.elsewhere(node, rest, &elsewhere).await
            }
            (Said::Elsewhere(_), Some(hedged)) => hedged,
        }
    }

    /// Asks the next holders of parts that a node has not answered for yet, where there are some for all, and the budget is enough.
    fn hedge(&self, rest: &Holders) -> Option<BoxFuture<'_, Result<Vec<Found>, Stop>>> {
        let calls = self.calls(rest.clone(), "").ok()?;
        self.budget.spend(calls.len()).then(|| self.cover(calls))
    }

    /// Asks the next holders of parts that a node does not answer for.
    async fn elsewhere(&self, node: NodeId, mut rest: Holders, said: &Elsewhere) -> Result<Vec<Found>, Stop> {
        // It may still be asked for the others, after their other holders: it was not asked for them alone.
        if let Some(missing) = said.part.filter(|part| rest.contains_key(part)) {
            for (part, holders) in &mut rest {
                if *part != missing {
                    holders.push_back(node);
                }
            }
        }
        let first = rest.keys().next().copied();
        let calls = self.calls(rest, &said.reason)?;
        if said.is_counted && !self.budget.spend(calls.len()) {
            let reason = format!(
                "{}; no other is asked: one call of {CALLS_PER_EXTRA} may be repeated",
                said.reason
            );
            return Err(self.nobody(first.unwrap_or(Part::Fresh), &reason));
        }
        self.cover(calls).await
    }

    /// The calls to the first holders of parts: one a node. `reason` is why a part has none.
    fn calls(&self, holders: Holders, reason: &str) -> Result<BTreeMap<NodeId, Holders>, Stop> {
        let mut calls: BTreeMap<NodeId, Holders> = BTreeMap::new();
        for (part, mut rest) in holders {
            let node = rest.pop_front().ok_or_else(|| self.nobody(part, reason))?;
            calls.entry(node).or_default().insert(part, rest);
        }
        Ok(calls)
    }

    async fn ask(&self, node: NodeId, peer: &Peer, scope: Scope) -> Said {
        let began = Instant::now();
        let answer = self.asked.put(&*peer.holder, &scope).await;
        let now = Instant::now();
        let mut record = peer.record.lock();
        match &answer {
            Ok(_) => record.answered(now - began),
            Err(PartError::Node(NodeError::NodeUnavailable { .. })) => record.missed(now),
            Err(_) => record.spoke(),
        }
        drop(record);
        match answer {
            Ok(answer) => Said::Answer((scope, answer)),
            Err(PartError::Refused(refusal)) => self.refused(node, &scope, refusal),
            Err(PartError::Node(error)) => self.failed(node, error),
        }
    }

    fn refused(&self, node: NodeId, scope: &Scope, refusal: Refusal) -> Said {
        let stop = match self.question.refused(scope, refusal) {
            Next::Elsewhere(part) => {
                return Said::Elsewhere(Elsewhere {
                    part: Some(part),
                    // It has searched nothing.
                    is_counted: false,
                    reason: format!("node {node} has not come so far, or has not loaded it"),
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
        let elsewhere = |reason: &dyn Display| {
            Said::Elsewhere(Elsewhere {
                part: None,
                is_counted: true,
                reason: format!("node {node}: {reason}"),
            })
        };
        match error {
            NodeError::DeadlineExceeded if self.asked.is_late() => Said::Stop(Stop::Failed(error)),
            NodeError::Internal(_) => {
                tracing::error!(%node, %error, "a node answered with a defect");
                elsewhere(&"a defect, which the log has")
            }
            NodeError::NodeUnavailable { .. }
            | NodeError::TenantUnavailable { .. }
            | NodeError::PartUnavailable { .. }
            | NodeError::Exhausted { .. }
            | NodeError::StorageRefused(_)
            | NodeError::DeadlineExceeded => elsewhere(&error),
            _ => Said::Stop(Stop::Failed(error)),
        }
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
