//! `thenar demo`: the whole service on a simulated population, on loopback alone, and a check of every promise that can be checked there.

use std::path::PathBuf;

use thiserror::Error;

use crate::engine::Kernel;
use crate::model::signature::Dimension;

use super::error::CliError;
use super::local::{self, BackendOption};
use super::output;
use super::tenant::dimension;

mod audit;
mod host;
mod images;
mod isolation;
mod life;
mod load;
mod plan;
mod report;
mod restart;
mod scanner;
mod traffic;

use host::Host;
use plan::Plan;
use report::{Check, Report};

/// Options of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Palms to enrol
    #[arg(long, value_name = "COUNT", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000_000))]
    pub palms: u64,
    /// Coordinates of a signature
    #[arg(long, default_value = "256", value_parser = dimension)]
    pub dim: Dimension,
    /// Scanners that ask at the same time, each with a certificate and a connection of its own
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub scanners: u32,
    /// How long they ask
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// What searches
    #[arg(long, value_enum, default_value_t = BackendOption::Auto)]
    pub backend: BackendOption,
    /// Instruction set of a scan on the CPU: portable, neon, avx2, avx512, amx; the best that the machine has when not given
    #[arg(long, value_name = "NAME", value_parser = local::kernel)]
    pub kernel: Option<Kernel>,
    /// Data directory to make and to keep; a temporary one when not given
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// End with one JSON object as the last line of standard output
    #[arg(long)]
    pub json: bool,
}

/// Why the demo did not end well.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Checks that did not hold.
    #[error("{} check(s) of the demo did not hold: {}", .0.len(), .0.join("; "))]
    Checks(Vec<String>),
    /// No temporary directory.
    #[error("a temporary directory can't be made: {0}; --data names another place")]
    Temporary(std::io::Error),
    /// A part of the demo ended too early.
    #[error("the demo broke off: {0}")]
    Broken(String),
    /// Stopped from the keyboard.
    #[error("interrupted")]
    Interrupted,
}

/// Runs it. An error when a check does not hold.
pub async fn run(args: Args) -> Result<(), CliError> {
    let report = tokio::select! {
        report = play(&args) => report?,
        _ = tokio::signal::ctrl_c() => return Err(DemoError::Interrupted.into()),
    };
    output::line(&report.text())?;
    if args.json {
        output::line(&report.json())?;
    }
    let failed = report.failed();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(DemoError::Checks(failed).into())
    }
}

/// The acts, in order.
async fn play(args: &Args) -> Result<Report, CliError> {
    let plan = Plan::new(args);
    let mut host = Host::start(args).await?;
    let mut checks = load::run(&host, &plan).await?;

    say(&format!("{} scanners ask for {} s", plan.scanners, args.seconds));
    let traffic = traffic::run(&host, &plan).await?;
    checks.extend(traffic.checks(&plan));
    let audit = audit::run(&plan, &traffic).await?;
    checks.extend(audit);

    say("the same palms as strangers in the other tenant");
    let isolation = isolation::run(&host, &plan).await?;
    checks.extend(isolation.checks());

    say("people who are known by pictures of their palms");
    let images = images::run(&host).await?;
    checks.extend(images.checks());

    say("a new palm, and a person who leaves");
    let life = life::run(&host, &plan).await?;
    checks.extend(life.checks());
    let backend = host.backend().await?;

    say("stop, start again, ask for everybody else");
    host.restart().await?;
    let restart = restart::run(&host, &plan).await?;
    checks.extend(restart.checks());
    host.stop().await?;

    Ok(Report {
        checks,
        figures: traffic.figures(&plan),
        cross_tenant_matches: isolation.matches,
        found_after_enrol: life.newcomer.after,
        found_after_erase: life.leaver.after || restart.erased_found,
        lost_after_restart: restart.lost,
        backend,
    })
}

/// Tells the person who watches what comes next.
fn say(text: &str) {
    eprintln!("· {text}");
}

fn check(name: impl Into<String>, passed: bool, detail: impl Into<String>) -> Check {
    Check {
        name: name.into(),
        passed,
        detail: detail.into(),
    }
}
