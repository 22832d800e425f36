//! Kills a real server again and again, makes its disk fail, and audits what it acknowledged. Its exit code is 0 only when nothing was lost, brought back or crossed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;
use thenar_bench::live::child::Site;
use thenar_bench::torture::faults::Control;
use thenar_bench::torture::power::Power;
use thenar_bench::torture::run::{Plan, Run};
use thenar_bench::{Failure, exit, progress, seed_by_clock};

/// The library that makes calls fail, beside this program.
const LIBRARY: &str = "libthenar_faults.so";

/// Kills a real server at random points while many callers enrol, identify, verify, import and erase; makes its writes fail; and holds what
/// it then answers against a model of what it had acknowledged.
#[derive(Debug, Parser)]
#[command(name = "bench/torture")]
struct Options {
    /// How long, without the audits at the end.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Print one line of JSON after the table.
    #[arg(long)]
    json: bool,
    /// Seed of palms and chance; from the clock unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Subjects of a tenant, about.
    #[arg(long, default_value_t = 1_000)]
    subjects: usize,
    /// Subjects that an audit looks at beside those that changed.
    #[arg(long, default_value_t = 20)]
    sample: usize,
    /// Folder to work in; a temporary one unless given. It is kept when a promise was broken.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The server's program; the one beside this one unless given.
    #[arg(long, hide = true)]
    server: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(seed_by_clock);
    let folder = match &options.folder {
        // As long as it lives, nothing else is named like it.
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            TempDir::with_prefix_in("torture-", folder)?
        }
        None => TempDir::with_prefix("thenar-torture-")?,
    };
    let outcome = torture(options, seed, folder.path());
    if outcome.is_err() {
        let kept = folder.keep();
        progress(format!(
            "data directory, log and configuration are kept in {}",
            kept.display()
        ));
    }
    outcome
}

fn torture(options: &Options, seed: u64, folder: &Path) -> Result<(), Failure> {
    let beside = std::env::current_exe()?;
    let beside = |name: &str| beside.with_file_name(name);
    let server = options.server.clone().unwrap_or_else(|| beside("thenar"));
    let mut site = Site::make(folder, &server)?;
    let control = Control::create(&mut site, &folder.join("control"), &beside(LIBRARY))?;
    let power = Power::create(&mut site, &folder.join("notes"))?;
    progress(format!(
        "seed {seed}, {} s, data in {}",
        options.seconds,
        site.data().display()
    ));
    let plan = Plan {
        length: Duration::from_secs(options.seconds),
        seed,
        living_max: options.subjects,
        sample: options.sample,
    };
    let mut run = Run::new(&site, (&control, &power), plan)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(run.go());
    let report = run.tally().report(run.driven());
    print!("{}", report.table());
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    ended?;
    if report.faults == 0 {
        return Err("no call was made to fail: the library was not loaded, or the time is too short".into());
    }
    if report.is_clean() {
        Ok(())
    } else {
        Err("the server broke a promise; the lines that begin with VIOLATION say which".into())
    }
}
