//! Hits parts of a cluster by chance and repairs each one, in lanes side by side. Judges nothing.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use thenar::client::Client;
use thenar::client::api::KeyPurpose;

use super::deployment::Deployment;
use super::faults::{Blow, Fault, of_nodes, of_others, rest};
use super::gallery::Gallery;
use super::probe;
use super::processes::Tier;
use super::standing::Part;
use super::tally::Tally;
use super::wire::Condition;
use crate::live::calls::{self, Fate};
use crate::{Failure, progress};

/// Once the database is back, servers look for it every second. So long its absence excuses those who don't serve yet.
const DATABASE_SEEN_MAX: Duration = Duration::from_secs(5);
/// What a piece takes to and from a node that is far away.
const NODE_SLOW: Duration = Duration::from_millis(50);
/// What it takes to and from a store that is slow.
const STORE_SLOW: Duration = Duration::from_millis(200);
/// How often is drawn for something that is asked for.
const DRAWS: usize = 500;
/// How often that is looked for.
const POLL: Duration = Duration::from_millis(100);
/// Rest before a process is started once more that did not start, and before a rotation is asked for again.
const START_REST: Duration = Duration::from_secs(1);
/// A rotation has to be done by then, whatever happens beside it.
const ROTATED_MAX: Duration = Duration::from_mins(2);

/// Whoever hits a cluster.
pub struct Striker<'a> {
    deployment: &'a Deployment,
    tally: &'a Tally,
    galleries: &'a [Arc<Gallery>],
    /// Connections of the administrator, one a front.
    administrators: &'a [Client],
    /// Until when something new happens, since the beginning.
    end: Duration,
    /// Nodes that may be hit, and to which nothing happens.
    idle: RefCell<Vec<usize>>,
    /// How often the database or the store went away or came back.
    disturbances: Cell<u64>,
    /// How often a process was started by the other one of two programs.
    exchanged: Cell<u64>,
    /// Names of what happens; everything where there are none.
    only: Vec<String>,
}

impl<'a> Striker<'a> {
    /// Nobody was hit so far.
    pub fn new(
        deployment: &'a Deployment,
        tally: &'a Tally,
        (galleries, administrators): (&'a [Arc<Gallery>], &'a [Client]),
        end: Duration,
        only: &[String],
    ) -> Self {
        Self {
            deployment,
            tally,
            galleries,
            administrators,
            end,
            idle: RefCell::new((0..deployment.nodes()).collect()),
            disturbances: Cell::new(0),
            exchanged: Cell::new(0),
            only: only.to_vec(),
        }
    }

    /// How often a process was started by the other one of two programs.
    pub fn exchanged(&self) -> u64 {
        self.exchanged.get()
    }

