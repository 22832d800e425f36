//! How much of the engine's throughput arrives through gRPC with TLS, and what that adds to one identification. Sets no goal.

pub mod alone;
pub mod batches;
pub mod callers;
pub mod open;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde::Serialize;
use thenar::cli::simulated::SEED;
use thenar::cli::simulated::mix::Mix;
use thenar::client::Client;
use thenar::model::signature::Dimension;
use thenar::population::Population;
use tokio::runtime::{Builder, Runtime};

use crate::live::child::{Child, Site, UNLIMITED};
use crate::live::{calls, filled};
use crate::timing::Samples;
use crate::{Failure, progress};

use alone::{Alone, BATCH_MAX};
use batches::Batches;
use callers::{Captures, Lone, Saturation};

/// The tenant that is asked.
pub const TENANT: &str = "served";
/// Connections of each of several tenants.
const CONNECTIONS_EACH: usize = 4;
/// Captures that are made beforehand; callers go through them in turn.
const CAPTURES: usize = 16_384;
/// Who comes.
const MIX: Mix = Mix {
    strangers: 0.1,
    regulars: 0.5,
    circle: 1_000,
};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Palms of a tenant.
    pub rows: u64,
    /// Dimension.
    pub dim: Dimension,
    /// Calls that are kept unanswered at saturation.
    pub in_flight: usize,
    /// Connections that they share.
    pub connections: usize,
    /// How long each side is kept busy in a turn.
    pub length: Duration,
    /// Lone identifications in a turn.
    pub lone: usize,
    /// Turns.
    pub turns: usize,
}

/// Medians of the turns, and what else there is to know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Probes a second that the engine alone searches, in batches as large as those of the server.
    pub engine_per_s: f64,
    /// Probes of such a batch.
    pub batch: f64,
    /// Probes a second that it searches in the largest batches.
    pub engine_full_per_s: f64,
    /// Identifications a second that arrive.
    pub served_per_s: f64,
    /// The latter over the former.
    pub share: f64,
    /// Processor time of the server for each of those, in milliseconds.
    pub cpu_ms: f64,
    /// Of a hundred lone identifications on the idle server the slowest but one.
    pub p99_ms: f64,
    /// The middle one.
    pub p50_ms: f64,
    /// The same of the engine alone, by turns with those.
    pub engine_p99_ms: f64,
    /// The same of the engine alone.
    pub engine_p50_ms: f64,
    /// The same of calls without a probe, which are refused once they are read, by turns with the engine.
    pub refused_p99_ms: f64,
    /// The middle one of them.
    pub refused_p50_ms: f64,
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
pub struct Summary {
    engine_per_s: f64,
    served_per_s: f64,
    share: f64,
    p99_ms: f64,
}

impl From<&Measured> for Summary {
    fn from(measured: &Measured) -> Self {
        let rounded = |value: f64, scale: f64| (value * scale).round() / scale;
        Self {
            engine_per_s: rounded(measured.engine_per_s, 10.0),
            served_per_s: rounded(measured.served_per_s, 10.0),
            share: rounded(measured.share, 1e3),
            p99_ms: rounded(measured.p99_ms, 1e3),
        }
    }
}

/// A server with a filled tenant.
pub struct Bench {
    site: Site,
    plan: Plan,
    population: Population,
    threshold: f32,
    metrics: String,
    address: String,
    runtime: Runtime,
    server: Child,
}

impl Bench {
    /// Starts the server and fills the tenant.
    pub fn start(site: Site, plan: Plan) -> Result<Self, Failure> {
        Self::start_with(site, plan, &format!("{UNLIMITED}[log]\nfilter = \"warn\"\n"))
    }

