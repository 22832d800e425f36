//! The node's own rounds: a look at the other nodes and at all galleries, and what follows from it: which parts are to be here, and how the node's life goes on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::catalog::{CatalogError, ListedGallery};
use super::common::Common;
use super::gallery::{Gallery, Target};
use super::owners::Owners;
use crate::cluster::course::Piece;
use crate::cluster::members::{Life, Members};
use crate::cluster::placement::Part;
use crate::matcher::import::blocking;
use crate::model::id::TenantId;
use crate::telemetry;

/// However often somebody asks for a round, there is a pause between two that are asked for.
const ASKED_EVERY_MIN: Duration = Duration::from_millis(20);

/// One task a node.
pub(super) struct Rounds {
    common: Arc<Common>,
    /// Where the node stands, as it last knew.
    life: watch::Sender<Life>,
    /// Since when it is known that the node goes.
    drains: Option<Instant>,
    owners: Option<Arc<Owners>>,
}

impl Rounds {
    pub(super) fn new(common: Arc<Common>, life: watch::Sender<Life>) -> Self {
        Self {
            common,
            life,
            drains: None,
            owners: None,
        }
    }

    /// Until the node stops, or is gone for good.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.common.config.round);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let common = Arc::clone(&self.common);
        let mut asked = interval(ASKED_EVERY_MIN);
        asked.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = async {
                common.look.notified().await;
                asked.tick().await;
            };
            tokio::select! {
                () = common.stop.cancelled() => return,
                _ = ticks.tick() => {}
                () = is_asked => {}
            }
            let round = blocking(move || {
                let outcome = self.round();
                Ok((self, outcome))
            });
            let outcome;
            (self, outcome) = match round.await {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(%error, "a node's round ended early; the node goes on with what it has until it is fenced");
                    return;
                }
            };
            match outcome {
                Ok(()) => {}
                Err(CatalogError::Fenced(fenced)) => self.common.fenced(fenced.generation),
                Err(error) => {
                    tracing::warn!(%error, "the register can't be read; the next round tries again");
                }
            }
        }
    }

    fn round(&mut self) -> Result<(), CatalogError> {
        if *self.life.borrow() == Life::Gone {
            self.count(&HashMap::new());
            self.common.aim(HashMap::new());
            return Ok(());
        }
        let (node, register) = (self.common.node, Arc::clone(&self.common.register));
        let Some(generation) = self.generation()? else {
            return Ok(());
        };
        let members = register.beat(node, generation)?;
        let listed = register.galleries()?;
        if register.is_passed_over() {
            self.common.passed_over();
        }
        let is_complete = self.aim(&members, listed);
        let life = members.current(node).map_or(Life::Gone, |me| me.life);
        let next = match life {
            // It owns nothing yet that anybody would have to take over.
            Life::Joining if self.common.is_to_drain() => Life::Gone,
            Life::Serving if self.common.is_to_drain() => Life::Draining,
            Life::Joining if is_complete => Life::Serving,
            Life::Draining if self.is_known_to_go() && self.is_inherited()? => Life::Gone,
            life => life,
        };
        if next != life {
            register.advance(node, generation, next)?;
        }
        if next == Life::Draining {
            self.drains.get_or_insert_with(Instant::now);
        }
        if next == Life::Gone {
            self.common.aim(HashMap::new());
        }
        self.life.send_replace(next);
        Ok(())
    }

    /// The node's registration. A new one where there is none, once no row of the former one is here (W4).
    fn generation(&self) -> Result<Option<u64>, CatalogError> {
        if let Some(generation) = self.common.generation() {
            return Ok(Some(generation));
        }
        if !self.common.is_empty() {
            self.common.nudge_unsettled();
            return Ok(None);
        }
        self.common.register.clear_former_life()?;
        let (node, weight) = (self.common.node, self.common.config.weight);
        let generation = self.common.register.register(node, weight)?;
        self.common.registered(generation);
        Ok(Some(generation))
    }

    /// Says what is to be here. Whether all was here before already that is to be now, and can be.
    fn aim(&mut self, members: &Members, listed: Vec<ListedGallery>) -> bool {
        let owners = Owners::new(self.common.node, self.common.config.replicas, members);
        let (owners, is_as_before) = match &self.owners {
            Some(known) if **known == owners => (Arc::clone(known), true),
            _ => (Arc::new(owners), false),
        };
        self.owners = Some(Arc::clone(&owners));
        let mut targets: HashMap<TenantId, Target> = HashMap::new();
        for listed in listed {
            let pieces = owners.pieces(listed.gallery, listed.head.group_segments, &listed.view);
            if !pieces.is_empty() {
                let target = Target {
                    owners: Arc::clone(&owners),
                    listed: Arc::new(listed),
                };
                targets.insert(target.listed.tenant.clone(), target);
            }
        }
        let is_warm = |tenant: &TenantId| {
            let gallery = self.common.gallery(tenant);
            gallery.is_some_and(|gallery| gallery.is_warm())
        };
        let is_complete = is_as_before && targets.keys().all(is_warm);
        self.count(&targets);
        let theirs = targets.keys().cloned();
        let here = self
            .common
            .all()
            .into_iter()
            .map(|gallery| gallery.tenant.clone());
        let kept = theirs.chain(here).collect();
        self.common.aim(targets);
        self.common.register.keep_only(&kept);
        is_complete
    }

    /// Brings the figures of tenants up to date: all is here, or something is missing, or all but what is damaged is here.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a node has far fewer than 2^52 tenants"
    )]
    fn count(&self, targets: &HashMap<TenantId, Target>) {
        let (mut ready, mut incomplete, mut unavailable) = (0_usize, 0_usize, 0_usize);
        for tenant in targets.keys() {
            match self.common.gallery(tenant) {
                Some(gallery) if gallery.is_settled() => ready += 1,
                Some(gallery) if gallery.is_warm() => unavailable += 1,
                _ => incomplete += 1,
            }
        }
        let tell = |state, count| metrics::gauge!(telemetry::TENANTS, "state" => state).set(count as f64);
        tell("ready", ready);
        tell("incomplete", incomplete);
        tell("unavailable", unavailable);
    }

    fn is_known_to_go(&self) -> bool {
        let since = self.drains.map(|since| since.elapsed());
        since.is_some_and(|since| since >= self.common.config.drain_min)
    }

    /// Whether others have all that this node owns: whoever will own a part has reported each piece of it. Of a gallery whose keys it can't come to it has nothing.
    fn is_inherited(&self) -> Result<bool, CatalogError> {
        for gallery in self.common.all() {
            let Some(target) = gallery.target() else { continue };
            match is_inherited(&gallery, &target) {
                Ok(true) | Err(CatalogError::PassedOver(_)) => {}
                not_yet => return not_yet,
            }
        }
        Ok(true)
    }
}

fn is_inherited(gallery: &Gallery, target: &Target) -> Result<bool, CatalogError> {
    let Target { listed, owners } = target;
    let group_segments = listed.head.group_segments;
    let followers = gallery.catalog.followers()?;
    let has = |node, piece| {
        let mut theirs = followers.iter();
        theirs.any(|(follower, report)| {
            follower.node == node && follower.edition == listed.head.edition && report.has(piece)
        })
    };
    for piece in owners.pieces(listed.gallery, group_segments, &listed.view) {
        let part = match piece {
            Piece::Fresh => Part::Fresh,
            Piece::Segment(number) => Part::of_segment(number, group_segments),
        };
        let Some(heirs) = owners.heirs(listed.gallery, part) else {
            continue;
        };
        if heirs.is_empty() || !heirs.into_iter().all(|heir| has(heir, piece)) {
            return Ok(false);
        }
    }
    Ok(true)
}
