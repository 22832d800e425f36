//! `thenar audit`: signs how far a history has come, and holds histories against what was signed. Shows no event.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::api;
use crate::keys::encoding::to_hex;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::TenantId;
use crate::storage::audit::Fault;

use super::connection::Connection;
use super::error::CliError;
use super::local::{self, Audited, DataOptions};
use super::output::{self, Output, table};
use super::signed::{self, Kind, PublicKey};

/// What can be done with histories.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print a signed checkpoint of a tenant's history as JSON, to be kept where nobody who administers the server can change it
    Checkpoint(CheckpointArgs),
    /// Check every event against the chain, its checkpoints and the receipts of erasures; changes nothing, and a server may run meanwhile
    Verify(VerifyArgs),
}

/// Options of `audit checkpoint`.
#[derive(Debug, clap::Args)]
pub struct CheckpointArgs {
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    connection: Connection,
}

/// Options of `audit verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    of: DataOptions,
    /// This tenant, and those of the checkpoints, alone
    #[arg(long)]
    tenant: Option<TenantId>,
    /// A checkpoint that was kept; may be given again; - is standard input
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// The server's public key, 64 hexadecimal digits, in place of the one in the keyring; given again, that of a server that had the tenant before
    #[arg(long, value_name = "HEX", value_parser = signed::public_key)]
    public_key: Vec<PublicKey>,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Checkpoint(args) => checkpoint(args).await,
        Command::Verify(args) => verify(&args),
    }
}

async fn checkpoint(args: CheckpointArgs) -> Result<(), CliError> {
    let request = api::CheckpointHistoryRequest {
        tenant: args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
    };
    let client = args.connection.connect().await?;
    let answer = client.admin().checkpoint_history(request).await?.into_inner();
    let document = json!({
        "checkpoint_json": answer.checkpoint_json,
        "signature": to_hex(&answer.signature),
        "public_key": to_hex(&answer.public_key),
    });
    output::line(&format!("{document:#}"))
}

fn verify(args: &VerifyArgs) -> Result<(), CliError> {
    let against: Vec<_> = args
        .against
        .iter()
        .map(|path| kept(path))
        .collect::<Result<_, _>>()?;
    let public_keys: Vec<&[u8]> = args.public_key.iter().map(PublicKey::bytes).collect();
    let audited = local::audit(&args.of, args.tenant.as_ref(), &public_keys, &against)?;
    args.output.print(&text(&audited), &answer(&audited))?;
    match audited.iter().filter(|one| !holds(one)).count() {
        0 => Ok(()),
        failed => Err(CliError::AuditFails(failed)),
    }
}

fn kept(path: &Path) -> Result<(String, SignedCheckpoint), CliError> {
    let signed = signed::read(path, Kind::Checkpoint)?;
    let checkpoint = SignedCheckpoint {
        checkpoint_json: signed.text,
        signature: signed.signature,
        public_key: signed.public_key,
    };
    Ok((path.display().to_string(), checkpoint))
}

fn holds((_, found): &Audited) -> bool {
    found.as_ref().is_some_and(|found| found.faults.is_empty())
}

fn text(audited: &[Audited]) -> String {
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for one @ (tenant, found) in audited {
        let Some(found) = found else {
            notes.push(format!("{tenant}: the keyring has no key of it"));
            continue;
        };
        rows.push(vec![
            tenant.to_string(),
            format!("{} events", found.events),
            format!("{} erased", found.erased),
            format!("{} checkpoints", found.checkpoints),
            if holds(one) { "HOLDS" } else { "DOES NOT HOLD" }.to_owned(),
        ]);
        notes.extend(
            found
                .faults
                .iter()
                .map(|fault| format!("{tenant}: {}", fault.what)),
        );
        if found.faults_more > 0 {
            notes.push(format!("{tenant}: {} more faults", found.faults_more));
        }
        for (first, last) in &found.passed {
            notes.push(format!(
                "{tenant}: a restore passed over the numbers from {first} to {last}: what was recorded after the backup is lost"
            ));
        }
        if found.since.event > 0 {
            let begins = found.since.event;
            notes.push(format!(
                "{tenant}: the chain begins after event {begins}, with what an earlier release had left"
            ));
        }
        if found.confirmed < found.last {
            notes.push(format!(
                "{tenant}: no checkpoint is over the events after {}, up to {}",
                found.confirmed, found.last
            ));
        }
    }
    table(&rows) + &notes.join("\n")
}

fn answer(audited: &[Audited]) -> Value {
    let tenants = audited.iter().map(|one @ (tenant, found)| {
        let found = found.as_ref().map(|found| {
            let fault = |fault: &Fault| json!({"event": fault.event, "what": fault.what});
            json!({
                "events": found.events,
                "erased": found.erased,
                "last": found.last,
                "head": found.head,
                "since": found.since,
                "checkpoints": found.checkpoints,
                "confirmed": found.confirmed,
                "passed": found.passed,
                "faults": found.faults.iter().map(fault).collect::<Vec<_>>(),
                "faults_more": found.faults_more,
            })
        });
        json!({"tenant": tenant, "holds": holds(one), "history": found})
    });
    json!({ "tenants": tenants.collect::<Vec<_>>() })
}
