//! A match node that holds parts of galleries and no truth of its own: it follows the catalog, loads what it is to have, and answers a front for what it has, by the rules of
//! `crate::cluster`. Knows neither the database, but for [`on_cluster`], nor the network: both stand behind traits.

pub mod catalog;
pub mod on_cluster;

mod asked;
mod beats;
mod common;
mod gallery;
mod held;
mod loading;
mod merge;
mod owners;
mod purge;
mod rekey;
mod round;
mod stretch;
mod upkeep;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod real;
#[cfg(test)]
mod truth;
#[cfg(test)]
mod world;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::asked::Asked;
use self::catalog::Register;
use self::common::Common;
use self::held::behind;
use self::round::Rounds;
use super::node::{NodeError, RankQuery, SearchQuery};
use super::placed::holder::{Holder, PartError};
use super::rank::rank;
use super::scorers::Scorers;
use super::search::search;
use crate::cluster::course::Course;
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::cluster::question::{Refusal, Scope};
use crate::engine::Engine;
use crate::model::decision::SearchAnswer;
use crate::model::id::TenantId;
use crate::model::tenant::TransformId;

/// How long a question waits that names a change which the node has yet to read. It reads at once then.
pub const CATCH_UP_MAX: Duration = Duration::from_millis(250);
/// The same of one that names later keys of the tenant than the node has: a rotation counts, and all owners come to it at once, by way of the keyring.
const KEYS_WAIT_MAX: Duration = Duration::from_secs(2);

/// Most segments of one merge.
pub const MERGE_SEGMENTS_MAX: usize = 64;

/// How a node works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsConfig {
    /// What it may own, see [`crate::cluster::placement::Member`].
    pub weight: u32,
    /// Owners of a part.
    pub replicas: usize,
    /// Most loads under way, of all galleries together; at least 1.
    pub loads_max: usize,
    /// Longest load.
    pub load_max: Duration,
    /// When a load that failed is tried again.
    pub retry_after: Duration,
    /// How long a piece stays that is no longer the node's, for fronts that have not read the register since.
    pub let_go_after: Duration,
    /// Rows of the fresh part from which on its first owner writes them into a segment.
    pub flush_rows: usize,
    /// From so many small segments on its first owner writes them into one, up to [`MERGE_SEGMENTS_MAX`]; with 0 never.
    pub merge_segments: usize,
    /// Most flushes under way, of all galleries together; at least 1.
    pub flushes_max: usize,
    /// How long erasures wait for more of them, so that one purge does for all; a fraction of what is promised.
    pub purge_after: Duration,
    /// How often it gives a sign of life, and looks at nodes and galleries.
    pub round: Duration,
    /// How long a node that goes is known to, before it is gone: fronts, which look once a second, ask others by then.
    pub drain_min: Duration,
}

impl Default for PartsConfig {
    fn default() -> Self {
        Self {
            weight: 1,
            replicas: 2,
            loads_max: 4,
            load_max: Duration::from_mins(2),
            retry_after: Duration::from_secs(1),
            let_go_after: Duration::from_secs(5),
            flush_rows: 16_384,
            merge_segments: 8,
            flushes_max: 2,
            purge_after: Duration::from_secs(10),
            round: Duration::from_secs(1),
            drain_min: Duration::from_secs(3),
        }
    }
}

/// A node that holds parts of galleries. Its tasks end when it is dropped.
pub struct PartsNode {
    common: Arc<Common>,
    scorers: Scorers,
    life: watch::Receiver<Life>,
}

impl PartsNode {
    /// Starts a node of this id, which nobody else has. To be called within a runtime.
    pub fn start(
        node: NodeId,
        register: Arc<dyn Register>,
        engine: Engine,
        config: PartsConfig,
    ) -> Result<Self, NodeError> {
        let scorers = Scorers::start_for_network()?;
        let common = Common::new(node, register, engine, config);
        let (life, known) = watch::channel(Life::Joining);
        let rounds = Rounds::new(Arc::clone(&common), life);
        common.tasks.spawn(rounds.run());
        let (beats, seen) = watch::channel(None);
        common
            .tasks
            .spawn(beats::beat(Arc::clone(&common), known.clone(), beats));
        common.tasks.spawn(beats::fence(Arc::clone(&common), seen));
        common.tasks.spawn(upkeep::run(Arc::clone(&common)));
        Ok(Self {
            common,
            scorers,
            life: known,
        })
    }

