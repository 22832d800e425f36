//! Measures what of the engine's throughput arrives through gRPC with TLS, and the latency of one identification on an idle server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;
use thenar::model::signature::Dimension;
use thenar_bench::live::child::Site;
use thenar_bench::machine::Machine;
use thenar_bench::served::alone::BATCH_MAX;
use thenar_bench::served::open::Open;
use thenar_bench::served::{Bench, Measured, Plan, Summary};
use thenar_bench::{Failure, cores, exit, progress};

/// Measures a server on this machine through gRPC with TLS, and the engine alone on the same gallery in the same run; callers share its cores unless they are kept apart.
#[derive(Debug, Parser)]
#[command(name = "bench/served")]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
struct Options {
    /// Palms of the tenant.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Dimension.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Calls kept unanswered at saturation.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: u32,
    /// Connections that they share.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How long each side is kept busy in a turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Lone identifications in a turn, by turns with the engine alone.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    lone: u32,
    /// Turns that medians are of.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Also ask for 1, 2 and 5 times what was answered at saturation, by callers who don't heed refusals and by such as hold calls back.
    #[arg(long)]
    overload: bool,
    /// Also have nine tenants asked beside one that asks for ten times its share; each has a tenth of the palms.
    #[arg(long)]
    fairness: bool,
    /// How long a caller waits in these two.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    deadline_ms: u64,
    /// Give the server half of the cores to itself, and the engine alone and the callers the other half.
    #[arg(long)]
    apart: bool,
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
    // Before any other thread is there.
    let apart = options.apart.then(cores::leave_half).transpose()?;
    let folder = match &options.folder {
        Some(folder) => TempDir::with_prefix_in("thenar-served-", folder)?,
        None => TempDir::with_prefix("thenar-served-")?,
    };
    let thenar = std::env::current_exe()?.with_file_name("thenar");
    let mut site = Site::make(folder.path(), &thenar)?;
    if let Some(command) = apart {
        site.run_within(command);
    }
    progress(format!("data in {}", site.data().display()));
    let plan = Plan {
        rows: options.rows,
        dim: Dimension::new(options.dim)?,
        in_flight: usize::try_from(options.in_flight)?,
        connections: usize::try_from(options.connections)?,
        length: Duration::from_secs(options.seconds),
        lone: usize::try_from(options.lone)?,
        turns: usize::try_from(options.repeats)?,
    };
    let bench = Bench::start(site, plan)?;
    let measured = bench.measure()?;
    print(options, &measured);
    let open = Open {
        bench: &bench,
        thenar: &thenar,
        length: plan.length,
        deadline: Duration::from_millis(options.deadline_ms),
        peak: measured.served_per_s,
        cpu_ms: measured.cpu_ms,
    };
    if options.overload {
        open.overload()?;
    }
    if options.fairness {
        open.fairness((options.rows / 10).max(1))?;
    }
    if options.json {
        println!("{}", serde_json::to_string(&Summary::from(&measured))?);
    }
    Ok(())
}

fn print(options: &Options, measured: &Measured) {
    let machine = Machine::this();
    println!(
        "thenar {}; {}, {} cores{}; {} palms of {} dimensions",
        machine.commit,
        machine.cpu,
        machine.cores,
        if options.apart { " a side" } else { "" },
        options.rows,
        options.dim
    );
    println!(
        "engine alone  {:>8.0} identifications a second in batches of {:.0}; {:.0} in batches of {BATCH_MAX}",
        measured.engine_per_s, measured.batch, measured.engine_full_per_s
    );
    println!(
        "served        {:>8.0} a second, {} in flight on {} connections: {:.3} of that ({:.3} of the latter); {:.2} ms of the server's processor time each",
        measured.served_per_s,
        options.in_flight,
        options.connections,
        measured.share,
        measured.served_per_s / measured.engine_full_per_s,
        measured.cpu_ms
    );
    println!(
        "one at a time  engine p50 {:.2} ms, p99 {:.2} ms; served p50 {:.2} ms, p99 {:.2} ms: {:.2} ms more",
        measured.engine_p50_ms,
        measured.engine_p99_ms,
        measured.p50_ms,
        measured.p99_ms,
        measured.p99_ms - measured.engine_p99_ms
    );
    println!(
        "there and back p50 {:.2} ms, p99 {:.2} ms: a call without a probe, refused once it is read",
        measured.refused_p50_ms, measured.refused_p99_ms
    );
}
