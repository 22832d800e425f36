//! `thenar migrate`: makes the tables of the database that has the catalogs, or brings them up to date; moves tenants out of a data directory into a cluster.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::error::CliError;
use super::local::{self, LeavingOptions, Migrated, Relocated, RelocationStep};
use super::output::Output;
use super::progress;
use crate::model::id::TenantId;

/// Options of `migrate`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file, TOML; its section `catalog` names the database
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What else is moved.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Move tenants of a data directory, whose server is stopped, into a cluster; cut off, it is gone on with where it was
    LocalToCluster(RelocateArgs),
    /// Destroy what a data directory still has of tenants that were moved into a cluster
    DiscardLocal(DiscardArgs),
}

/// Which tenants leave which data directory.
#[derive(Debug, clap::Args)]
struct Leaving {
    #[command(flatten)]
    options: LeavingOptions,
    /// This tenant alone; may be given several times. Without it all of the data directory
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<TenantId>,
}

/// Options of `migrate local-to-cluster`.
#[derive(Debug, clap::Args)]
pub struct RelocateArgs {
    #[command(flatten)]
    leaving: Leaving,
    /// Configuration of a front of the cluster
    #[arg(long, value_name = "FILE")]
    front_config: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Options of `migrate discard-local`.
#[derive(Debug, clap::Args)]
pub struct DiscardArgs {
    #[command(flatten)]
    leaving: Leaving,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    match &args.command {
        None => tables(args),
        Some(Command::LocalToCluster(args)) => relocate(args),
        Some(Command::DiscardLocal(args)) => discard(args),
    }
}

fn tables(args: &Args) -> Result<(), CliError> {
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

fn relocate(args: &RelocateArgs) -> Result<(), CliError> {
    let Leaving { options, tenants } = &args.leaving;
    let bar = progress::steps();
    let mut watch = |tenant: &TenantId, step: RelocationStep| match step {
        RelocationStep::Checking => bar.set_message(format!("{tenant}: is checked")),
        RelocationStep::Rows(rows) => {
            bar.set_message(format!("{tenant}: rows"));
            bar.inc(rows as u64);
        }
        RelocationStep::Bytes(bytes) => {
            bar.set_message(format!("{tenant}: segments, {} MiB more", bytes >> 20));
        }
        RelocationStep::Comparing => bar.set_message(format!("{tenant}: is compared")),
        RelocationStep::HandingOver => bar.set_message(format!("{tenant}: is handed over")),
    };
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    let mut done = |tenant: &TenantId, relocated: &Relocated| {
        lines.push(line(tenant, relocated));
        values.push(value(tenant, relocated));
    };
    let outcome = local::relocate(options, &args.front_config, tenants, &mut watch, &mut done);
    bar.finish_and_clear();
    if !lines.is_empty() {
        lines.push(String::from(
            "what is left in the data directory knows of no erasure from now on: once the cluster serves, destroy it by `thenar migrate discard-local`, and whatever backups there are of it by their time",
        ));
    }
    if outcome.is_ok() && lines.is_empty() {
        lines.push(String::from(
            "there is no tenant in the data directory; nothing was changed",
        ));
    }
    // Those that were moved before one that was not are told, too.
    if outcome.is_ok() || !lines.is_empty() {
        args.output
            .print(&lines.join("\n"), &json!({"tenants": values}))?;
    }
    Ok(outcome?)
}

fn line(tenant: &TenantId, relocated: &Relocated) -> String {
    let Relocated {
        was_before,
        subjects,
        references,
        pending,
        segments,
        bytes,
        erasures,
        events,
    } = relocated;
    let when = if *was_before {
        "was moved before"
    } else {
        "moved and compared"
    };
    format!(
        "{tenant}: {when}: {subjects} subjects with {references} references ({pending} of them in no segment), {segments} segments of {:.1} MiB, {erasures} erasures, {events} events",
        mib(*bytes)
    )
}

#[expect(clippy::cast_precision_loss, reason = "one decimal of it is shown")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn value(tenant: &TenantId, relocated: &Relocated) -> Value {
    json!({
        "tenant": tenant,
        "was_before": relocated.was_before,
        "subjects": relocated.subjects,
        "references": relocated.references,
        "pending": relocated.pending,
        "segments": relocated.segments,
        "segment_bytes": relocated.bytes,
        "erasures": relocated.erasures,
        "events": relocated.events,
    })
}

fn discard(args: &DiscardArgs) -> Result<(), CliError> {
    let discarded = local::discard_local(&args.leaving.options, &args.leaving.tenants)?;
    let text = match discarded.as_slice() {
        [] => "no tenant of the data directory was moved; nothing was changed".to_owned(),
        discarded => {
            let names: Vec<&str> = discarded.iter().map(TenantId::as_str).collect();
            format!(
                "destroyed what the data directory had of {}: its keys, then its files",
                names.join(", ")
            )
        }
    };
    args.output.print(&text, &json!({"discarded": discarded}))
}