    /// The same with these settings beside its own.
    pub fn start_with(site: Site, plan: Plan, settings: &str) -> Result<Self, Failure> {
        // The number is free again when the server takes it, and nobody else asks for it meanwhile.
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        site.write_configuration(&format!(
            "[metrics]\naddress = \"{metrics}\"\n[engine]\nbackend = \"cpu\"\n{settings}"
        ))?;
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let (server, address, _) = runtime.block_on(site.start())?;
        let mut bench = Self {
            site,
            plan,
            population: Population::new(SEED, plan.dim),
            threshold: 0.0,
            metrics,
            address,
            runtime,
            server,
        };
        bench.threshold = bench.fill(TENANT, plan.rows)?;
        Ok(bench)
    }

    /// Makes a tenant and imports so many palms into it. Its threshold.
    pub fn fill(&self, tenant: &str, palms: u64) -> Result<f32, Failure> {
        self.runtime.block_on(self.filled(tenant, palms))
    }

    async fn filled(&self, tenant: &str, palms: u64) -> Result<f32, Failure> {
        let admin = self.connect("/admin/bench").await?;
        let operator = self.connect(&format!("/tenant/{tenant}/operator/bench")).await?;
        filled::run(&admin, &operator, tenant, &self.population, palms).await
    }

    /// Measures both sides turn by turn.
    pub fn measure(&self) -> Result<Measured, Failure> {
        progress("the same gallery in an engine alone");
        let captures = Captures::new(&self.population, MIX, self.plan.rows, CAPTURES);
        let alone = Alone::new(&self.population, self.plan.rows, self.threshold, &captures)?;
        let scanners = self.scanners([TENANT], self.plan.connections)?;
        let saturation = Saturation {
            scanners: &scanners,
            captures: &captures,
            threshold: f64::from(self.threshold),
        };
        let mut turns = Turns::default();
        for turn in 1..=self.plan.turns {
            progress(format!("turn {turn} of {}", self.plan.turns));
            self.turn(&saturation, &alone, &mut turns)?;
        }
        turns.medians()
    }

