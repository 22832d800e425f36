//! Random galleries on nodes that join, drain, crash and are fenced, while people are enrolled, erased and flushed, segments merged, and loads are slow or fail: each answer has what was
//! there from question to answer, and nothing that was there at no moment of that, or there is none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::sync::watch;

use super::fixture::Catalog;
use super::ground::Ground;
use super::tests::random;
use super::world::World;
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::matcher::node::NodeError;
use crate::model::signature::Signature;

const ASKERS: u64 = 2;
/// A life in which chance had nothing merged goes on, to so many times its steps.
const LONGER_MAX: usize = 10;

/// What happens to the gallery and the nodes, one thing after the other.
struct Fate<G> {
    world: Arc<World<G>>,
    rng: ChaCha12Rng,
    people: Vec<(String, Signature)>,
    erasures: Vec<(u64, u64)>,
    warming: Option<u32>,
    live: BTreeSet<u32>,
    is_merged: bool,
    nodes: u128,
    /// Questions that ended.
    asked: watch::Receiver<u64>,
}

impl<G: Ground> Fate<G> {
    fn pick(&mut self) -> Option<usize> {
        let count = self.people.len();
        (count > 0).then(|| self.rng.random_range(0..count))
    }

    fn enrol(&mut self, seen: &parking_lot::Mutex<Vec<Signature>>) {
        let number = self.world.catalog.head().sequence;
        let count = self.rng.random_range(1..4);
        let rows: Vec<Signature> = (0..count).map(|_| random(&mut self.rng)).collect();
        let name = match self.pick() {
            Some(at) if self.rng.random_bool(0.2) => self.people[at].0.clone(),
            _ => format!("s{number:04}"),
        };
        self.world.catalog.enrol(&name, &rows);
        self.people.push((name, rows[0].clone()));
        seen.lock().push(rows[0].clone());
    }

    fn erase(&mut self) {
        if let Some(at) = self.pick() {
            let (name, _) = self.people.swap_remove(at);
            self.people.retain(|(other, _)| *other != name);
            if let Some((sequence, rows)) = self.world.catalog.erase(&name) {
                self.erasures.extend(rows.into_iter().map(|row| (sequence, row)));
            }
        }
    }

    fn merge(&mut self) {
        if self.warming.is_none() {
            // The last one has just come, and some others stay as they are.
            let mut live = self.world.catalog.live();
            live.pop_last();
            while live.len() > 2 && self.rng.random_bool(0.5) {
                live.pop_first();
            }
            self.warming = self.world.catalog.merge(&live);
        }
    }

    fn flush(&mut self) {
        match self.warming {
            None => {
                let rows = self.rng.random_range(1..12);
                self.warming = self.world.catalog.warm(rows);
            }
            Some(segment) if self.rng.random_bool(0.1) && self.world.catalog.withdraw(segment) => {
                self.warming = None;
            }
            Some(segment) if self.world.catalog.go_live(segment) => self.warming = None,
            Some(_) => {}
        }
    }

    fn serving(&self) -> Vec<NodeId> {
        let members = self.world.catalog.members();
        let nodes = members.nodes().iter();
        let serves = nodes.filter(|(_, node)| node.life == Life::Serving);
        let known = self.world.nodes.lock();
        serves
            .map(|(id, _)| *id)
            .filter(|id| known.contains_key(id))
            .collect()
    }

    async fn shake(&mut self) {
        let serving = self.serving();
        let Some(node) = serving
            .get(self.rng.random_range(0..serving.len().max(1)))
            .copied()
        else {
            return;
        };
        match self.rng.random_range(0..4) {
            0 if self.world.nodes.lock().len() < 5 => {
                self.nodes += 1;
                self.world.join(self.nodes);
            }
            1 if serving.len() > 2 => {
                // It crashes, and others see it sooner or later.
                let crashed = self.world.nodes.lock().remove(&node);
                if let Some(crashed) = crashed {
                    crashed.stop().await;
                }
                self.world.catalog.fence_now(node);
            }
            2 if serving.len() > 2 => {
                let leaving = self.world.nodes.lock().get(&node).cloned();
                if let Some(leaving) = leaving {
                    let drained = tokio::time::timeout(Duration::from_mins(1), leaving.drain()).await;
                    drained.expect("others take over what it has");
                    drop(self.world.nodes.lock().remove(&node));
                }
            }
            3 => drop(self.world.catalog.fence_now(node)),
            _ => {}
        }
    }

