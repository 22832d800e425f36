//! The command tree: parses, calls, prints, exits. Holds no logic that a server needs.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use error::CliError;

pub mod audit;
pub mod calibrate;
pub mod capture;
pub mod cert;
pub mod config;
pub mod connection;
pub mod data;
pub mod demo;
pub mod enroll;
pub mod erase;
pub mod error;
pub mod eval;
pub mod export;
pub mod file;
pub mod history;
pub mod identify;
pub mod image;
pub mod import;
pub mod init;
pub mod investigate;
pub mod keys;
pub mod load;
pub mod local;
pub mod migrate;
pub mod npy;
pub mod output;
pub mod page;
pub mod palm;
pub mod plot;
pub mod policy;
pub mod progress;
pub mod receipt;
pub mod sealed;
pub mod serve;
pub mod show;
pub mod signed;
pub mod simulated;
pub mod stats;
pub mod tenant;
pub mod top;
pub mod verify;

/// An open palm-identity back end: exact 1:N search over sealed signatures, served over gRPC.
#[derive(Debug, Parser)]
#[command(name = "thenar", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a data directory: keys, a private certificate authority, the server's certificate
    Init(init::Args),
    /// Run both tiers in one process on one data directory
    Serve(serve::Args),
    /// Run the front tier alone
    Front(serve::Args),
    /// Run a match node alone
    Match(serve::Args),
    /// Make the tables of the database that the configuration names for catalogs, or bring them up to date
    Migrate(migrate::Args),
    /// Make, list, show and drop tenants
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Put new keys in the place of old ones, or show the one that probes are sealed with
    #[command(subcommand)]
    Keys(keys::Command),
    /// Issue client certificates from a data directory's authority
    #[command(subcommand)]
    Cert(cert::Command),
    /// Take in many palms at once from a `NumPy` file: all of them or none
    Import(import::Args),
    /// Enrol palms of a subject
    Enroll(enroll::Args),
    /// 1:N: who is this?
    Identify(identify::Args),
    /// 1:1: is this the palm of that subject?
    Verify(verify::Args),
    /// The nearest subjects to a palm, whatever their scores; operators only
    Investigate(investigate::Args),
    /// Forget a subject
    Erase(erase::Args),
    /// Look at receipts of erasures
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// Everything that is held on a subject as one JSON document (right of access); operators only
    Export(export::Args),
    /// Where and when palms were used
    History(history::Args),
    /// Sign how far a history has come, and check histories against what was signed
    #[command(subcommand)]
    Audit(audit::Command),
    /// Figures of a tenant
    Stats(stats::Args),
    /// Draw synthetic palms; learn from them what the encoder knows
    #[command(subcommand)]
    Palm(palm::Command),
    /// Show everything on a simulated population, on this machine alone
    Demo(demo::Args),
    /// Ask a running server at a given rate with simulated palms, and tell what it answers and how fast
    Load(load::Args),
    /// Measure how well an encoder tells palms apart (ISO/IEC 19795-1), on labelled images or signatures
    Eval(eval::Args),
    /// Find the threshold that keeps a false positive rate, from the scores of an evaluation; and set it
    Calibrate(calibrate::Args),
    /// Watch a running server by its metrics
    Top(top::Args),
    /// Look after a data directory on this machine
    #[command(subcommand)]
    Data(data::Command),
    /// Look at a configuration
    #[command(subcommand)]
    Config(config::Command),
}

/// Threads of the runtime, also on one processor.
const WORKERS_MIN: usize = 2;
/// Longest wait for work that nobody waits for any more, as where an object store hangs.
const END_MAX: Duration = Duration::from_secs(10);

/// Runs the command line of this process. Exit code 0: done; 1: refused or failed; 2: wrong usage.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&CliError::Runtime(error)),
    };
    let outcome = runtime.block_on(dispatch(cli.command));
    // What is still under way leaves no more behind than a crash would.
    runtime.shutdown_timeout(END_MAX);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Scoring and recording a use may wait for a disk on one of its threads, one of them at a time: there is another one for everybody else.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(WORKERS_MIN))
        .enable_all()
        .build()
}

async fn dispatch(command: Command) -> Result<(), CliError> {
    use crate::server::Mode;
    match command {
        Command::Init(args) => init::run(&args),
        Command::Serve(args) => serve::run(&args, Mode::Serve).await,
        Command::Front(args) => serve::run(&args, Mode::Front).await,
        Command::Match(args) => serve::run(&args, Mode::Match).await,
        Command::Migrate(args) => migrate::run(&args),
        Command::Tenant(command) => tenant::run(command).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Cert(command) => cert::run(&command),
        Command::Import(args) => import::run(args).await,
        Command::Enroll(args) => enroll::run(args).await,
        Command::Identify(args) => identify::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Investigate(args) => investigate::run(args).await,
        Command::Erase(args) => erase::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Receipt(command) => receipt::run(&command),
        Command::History(args) => history::run(args).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Stats(args) => stats::run(args).await,
        Command::Palm(command) => palm::run(&command),
        Command::Demo(args) => demo::run(args).await,
        Command::Load(args) => load::run(args).await,
        Command::Eval(args) => eval::run(&args),
        Command::Calibrate(args) => calibrate::run(args).await,
        Command::Top(args) => top::run(args).await,
        Command::Data(command) => data::run(&command),
        Command::Config(command) => config::run(&command),
    }
}

fn fail(error: &CliError) -> ExitCode {
    eprintln!("thenar: {error}");
    ExitCode::from(error.exit_code())
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
