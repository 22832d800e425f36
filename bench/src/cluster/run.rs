//! A run under faults, from the first process to the last question. Judges no answer.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::audit::audit;
use super::availability::Availability;
use super::deployment::{Deployment, Size};
use super::gallery::Gallery;
use super::load::{Demand, Load, Worker};
use super::report::{Configuration, Report, Segments};
use super::standing::Standing;
use super::striker::Striker;
use super::tally::Tally;
use super::verdict::TENANTS;
use crate::live::calls;
use crate::live::palms::{Palms, policy};
use crate::machine::Machine;
use crate::{Failure, progress};

/// Coordinates of a palm.
pub const DIM: usize = 64;
/// A tenant has to be made by then.
const MADE_MAX: Duration = Duration::from_mins(1);
/// How often that is tried.
const MADE_REST: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cluster.
    pub size: Size,
    /// What is asked of it.
    pub demand: Demand,
    /// How long faults go on.
    pub length: Duration,
    /// Whether all nodes may be away at once.
    pub all_faults: bool,
    /// Names of the faults that happen; all where there are none.
    pub only: Vec<String>,
    /// Of palms and chance.
    pub seed: u64,
}

impl Plan {
    /// Nodes that may be away at once.
    fn nodes_at_once(&self) -> usize {
        if self.all_faults {
            return self.size.nodes;
        }
        self.size.replicas.saturating_sub(1).min(self.size.nodes - 1)
    }
}

/// Starts a cluster in `folder`, uses it while parts of it are hit, and looks for everybody at the end. Not to be spawned: processes end with the thread that starts them.
pub async fn run(folder: &Path, thenar: &Path, plan: &Plan) -> Result<Report, Failure> {
    let deployment = Deployment::start(folder, thenar, plan.size.clone()).await?;
    let hit = under_faults(&deployment, plan).await;
    deployment.keep_logs()?;
    hit
}

async fn under_faults(deployment: &Deployment, plan: &Plan) -> Result<Report, Failure> {
    let galleries = galleries(deployment, &TENANTS, plan.seed).await?;
    let administrators = deployment.administrators().await?;
    let size = &plan.size;
    let is_store_needed = size.cache_mib.is_some();
    let standing = Standing::new(size.nodes, size.fronts, size.replicas, is_store_needed);
    let tally = Arc::new(Tally::new(standing));
    let workers = Worker::all(&galleries, plan.demand.workers);
    progress(format!(
        "{} s of load and faults, seed {}",
        plan.length.as_secs(),
        plan.seed
    ));
    let load = Load::start(&workers, &tally, plan.demand, plan.seed);
    let striker = Striker::new(
        deployment,
        &tally,
        (&galleries, &administrators),
        plan.length,
        &plan.only,
    );
    deployment.migrate_by_next().await?;
    let struck = striker.go(plan.nodes_at_once(), plan.seed).await;
    progress(format!(
        "{:7.1} s  nothing happens any more",
        tally.now().as_secs_f64()
    ));
    let repaired = match struck {
        Ok(()) => deployment.ready().await,
        Err(failure) => Err(failure),
    };
    load.end().await;
    let (windows, counts) = (tally.windows(), tally.counts());
    let service = Availability::of(&counts.calls, &windows);
    if repaired.is_ok() {
        progress("everybody is looked for");
        audit(&workers, &tally).await;
    }
    let mut report = Report::new(
        tally.counts(),
        service,
        configuration(deployment, plan),
        Machine::this(),
    );
    if let Err(failure) = repaired {
        // What was seen until then is worth knowing.
        print!("{}", report.table());
        return Err(failure);
    }
    report.segments = Some(segments(deployment)?);
    report.exchanged = size.next.is_some().then(|| striker.exchanged());
    Ok(report)
}

fn segments(deployment: &Deployment) -> Result<Segments, Failure> {
    let row = deployment.database().query(
        "SELECT coalesce(sum(last_segment), 0), (SELECT count(*) FROM segment WHERE retired_from IS NULL) FROM tenant",
    )?;
    let (made, left) = row.trim().split_once('|').ok_or("two figures are expected")?;
    Ok(Segments {
        made: made.parse()?,
        left: left.parse()?,
    })
}

/// Makes tenants and connects their callers.
pub async fn galleries(
    deployment: &Deployment,
    names: &[&'static str],
    seed: u64,
) -> Result<Vec<Arc<Gallery>>, Failure> {
    let administrators = deployment.administrators().await?;
    let administrator = administrators.first().ok_or("there is no front")?;
    let dimension = u32::try_from(DIM)?;
    let mut galleries = Vec::new();
    for &name in names {
        let begun = Instant::now();
        // A cluster that has just begun may have to find its members first.
        while let Err(status) = calls::create_tenant(administrator, name, dimension, policy(false)).await {
            if begun.elapsed() > MADE_MAX || calls::fate(&status) != calls::Fate::Unknown {
                return Err(format!("tenant {name} can't be made: {status}").into());
            }
            tokio::time::sleep(MADE_REST).await;
        }
        let badges = deployment.node(0).await.site().badges(name, "bench")?;
        // The same palms in all of them.
        let palms = Palms {
            seed,
            tenant: 0,
            dim: DIM,
        };
        let gallery = Gallery::connect(name, palms, &badges, deployment.addresses()).await?;
        gallery.settled(MADE_MAX).await?;
        galleries.push(Arc::new(gallery));
    }
    Ok(galleries)
}

fn configuration(deployment: &Deployment, plan: &Plan) -> Configuration {
    let size = &plan.size;
    Configuration {
        nodes: size.nodes,
        fronts: size.fronts,
        replicas: size.replicas,
        store: deployment.store().name(),
        flush_rows: size.flush_rows,
        cache_mib: size.cache_mib,
        dim: DIM,
        workers: plan.demand.workers,
        rate: plan.demand.rate,
        deadline_ms: u64::try_from(plan.demand.deadline.as_millis()).unwrap_or(u64::MAX),
        namespaces: deployment.has_namespaces(),
        all_faults: plan.all_faults,
        only: plan.only.clone(),
        seed: plan.seed,
        seconds: plan.length.as_secs(),
    }
}
