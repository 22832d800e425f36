//! The steps of a run on a machine with a GPU, and the file they end in. Chooses no device: the engine does.

mod outside;
mod scans;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use thenar::model::signature::Dimension;

use crate::machine::Machine;
use crate::{Failure, progress};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the results go.
    pub out: PathBuf,
    /// The library's test program.
    pub tests: Option<PathBuf>,
    /// The program that measures PyTorch.
    pub torch: Option<PathBuf>,
    /// Python that may have PyTorch.
    pub python: PathBuf,
    /// Rows of the galleries, ascending.
    pub rows: Vec<usize>,
    /// Dimensions.
    pub dims: Vec<usize>,
    /// Batch sizes.
    pub batches: Vec<usize>,
    /// Time of one measurement.
    pub budget_ms: u64,
    /// Seed of rows and probes.
    pub seed: u64,
}

/// The file.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    /// Unix time of the start, in seconds.
    started: u64,
    /// Name of the backend that the engine chose.
    backend: Option<String>,
    /// What the driver's own tool says of the GPUs; none where there is no such tool.
    devices: Option<Vec<String>>,
    tests: Option<Tests>,
    results: Vec<Timed>,
    /// What PyTorch's program said, line by line: bandwidths, matrix products, or why there are none.
    torch: Vec<Value>,
    skipped: Vec<Skipped>,
}

/// The library's GPU tests on this machine.
#[derive(Debug, Serialize)]
struct Tests {
    passed: bool,
    /// The test program's last line.
    summary: String,
}

/// One batch size on one gallery.
#[derive(Debug, Serialize)]
struct Timed {
    rows: usize,
    dim: usize,
    batch: usize,
    deterministic: bool,
    /// Who answered; a CPU here means that the GPU did not.
    backend: String,
    /// Median of a batch, probe preparation included, exact scores not.
    ms: f64,
    min_ms: f64,
    repeats: usize,
    /// Rows times dimension over 8 and the time: what a scan of the signs alone reads, in GB/s.
    sign_gb_s: f64,
    /// The same for rows of 4 bits a coordinate.
    refine_gb_s: f64,
    survivors_mean: f64,
    mates: usize,
    mates_found: usize,
    certificate: String,
}

/// What was not measured.
#[derive(Debug, Serialize)]
struct Skipped {
    what: String,
    reason: String,
}

/// Runs every step; the file is written anew after each.
pub fn run(plan: &Plan) -> Result<(), Failure> {
    let mut report = Report {
        machine: Machine::this(),
        started: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        backend: None,
        devices: outside::devices(),
        tests: None,
        results: Vec::new(),
        torch: Vec::new(),
        skipped: Vec::new(),
    };
    match &plan.tests {
        Some(program) => report.tests = Some(outside::tests(program)?),
        None => report.skip("GPU tests", "no test program was given".to_owned()),
    }
    report.write(plan)?;
    for dim in &plan.dims {
        scans::measure(plan, Dimension::new(*dim)?, &mut report)?;
    }
    match &plan.torch {
        Some(program) => outside::torch(plan, program, &mut report),
        None => report.skip("PyTorch", "no program was given".to_owned()),
    }
    report.write(plan)?;
    match &report.tests {
        Some(tests) if !tests.passed => Err(format!("the GPU tests failed: {}", tests.summary).into()),
        _ => Ok(()),
    }
}

impl Report {
    fn skip(&mut self, what: &str, reason: String) {
        progress(format!("not measured: {what}: {reason}"));
        self.skipped.push(Skipped {
            what: what.to_owned(),
            reason,
        });
    }

    fn write(&self, plan: &Plan) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(std::fs::write(&plan.out, text)?)
    }
}
