//! Measures what hostile clients cost the others: a server with a filled tenant, good clients, and one attack after the other.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;
use thenar::model::signature::Dimension;
use thenar::server::raise_open_files;
use thenar_bench::hostile::attack::{Attack, Strength};
use thenar_bench::hostile::{Arena, Figures, Plan, Report};
use thenar_bench::live::child::Site;
use thenar_bench::machine::Machine;
use thenar_bench::served::{self, Bench};
use thenar_bench::{Failure, exit, progress};

/// Open files beside the connections that rest.
const OTHER_FILES: u64 = 2_048;

/// Measures good clients by turns without and beside slow, idle, broken and greedy ones, on the cores that all of them share with the server.
#[derive(Debug, Parser)]
#[command(name = "bench/hostile")]
struct Options {
    /// Palms of the tenant.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Dimension.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Good clients, each with a connection of its own.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    scanners: u32,
    /// People a second who come to them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Length of a turn. Attacks that are ended by the server's limits of 10 s need more than that.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Turns of each kind that medians are of.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Connections that rest.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    idle: u32,
    /// Broken handshakes a second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    broken: u32,
    /// Calls a second of one certificate, whose quota is 200.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000))]
    flood: u32,
    /// This attack alone; may be given again.
    #[arg(long, value_parser = attack)]
    only: Vec<Attack>,
    /// Folder to work in, on the disk that is meant; a temporary one unless given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
}

fn attack(name: &str) -> Result<Attack, String> {
    let found = Attack::ALL.into_iter().find(|attack| attack.name() == name);
    found.ok_or_else(|| format!("one of {}", Attack::ALL.map(Attack::name).join(", ")))
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let (wanted, limit) = (u64::from(options.idle) + OTHER_FILES, raise_open_files());
    if limit < wanted {
        return Err(format!(
            "--idle {}: driver and server each need {wanted} open files, and {limit} are allowed; raise the hard RLIMIT_NOFILE (ulimit -Hn) or ask for fewer",
            options.idle
        )
        .into());
    }
    let folder = match &options.folder {
        Some(folder) => TempDir::with_prefix_in("thenar-hostile-", folder)?,
        None => TempDir::with_prefix("thenar-hostile-")?,
    };
    let thenar = std::env::current_exe()?.with_file_name("thenar");
    let site = Site::make(folder.path(), &thenar)?;
    progress(format!("data in {}", site.data().display()));
    let length = Duration::from_secs(options.seconds);
    let tenant = served::Plan {
        rows: options.rows,
        dim: Dimension::new(options.dim)?,
        in_flight: 1,
        connections: 1,
        length,
        lone: 1,
        turns: 1,
    };
    // The server's defaults, its log included.
    let bench = Bench::start_with(site, tenant, "")?;
    let plan = Plan {
        scanners: usize::try_from(options.scanners)?,
        rate: f64::from(options.rate),
        length,
        turns: usize::try_from(options.repeats)?,
        strength: Strength {
            idle: usize::try_from(options.idle)?,
            broken: options.broken,
            flood: options.flood,
        },
    };
    let arena = Arena::new(&bench, plan, folder.path())?;
    let machine = Machine::this();
    println!(
        "thenar {}; {}, {} cores; {} palms of {} dimensions, {} people a second to {} scanners; turns of {} s",
        machine.commit,
        machine.cpu,
        machine.cores,
        options.rows,
        options.dim,
        options.rate,
        options.scanners,
        options.seconds
    );
    let chosen = |attack: &Attack| options.only.is_empty() || options.only.contains(attack);
    let mut all = Vec::new();
    for attack in Attack::ALL.into_iter().filter(chosen) {
        let figures = arena.measure(attack)?;
        print(&figures, options.idle);
        all.push(figures);
    }
    let report = Report::new(all);
    println!("worst         p99 {:.2} times that without", report.worst);
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

fn print(figures: &Figures, idle: u32) {
    println!(
        "{:<18} p50 {:.2} -> {:.2} ms, p99 {:.2} -> {:.2} ms: {:.2} times; a newcomer's first answer {:.1} -> {:.1} ms; {} without an answer",
        figures.name,
        figures.quiet_p50_ms,
        figures.hostile_p50_ms,
        figures.quiet_p99_ms,
        figures.hostile_p99_ms,
        figures.ratio,
        figures.newcomer_quiet_ms,
        figures.newcomer_hostile_ms,
        figures.failed
    );
    println!(
        "  processors: the server {:.2} -> {:.2}, the attackers {:.2}; logged {:.0} KiB a turn; {:?}",
        figures.server_quiet_cores,
        figures.server_hostile_cores,
        figures.attackers_cores,
        figures.log_bytes / 1024.0,
        figures.took_place
    );
    if figures.name == Attack::IdleManyCallers.name() {
        println!(
            "  memory: {:.1} KiB a connection",
            figures.server_bytes / 1024.0 / f64::from(idle)
        );
    }
    if let Some(why) = &figures.why {
        println!("  the first without an answer: {why}");
    }
}