    /// Connections of scanners, as many for each tenant.
    pub fn scanners<'a>(
        &self,
        tenants: impl IntoIterator<Item = &'a str>,
        each: usize,
    ) -> Result<Vec<Client>, Failure> {
        let mut scanners = Vec::new();
        for tenant in tenants {
            for number in 0..each {
                let path = format!("/tenant/{tenant}/scanner/bench-{number}");
                scanners.push(self.runtime.block_on(self.connect(&path))?);
            }
        }
        Ok(scanners)
    }

    /// Answers a second at saturation of tenants that have the same first `palms` palms and are asked alike.
    pub fn peak(&self, tenants: &[String], palms: u64, threshold: f32) -> Result<f64, Failure> {
        let captures = Captures::new(&self.population, MIX, palms, CAPTURES);
        let scanners = self.scanners(tenants.iter().map(String::as_str), CONNECTIONS_EACH)?;
        let saturation = Saturation {
            scanners: &scanners,
            captures: &captures,
            threshold: f64::from(threshold),
        };
        self.runtime
            .block_on(saturation.run(self.plan.in_flight, self.plan.length))
    }

    /// One of these callers with a thread and a connection to itself. It answers no pings between its calls.
    fn lone(&self, saturation: &Saturation<'_>) -> Result<Lone, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(self.connect(&format!("/tenant/{TENANT}/scanner/lone")))?;
        Ok(Lone::new(runtime, saturation.caller(0)?.with(client)))
    }

    fn turn(&self, saturation: &Saturation<'_>, alone: &Alone, turns: &mut Turns) -> Result<(), Failure> {
        let plan = &self.plan;
        let before = Batches::read(&self.metrics)?;
        let (cpu, begun) = (self.server.cpu()?, Instant::now());
        let served = self
            .runtime
            .block_on(saturation.run(plan.in_flight, plan.length))?;
        let busy = (self.server.cpu()? - cpu) / begun.elapsed().as_secs_f64();
        let batches = Batches::read(&self.metrics)?.since(&before);
        progress(format!("  served {served:.0} a second, batches of {batches}"));
        let batch = batches.mean()?;
        let engine = alone.throughput(whole(batch), plan.length)?;
        let full = alone.throughput(BATCH_MAX, plan.length)?;
        progress(format!(
            "  engine {engine:.0} a second in batches of {batch:.0}, {full:.0} in batches of {BATCH_MAX}"
        ));
        // By turns: each finds the caches as a scan left them and its threads asleep, as on an idle server.
        let lone = self.lone(saturation)?;
        let (mut served_lone, mut engine_lone) = (Samples::default(), Samples::default());
        for number in 0..plan.lone {
            served_lone.push(lone.identify()?);
            alone.one(number, &mut engine_lone)?;
        }
        // Apart: between the ones above these made them slower.
        let (mut refused, mut between) = (Samples::default(), Samples::default());
        for number in 0..plan.lone {
            refused.push(lone.refused()?);
            alone.one(number, &mut between)?;
        }
        for (samples, value) in [
            (&mut turns.served, served),
            (&mut turns.cpu, busy * 1e3 / served),
            (&mut turns.engine, engine),
            (&mut turns.engine_full, full),
            (&mut turns.batch, batch),
            (&mut turns.p99, quantile(&served_lone, 0.99)?),
            (&mut turns.p50, quantile(&served_lone, 0.5)?),
            (&mut turns.engine_p99, quantile(&engine_lone, 0.99)?),
            (&mut turns.engine_p50, quantile(&engine_lone, 0.5)?),
            (&mut turns.refused_p99, quantile(&refused, 0.99)?),
            (&mut turns.refused_p50, quantile(&refused, 0.5)?),
        ] {
            samples.push(value);
        }
        Ok(())
    }

    /// Captures of a tenant's palms, and its threshold.
    pub fn captures(&self) -> (Captures, f64) {
        let captures = Captures::new(&self.population, MIX, self.plan.rows, CAPTURES);
        (captures, f64::from(self.threshold))
    }

    /// What good clients run on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Where its metrics are.
    pub fn metrics(&self) -> &str {
        &self.metrics
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process.
    pub fn server(&self) -> &Child {
        &self.server
    }

    /// Its files.
    pub fn site(&self) -> &Site {
        &self.site
    }

    async fn connect(&self, path: &str) -> Result<Client, Failure> {
        Ok(calls::connect(&self.address, &self.site.credentials(path)?).await?)
    }
}

/// Figures of the turns.
#[derive(Default)]
struct Turns {
    served: Samples,
    cpu: Samples,
    engine: Samples,
    engine_full: Samples,
    batch: Samples,
    p99: Samples,
    p50: Samples,
    engine_p99: Samples,
    engine_p50: Samples,
    refused_p99: Samples,
    refused_p50: Samples,
}

impl Turns {
    fn medians(&self) -> Result<Measured, Failure> {
        let (engine, served) = (quantile(&self.engine, 0.5)?, quantile(&self.served, 0.5)?);
        Ok(Measured {
            engine_per_s: engine,
            served_per_s: served,
            share: served / engine,
            cpu_ms: quantile(&self.cpu, 0.5)?,
            batch: quantile(&self.batch, 0.5)?,
            engine_full_per_s: quantile(&self.engine_full, 0.5)?,
            p99_ms: quantile(&self.p99, 0.5)?,
            p50_ms: quantile(&self.p50, 0.5)?,
            engine_p99_ms: quantile(&self.engine_p99, 0.5)?,
            engine_p50_ms: quantile(&self.engine_p50, 0.5)?,
            refused_p99_ms: quantile(&self.refused_p99, 0.5)?,
            refused_p50_ms: quantile(&self.refused_p50, 0.5)?,
        })
    }
}

/// The nearest size of a batch that the engine takes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a batch has some hundred probes"
)]
fn whole(batch: f64) -> usize {
    (batch.round() as usize).clamp(1, BATCH_MAX)
}

fn quantile(samples: &Samples, quantile: f64) -> Result<f64, Failure> {
    samples
        .quantile(quantile)
        .ok_or_else(|| "nothing was timed".into())
}
