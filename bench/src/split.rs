//! What a lost match node does to its own tenant and to another one, in two tiers as real processes. Sets no goal.

pub mod call;
pub mod deployment;
pub mod drain;
pub mod fronts;
pub mod network;
pub mod report;
pub mod traffic;
pub mod turn;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde::Serialize;
use thenar::cli::simulated::SEED;
use thenar::cli::simulated::mix::Mix;
use thenar::model::signature::Dimension;
use thenar::population::Population;
use tokio::runtime::{Builder, Runtime};

use crate::live::filled;
use crate::served::callers::Captures;
use crate::{Failure, progress};

use call::{Tenant, ms};
use deployment::{Deployment, Loss};
use fronts::Operators;
use report::Lost;
use traffic::{Crowd, Rhythm};

/// Scanners of each tenant, all at the first front.
const SCANNERS: usize = 8;
/// Captures of each tenant that are made beforehand; callers go through them in turn.
const CAPTURES: usize = 4_096;
/// Who comes. Nobody comes so often that a scanner is held up for near misses.
const MIX: Mix = Mix {
    strangers: 0.1,
    regulars: 0.0,
    circle: 1,
};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Palms of each tenant.
    pub rows: u64,
    /// Dimension.
    pub dim: Dimension,
    /// How callers come.
    pub rhythm: Rhythm,
    /// How long a node is lost, and how long an undisturbed turn is.
    pub length: Duration,
    /// Turns of each loss.
    pub turns: usize,
}

/// A loss that could not be made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Which.
    pub loss: &'static str,
    /// Why.
    pub reason: String,
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// What was measured.
    pub losses: Vec<Lost>,
    /// What could not be.
    pub skipped: Vec<Skipped>,
    /// Questions that both fronts answered the same.
    pub same_answers: usize,
}

/// Two tiers with a filled tenant on each node.
pub struct Bench {
    plan: Plan,
    crowds: Arc<[Crowd; 2]>,
    operators: Vec<Operators>,
    /// The first palm that is not enrolled with the tenant whose node is lost.
    next_palm: u64,
    /// Traffics so far.
    turns: u64,
    /// Questions so far that the fronts answered the same.
    same: usize,
    deployment: Deployment,
    runtime: Runtime,
}

impl Bench {
    /// Starts all processes and fills both tenants.
    pub fn start(folder: &Path, thenar: &Path, plan: Plan) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let mut deployment = runtime.block_on(Deployment::start(folder, thenar))?;
        let mut crowds = Vec::new();
        for tenant in Tenant::ALL {
            crowds.push(runtime.block_on(crowd(&deployment, tenant, &plan))?);
        }
        runtime.block_on(deployment.add_second_front())?;
        let mut operators = Vec::new();
        for tenant in Tenant::ALL {
            operators.push(runtime.block_on(Operators::connect(&deployment, tenant))?);
        }
        let crowds = crowds.try_into().map_err(|_| "each tenant has its crowd")?;
        Ok(Self {
            plan,
            crowds: Arc::new(crowds),
            operators,
            next_palm: plan.rows,
            turns: 0,
            same: 0,
            deployment,
            runtime,
        })
    }

    /// Loses the node in every way, turn by turn. `told` is told of each loss as soon as it is measured, or why it could not be made.
    pub fn measure(&mut self, mut told: impl FnMut(&Result<Lost, Skipped>)) -> Result<Summary, Failure> {
        self.same_answers()?;
        let mut summary = Summary {
            losses: Vec::new(),
            skipped: Vec::new(),
            same_answers: 0,
        };
        for loss in Loss::ALL {
            let outcome = self.lost(loss)?;
            told(&outcome);
            match outcome {
                Ok(lost) => summary.losses.push(lost),
                Err(skipped) => summary.skipped.push(skipped),
            }
        }
        summary.same_answers = self.same;
        Ok(summary)
    }

    fn lost(&mut self, loss: Loss) -> Result<Result<Lost, Skipped>, Failure> {
        if let Some(reason) = self.deployment.hindrance(loss) {
            return Ok(Err(Skipped {
                loss: loss.name(),
                reason: reason.to_owned(),
            }));
        }
        let mut turns = Vec::new();
        for number in 1..=self.plan.turns {
            progress(format!("{}, turn {number} of {}", loss.name(), self.plan.turns));
            let turn = self.turn(loss)?;
            for fault in &turn.faults {
                progress(format!("  {fault}"));
            }
            turns.push(turn);
            self.same_answers()?;
        }
        let lost = Lost::of(loss, ms(self.plan.rhythm.deadline), &turns);
        lost.map(Ok).ok_or_else(|| "there was no turn".into())
    }

    /// Asks both fronts the same about both tenants.
    fn same_answers(&mut self) -> Result<(), Failure> {
        for (operators, crowd) in self.operators.iter().zip(self.crowds.iter()) {
            let asked = fronts::same(operators, crowd, self.same);
            self.same += self.runtime.block_on(asked)?;
        }
        Ok(())
    }
}

/// Makes and fills a tenant and connects its scanners.
async fn crowd(deployment: &Deployment, tenant: Tenant, plan: &Plan) -> Result<Crowd, Failure> {
    // Other palms than the other tenant's, so that an answer of the wrong one is seen.
    let population = Population::new(SEED + tenant as u64, plan.dim);
    let name = tenant.name();
    let admin = deployment.connect(0, "/admin/bench").await?;
    let operator = deployment
        .connect(0, &format!("/tenant/{name}/operator/filler"))
        .await?;
    let threshold = filled::run(&admin, &operator, name, &population, plan.rows).await?;
    let mut scanners = Vec::new();
    for number in 0..SCANNERS {
        let path = format!("/tenant/{name}/scanner/bench-{number}");
        scanners.push(deployment.connect(0, &path).await?);
    }
    Ok(Crowd {
        tenant,
        scanners,
        captures: Captures::new(&population, MIX, plan.rows, CAPTURES),
        population,
        threshold: f64::from(threshold),
        asked: AtomicUsize::new(0),
    })
}
