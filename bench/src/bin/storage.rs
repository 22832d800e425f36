//! Measures how fast a real server makes enrolments and imports durable and how fast it comes back, beside the disk's own fsync.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tempfile::TempDir;
use thenar_bench::live::child::Site;
use thenar_bench::machine::Machine;
use thenar_bench::storage::{Measured, Plan, measure};
use thenar_bench::{Failure, exit, progress};

/// Measures durable enrolments and an import through gRPC with TLS, and starts, of a server on this machine; callers share its cores.
#[derive(Debug, Parser)]
#[command(name = "bench/storage")]
struct Options {
    /// Rows of the import.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Dimension.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Callers that enrol at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    callers: u64,
    /// Connections that they share.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// How long they enrol.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Seed of the palms.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to work in, on the disk that is meant; a temporary one unless given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print one line of JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// What was asked, where, and what came out.
#[derive(Serialize)]
struct Report {
    rows: u64,
    dim: usize,
    callers: u64,
    connections: u64,
    machine: Machine,
    #[serde(flatten)]
    measured: Measured,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let folder = match &options.folder {
        Some(folder) => TempDir::with_prefix_in("thenar-storage-", folder)?,
        None => TempDir::with_prefix("thenar-storage-")?,
    };
    let server = std::env::current_exe()?.with_file_name("thenar");
    let site = Site::make(folder.path(), &server)?;
    progress(format!("data in {}", site.data().display()));
    let plan = Plan {
        rows: options.rows,
        dim: options.dim,
        callers: options.callers,
        connections: options.connections,
        length: Duration::from_secs(options.seconds),
        seed: options.seed,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = Report {
        rows: options.rows,
        dim: options.dim,
        callers: options.callers,
        connections: options.connections,
        machine: Machine::this(),
        measured: runtime.block_on(measure(&site, folder.path(), plan))?,
    };
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Report) {
    let found = &report.measured;
    println!("{} x {}, {} cores", report.rows, report.dim, report.machine.cores);
    println!("fsync of a page           {:>12.3} ms", found.sync.ms);
    println!(
        "one enrolment alone       {:>12.3} ms     {:.2} fsyncs",
        found.lone_enrolment.ms, found.lone_ratio
    );
    println!(
        "enrolments, {:>4} callers  {:>12.0} a second, {:.1} a time of an fsync",
        report.callers, found.enrolments_per_second, found.enrolments_a_sync
    );
    println!(
        "import                    {:>12.0} rows a second, {:.2} s",
        found.import_rows_per_second, found.import_seconds
    );
    println!("start, no rows            {:>12.1} ms", found.ready_empty.ms);
    println!(
        "start, {:>9} rows     {:>12.1} ms, {:.0} rows a second and core",
        found.ready_rows, found.ready.ms, found.ready_rows_per_second_core
    );
    println!("the same after a kill     {:>12.1} ms", found.ready_after_kill.ms);
}
