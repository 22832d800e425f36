//! What clients that do harm cost those that don't: latencies of good clients by turns without and beside an attack, with proof that it took place. Sets no goal.

pub mod attack;
pub mod broken;
pub mod counters;
pub mod field;
pub mod flood;
pub mod good;
pub mod idle;
pub mod limits;
pub mod slow;
pub mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use thenar::client::Credentials;
use thenar::model::principal::Principal;
use thenar::server::pki::Pki;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use self::attack::{Attack, Strength};
use self::counters::{Counters, cpu_of_threads};
use self::field::Field;
use self::good::{Good, Outcome};
use self::wire::{Mask, Sources};
use crate::served::callers::Saturation;
use crate::served::{Bench, TENANT};
use crate::timing::Samples;
use crate::{Failure, progress};

/// Name of the attackers' threads.
const ATTACKERS: &str = "attacker";
/// Certificates of attackers.
const MASKS: usize = 200;
/// Certificates of newcomers, which come in turn.
const NEWCOMERS: usize = 64;
/// Newcomers a second.
const NEWCOMER_RATE: f64 = 5.0;
/// From when an attack has all that it wants to when the good clients are looked at.
const WARM_UP: Duration = Duration::from_secs(2);
/// Longest wait for an attack to be there, and for its connections to be gone.
const PATIENCE: Duration = Duration::from_mins(5);
/// Connections that others may have when an attack is over.
const OTHERS_MAX: f64 = 64.0;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Good clients with a connection each.
    pub scanners: usize,
    /// People a second who come to them.
    pub rate: f64,
    /// Length of a turn.
    pub length: Duration,
    /// Turns of each kind.
    pub turns: usize,
    /// How strong the attacks are.
    pub strength: Strength,
}

/// What one attack came to: medians of the turns, but for sums of what failed.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// The attack.
    pub name: &'static str,
    /// Half of the good clients were answered so soon, without it.
    pub quiet_p50_ms: f64,
    /// All but one in a hundred.
    pub quiet_p99_ms: f64,
    /// The same beside it.
    pub hostile_p50_ms: f64,
    /// The same beside it.
    pub hostile_p99_ms: f64,
    /// The latter p99 over the former.
    pub ratio: f64,
    /// Half of those who connected anew had their first answer so soon, without it.
    pub newcomer_quiet_ms: f64,
    /// The same beside it.
    pub newcomer_hostile_ms: f64,
    /// Good clients without an answer beside it; they count as if they had waited for [`good::PATIENCE`].
    pub failed: usize,
    /// Why the first of them had none.
    pub why: Option<String>,
    /// Processors that the server kept busy without it.
    pub server_quiet_cores: f64,
    /// The same beside it.
    pub server_hostile_cores: f64,
    /// Processors that the attackers kept busy.
    pub attackers_cores: f64,
    /// Memory that the server took more, in bytes.
    pub server_bytes: f64,
    /// What the server logged in a turn, in bytes.
    pub log_bytes: f64,
    /// What shows that it took place, in the last turn.
    pub took_place: BTreeMap<String, f64>,
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
pub struct Report {
    /// One an attack.
    pub hostilities: Vec<Figures>,
    /// The largest ratio.
    pub worst: f64,
}

impl Report {
    /// Of these attacks.
    pub fn new(hostilities: Vec<Figures>) -> Self {
        let worst = hostilities
            .iter()
            .map(|figures| figures.ratio)
            .fold(0.0, f64::max);
        Self { hostilities, worst }
    }
}

/// A server with good clients.
pub struct Arena<'a> {
    bench: &'a Bench,
    plan: Plan,
    good: Good,
    masks: Vec<Mask>,
    bare: Mask,
    foreign: Mask,
}

/// What came of one turn.
struct Turn {
    outcome: Outcome,
    server_cores: f64,
    attackers_cores: f64,
}

