//! What the benches share: seeded rows, whole searches, clocks, the machine, the peers. Judges no figure and sets no goal.

pub mod calibration;
pub mod cluster;
pub mod contest;
pub mod cores;
pub mod differ;
pub mod encoder;
pub mod gallery;
pub mod gpu;
pub mod hostile;
pub mod kernel;
pub mod live;
pub mod machine;
pub mod npy;
pub mod peers;
pub mod placement;
pub mod report;
pub mod rows;
pub mod served;
pub mod split;
pub mod storage;
pub mod tenants;
pub mod timing;
pub mod torture;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a bench gives up with: it names the step that failed, for a person to read.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Prints a failure and turns it into the exit code of the process.
pub fn exit(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is going on. Standard output is for results alone.
pub fn progress(what: impl Display) {
    eprintln!("{what}");
}

/// A seed that is another one in each run.
pub fn seed_by_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
}
