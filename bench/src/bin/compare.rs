//! Measures thenar and its peers on one gallery in one run, and compares their answers. Keeps no result: it prints them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use thenar::engine::{BackendChoice, Engine, EngineConfig, Kernel, LockMemory};
use thenar::model::signature::Dimension;
use thenar_bench::contest::Contest;
use thenar_bench::gallery::{Search, Searched};
use thenar_bench::kernel::{parse, peer_level};
use thenar_bench::machine::Machine;
use thenar_bench::peers::{self, Peers, Ready, Setup};
use thenar_bench::report::Report;
use thenar_bench::rows::{Probe, Rows, as_u64};
use thenar_bench::timing::Flush;
use thenar_bench::{Failure, exit, npy, progress};

/// Forces thenar's kernel where no option does.
const KERNEL_VARIABLE: &str = "THENAR_KERNEL";
/// Probes that are made at least; repeats go through them in turn.
const PROBES_MIN: usize = 4_096;
/// As many batches of the largest size are made at least.
const BATCHES_MIN: usize = 16;
/// Spreads of a stranger's score, 1/√D each, that the threshold is at.
const THRESHOLD_SPREADS: f32 = 6.4;

/// Measures thenar's engine and its peers on the same gallery and the same probes.
///
/// A time is that of a whole batch, from the probes to the best row of each: the preparation of the probes, the coarse stages and the
/// exact score of every survivor.
#[derive(Debug, Parser)]
#[command(name = "bench/compare")]
struct Options {
    /// Rows of the gallery.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,
    /// Dimension.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Batch sizes, 1 to 1,024.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    batches: Vec<usize>,
    /// Kernel of thenar; Faiss and OpenBLAS are held to the same instruction set. The best there is unless given.
    #[arg(long, value_parser = parse)]
    kernel: Option<Kernel>,
    /// Threads of everybody; all processors unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Peers: some of flat, pq, rabitq, usearch-f16, usearch-i8, or none.
    #[arg(long, value_delimiter = ',', default_values_t = peers::NAMES.map(str::to_owned))]
    peers: Vec<String>,
    /// Repeats of each; as many as about a second takes unless given.
    #[arg(long)]
    repeats: Option<usize>,
    /// Print one line of JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Dismiss rows only by proof.
    #[arg(long)]
    deterministic: bool,
    /// Score from which on a row counts; 6.4/√dim unless given.
    #[arg(long)]
    threshold: Option<f32>,
    /// Seed of rows and probes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Whether thenar keeps its signs a second time.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    sign_plane: Switch,
    /// The interpreter that has the peers; bench/compare makes one.
    #[arg(long, hide = true)]
    python: Option<PathBuf>,
    /// Why there is none.
    #[arg(
        long,
        hide = true,
        default_value = "no Python was given: start it by bench/compare"
    )]
    no_python: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Options {
    fn threads(&self) -> usize {
        self.threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    fn batch_max(&self) -> usize {
        self.batches.iter().copied().max().unwrap_or(1).max(1)
    }

    fn search(&self) -> Search {
        let dim = f32::from(u16::try_from(self.dim).unwrap_or(u16::MAX));
        Search {
            threshold: self.threshold.unwrap_or(THRESHOLD_SPREADS / dim.sqrt()),
            deterministic: self.deterministic,
        }
    }

    /// The peers asked for; a name that is none is an error.
    fn peers(&self) -> Result<Vec<String>, Failure> {
        if self.peers == ["none"] {
            return Ok(Vec::new());
        }
        match self
            .peers
            .iter()
            .find(|name| !peers::NAMES.contains(&name.as_str()))
        {
            Some(name) => Err(format!(
                "--peers: {name} is none of {} (or none alone)",
                peers::NAMES.join(", ")
            )
            .into()),
            None => Ok(self.peers.clone()),
        }
    }

    fn config(&self) -> EngineConfig {
        EngineConfig {
            backend: BackendChoice::Cpu,
            threads: self.threads(),
            kernel: self.kernel,
            batch_max: self.batch_max(),
            queue_max: self.batch_max() * 4,
            resident_bytes_max: 1 << 40,
            lock_memory: LockMemory::Prefer,
            sign_plane: self.sign_plane == Switch::On,
            ..EngineConfig::default()
        }
    }
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let wanted = options.peers()?;
    if options.batches.contains(&0) {
        return Err("--batches: a batch has one probe at least".into());
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads())
        .build_global()?;
    let count = usize::try_from(options.rows)?;
    let rows = Rows::new(options.seed, Dimension::new(options.dim)?);
    progress(format!("making {count} rows of {} dimensions", options.dim));
    let searched = Searched::new(Engine::start(options.config())?, rows, count)?;
    let probes = rows.probes(PROBES_MIN.max(options.batch_max() * BATCHES_MIN), as_u64(count));
    let kernel = searched.engine().backend();
    let (peers, ready) = start_peers(options, &wanted, &kernel, &searched, &probes)?;
    let machine = Machine::this();
    let mut contest = Contest {
        searched: &searched,
        probes: &probes,
        search: options.search(),
        peers,
        names: ready.built.keys().cloned().collect(),
        repeats: options.repeats,
        flush: Flush::new(machine.flush_bytes()),
    };
    let mut results = Vec::new();
    for batch in &options.batches {
        progress(format!("measuring batches of {batch}"));
        results.push(contest.batch(*batch)?);
    }
    let report = Report {
        rows: count,
        dim: options.dim,
        kernel,
        threads: options.threads(),
        threshold: options.search().threshold,
        deterministic: options.deterministic,
        sign_plane: options.sign_plane == Switch::On,
        seed: options.seed,
        machine,
        resident_bytes_per_row: searched.resident_bytes_per_row(),
        peer_facts: ready.facts,
        peers_missing: ready.failed,
        results,
    };
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.table());
    }
    if report.results.iter().any(|batch| batch.identical == Some(false)) {
        return Err("thenar's answers and those of the exact index differ".into());
    }
    Ok(())
}

