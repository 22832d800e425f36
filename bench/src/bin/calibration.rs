//! How strict extrapolated thresholds are, where the truth is known.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use thenar_bench::calibration::{Row, TIMES, measure};
use thenar_bench::{Failure, exit};

/// Draws scores from known distributions, sets thresholds from them as `thenar calibrate` does, and computes how often a false match really is to be expected there.
/// Measures no time, so the machine doesn't matter.
#[derive(Debug, Parser)]
#[command(name = "bench/calibration")]
struct Options {
    /// Scores in a draw.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10_000..=100_000_000))]
    scores: u32,
    /// Draws of each distribution.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    draws: u64,
    /// Seed of the first draw; the others follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// What was asked, and what came out.
#[derive(Serialize)]
struct Report {
    scores: u32,
    draws: u64,
    seed: u64,
    rows: Vec<Row>,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let rows = measure(options.scores, options.draws, options.seed)?;
    if options.json {
        let report = Report {
            scores: options.scores,
            draws: options.draws,
            seed: options.seed,
            rows,
        };
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!("true FMR at the threshold that is set, over the wanted one: median (5 % to 95 % of the draws)");
    let [near, far, farthest] = TIMES.map(|times| format!("{times:.0} times as rare"));
    println!("{:<45}{near:>20}{far:>22}{farthest:>22}", "scores");
    for row in rows {
        print!("{:<45}", row.name);
        for found in row.strictness {
            print!("  {:.2} ({:.2} to {:.2})", found.median, found.low, found.high);
        }
        println!();
    }
    Ok(())
}
