//! The Python program that runs the peers: started, asked one measurement at a time, ended. Times nothing itself.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::kernel::PeerLevel;

/// Every peer there is.
pub const NAMES: [&str; 5] = ["flat", "pq", "rabitq", "usearch-f16", "usearch-i8"];
/// Those whose answers are those of a scan over the half-precision rows.
pub const EXACT: [&str; 2] = ["flat", "usearch-f16"];
/// The one whose answers thenar's are compared with.
pub const REFERENCE: &str = "flat";

/// What to start.
pub struct Setup<'a> {
    /// The interpreter, with the peers installed.
    pub python: &'a Path,
    /// Rows, as a NumPy file of half precision.
    pub gallery: &'a Path,
    /// Probes, as a NumPy file of single precision.
    pub probes: &'a Path,
    /// Names of the peers.
    pub peers: &'a [String],
    /// Threads each may use.
    pub threads: usize,
    /// Instruction set they are held to.
    pub level: Option<PeerLevel>,
}

/// What the program says when it is ready.
#[derive(Debug, Default, Deserialize)]
pub struct Ready {
    /// Peers and the seconds it took to build them.
    pub built: BTreeMap<String, f64>,
    /// Peers that could not be built, and why.
    pub failed: BTreeMap<String, String>,
    /// Versions, and the instruction sets in use.
    pub facts: BTreeMap<String, String>,
}

/// One row of repeats of one peer.
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    /// Its name.
    pub peer: &'a str,
    /// Probes of a batch.
    pub batch: usize,
    /// Number of the first repeat; it says which probes are taken.
    pub start: usize,
    /// Repeats that are made in any case.
    pub at_least: usize,
    /// Repeats that are not gone beyond.
    pub at_most: usize,
    /// Time after which no further one begins.
    pub budget_s: f64,
    /// Whether one untimed search goes first.
    pub warm_up: bool,
}

/// What came of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// A time a repeat, the best row and score a probe.
    Measured {
        /// Milliseconds.
        times_ms: Vec<f64>,
        /// The best row of each probe, repeat after repeat.
        rows: Vec<u32>,
        /// Its score by the peer's arithmetic.
        scores: Vec<f32>,
    },
    /// The peer failed.
    Failed {
        /// Its words.
        error: String,
    },
}

/// The running program. It ends when this is dropped.
pub struct Peers {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peers {
    /// Starts the program and waits until the peers are built.
    pub fn start(setup: &Setup) -> Result<(Self, Ready), Failure> {
        let program: PathBuf = [env!("CARGO_MANIFEST_DIR"), "peers.py"].iter().collect();
        let mut command = Command::new(setup.python);
        command
            .arg(program)
            .arg("--gallery")
            .arg(setup.gallery)
            .arg("--probes")
            .arg(setup.probes)
            .args(["--threads", &setup.threads.to_string()])
            .args(["--peers", &setup.peers.join(",")])
            .env("OMP_NUM_THREADS", setup.threads.to_string());
        if let Some(level) = setup.level {
            command.env("OPENBLAS_CORETYPE", level.openblas);
            command.args(level.faiss.iter().flat_map(|name| ["--faiss-level", name]));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the peers' program has no output")?;
        let lines = BufReader::new(stdout).lines();
        let mut peers = Self { child, stdin, lines };
        let ready = serde_json::from_str(&peers.line()?)?;
        Ok((peers, ready))
    }

    /// Measures one peer; the error is the program's own end.
    pub fn measure(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let stdin = self.stdin.as_mut().ok_or("the peers' program has no input")?;
        stdin.write_all(line.as_bytes())?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let line = self.lines.next();
        Ok(line.ok_or("the peers' program ended early; its last words are above")??)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // The program ends when its input does.
        self.stdin.take();
        let _ = self.child.wait();
    }
}
