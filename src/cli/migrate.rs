//! `thenar migrate`: makes the tables of the database that has the catalogs, or brings them up to date. Touches no tenant.

use std::path::PathBuf;

use serde_json::json;

use super::error::CliError;
use super::local::{self, Migrated};
use super::output::Output;

/// Options of `migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file, TOML; its section `catalog` names the database
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    let migrated = local::migrate(args.config.as_deref())?;
    let (from, to) = (migrated.outcome.from, migrated.outcome.to);
    let json = json!({"server": migrated.server, "from": from, "to": to});
    args.output.print(&text(&migrated), &json)
}

fn text(migrated: &Migrated) -> String {
    let Migrated { server, outcome } = migrated;
    match (outcome.from, outcome.to) {
        (0, to) => format!("made the tables of the database {server}: format {to}"),
        (from, to) if from == to => {
            format!("the tables of the database {server} have format {to} already; nothing was changed")
        }
        (from, to) => format!("brought the tables of the database {server} from format {from} to {to}"),
    }
}