    /// Where it stands, as its last round left it.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    /// Hands what it owns over to others, and leaves: done when they have it, and nothing is here any more. Where nobody else is there it goes on for ever, so that the caller bounds it.
    /// It answers all the while.
    pub async fn drain(&self) {
        self.common.drain();
        let mut life = self.life.clone();
        // The sender is gone where the tasks have ended: then there is nothing to hand over.
        let _ = life.wait_for(|life| *life == Life::Gone).await;
        while let Some(gallery) = self.common.all().first() {
            let mut moves = gallery.moves();
            if self.common.gallery(&gallery.tenant).is_some() && moves.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends all tasks and waits for them. What is here goes with the node.
    pub async fn stop(&self) {
        self.common.end();
        self.common.tasks.close();
        self.common.tasks.wait().await;
    }

    /// Has the node look at once how a gallery goes on: whoever wrote to it calls this, here or elsewhere. One of which nothing is here may have been made a moment ago, or be gone.
    pub fn nudge(&self, tenant: &TenantId) {
        match self.common.gallery(tenant) {
            Some(gallery) => gallery.nudge(),
            None => self.common.look.notify_one(),
        }
    }

    /// Whether the catalog knows that this node may have rows of a gallery.
    pub fn follows(&self, tenant: &TenantId) -> bool {
        let gallery = self.common.gallery(tenant);
        gallery.is_some_and(|gallery| gallery.follows())
    }

    /// The same for what another node wrote: where nothing of the gallery is to be here, that is nothing to this node.
    pub fn hear(&self, tenant: &TenantId) {
        if let Some(gallery) = self.common.gallery(tenant) {
            gallery.nudge();
        }
    }

    /// Waits until all is here that is to be here of a gallery, as far as is known after a look at all of them, but no longer than until a moment. Where nothing of it is to be here there is
    /// nothing to wait for.
    pub async fn settled(&self, tenant: &TenantId, until: Instant) {
        let settle = async {
            let mut looks = self.common.looks();
            let mut looked = 0;
            loop {
                if let Some(gallery) = self.common.gallery(tenant) {
                    let mut moves = gallery.moves();
                    while !gallery.is_settled() && moves.changed().await.is_ok() {}
                    return;
                }
                // The first one may have been under way already.
                if looked == 2 {
                    return;
                }
                looked += 1;
                self.common.look.notify_one();
                // The sender lives as long as this node.
                let _ = looks.changed().await;
            }
        };
        // What is not here then comes later: whoever is asked for it says so.
        let _ = timeout_at(until, settle).await;
    }

    /// Bytes that the codes of a gallery take here.
    pub fn resident_bytes(&self, tenant: &TenantId) -> u64 {
        let gallery = self.common.gallery(tenant);
        let stretches = gallery
            .map(|gallery| gallery.held.stretches())
            .unwrap_or_default();
        let bytes = stretches
            .iter()
            .map(|stretch| self.common.engine.resident_bytes(stretch.gallery()));
        bytes.sum()
    }

    /// Begins a question (R3). Where the node has not come so far, it looks at once, and the question waits for that.
    async fn begin(
        &self,
        tenant: &TenantId,
        transform: &TransformId,
        scope: &Scope,
        deadline: Option<std::time::Instant>,
    ) -> Result<Arc<Asked>, PartError> {
        let now = Instant::now();
        let latest = deadline.map_or(now + KEYS_WAIT_MAX, Instant::from_std);
        let until = |longest: Duration| latest.min(now + longest);
        if self.common.gallery(tenant).is_none() {
            self.settled(tenant, until(CATCH_UP_MAX)).await;
        }
        let Some(gallery) = self.common.gallery(tenant) else {
            return Err(PartError::Refused(behind(scope)));
        };
        let (mut moves, mut is_asked) = (gallery.moves(), false);
        loop {
            moves.mark_unchanged();
            let refusal = match gallery.held.begin(scope) {
                Ok(begun) => {
                    let is_current = begun.facts.transform == *transform;
                    let asked = Arc::new(gallery.asked(begun));
                    let stale = || NodeError::TransformStale {
                        tenant: tenant.clone(),
                    };
                    return is_current.then_some(asked).ok_or_else(|| stale().into());
                }
                Err(refusal) => refusal,
            };
            if !gallery.held.is_behind(scope) {
                return Err(PartError::Refused(refusal));
            }
            // Once: what the next step does not find, the catalog does not tell.
            if !std::mem::replace(&mut is_asked, true) {
                gallery.nudge();
            }
            let has_former_keys = |course: &Course| course.edition() < scope.edition;
            let longest = match gallery.held.course(has_former_keys) {
                Some(true) => KEYS_WAIT_MAX,
                Some(false) | None => CATCH_UP_MAX,
            };
            if timeout_at(until(longest), moves.changed()).await.is_err() {
                return Err(PartError::Refused(refusal));
            }
        }
    }
}

impl Drop for PartsNode {
    fn drop(&mut self) {
        self.common.end();
    }
}

#[async_trait]
impl Holder for PartsNode {
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        let (tenant, transform) = (&query.tenant, &query.transform);
        let asked = self.begin(tenant, transform, scope, query.deadline).await?;
        let answer = search(Arc::clone(&asked), query.clone(), &self.scorers).await;
        conclude(&asked, answer)
    }

    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        let (tenant, transform) = (&query.tenant, &query.transform);
        let asked = self.begin(tenant, transform, scope, query.deadline).await?;
        let answer = rank(Arc::clone(&asked), query.clone()).await;
        conclude(&asked, answer)
    }
}

/// The answer, if it counts: all that was asked for was here to the end.
fn conclude(asked: &Asked, answer: Result<SearchAnswer, NodeError>) -> Result<SearchAnswer, PartError> {
    if asked.end() {
        return answer.map_err(PartError::Node);
    }
    Err(PartError::Refused(Refusal::ViewGone))
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "parts/random_tests.rs"]
mod random_tests;

#[cfg(test)]
#[path = "parts/purge_tests.rs"]
mod purge_tests;

#[cfg(test)]
#[path = "parts/real_tests.rs"]
mod real_tests;
