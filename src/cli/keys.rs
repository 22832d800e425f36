//! `thenar keys`: puts new keys in the place of old ones, and shows the one that probes are sealed with.

use serde_json::json;

use crate::client::api;
use crate::keys::provider::KekSource;
use crate::model::id::TenantId;

use super::capture::new_request_id;
use super::connection::Connection;
use super::error::CliError;
use super::local::{self, DataOptions, Side};
use super::output::Output;
use super::{sealed, show};

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Put a new key in the place of an old one
    #[command(subcommand)]
    Rotate(Rotate),
    /// Show the public key that a tenant's probes are sealed with; for scanners and operators
    Probe(ProbeArgs),
}

/// Which key.
#[derive(Debug, clap::Subcommand)]
pub enum Rotate {
    /// The key-encryption key: wraps the keyring anew, no palm is touched. On this machine, while no server runs; or, by the configuration of a server of a cluster, in its bucket, while all of them run
    Kek(KekArgs),
    /// The data key of a tenant: seals its files, which are all written anew; the tenant is served meanwhile, and the former key is destroyed
    Data(TenantArgs),
    /// The transform key of a tenant, and the data key with it: converts every stored palm to the new rotation, so that nobody enrols again and nothing
    /// of the former one fits it; the tenant is served meanwhile, and the former keys are destroyed
    Transform(TenantArgs),
}

/// Where a key-encryption key comes from, if not from a file in the data directory.
#[derive(Debug, clap::Args)]
pub struct KekOptions {
    /// Environment variable that holds the key-encryption key; without it and --kek-command a key file is made
    #[arg(long, value_name = "VARIABLE", conflicts_with = "kek_command")]
    kek_env: Option<String>,
    /// Command that prints the key-encryption key, its arguments after it
    #[arg(long, value_name = "COMMAND", num_args = 1.., value_terminator = ";")]
    kek_command: Option<Vec<String>>,
}

impl KekOptions {
    /// The source, where one was named.
    pub fn source(&self) -> Option<KekSource> {
        let env = self.kek_env.clone().map(KekSource::Env);
        env.or_else(|| self.kek_command.clone().map(KekSource::Command))
    }
}

/// Options of `keys rotate kek`. The source that is named is that of the new key; in a cluster the configuration names that, as `cluster.next_kek`.
#[derive(Debug, clap::Args)]
pub struct KekArgs {
    #[command(flatten)]
    of: DataOptions,
    #[command(flatten)]
    kek: KekOptions,
    /// Overwrite the key file though no `backup_kek` is configured: there is a copy for the backups, or none are needed
    #[arg(long)]
    former_key_kept: bool,
    /// Of a cluster, the keyring of its fronts, by the configuration of one; without this those of its match nodes and catalogs, by the configuration of a match node
    #[arg(long, conflicts_with_all = ["kek_env", "kek_command", "former_key_kept"])]
    front: bool,
    #[command(flatten)]
    output: Output,
}

/// Options of `keys rotate data` and `keys rotate transform`.
#[derive(Debug, clap::Args)]
pub struct TenantArgs {
    /// Whose
    #[arg(long)]
    tenant: TenantId,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Options of `keys probe`.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    /// Whose; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Probe(args) => probe(args).await,
        Command::Rotate(Rotate::Kek(args)) => kek(&args),
        Command::Rotate(Rotate::Data(args)) => rotate(args, api::KeyPurpose::Data).await,
        Command::Rotate(Rotate::Transform(args)) => rotate(args, api::KeyPurpose::Transform).await,
    }
}

async fn rotate(args: TenantArgs, purpose: api::KeyPurpose) -> Result<(), CliError> {
    let client = args.connection.connect().await?;
    let request = api::RotateKeyRequest {
        request_id: new_request_id(),
        tenant: args.tenant.to_string(),
        purpose: purpose.into(),
    };
    let tenant = client.admin().rotate_key(request).await?.into_inner();
    let text = match purpose {
        api::KeyPurpose::Transform => format!(
            "rotated the transform key of {}, to version {}, and its data key; the former are destroyed",
            tenant.tenant, tenant.transform_version
        ),
        _ => format!(
            "rotated the data key of {}; the former is destroyed",
            tenant.tenant
        ),
    };
    args.output.print(&text, &show::tenant(&tenant))
}

async fn probe(args: ProbeArgs) -> Result<(), CliError> {
    let client = args.connection.connect().await?;
    let tenant = args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default();
    let key = sealed::fetch(&client, &tenant).await?;
    let public = show::hex(&key.public_key);
    let json = json!({"tenant": key.tenant, "key_id": key.key_id, "public_key": public});
    args.output
        .print(&format!("key {} of {}\n{public}", key.key_id, key.tenant), &json)
}

fn kek(args: &KekArgs) -> Result<(), CliError> {
    let to = args.kek.source();
    if args.front || to.is_none() && !args.former_key_kept && args.of.is_in_cluster()? {
        return shared_keks(args);
    }
    let now = local::rotate_kek(&args.of, to.as_ref(), args.former_key_kept)?;
    let text = match &now {
        KekSource::File(path) => format!("{} holds a new key, and the keyring is wrapped by it", path.display()),
        KekSource::Env(_) | KekSource::Command(_) => {
            "the keyring is wrapped by the new key: set `kek` in the configuration as it was given here, then destroy the old key".to_owned()
        }
    };
    let backups = "backups that were sealed with the old key need the old key still";
    args.output
        .print(&format!("{text}\n{backups}"), &json!({"kek": now}))
}

fn shared_keks(args: &KekArgs) -> Result<(), CliError> {
    let side = if args.front { Side::Fronts } else { Side::Nodes };
    let keyrings = local::rotate_shared_keks(&args.of, side)?;
    let mut lines: Vec<String> = keyrings
        .iter()
        .map(|name| format!("{name} is wrapped by its next key"))
        .collect();
    lines.push("repeat this in a few minutes; then name the next key as the present one in the configurations of all servers that open it, and start them anew".to_owned());
    lines.push("the former key may wrap keyrings of the cluster that are not named here, and earlier backups need it still: destroy it when none does".to_owned());
    args.output
        .print(&lines.join("\n"), &json!({ "keyrings": keyrings }))
}
