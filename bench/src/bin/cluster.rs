//! Hits the parts of a real cluster while it is used, and holds its answers against what it acknowledged. Its exit code is 0 only when no promise was broken.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;
use thenar_bench::cluster::deployment::Size;
use thenar_bench::cluster::grow::grow;
use thenar_bench::cluster::load::Demand;
use thenar_bench::cluster::programs::Lacking;
use thenar_bench::cluster::run::{Plan, run};
use thenar_bench::cluster::scale::{Extent, scale};
use thenar_bench::{Failure, exit, progress, seed_by_clock};

/// The exit code where a program is not installed that the bench needs.
const LACKING: u8 = 3;

/// Starts PostgreSQL, an S3 server (moto), match nodes and fronts on this machine. While callers of two tenants enrol, identify and erase through all fronts, nodes and
/// fronts are killed, stopped, drained, cut off and slowed down, and database and store go away or answer badly, at random. Everybody acknowledged has to be found at once and at the end, nobody erased may be.
#[derive(Debug, Parser)]
#[command(name = "bench/cluster")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Options {
    /// How long faults go on; repairs and the search for everybody come on top.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
    /// Seed of palms and chance; from the clock unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Match nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// Fronts.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    fronts: u8,
    /// Nodes that own each part.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    replicas: u8,
    /// Callers who enrol and erase.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    workers: u16,
    /// Subjects of each of them, about.
    #[arg(long, default_value_t = 100)]
    subjects: usize,
    /// Rest of each of them between two writes.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    write_rest_ms: u64,
    /// Identifications a second of all others together.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long a caller waits, the retry through another front included.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    deadline_ms: u64,
    /// Rows that make a segment.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    flush_rows: u32,
    /// Limit of each node's copies of segments; the gallery may be larger. Without it the server's default.
    #[arg(long, value_name = "MIB")]
    cache_mib: Option<u32>,
    /// A directory in the place of the S3 server.
    #[arg(long)]
    directory_store: bool,
    /// No cluster: one match node and its front, over the same database and store, to try the bench itself. With --nodes 1 --fronts 1.
    #[arg(long)]
    alone: bool,
    /// Hit as many nodes at once as there are, not only as many as parts can do without.
    #[arg(long)]
    all_faults: bool,
    /// A fault by its name in the report, "node slow" say: only those that are named happen.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The program of another version: it migrates the tables, and each process that starts anew is started by the one of both that it was not.
    #[arg(long, value_name = "PROGRAM")]
    next: Option<PathBuf>,
    /// No faults: two nodes are joined by a third one, and what it takes over is told.
    #[arg(long, conflicts_with_all = ["alone", "all_faults", "only"])]
    grow: bool,
    /// No faults: throughput with one node, two and so on up to --nodes, each on a core of its own, and without a cluster; --seconds for each figure.
    #[arg(long, conflicts_with_all = ["alone", "all_faults", "only", "grow"])]
    scale: bool,
    /// Cores that each node may use with --scale, 0.2 say, by a quota of the system (needs root), in the place of one of the machine's: so fewer cores show how throughput grows.
    #[arg(long, value_name = "CORES", requires = "scale", value_parser = cores)]
    node_cores: Option<f64>,
    /// Rows of an import, and so of a segment, with --scale; sixteen segments are placed together.
    #[arg(long, value_name = "ROWS", requires = "scale", default_value_t = 65_536, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    import_rows: u64,
    /// Tenants with --scale, of equal size and asked in turn, each of which is on few nodes.
    #[arg(long, requires = "scale", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=24))]
    tenants: u8,
    /// Callers at once with --scale, where as much as possible is asked.
    #[arg(long, requires = "scale", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    callers: u16,
    /// Palms of both tenants together with --grow, as many as --flush-rows says in each segment; of all together with --scale.
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(2..))]
    palms: u64,
    /// Filter of the servers' logs.
    #[arg(long, default_value = "info")]
    log: String,
    /// Folder to work in; a temporary one unless given. It is kept when the run fails.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The server's program; the one beside this one unless given.
    #[arg(long, hide = true)]
    server: Option<PathBuf>,
}

fn main() -> ExitCode {
    match go(&Options::parse()) {
        Err(failure) if failure.is::<Lacking>() => {
            eprintln!("error: {failure}");
            ExitCode::from(LACKING)
        }
        outcome => exit(outcome),
    }
}

fn go(options: &Options) -> Result<(), Failure> {
    let folder = match &options.folder {
        // As long as it lives, nothing else is named like it.
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            TempDir::with_prefix_in("cluster-", folder)?
        }
        None => TempDir::with_prefix("thenar-cluster-")?,
    };
    let outcome = cluster(options, &folder.path().canonicalize()?);
    if outcome.as_ref().is_err_and(|failure| !failure.is::<Lacking>()) {
        let kept = folder.keep();
        progress(format!(
            "data, logs and configurations are kept in {}",
            kept.display()
        ));
    }
    outcome
}

fn cluster(options: &Options, folder: &Path) -> Result<(), Failure> {
    let server = options.server.clone();
    let server = server.map_or_else(|| beside("thenar"), Ok)?;
    let plan = plan(options);
    progress(format!("data in {}", folder.display()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // By this thread, which ends last: processes end with the one that starts them.
    if options.grow {
        let size = Size {
            nodes: 2,
            ..plan.size
        };
        let grown = grow(folder, &server, size, options.palms, plan.seed);
        let report = runtime.block_on(grown)?;
        return tell(options, &report.table(), &report, report.fault());
    }
    if options.scale {
        let at = (folder, server.as_path());
        let extent = Extent {
            palms: options.palms,
            tenants: options.tenants.into(),
            import_rows: options.import_rows,
            callers: options.callers.into(),
            length: plan.length,
            seed: plan.seed,
        };
        let scaled = scale(at, &plan.size, extent);
        let report = runtime.block_on(scaled)?;
        return tell(options, &report.table(), &report, report.fault());
    }
    let report = runtime.block_on(run(folder, &server, &plan))?;
    tell(options, &report.table(), &report, report.fault())
}

fn tell(
    options: &Options,
    table: &str,
    report: &impl serde::Serialize,
    fault: Option<String>,
) -> Result<(), Failure> {
    print!("{table}");
    if options.json {
        println!("{}", serde_json::to_string(report)?);
    }
    fault.map_or(Ok(()), |fault| Err(fault.into()))
}

fn plan(options: &Options) -> Plan {
    Plan {
        size: Size {
            nodes: options.nodes.into(),
            fronts: options.fronts.into(),
            replicas: options.replicas.into(),
            flush_rows: options.flush_rows,
            merges: !options.grow && !options.scale,
            cache_mib: options.cache_mib,
            is_directory_store: options.directory_store,
            is_alone: options.alone,
            is_wired: !options.grow && !options.scale,
            is_pinned: false,
            node_cores: options.node_cores,
            log: options.log.clone(),
            next: options.next.clone(),
        },
        demand: Demand {
            workers: options.workers.into(),
            living_max: options.subjects,
            write_rest: Duration::from_millis(options.write_rest_ms),
            rate: options.rate,
            deadline: Duration::from_millis(options.deadline_ms),
        },
        length: Duration::from_secs(options.seconds),
        all_faults: options.all_faults,
        only: options.only.clone(),
        seed: options.seed.unwrap_or_else(seed_by_clock),
    }
}

fn cores(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(cores) if (0.1..=64.0).contains(&cores) => Ok(cores),
        _ => Err("a number from 0.1 to 64".to_owned()),
    }
}

fn beside(name: &str) -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
