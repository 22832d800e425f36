//! `thenar data journal`: writes the erasure journal to a new file.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::local::{self, DataOptions};
use crate::cli::output::Output;

/// Options of `data journal`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    of: DataOptions,
    /// New file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    let told = local::export_journal(&args.of, &args.to)?;
    let text = format!(
        "{}: {} erasures, {} dropped tenants",
        args.to.display(),
        told.erasures,
        told.drops
    );
    let answer = json!({"file": args.to, "erasures": told.erasures, "drops": told.drops});
    args.output.print(&text, &answer)
}