    /// Hits and repairs until the end, and then until all is repaired. So many nodes at once at most. Not to be spawned: processes end with the thread that starts them.
    pub async fn go(&self, nodes_at_once: usize, seed: u64) -> Result<(), Failure> {
        let lanes = (0..=nodes_at_once).map(async |lane| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(lane as u64));
            // The first one is of everything but nodes.
            self.lane(lane > 0, &mut rng).await
        });
        join_all(lanes).await.into_iter().collect()
    }

    async fn lane(&self, is_of_nodes: bool, rng: &mut ChaCha8Rng) -> Result<(), Failure> {
        loop {
            tokio::time::sleep(rest(rng)).await;
            if self.tally.now() >= self.end {
                return Ok(());
            }
            if let Some(blow) = self.draw(is_of_nodes, rng) {
                self.strike(blow).await?;
            }
        }
    }

    /// Something that may happen; `None` where chance finds nothing.
    fn draw(&self, is_of_nodes: bool, rng: &mut ChaCha8Rng) -> Option<Blow> {
        for _ in 0..DRAWS {
            let blow = if is_of_nodes {
                of_nodes(&self.idle.borrow(), self.deployment.has_clocks(), rng)?
            } else {
                let is_store_server = self.deployment.store().address().is_some();
                let tenants = self.galleries.len();
                of_others(self.deployment.fronts(), tenants, is_store_server, rng)
            };
            if self.only.is_empty() || self.only.iter().any(|name| name == blow.fault.name()) {
                return Some(blow);
            }
        }
        None
    }

    async fn strike(&self, blow: Blow) -> Result<(), Failure> {
        self.tally.struck(blow.fault);
        let (at, hold) = (self.tally.now().as_secs_f64(), blow.hold.as_secs_f64());
        progress(format!("{at:7.1} s  {:?} for {hold:.1} s", blow.fault));
        match blow.fault.part() {
            Part::Node(node) => {
                self.idle.borrow_mut().retain(|idle| *idle != node);
                self.away(Part::Node(node), blow).await?;
                self.idle.borrow_mut().push(node);
            }
            Part::Front(front) => self.away(Part::Front(front), blow).await?,
            Part::Database => self.database(blow).await?,
            Part::Store => self.store(blow).await?,
            Part::Keys => self.keys(blow.fault).await?,
        }
        self.tally.mended(blow.fault);
        let took = self.tally.now().as_secs_f64() - at;
        progress(format!(
            "{:7.1} s  {:?} is over after {took:.1} s",
            at + took,
            blow.fault
        ));
        Ok(())
    }

    /// Takes a process away and brings it back until it serves.
    async fn away(&self, part: Part, blow: Blow) -> Result<(), Failure> {
        self.tally.set(part, false);
        let mut tier = match part {
            Part::Node(node) => self.deployment.node(node).await,
            Part::Front(front) => self.deployment.front(front).await,
            Part::Database | Part::Store | Part::Keys => return Err("it is no process of thenar".into()),
        };
        match blow.fault {
            Fault::NodePaused(_) => {
                tier.pause()?;
                tokio::time::sleep(blow.hold).await;
                tier.resume()?;
                tier.ready().await?;
            }
            Fault::NodeClock(_, seconds) => {
                tier.set_clock(seconds)?;
                tokio::time::sleep(blow.hold).await;
                tier.set_clock(0)?;
                tier.ready().await?;
            }
            Fault::NodeDrained(_) | Fault::FrontDrained(_) => {
                tier.drain().await?;
                tokio::time::sleep(blow.hold).await;
                self.bring_up(&mut tier).await?;
            }
            Fault::NodeCutOff(_)
            | Fault::NodeUnreachable(_)
            | Fault::NodeWithoutDatabase(_)
            | Fault::NodeSlow(_)
            | Fault::FrontWithoutDatabase(_) => {
                let set = self.wires(part, blow.fault)?;
                set(true)?;
                tokio::time::sleep(blow.hold).await;
                set(false)?;
                tier.ready().await?;
            }
            _ => {
                tier.kill()?;
                tokio::time::sleep(blow.hold).await;
                if let Some(again) = blow.again {
                    tier.spawn()?;
                    tokio::time::sleep(again).await;
                    // It may have ended by itself, where the database is away.
                    tier.end()?;
                }
                self.bring_up(&mut tier).await?;
            }
        }
        self.tally.set(part, true);
        Ok(())
    }

    /// What harms the wires of a process, and mends them.
    fn wires(&self, part: Part, fault: Fault) -> Result<impl Fn(bool) -> Result<(), Failure>, Failure> {
        let wires = match part {
            Part::Node(node) => self.deployment.node_wires(node),
            Part::Front(front) => self.deployment.front_wires(front),
            Part::Database | Part::Store | Part::Keys => None,
        };
        let wires = wires.ok_or("it has no wires")?;
        Ok(move |is_harmed| {
            match (fault, is_harmed) {
                (Fault::NodeSlow(_), true) => wires.set(Condition::Slow(NODE_SLOW)),
                (Fault::NodeUnreachable(_), true) => wires.set_door(Condition::Cut),
                (Fault::NodeWithoutDatabase(_) | Fault::FrontWithoutDatabase(_), true) => {
                    wires.set_database(Condition::Cut);
                }
                (_, is_cut) => wires.cut_off(is_cut)?,
            }
            Ok(())
        })
    }

    /// Has the store stand still, or answer everybody badly, for a time.
    async fn store(&self, blow: Blow) -> Result<(), Failure> {
        let store = self.deployment.store();
        let condition = match blow.fault {
            Fault::StoreSlow => Condition::Slow(STORE_SLOW),
            Fault::StoreBusy => Condition::Busy,
            Fault::StoreBroken => Condition::Broken,
            Fault::StoreWrong => Condition::Wrong,
            _ => Condition::Open,
        };
        let is_paused = blow.fault == Fault::StorePaused;
        let set = |condition| {
            for wires in self.deployment.wires() {
                wires.set_store(condition);
            }
        };
        self.disturb(Part::Store, false);
        set(condition);
        if is_paused {
            store.pause()?;
        }
        tokio::time::sleep(blow.hold).await;
        if is_paused {
            store.resume()?;
        }
        set(Condition::Open);
        self.disturb(Part::Store, true);
        Ok(())
    }

    /// Has a tenant get other keys. Whatever happens to nodes beside it may keep that from ending: asked for again it goes on.
    async fn keys(&self, fault: Fault) -> Result<(), Failure> {
        let (tenant, purpose) = match fault {
            Fault::TransformKeyRotated(tenant) => (tenant, KeyPurpose::Transform),
            Fault::DataKeyRotated(tenant) => (tenant, KeyPurpose::Data),
            _ => return Err("it is not done to keys".into()),
        };
        let gallery = self.galleries.get(tenant).ok_or("there is no such tenant")?;
        let is_served_on = purpose == KeyPurpose::Data;
        if !is_served_on {
            self.tally.set(Part::Keys, false);
        }
        let begun = Instant::now();
        // One front after the other: one of them may be away.
        for administrator in self.administrators.iter().cycle() {
            let request = format!("rotate-{}", self.tally.now().as_micros());
            match calls::rotate_key(administrator, request, gallery.name, purpose).await {
                Ok(()) => break,
                Err(status) if begun.elapsed() < ROTATED_MAX && calls::fate(&status) == Fate::Unknown => {}
                Err(status) => return Err(format!("{fault:?} can't be done: {status}").into()),
            }
            tokio::time::sleep(START_REST).await;
        }
        if !is_served_on {
            gallery.settled(ROTATED_MAX).await?;
            self.tally.set(Part::Keys, true);
        }
        Ok(())
    }

    /// Starts a process until it serves. One that finds no database or store may end; it is started again, as whoever supervises it would.
    async fn bring_up(&self, tier: &mut Tier) -> Result<(), Failure> {
        if tier.exchange_program() {
            self.exchanged.update(|count| count + 1);
        }
        loop {
            let before = self.disturbances.get();
            tier.spawn()?;
            let Err(failure) = tier.ready().await else {
                return Ok(());
            };
            let is_excused = before != self.disturbances.get() || self.is_disturbed();
            if !is_excused {
                return Err(failure);
            }
            progress(format!(
                "{} did not start while the database or the store was away",
                tier.name()
            ));
            tier.end()?;
            tokio::time::sleep(START_REST).await;
        }
    }

    fn is_disturbed(&self) -> bool {
        !self.tally.is_there(Part::Database) || !self.tally.is_there(Part::Store)
    }

    fn disturb(&self, part: Part, is_there: bool) {
        self.disturbances.update(|count| count + 1);
        self.tally.set(part, is_there);
    }

    async fn database(&self, blow: Blow) -> Result<(), Failure> {
        self.disturb(Part::Database, false);
        let database = Arc::clone(self.deployment.database());
        // Its agent is asked, and starts it: nothing is started by the thread that waits.
        let asked = tokio::task::spawn_blocking(move || {
            if blow.fault == Fault::DatabaseRestarted {
                return database.restart();
            }
            database.kill()?;
            std::thread::sleep(blow.hold);
            if blow.fault == Fault::DatabaseFailedOver {
                return database.fail_over();
            }
            database.up()
        });
        asked.await??;
        let back = Instant::now();
        while back.elapsed() < DATABASE_SEEN_MAX && !self.all_serve().await {
            tokio::time::sleep(POLL).await;
        }
        self.disturb(Part::Database, true);
        if blow.fault == Fault::DatabaseFailedOver {
            let database = Arc::clone(self.deployment.database());
            tokio::task::spawn_blocking(move || database.add_standby()).await??;
        }
        Ok(())
    }

    /// Whether everybody serves whom nothing else happens to.
    async fn all_serve(&self) -> bool {
        for (node, metrics) in self.deployment.node_metrics().iter().enumerate() {
            let is_hit = !self.tally.is_there(Part::Node(node));
            if !is_hit && !probe::is_ready(metrics).await {
                return false;
            }
        }
        for metrics in self.deployment.front_metrics() {
            if !probe::is_ready(metrics).await {
                return false;
            }
        }
        true
    }
}
