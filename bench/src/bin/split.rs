//! Loses a match node of two tiers in every way while callers ask, and says what its tenant and another one noticed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;
use thenar::model::signature::Dimension;
use thenar_bench::machine::Machine;
use thenar_bench::split::traffic::Rhythm;
use thenar_bench::split::{Bench, Plan};
use thenar_bench::{Failure, exit, progress};

/// Two fronts and two match nodes with a tenant each, all on this machine. One node is killed, paused, cut off and drained, by turns with undisturbed time; fails
/// where anybody is answered wrongly, or the lost tenant is refused without its name and its node's.
#[derive(Debug, Parser)]
#[command(name = "bench/split")]
struct Options {
    /// Palms of each tenant.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Dimension.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Identifications a second of each tenant, at random times (Poisson).
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long each caller waits, from when it is due.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    deadline_ms: u64,
    /// How long the node is lost in a turn, a drain 20 s at most; pings find a node that stands still or is cut off after 10 s.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Turns of each loss.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Folder to work in, on the disk that is meant; a temporary one unless given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let folder = match &options.folder {
        Some(folder) => TempDir::with_prefix_in("thenar-split-", folder)?,
        None => TempDir::with_prefix("thenar-split-")?,
    };
    let folder_path = folder.path().canonicalize()?;
    progress(format!("data in {}", folder_path.display()));
    let plan = Plan {
        rows: options.rows,
        dim: Dimension::new(options.dim)?,
        rhythm: Rhythm {
            rate: f64::from(options.rate),
            deadline: Duration::from_millis(options.deadline_ms),
        },
        length: Duration::from_secs(options.seconds),
        turns: usize::try_from(options.repeats)?,
    };
    let thenar = std::env::current_exe()?.with_file_name("thenar");
    let mut bench = Bench::start(&folder_path, &thenar, plan)?;
    let machine = Machine::this();
    println!(
        "thenar {}; {}, {} cores; 2 tenants of {} palms of {} dimensions, {} calls a second each",
        machine.commit, machine.cpu, machine.cores, options.rows, options.dim, options.rate
    );
    let summary = bench.measure(|outcome| match outcome {
        Ok(lost) => println!("{lost}"),
        Err(skipped) => println!("{:<8} SKIPPED: {}", skipped.loss, skipped.reason),
    })?;
    println!(
        "fronts   {} questions, answered the same by both",
        summary.same_answers
    );
    if options.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    match summary.losses.iter().map(|lost| lost.wrong).sum() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} outcomes that must not be").into()),
    }
}
