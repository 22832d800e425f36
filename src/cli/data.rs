//! `thenar data`: looks after a data directory, on the machine that has it, and after what a cluster has in the place of one.

use serde_json::{Value, json};

use crate::model::id::TenantId;

use super::error::CliError;
use super::local::{self, DataOptions, DataVerified, Verified, VerifiedJournal};
use super::output::{Output, table};

mod backup;
mod journal;
mod restore;

/// Said where backups have no key of their own.
const NO_BACKUP_KEY: &str = "no `backup_kek` is configured: backups are sealed with the key-encryption key, and whoever loses that loses them too";

/// What can be done with a data directory.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check every page, block and row on disk against its authentication and the catalog; changes nothing, and a server may run meanwhile
    Verify(Args),
    /// Write all of it, or of a cluster, or some tenants, to a sealed backup; servers may run meanwhile
    Backup(backup::Args),
    /// Make a data directory out of a backup, without those who were erased after it
    Restore(restore::Args),
    /// Write the erasure journal of a data directory, or of a cluster, to a new file, for restores
    Journal(journal::Args),
}

/// Options of `data verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    of: DataOptions,
    /// This tenant alone
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Verify(args) => verify(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Journal(args) => journal::run(args),
    }
}

fn verify(args: &Args) -> Result<(), CliError> {
    let verified = local::verify(&args.of, args.tenant.as_ref())?;
    let mut text = text(&verified);
    if !verified.has_backup_key {
        text = text.trim_end().to_owned() + "\n" + NO_BACKUP_KEY;
    }
    args.output.print(&text, &answer(&verified))?;
    if let Some(fault) = verified.journal.and_then(|journal| journal.fault) {
        return Err(CliError::DamagedJournal(fault.to_string()));
    }
    match verified.tenants.iter().filter(|one| !is_sound(one)).count() {
        0 => Ok(()),
        damaged => Err(CliError::Damaged(damaged)),
    }
}

fn is_sound((_, found): &Verified) -> bool {
    found.as_ref().is_some_and(|found| found.faults.is_empty())
}

fn text(verified: &DataVerified) -> String {
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for one @ (tenant, found) in &verified.tenants {
        let Some(found) = found else {
            notes.push(format!("{tenant}: the keyring has no key of it"));
            continue;
        };
        rows.push(vec![
            tenant.to_string(),
            format!("{} pages", found.pages),
            format!("{} segments", found.segments),
            format!("{} blocks", found.blocks),
            format!("{} rows", found.placed + found.pending),
            if is_sound(one) { "sound" } else { "DAMAGED" }.to_owned(),
        ]);
        for fault in &found.faults {
            notes.push(format!("{tenant}: {fault}"));
        }
        if is_sound(one) && !found.counted {
            notes.push(format!(
                "{tenant}: SKIPPED: its counters were not compared, since it was changed meanwhile"
            ));
        }
        for orphan in &found.orphans {
            let path = orphan.display();
            notes.push(format!(
                "{tenant}: {path} is not in the catalog: it is being written, or the next start destroys it"
            ));
        }
    }
    match &verified.journal {
        Some(VerifiedJournal {
            fault: Some(fault), ..
        }) => notes.push(fault.to_string()),
        Some(VerifiedJournal { path, entries, .. }) => {
            notes.push(format!("{}: {entries} entries, sound", path.display()));
        }
        None => {}
    }
    table(&rows) + &notes.join("\n")
}

fn answer(verified: &DataVerified) -> Value {
    let tenants = verified.tenants.iter().map(|one @ (tenant, found)| {
        let mut answer = json!({"tenant": tenant, "sound": is_sound(one)});
        if let (Some(found), Some(answer)) = (found, answer.as_object_mut()) {
            let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
            answer.extend([
                ("pages".to_owned(), json!(found.pages)),
                ("segments".to_owned(), json!(found.segments)),
                ("blocks".to_owned(), json!(found.blocks)),
                ("rows".to_owned(), json!(found.placed + found.pending)),
                ("counted".to_owned(), json!(found.counted)),
                ("orphans".to_owned(), json!(found.orphans)),
                ("faults".to_owned(), json!(faults)),
            ]);
        }
        answer
    });
    let journal = verified.journal.as_ref().map(|journal| {
        let fault = journal.fault.as_ref().map(ToString::to_string);
        json!({"path": journal.path, "entries": journal.entries, "sound": fault.is_none(), "fault": fault})
    });
    json!({ "tenants": tenants.collect::<Vec<_>>(), "journal": journal, "backup_key": verified.has_backup_key })
}