impl<'a> Arena<'a> {
    /// Connects the good clients and makes certificates for the others; another authority is made in `folder`.
    pub fn new(bench: &'a Bench, plan: Plan, folder: &Path) -> Result<Self, Failure> {
        let scanners = bench.scanners([TENANT], plan.scanners)?;
        let (captures, threshold) = bench.captures();
        let all = Saturation {
            scanners: &scanners,
            captures: &captures,
            threshold,
        };
        let named = |name: &str, count: usize| -> Result<Vec<Credentials>, Failure> {
            let path = |number| format!("/tenant/{TENANT}/scanner/{name}-{number}");
            (0..count)
                .map(|number| bench.site().credentials(&path(number)))
                .collect()
        };
        let attackers = named("attacker", MASKS)?;
        let ca_pem = &attackers.first().ok_or("no attacker")?.ca_pem;
        let masks = attackers.iter().map(|shown| Mask::new(ca_pem, Some(shown)));
        let stranger = Pki::init(&folder.join("foreign"), "thenar.local")?.issue(
            &Principal::from_path(&format!("/tenant/{TENANT}/scanner/stranger"))?,
            30,
        )?;
        let stranger = Credentials {
            ca_pem: ca_pem.clone(),
            cert_pem: stranger.cert_pem.clone(),
            key_pem: stranger.key_pem.clone(),
        };
        Ok(Self {
            good: Good {
                callers: (0..plan.scanners)
                    .map(|number| all.caller(number))
                    .collect::<Result<_, _>>()?,
                newcomers: named("newcomer", NEWCOMERS)?,
                rate: plan.rate,
                newcomer_rate: NEWCOMER_RATE,
                address: bench.address().to_owned(),
            },
            bare: Mask::new(ca_pem, None)?,
            foreign: Mask::new(ca_pem, Some(&stranger))?,
            masks: masks.collect::<Result<_, _>>()?,
            bench,
            plan,
        })
    }

    /// By turns without and beside the attack.
    pub fn measure(&self, attack: Attack) -> Result<Figures, Failure> {
        let mut medians = Medians::default();
        let (mut failed, mut why, mut took_place) = (0, None, BTreeMap::new());
        for turn in 1..=self.plan.turns {
            progress(format!("{}, turn {turn} of {}", attack.name(), self.plan.turns));
            let seed = turn as u64;
            let quiet = self.watch(seed)?;
            if let Some(why) = quiet.outcome.why {
                return Err(format!("a good client failed without an attack: {why}").into());
            }
            let (memory, log) = (self.bench.server().resident_bytes()?, self.log_bytes()?);
            let (hostile, proof, memory_after) = self.under(attack, seed)?;
            medians.log.push(to_f64(self.log_bytes()?.saturating_sub(log)));
            medians.memory.push((memory_after - memory).max(0.0));
            failed += hostile.outcome.failed;
            why = why.or_else(|| hostile.outcome.why.clone());
            took_place = proof;
            medians.add(&quiet, &hostile)?;
        }
        medians.figures(attack.name(), failed, why, took_place)
    }

    fn log_bytes(&self) -> Result<u64, Failure> {
        Ok(std::fs::metadata(self.bench.site().log())?.len())
    }

    /// The good clients for one turn, whatever else goes on.
    fn watch(&self, seed: u64) -> Result<Turn, Failure> {
        let (server, attackers) = (self.bench.server().cpu()?, cpu_of_threads(ATTACKERS)?);
        let begun = Instant::now();
        let outcome = self
            .bench
            .runtime()
            .block_on(self.good.run(seed, self.plan.length))?;
        let took = begun.elapsed().as_secs_f64();
        Ok(Turn {
            outcome,
            server_cores: (self.bench.server().cpu()? - server) / took,
            attackers_cores: (cpu_of_threads(ATTACKERS)? - attackers) / took,
        })
    }

