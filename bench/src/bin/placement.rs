//! Who would hold what in a large cluster, what moves when nodes come and go, what reaches the catalog, and where the design stops.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use serde::Serialize;
use thenar::cluster::placement::REPLICAS_MAX;
use thenar::model::signature::Dimension;
use thenar_bench::machine::Machine;
use thenar_bench::placement::catalog::Traffic;
use thenar_bench::placement::moves::Change;
use thenar_bench::placement::placed::Load;
use thenar_bench::placement::stops::Whose;
use thenar_bench::placement::{Bytes, Plan, Report, Weights, run};
use thenar_bench::{Failure, exit};

/// Places the galleries of a large cluster by the code that its nodes would use, and computes how evenly they lie, what moves when nodes come and go, how often
/// the catalog is asked, and where the design stops. Measures no time, so the machine doesn't matter.
#[derive(Debug, Parser)]
#[command(name = "bench/placement")]
struct Options {
    /// Nodes.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    nodes: u32,
    /// Palms of all tenants.
    #[arg(long, default_value_t = 10_000_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    palms: u64,
    /// Dimension.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Nodes that own each part.
    #[arg(long, default_value_t = 2, value_parser = replicas)]
    replicas: usize,
    /// Segments of 65,536 palms that are placed as a whole.
    #[arg(long, default_value_t = NonZeroU32::new(16).expect("not 0"))]
    group_segments: NonZeroU32,
    /// Tenants.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tenants: u32,
    /// How unequal they are: the tenant of rank n has 1/n to this power of what the first has.
    #[arg(long, default_value_t = 1.0, value_parser = skew)]
    skew: f64,
    /// How nodes differ in memory, and so in weight.
    #[arg(long, value_enum, default_value_t = Weights::Equal)]
    weights: Weights,
    /// Codes that a node may hold (its memory, or what it scans in time); the smallest one where they differ.
    #[arg(long, value_name = "GIB", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    node_gib: u32,
    /// Nodes that come.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=96))]
    joins: u32,
    /// Nodes that go.
    #[arg(long, default_value_t = 1)]
    leaves: u32,
    /// Rounds in which weights are corrected by load.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=6))]
    corrections: u32,
    /// Fronts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    fronts: u32,
    /// Identifications a second of all tenants.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    identifications: u32,
    /// Milliseconds that one query of the catalog takes.
    #[arg(long, value_name = "MS", default_value_t = 2.0, value_parser = milliseconds)]
    head_ms: f64,
    /// Print one line of JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

fn replicas(text: &str) -> Result<usize, String> {
    within(text, &(1..=REPLICAS_MAX))
}

fn skew(text: &str) -> Result<f64, String> {
    within(text, &(0.0..=4.0))
}

fn milliseconds(text: &str) -> Result<f64, String> {
    within(text, &(0.01..=10_000.0))
}

fn within<T: FromStr + PartialOrd + Display>(text: &str, range: &RangeInclusive<T>) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{text} is not a number from {} to {}", range.start(), range.end()))
}

#[derive(Debug, Serialize)]
struct Output<'a> {
    machine: Machine,
    plan: &'a Plan,
    traffic: Traffic,
    #[serde(flatten)]
    report: &'a Report,
}

fn main() -> ExitCode {
    exit(placement(&Options::parse()))
}

fn placement(options: &Options) -> Result<(), Failure> {
    let plan = Plan {
        nodes: options.nodes,
        weights: options.weights,
        node_gib: options.node_gib,
        palms: options.palms,
        tenants: options.tenants,
        skew: options.skew,
        dim: Dimension::new(options.dim)?,
        group_segments: options.group_segments,
        replicas: options.replicas,
        joins: options.joins,
        leaves: options.leaves,
        corrections: options.corrections,
    };
    let traffic = Traffic {
        fronts: options.fronts,
        identifications: f64::from(options.identifications),
        head_ms: options.head_ms,
    };
    let report = run(&plan, traffic)?;
    let machine = Machine::this();
    if options.json {
        let output = Output {
            machine,
            plan: &plan,
            traffic,
            report: &report,
        };
        println!("{}", serde_json::to_string(&output)?);
    } else {
        println!("thenar {}", machine.commit);
        print_plan(&plan);
        print_moves(&report);
        print_catalog(&report, traffic);
        print_stops(&report);
    }
    Ok(())
}

