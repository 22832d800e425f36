//! `thenar data restore`: makes a data directory out of a backup. Overwrites nothing.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::local::{self, Journal, Restored};
use crate::cli::output::{Output, table};

/// Stands for standard input.
const STREAM: &str = "-";

/// Options of `data restore`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Backup, or - for standard input
    #[arg(value_name = "FILE|-")]
    from: PathBuf,
    /// Data directory to make: new or empty, but for a key file `kek`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Configuration file, TOML; says where the key-encryption key and that of backups come from
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    later: Later,
    /// Take a journal from which entries are missing; whoever was erased with those comes back
    #[arg(long, requires = "journal")]
    incomplete_journal: bool,
    #[command(flatten)]
    output: Output,
}

/// What came after the backup.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Later {
    /// Erasure journal of the data that was backed up, the newest there is
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Bring back everybody who was erased, and every tenant that was dropped, after the backup
    #[arg(long)]
    without_journal: bool,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    let journal = args.later.journal.as_deref().map(|path| Journal {
        path,
        may_have_gaps: args.incomplete_journal,
    });
    let mut from: Box<dyn Read> = if args.from == Path::new(STREAM) {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.from).map_err(|error| CliError::file(&args.from, error))?;
        Box::new(BufReader::new(file))
    };
    let restored = local::restore(args.config.as_deref(), &args.data, journal, &mut from)?;
    args.output
        .print(&text(args, &restored), &answer(args, &restored))
}

fn text(args: &Args, restored: &Restored) -> String {
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for of in &restored.manifest.tenants {
        let mut row = vec![of.tenant.to_string()];
        match restored.erased.get(&of.tenant) {
            Some(erased) => row.extend([
                format!("{} subjects", of.subjects - erased),
                format!("{erased} erased after the backup"),
                "sound".to_owned(),
            ]),
            None => row.push("dropped after the backup, not restored".to_owned()),
        }
        rows.push(row);
    }
    for tenant in &restored.behind {
        notes.push(format!(
            "{tenant}: the journal has fewer erasures than the backup, so it is not the newest one: persons erased since may be back"
        ));
    }
    for gap in &restored.gaps {
        notes.push(format!("the journal is incomplete: {gap}"));
    }
    if args.later.without_journal && !restored.manifest.tenants.is_empty() {
        notes.push("no journal was used: whoever was erased after the backup is back".to_owned());
    }
    notes.push(format!(
        "restored {} as it was at {}",
        args.data.display(),
        restored.manifest.made_at
    ));
    table(&rows) + &notes.join("\n")
}

fn answer(args: &Args, restored: &Restored) -> Value {
    json!({
        "data": args.data,
        "made_at": restored.manifest.made_at.to_string(),
        "journal": args.later.journal,
        "tenants": restored.manifest.tenants,
        "erased": restored.erased,
        "dropped": restored.dropped,
        "behind": restored.behind,
        "journal_gaps": restored.gaps,
    })
}
