//! `thenar config check`: says whether a configuration would be taken. Starts nothing.

use std::path::PathBuf;

use serde_json::json;

use super::error::CliError;
use super::local;
use super::output::{Output, table};

/// What can be done with a configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check file and environment as a server would, and show the result
    Check(Args),
}

/// Options of `config check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(command: &Command) -> Result<(), CliError> {
    let Command::Check(args) = command;
    let config = local::check(args.config.as_deref())?;
    let text = format!(
        "the configuration is valid\n{}",
        table(&[
            cells("data", &config.data.display().to_string()),
            cells("listen.address", &config.listen.address.to_string()),
            cells("matching.address", &config.matching.address.to_string()),
            cells("metrics.address", &config.metrics.address.to_string()),
        ])
    );
    // Settings name where keys come from, never the keys themselves.
    args.output
        .print(&text, &json!({"valid": true, "config": config}))
}

fn cells(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}