    async fn step(&mut self, seen: &parking_lot::Mutex<Vec<Signature>>) {
        let live = self.world.catalog.live();
        // By this, or by a node.
        self.is_merged |= !self.live.is_subset(&live);
        self.live = live;
        match self.rng.random_range(0..20) {
            0..8 => self.enrol(seen),
            8..11 => self.erase(),
            11..17 if self.rng.random_bool(0.8) => self.flush(),
            11..17 => self.merge(),
            17 => self.world.catalog.disturb(&mut self.rng),
            _ => self.shake().await,
        }
        // Some questions end between one thing and the next.
        let until = *self.asked.borrow() + self.rng.random_range(0..4);
        let ended = self.asked.wait_for(|asked| *asked >= until).await;
        ended.map(drop).expect("somebody asks");
    }

    /// No row of an acknowledged erasure is in the memory of a node that is not gone.
    fn look_for_remnants(&self) {
        let members = self.world.catalog.members();
        let mut nodes: Vec<_> = self.world.nodes.lock().values().cloned().collect();
        nodes.retain(|node| {
            let now = members.current(node.common.node).map(|now| now.generation);
            now.is_some() && now == node.common.generation()
        });
        let mut acknowledged = Vec::new();
        for (sequence, row) in &self.erasures {
            if !self.world.catalog.erasure_waits(*sequence) {
                acknowledged.push(*row);
            }
        }
        for gallery in nodes.iter().flat_map(|node| node.common.all()) {
            for stretch in gallery.held.stretches() {
                let left = stretch.references();
                assert!(
                    !left.iter().any(|row| acknowledged.contains(row)),
                    "an erased row is here"
                );
            }
        }
    }
}

async fn ask_on<G: Ground>(
    world: Arc<World<G>>,
    seen: Arc<parking_lot::Mutex<Vec<Signature>>>,
    ends: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    asked: watch::Sender<u64>,
    mut rng: ChaCha12Rng,
) {
    // Refusals take no time, and leave some to the nodes.
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !ends.load(Ordering::Relaxed) {
        pace.tick().await;
        let probe = {
            let seen = seen.lock();
            (!seen.is_empty()).then(|| seen[rng.random_range(0..seen.len())].clone())
        };
        let probe = probe.unwrap_or_else(|| random(&mut rng));
        match world.ask(&probe).await {
            Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
            Err(NodeError::PartUnavailable { .. } | NodeError::NodeUnavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        asked.send_modify(|asked| *asked += 1);
    }
}

/// A life of so many steps at least, on a ground where nothing has happened yet.
pub(super) async fn live_through<G: Ground>(ground: Arc<G>, seed: u64, steps: usize) {
    let world = World::on(ground);
    for id in 1..=3 {
        world.join(id);
        world.serving(id).await;
    }
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (asked, ended) = watch::channel(0);
    let mut askers = tokio::task::JoinSet::new();
    for asker in 0..ASKERS {
        let rng = ChaCha12Rng::seed_from_u64(seed * 100 + asker);
        askers.spawn(ask_on(
            Arc::clone(&world),
            Arc::clone(&seen),
            Arc::clone(&ends),
            Arc::clone(&answered),
            asked.clone(),
            rng,
        ));
    }
    // Where all askers are gone by a defect, that ends the wait for their questions.
    drop(asked);
    let mut fate = Fate {
        world: Arc::clone(&world),
        rng: ChaCha12Rng::seed_from_u64(seed),
        people: Vec::new(),
        erasures: Vec::new(),
        warming: None,
        live: BTreeSet::new(),
        is_merged: false,
        nodes: 3,
        asked: ended,
    };
    for step in 0..steps * LONGER_MAX {
        if step >= steps && fate.is_merged {
            break;
        }
        fate.step(&seen).await;
        fate.look_for_remnants();
    }
    world.catalog.calm();
    // In the end all comes to rest, and everybody is found.
    let (last, _) = fate.erasures.last().copied().unwrap_or_default();
    world
        .until("all erasures are acknowledged", || {
            !world.catalog.erasure_waits(last)
        })
        .await;
    world
        .until("all nodes serve", || {
            let nodes: Vec<NodeId> = world.nodes.lock().keys().copied().collect();
            nodes
                .iter()
                .all(|node| world.catalog.life(*node) == Some(Life::Serving))
        })
        .await;
    world
        .until("all who were erased are purged", || world.catalog.is_purged())
        .await;
    ends.store(true, Ordering::Relaxed);
    askers.join_all().await;
    for (_, probe) in &fate.people {
        world.ask(probe).await.expect("all is there");
    }
    assert!(fate.is_merged, "nothing was merged");
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > steps / 4, "only {answered} questions were answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_is_that_of_a_gallery_that_there_was() {
    for seed in 1..=3 {
        live_through(Arc::<Catalog>::default(), seed, 300).await;
    }
}