    /// The same beside an attack, with what shows that it took place and the server's memory then.
    fn under(&self, attack: Attack, seed: u64) -> Result<(Turn, BTreeMap<String, f64>, f64), Failure> {
        let (network, addresses) = attack.sources();
        let field = Arc::new(Field::new(
            self.bench.address().parse()?,
            self.masks.clone(),
            (self.bare.clone(), self.foreign.clone()),
            Sources::new(network, addresses),
        ));
        let runtime: Runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(ATTACKERS)
            .enable_all()
            .build()?;
        let before = Counters::read(self.bench.metrics())?;
        let begun = Instant::now();
        let is_up = watch::Sender::new(false);
        let mut up = is_up.subscribe();
        let shown = self
            .bench
            .site()
            .credentials(&format!("/tenant/{TENANT}/scanner/flood"))?;
        let running = runtime.spawn(attack.run(Arc::clone(&field), self.plan.strength, shown, is_up));
        let there = async {
            tokio::time::timeout(PATIENCE, up.wait_for(|up| *up))
                .await
                .map(|up| up.is_ok())
        };
        if !matches!(runtime.block_on(there), Ok(true)) {
            return Err(format!("{} never began; {:?}", attack.name(), field.all()).into());
        }
        std::thread::sleep(WARM_UP);
        let turn = self.watch(seed)?;
        let during = Counters::read(self.bench.metrics())?;
        let memory = self.bench.server().resident_bytes()?;
        if running.is_finished() {
            return Err(format!("{} ended early", attack.name()).into());
        }
        let proof = attack.took_place(self.plan.strength, &field, (&before, &during), begun.elapsed())?;
        runtime.shutdown_timeout(PATIENCE);
        self.settle()?;
        Ok((turn, proof, memory))
    }

    /// Waits until the attackers' connections are gone.
    fn settle(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        while Counters::read(self.bench.metrics())?.sum("thenar_connections", "") > OTHERS_MAX {
            if begun.elapsed() > PATIENCE {
                return Err("the attackers' connections stay".into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

/// Figures of the turns.
#[derive(Default)]
struct Medians {
    quiet: [Samples; 4],
    hostile: [Samples; 4],
    attackers: Samples,
    memory: Samples,
    log: Samples,
}

impl Medians {
    fn add(&mut self, quiet: &Turn, hostile: &Turn) -> Result<(), Failure> {
        for (into, turn) in [(&mut self.quiet, quiet), (&mut self.hostile, hostile)] {
            let [p50, p99, newcomer, cores] = into;
            p50.push(quantile(&turn.outcome.answers, 0.5)?);
            p99.push(quantile(&turn.outcome.answers, 0.99)?);
            newcomer.push(quantile(&turn.outcome.newcomers, 0.5)?);
            cores.push(turn.server_cores);
        }
        self.attackers.push(hostile.attackers_cores);
        Ok(())
    }

    fn figures(
        &self,
        name: &'static str,
        failed: usize,
        why: Option<String>,
        took_place: BTreeMap<String, f64>,
    ) -> Result<Figures, Failure> {
        let [quiet_p50, quiet_p99, newcomer_quiet, quiet_cores] = &self.quiet;
        let [hostile_p50, hostile_p99, newcomer_hostile, hostile_cores] = &self.hostile;
        let (quiet_p99_ms, hostile_p99_ms) = (quantile(quiet_p99, 0.5)?, quantile(hostile_p99, 0.5)?);
        Ok(Figures {
            name,
            quiet_p50_ms: rounded(quantile(quiet_p50, 0.5)?),
            quiet_p99_ms: rounded(quiet_p99_ms),
            hostile_p50_ms: rounded(quantile(hostile_p50, 0.5)?),
            hostile_p99_ms: rounded(hostile_p99_ms),
            ratio: rounded(hostile_p99_ms / quiet_p99_ms),
            newcomer_quiet_ms: rounded(quantile(newcomer_quiet, 0.5)?),
            newcomer_hostile_ms: rounded(quantile(newcomer_hostile, 0.5)?),
            failed,
            why,
            server_quiet_cores: rounded(quantile(quiet_cores, 0.5)?),
            server_hostile_cores: rounded(quantile(hostile_cores, 0.5)?),
            attackers_cores: rounded(quantile(&self.attackers, 0.5)?),
            server_bytes: quantile(&self.memory, 0.5)?,
            log_bytes: quantile(&self.log, 0.5)?,
            took_place,
        })
    }
}

fn quantile(samples: &Samples, quantile: f64) -> Result<f64, Failure> {
    samples
        .quantile(quantile)
        .ok_or_else(|| "nothing was timed".into())
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
#[path = "hostile/hostile_tests.rs"]
mod tests;
