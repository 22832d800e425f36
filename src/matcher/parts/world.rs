//! For tests: nodes on a catalog in memory, and a front that asks them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::fixture::{Catalog, REPLICAS, unreachable};
use super::ground::Ground;
use super::{PartsConfig, PartsNode};
use crate::cluster::members::Life;
use crate::cluster::placement::{NodeId, Placement};
use crate::cluster::question::Scope;
use crate::matcher::fixture::{engine, tenant, transform};
use crate::matcher::node::{NodeError, RankQuery, SearchQuery};
use crate::matcher::placed::Asker;
use crate::matcher::placed::holder::{Holder, PartError};
use crate::matcher::placed::nodes::Nodes;
use crate::model::decision::SearchAnswer;
use crate::model::signature::Signature;

/// A catalog, nodes and a front.
pub(super) struct World<G = Catalog> {
    pub(super) catalog: Arc<G>,
    pub(super) nodes: Mutex<HashMap<NodeId, Arc<PartsNode>>>,
    asker: Mutex<Option<(u64, Arc<Asker>)>>,
}

impl World {
    /// With a catalog in memory.
    pub(super) fn new() -> Arc<Self> {
        Self::on(Arc::default())
    }
}

impl<G: Ground> World<G> {
    pub(super) fn on(catalog: Arc<G>) -> Arc<Self> {
        Arc::new(Self {
            catalog,
            nodes: Mutex::default(),
            asker: Mutex::default(),
        })
    }

    /// Starts a node.
    pub(super) fn join(&self, id: u128) -> Arc<PartsNode> {
        self.join_with(id, self.catalog.config())
    }

    /// The same, with another configuration.
    pub(super) fn join_with(&self, id: u128, config: PartsConfig) -> Arc<PartsNode> {
        let node = start(id, &self.catalog, config);
        self.nodes.lock().insert(NodeId(id), Arc::clone(&node));
        node
    }

    /// Waits until a node serves.
    pub(super) async fn serving(&self, id: u128) {
        self.until("a node serves", || {
            self.catalog.life(NodeId(id)) == Some(Life::Serving)
        })
        .await;
    }

    /// Waits for something that is to come.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let look = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let outcome = tokio::time::timeout(Duration::from_mins(1), look).await;
        outcome.unwrap_or_else(|_| panic!("waited for this in vain: {what}"));
    }

    /// A front that knows the register as it is now.
    pub(super) fn asker(&self) -> Arc<Asker> {
        self.any_asker().expect("somebody serves")
    }

    fn any_asker(&self) -> Option<Arc<Asker>> {
        let members = self.catalog.members();
        let generation = members.generation();
        let mut known = self.asker.lock();
        if let Some((of, asker)) = &*known
            && *of == generation
        {
            return Some(Arc::clone(asker));
        }
        let placement = Placement::new(members.now()).ok()?;
        let nodes = self.nodes.lock();
        let holders = nodes.iter().map(|(id, node)| {
            let holder: Arc<dyn Holder> = Arc::new(Known(Arc::clone(node)));
            (*id, holder)
        });
        let nodes = Nodes::new(placement, REPLICAS, holders);
        let asker = Arc::new(Asker::new(self.catalog.heads(), nodes));
        *known = Some((generation, Arc::clone(&asker)));
        Some(asker)
    }

    /// Asks for everybody. What was there all the time between question and answer is in the answer, what was not there at any time is not; of what came or went meanwhile each
    /// node has its own moment, so that it may be there or not, and who went may take a place of an answer that is cut: that of a person, or that of a person's better row.
    pub(super) async fn ask(&self, probe: &Signature) -> Result<(), NodeError> {
        let threshold = 0.3;
        let from = self.catalog.head().sequence;
        let Some(asker) = self.any_asker() else {
            return Err(unreachable());
        };
        let query = query(probe, threshold);
        let wanted = query.candidates_max;
        let answer = asker.search(query).await?;
        let to = self.catalog.head().sequence;
        let [always, ever] = self.catalog.scores(from, to, probe, threshold);
        let found: Vec<(f32, &str)> = answer
            .candidates
            .iter()
            .map(|candidate| (candidate.score, candidate.subject_id.as_str()))
            .collect();
        let best = |scores: &Vec<f32>| scores.iter().copied().fold(f32::MIN, f32::max);
        let told = format!("{found:?} between {from} and {to}: always {always:?}, ever {ever:?}");
        assert!(found.is_sorted_by(|one, next| one.0 >= next.0), "{told}");
        // As many others as an answer has, one of whom may have gone when the names were looked up.
        let is_cut = |name: &str, score: f32| {
            let before = ever
                .iter()
                .filter(|(other, scores)| *other != name && best(scores) >= score);
            before.count() >= wanted
        };
        for (score, name) in &found {
            let lowest = always.get(*name).map_or(threshold, best);
            let is_one = ever.get(*name).is_some_and(|scores| scores.contains(score));
            let is_best = *score >= lowest || is_cut(name, lowest);
            assert!(is_one && is_best, "{name} at {score} in {told}");
        }
        for (name, score) in always.iter().map(|(name, scores)| (name, best(scores))) {
            let is_found = found.iter().filter(|(_, found)| found == name).count();
            assert!(
                is_found == 1 || is_found == 0 && is_cut(name, score),
                "{name} at {score} is missing in {told}"
            );
        }
        Ok(())
    }
}

/// A node, for a front that may outlive it.
struct Known(Arc<PartsNode>);

#[async_trait]
impl Holder for Known {
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.0.search(query, scope).await
    }

    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.0.rank(query, scope).await
    }
}

pub(super) fn config() -> PartsConfig {
    PartsConfig {
        replicas: REPLICAS,
        round: Duration::from_millis(10),
        retry_after: Duration::from_millis(5),
        let_go_after: Duration::from_millis(30),
        purge_after: Duration::from_millis(20),
        drain_min: Duration::ZERO,
        ..PartsConfig::default()
    }
}

fn start<G: Ground>(id: u128, catalog: &Arc<G>, config: PartsConfig) -> Arc<PartsNode> {
    let register = catalog.register(NodeId(id));
    let node = PartsNode::start(NodeId(id), register, engine(), config);
    Arc::new(node.expect("started"))
}

pub(super) fn query(probe: &Signature, threshold: f32) -> SearchQuery {
    SearchQuery {
        tenant: tenant(),
        transform: transform(7),
        probe: probe.clone(),
        only: None,
        threshold,
        candidates_max: 10,
        links: Vec::new(),
        deterministic: true,
        deadline: None,
    }
}

pub(super) fn rank_query(probe: &Signature, wanted: usize) -> RankQuery {
    RankQuery {
        tenant: tenant(),
        transform: transform(7),
        probe: probe.clone(),
        candidates_max: wanted,
        deterministic: true,
        deadline: None,
    }
}