fn print_plan(plan: &Plan) {
    let nodes = match plan.weights {
        Weights::Equal => format!("{} nodes of {} GiB", plan.nodes, plan.node_gib),
        Weights::OneTwoFour => {
            let gib = plan.node_gib;
            format!(
                "{} nodes of {gib}, {} and {} GiB by turns",
                plan.nodes,
                gib * 2,
                gib * 4
            )
        }
    };
    println!(
        "{nodes}; {} palms of {} dimensions in {} tenants, skew {}; {} replicas, {} segments a group\n",
        plan.palms,
        plan.dim.get(),
        plan.tenants,
        plan.skew,
        plan.replicas,
        plan.group_segments
    );
}

fn print_moves(report: &Report) {
    println!("parts                  {}", report.parts);
    println!("load over fair share   {}", load(report.load));
    println!("a node, mean           {}", bytes(report.mean));
    println!("a node, the fullest    {}", bytes(report.fullest));
    println!(
        "nodes asked            {:.1} in the mean over palms, {} by the largest tenant",
        report.asked.mean, report.asked.max
    );
    for (name, change) in [("come", report.join), ("go", report.leave)] {
        if let Some(change) = change {
            println!("nodes {name:<16} {}", moved(change));
        }
    }
    for (round, correction) in (1..).zip(&report.corrections) {
        println!(
            "correction {round}           {}, moved {:.2} %",
            load(correction.load),
            correction.moved * 100.0
        );
    }
}

fn print_catalog(report: &Report, traffic: Traffic) {
    let catalog = report.catalog;
    println!(
        "\ncatalog, at {} identifications a second through {} fronts, {} ms a query",
        traffic.identifications, traffic.fronts, traffic.head_ms
    );
    println!("queries a second       {:.0}", catalog.queries);
    println!(
        "of these               {:.0} heads, 3 for each of {:.0} groups of uses, {:.0} beats, {:.0} polls",
        catalog.heads, catalog.uses, catalog.beats, catalog.polls
    );
    println!(
        "size                   {:.2} TiB without history",
        tib(catalog.bytes)
    );
}

fn print_stops(report: &Report) {
    println!("\nwhere it stops");
    for stop in &report.stops {
        let whose = match stop.of {
            Whose::AllTenants => "of all tenants",
            Whose::OneTenant => "of one tenant",
        };
        let at = match stop.at {
            Some(at) => format!("from {at} palms {whose} on"),
            None => "never".to_owned(),
        };
        let reached = if stop.reached { ": reached" } else { "" };
        println!("{:<50} {at}{reached}", stop.limit);
    }
}

fn load(load: Load) -> String {
    format!(
        "deviation {:.1} %, p99 {:.2}, max {:.2}",
        load.deviation * 100.0,
        load.p99,
        load.max
    )
}

fn bytes(bytes: Bytes) -> String {
    format!(
        "codes {:.2} GiB, files {:.2} GiB",
        gib(bytes.codes),
        gib(bytes.files)
    )
}

fn moved(change: Change) -> String {
    format!(
        "moved {:.4} % of all copies, needed {:.4} %, fair {:.4} %: {}",
        change.moved * 100.0,
        change.needed * 100.0,
        change.fair * 100.0,
        bytes(change.bytes)
    )
}

#[expect(clippy::cast_precision_loss, reason = "printed with few digits")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / 1_073_741_824.0
}

fn tib(bytes: u64) -> f64 {
    gib(bytes) / 1_024.0
}