/// Hands the gallery over and builds the peers. Without Python, or where the program fails, every peer is named as missing.
fn start_peers(
    options: &Options,
    wanted: &[String],
    kernel: &str,
    searched: &Searched,
    probes: &[Probe],
) -> Result<(Option<Peers>, Ready), Failure> {
    let missing = |reason: &str| {
        progress(format!("thenar is measured alone: {reason}"));
        let failed = wanted
            .iter()
            .map(|name| (name.clone(), reason.to_owned()))
            .collect();
        Ready {
            failed,
            ..Ready::default()
        }
    };
    if wanted.is_empty() {
        return Ok((None, Ready::default()));
    }
    let Some(python) = &options.python else {
        return Ok((None, missing(&options.no_python)));
    };
    let folder = tempfile::tempdir()?;
    let (gallery, all) = (
        folder.path().join("gallery.npy"),
        folder.path().join("probes.npy"),
    );
    progress("handing the gallery to the peers and building them");
    npy::write(&gallery, "<f2", options.dim, searched.values())?;
    let values: Vec<f32> = probes
        .iter()
        .flat_map(|probe| probe.values.iter().copied())
        .collect();
    npy::write(&all, "<f4", options.dim, &values)?;
    let started = Peers::start(&Setup {
        python,
        gallery: &gallery,
        probes: &all,
        peers: wanted,
        threads: options.threads(),
        level: peer_level(kernel.rsplit('/').next().unwrap_or_default(), is_held(options)),
    });
    // The program has mapped the files: they stay until it ends, and nobody has to clean up.
    drop(folder);
    Ok(match started {
        Ok((peers, ready)) => {
            for (name, reason) in &ready.failed {
                progress(format!("{name} is not measured: {reason}"));
            }
            (Some(peers), ready)
        }
        Err(failure) => (None, missing(&failure.to_string())),
    })
}

/// Whether thenar was told which kernel to use, and did not choose its best.
fn is_held(options: &Options) -> bool {
    options.kernel.is_some() || std::env::var_os(KERNEL_VARIABLE).is_some_and(|name| !name.is_empty())
}
