//! Many small tenants against one large one with the same rows: bytes and times. Each side runs in a process of its own.

use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use serde::Serialize;
use thenar::engine::{BackendChoice, EngineConfig, Kernel};
use thenar::model::signature::Dimension;
use thenar_bench::gallery::Search;
use thenar_bench::kernel::parse;
use thenar_bench::machine::Machine;
use thenar_bench::tenants::{Measured, Side, measure};
use thenar_bench::{Failure, exit, progress};

/// Spreads of a stranger's score, 1/√D each, that the threshold is at.
const THRESHOLD_SPREADS: f32 = 6.4;

/// Measures many small tenants against one large one that holds the same rows: resident bytes, and the time of a batch of scans.
#[derive(Debug, Parser)]
#[command(name = "bench/tenants")]
struct Options {
    /// Small tenants.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    tenants: u32,
    /// Rows of each; the large tenant has as many as all of them.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    tenant_rows: u32,
    /// Dimension.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Batch sizes, 1 to 1,024. A batch searches as many small tenants.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256])]
    batches: Vec<usize>,
    /// Kernel; the best there is unless given.
    #[arg(long, value_parser = parse)]
    kernel: Option<Kernel>,
    /// Threads; all processors unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Dismiss rows only by proof.
    #[arg(long)]
    deterministic: bool,
    /// Seed of rows and probes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Measure one side alone, in this process.
    #[arg(long, hide = true)]
    side: Option<Which>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Small,
    Large,
}

/// Both sides.
#[derive(Debug, Serialize)]
struct Report {
    tenants: u32,
    tenant_rows: u32,
    dim: usize,
    deterministic: bool,
    machine: Machine,
    /// Bytes of the small ones over those of the large one, by the engine's account.
    resident_ratio: f64,
    /// The same of the processes' memory.
    process_ratio: Option<f64>,
    small: Measured,
    large: Measured,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    if let Some(which) = options.side {
        println!("{}", serde_json::to_string(&one_side(options, which)?)?);
        return Ok(());
    }
    let report = both(options)?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn one_side(options: &Options, which: Which) -> Result<Measured, Failure> {
    let (tenants, rows) = (options.tenants as usize, options.tenant_rows as usize);
    let (galleries, rows) = match which {
        Which::Small => (tenants, rows),
        Which::Large => (1, tenants * rows),
    };
    let dim = Dimension::new(options.dim)?;
    let spreads = f32::from(u16::try_from(options.dim)?).sqrt();
    let side = Side {
        galleries,
        rows,
        dim,
        seed: options.seed,
        search: Search {
            threshold: THRESHOLD_SPREADS / spreads,
            deterministic: options.deterministic,
        },
    };
    let batch_max = options.batches.iter().copied().max().unwrap_or(1);
    let mut config = EngineConfig {
        backend: BackendChoice::Cpu,
        kernel: options.kernel,
        batch_max,
        queue_max: batch_max * 4,
        resident_bytes_max: 1 << 40,
        ..EngineConfig::default()
    };
    if let Some(threads) = options.threads {
        config.threads = threads;
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()?;
    }
    measure(side, config, &options.batches)
}

/// Each side in a process of its own, so that neither is counted with what the other left behind.
fn both(options: &Options) -> Result<Report, Failure> {
    let side = |name: &str| -> Result<Measured, Failure> {
        progress(format!("filling the {name} side"));
        let output = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .args(["--side", name])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("the {name} side ended with {}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let (small, large) = (side("small")?, side("large")?);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let resident_ratio = small.resident_bytes as f64 / large.resident_bytes.max(1) as f64;
    Ok(Report {
        tenants: options.tenants,
        tenant_rows: options.tenant_rows,
        dim: options.dim,
        deterministic: options.deterministic,
        machine: Machine::this(),
        resident_ratio,
        process_ratio: small
            .process_bytes
            .zip(large.process_bytes)
            .map(|(small, large)| small / large),
        small,
        large,
    })
}

fn print(report: &Report) {
    let Report {
        tenants,
        tenant_rows,
        dim,
        machine,
        small,
        large,
        ..
    } = report;
    println!(
        "thenar {}, {}; {}, {} cores",
        machine.commit, small.kernel, machine.cpu, machine.cores
    );
    println!("{tenants} tenants of {tenant_rows} rows against one of the same rows, {dim} dimensions\n");
    println!(
        "resident bytes   {:>14} {:>14}   x {:.4}",
        small.resident_bytes, large.resident_bytes, report.resident_ratio
    );
    if let (Some(a), Some(b), Some(ratio)) = (small.process_bytes, large.process_bytes, report.process_ratio)
    {
        println!("process memory   {a:>14.0} {b:>14.0}   x {ratio:.4}");
    }
    for (a, b) in small.batches.iter().zip(&large.batches) {
        println!(
            "batch {:<10} {:>11.3} ms {:>11.3} ms   mates {} of {}, {} of {}",
            a.batch, a.ms, b.ms, a.mates_found, a.mates, b.mates_found, b.mates
        );
    }
}
