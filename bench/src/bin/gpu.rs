//! Measures the engine on a GPU by gallery, dimension and batch, after its own tests have passed there. Needs no Rust, no registry.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use thenar_bench::gpu::{Plan, run};
use thenar_bench::{Failure, exit};

/// Runs the GPU tests, then the engine on the GPU by rows, dimension and batch size, then PyTorch beside it, and writes one JSON file.
///
/// The file is written anew after each step, so that a run that is cut short leaves what it had.
#[derive(Debug, Parser)]
#[command(name = "bench/gpu --run")]
struct Options {
    /// Where the results go.
    #[arg(long)]
    out: PathBuf,
    /// The library's test program; without it no test is run.
    #[arg(long)]
    tests: Option<PathBuf>,
    /// The program that measures PyTorch; without it PyTorch is not measured.
    #[arg(long)]
    torch: Option<PathBuf>,
    /// Python that may have PyTorch.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Rows of the galleries.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000, 10_000_000, 100_000_000])]
    rows: Vec<usize>,
    /// Dimensions.
    #[arg(long, value_delimiter = ',', default_values_t = [128, 256])]
    dims: Vec<usize>,
    /// Batch sizes, 1 to 1,024.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256, 1_024])]
    batches: Vec<usize>,
    /// Time of one measurement, in milliseconds; it is made five times at least.
    #[arg(long, default_value_t = 500)]
    budget_ms: u64,
    /// Seed of rows and probes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    exit(start(Options::parse()))
}

fn start(mut options: Options) -> Result<(), Failure> {
    if options.batches.contains(&0) || options.rows.contains(&0) {
        return Err("--rows and --batches: 1 at least".into());
    }
    options.rows.sort_unstable();
    run(&Plan {
        out: options.out,
        tests: options.tests,
        torch: options.torch,
        python: options.python,
        rows: options.rows,
        dims: options.dims,
        batches: options.batches,
        budget_ms: options.budget_ms,
        seed: options.seed,
    })
}
