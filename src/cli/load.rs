//! `thenar load`: simulated scanners that ask a running server at times fixed beforehand, and what they get. Aims at what it was told alone.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;

use crate::model::id::TenantId;
use crate::model::signature::Dimension;

use super::error::CliError;
use super::local::{self, Authority, DataOptions};
use super::output;
use super::simulated::mix::Mix;
use super::tenant::dimension;

mod crowd;
mod drive;
mod html;
mod prepare;
mod report;
mod schedule;
mod tally;
mod target;

use crowd::Crowd;
use drive::Timing;
use prepare::Wanted;
use report::{Figures, Report, TenantFigures};
use schedule::{Arrivals, Bursts, Merged};
use tally::Tally;
use target::Target;

/// Most scanners of one tenant.
const SCANNERS_MAX: i64 = 50_000;
/// Open files beside the scanners' connections.
const OTHER_FILES: u64 = 64;
/// From the last preparation to the zero of the arrivals.
const RUN_UP: Duration = Duration::from_millis(100);

/// Options of `load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    of: DataOptions,
    /// Server, <https://host:port>; without it the loopback address that the configuration listens on
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The server's host once more, where it is not this machine
    #[arg(long, value_name = "HOST")]
    yes_aim_at: Option<String>,
    /// Tenant to ask, and its arrivals a second where they are not --rate; may be given again
    #[arg(long = "tenant", value_name = "NAME[=RATE]", required = true)]
    tenants: Vec<TenantRate>,
    /// People who come to a tenant in a second, at random times (Poisson)
    #[arg(long, default_value = "100", value_parser = rate)]
    rate: f64,
    /// Waves besides: so many people at one moment, again and again
    #[arg(long, value_name = "SECONDS:PEOPLE")]
    bursts: Option<Bursts>,
    /// How long they come
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Scanners of each tenant, each with a certificate and a connection of its own
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=SCANNERS_MAX))]
    scanners: u32,
    /// How long somebody waits, from when they came
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    deadline_ms: u64,
    /// Scanners hold back calls while the server refuses many, as well-made clients do
    #[arg(long)]
    throttle: bool,
    /// Share of people who are not enrolled
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    strangers: f64,
    /// Share of people out of a small circle who come again and again
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = share)]
    regulars: f64,
    /// Size of that circle
    #[arg(long, value_name = "PERSONS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    circle: u64,
    /// Make a tenant that is not there, and import so many simulated palms into one that is empty
    #[arg(long, value_name = "PALMS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    enroll: Option<u64>,
    /// Coordinates of a signature of a tenant that is made
    #[arg(long, default_value = "256", value_parser = dimension)]
    dim: Dimension,
    /// Seed of arrivals and captures
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a report with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// End with one JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
}

/// A tenant and its arrivals a second.
#[derive(Debug, Clone, PartialEq)]
struct TenantRate {
    tenant: TenantId,
    rate: Option<f64>,
}

impl FromStr for TenantRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, given) = match text.split_once('=') {
            Some((name, given)) => (name, Some(rate(given)?)),
            None => (text, None),
        };
        let tenant = name.parse::<TenantId>().map_err(|error| error.to_string())?;
        Ok(Self { tenant, rate: given })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, schedule::RATE_MAX)
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 1.0)
}

fn number(text: &str, max: f64) -> Result<f64, String> {
    let value = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=max).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{value} is not from 0 to {max}"))
    }
}

/// Why a run did not end well.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The tenant is unknown.
    #[error("tenant {0} is not there; --enroll PALMS makes it")]
    NoTenant(TenantId),
    /// The tenant is for real palms.
    #[error(
        "tenant {0} is not for simulated palms: its encoder is another one, and load asks no such tenant"
    )]
    NotSimulated(TenantId),
    /// The tenant has no palm.
    #[error("tenant {0} is empty; --enroll PALMS fills it")]
    Empty(TenantId),
    /// The system allows too few open files.
    #[error(
        "--scanners: {wanted} connections need more open files than the {limit} that are allowed; raise RLIMIT_NOFILE (ulimit -n)"
    )]
    Files {
        /// Connections of all tenants.
        wanted: u64,
        /// The limit.
        limit: u64,
    },
    /// Answers that were not right.
    #[error("{wrong} of {answered} answers were wrong")]
    Wrong {
        /// Wrong ones.
        wrong: u64,
        /// All.
        answered: u64,
    },
}

