//! Measures the reference encoder on drawn palms: its speed, what its parts are worth, whole hands, and what quality foretells.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serde::Serialize;
use thenar::cli::palm::{PresetOption, train};
use thenar_bench::encoder::accuracy::{self, Accuracy};
use thenar_bench::encoder::hands::{self, Hands};
use thenar_bench::encoder::quality::{self, Tenth};
use thenar_bench::encoder::speed::{self, Speed};
use thenar_bench::encoder::{Plan, table};
use thenar_bench::machine::Machine;
use thenar_bench::{Failure, exit, progress};

/// Measures the reference encoder on drawn palms. Says nothing about real ones.
#[derive(Debug, Parser)]
#[command(name = "bench/encoder")]
struct Options {
    /// Palms of each family.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(2..=8_000))]
    palms: u64,
    /// Captures of each.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=8))]
    samples: u64,
    /// Families; all but the one that is trained on unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    presets: Vec<PresetOption>,
    /// Powers of whitening to learn projections with, beside the one that is built in, for instance 0,0.25,0.5.
    #[arg(long, value_delimiter = ',', value_parser = power)]
    whitening: Vec<f64>,
    /// Palms to learn from where --whitening is given.
    #[arg(long, default_value_t = train::PALMS, value_parser = clap::value_parser!(u64).range(200..=100_000))]
    learn: u64,
    /// Seed of the palms.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// Print one line of JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

/// What was asked, where, and what came out.
#[derive(Serialize)]
struct Report {
    palms: u64,
    samples: u64,
    seed: u64,
    machine: Machine,
    speed: Speed,
    accuracy: Vec<Accuracy>,
    hands: Hands,
    quality: Vec<Tenth>,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let plan = Plan {
        palms: options.palms,
        samples: options.samples,
        seed: options.seed,
    };
    progress("speed, on one thread");
    let speed = speed::measure(plan.seed)?;
    let accuracy = accuracy::measure(plan, &families(options), &options.whitening, options.learn)?;
    progress("whole hands");
    let hands = hands::measure(plan);
    progress("quality");
    let quality = quality::measure(plan)?;
    let report = Report {
        palms: options.palms,
        samples: options.samples,
        seed: options.seed,
        machine: Machine::this(),
        speed,
        accuracy,
        hands,
        quality,
    };
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!(
            "{}",
            table::text(&report.speed, &report.accuracy, &report.hands, &report.quality)
        );
    }
    Ok(())
}

fn families(options: &Options) -> Vec<PresetOption> {
    if options.presets.is_empty() {
        let all = PresetOption::value_variants().iter().copied();
        all.filter(|preset| *preset != PresetOption::Train).collect()
    } else {
        options.presets.clone()
    }
}

fn power(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(power) if (0.0..=0.5).contains(&power) => Ok(power),
        _ => Err("a number from 0 to 0.5 is expected".to_owned()),
    }
}