/// Runs it. An error when an answer was wrong; refusals are figures.
pub async fn run(args: Args) -> Result<(), CliError> {
    check(&args)?;
    let (data, listens) = local::listens(&args.of)?;
    let yes = args.yes_aim_at.as_deref();
    let target = match &args.server {
        Some(url) => Target::told(url, yes).await?,
        None => Target::configured(listens, yes)?,
    };
    say(&format!(
        "aiming at {} ({}), nowhere else",
        target.host, target.address
    ));
    let authority = Authority::open(&data)?;
    let (report, all, tenants) = play(&args, &target, &authority).await?;
    output::line(&report.text())?;
    if let Some(path) = &args.html {
        std::fs::write(path, html::page(&report, &all, &tenants))
            .map_err(|error| CliError::file(path, error))?;
    }
    if args.json {
        output::line(&report.json())?;
    }
    match report.all.findings.wrong {
        0 => Ok(()),
        wrong => Err(LoadError::Wrong {
            wrong,
            answered: report.all.answered,
        }
        .into()),
    }
}

fn check(args: &Args) -> Result<(), CliError> {
    if args.strangers + args.regulars > 1.0 {
        return Err(CliError::Usage(format!(
            "--strangers {} and --regulars {} are more than everybody",
            args.strangers, args.regulars
        )));
    }
    let wanted = args.tenants.len() as u64 * u64::from(args.scanners);
    let limit = local::raise_open_files();
    if wanted + OTHER_FILES > limit {
        return Err(LoadError::Files { wanted, limit }.into());
    }
    Ok(())
}

/// Prepares, sends and counts: the report, the tally of all, and that of each tenant.
async fn play(
    args: &Args,
    target: &Target,
    authority: &Authority,
) -> Result<(Report, Tally, Vec<Tally>), CliError> {
    let length = Duration::from_secs(args.seconds);
    let deadline = Duration::from_millis(args.deadline_ms);
    let wanted = args.enroll.map(|palms| Wanted { palms, dim: args.dim });
    let mix = Mix {
        strangers: args.strangers,
        regulars: args.regulars,
        circle: args.circle,
    };
    let (mut crowds, mut sources, mut palms) = (Vec::new(), Vec::new(), Vec::new());
    for (number, TenantRate { tenant, rate }) in (0..).zip(&args.tenants) {
        let gallery = prepare::run(target, authority, tenant, wanted).await?;
        let seed = args.seed.wrapping_mul(1_000).wrapping_add(number);
        let arrivals = || Arrivals::new(seed, rate.unwrap_or(args.rate), args.bursts, length);
        let scanners = crowd::connect(target, authority, tenant, args.scanners).await?;
        let expected = arrivals().take(crowd::CAPTURES_MAX).count();
        crowds.push(Crowd::new(&gallery, mix, seed, expected, scanners, args.throttle).await?);
        sources.push(arrivals());
        palms.push(gallery.palms);
    }
    say(&format!(
        "{} scanners a tenant, {} s",
        args.scanners, args.seconds
    ));
    let tallies: Arc<[Mutex<Tally>]> = crowds
        .iter()
        .map(|_| Mutex::new(Tally::new(length + deadline)))
        .collect();
    let timing = Timing {
        begin: Instant::now() + RUN_UP,
        deadline,
    };
    let call = move |tenant: usize, give_up| {
        let crowd = crowds.get_mut(tenant).expect("arrivals are of these tenants");
        crowd.next(give_up)
    };
    drive::run(timing, Merged::new(sources), Arc::clone(&tallies), call).await;

    let tallies: Vec<Tally> = tallies.iter().map(|tally| tally.lock().clone()).collect();
    let (report, all) = reported(args, target, &palms, &tallies);
    Ok((report, all, tallies))
}

/// The report and the tally of all, from the palms and the tally of each tenant.
fn reported(args: &Args, target: &Target, palms: &[u64], tallies: &[Tally]) -> (Report, Tally) {
    let length = Duration::from_secs(args.seconds);
    let mut all = Tally::new(length + Duration::from_millis(args.deadline_ms));
    let mut tenants = Vec::new();
    for ((TenantRate { tenant, .. }, palms), tally) in args.tenants.iter().zip(palms).zip(tallies) {
        all.add(tally);
        tenants.push(TenantFigures {
            tenant: tenant.to_string(),
            palms: *palms,
            figures: Figures::of(tally, length),
        });
    }
    let figures = Figures::of(&all, length);
    let late_p99_ms = report::quantile_ms(&all.late_us, 0.99);
    let report = Report {
        server: format!("{} ({})", target.host, target.address),
        seconds: length.as_secs_f64(),
        scanners: args.scanners,
        deadline_ms: args.deadline_ms,
        late: Report::is_late(late_p99_ms, &figures),
        late_p99_ms,
        all: figures,
        tenants,
        refusal: all.refusal.clone(),
    };
    (report, all)
}

/// Tells the person who watches what comes next.
fn say(text: &str) {
    eprintln!("· {text}");
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
