//! `thenar tenant create | list | show | policy | drop`. Asks the server; decides nothing.

use serde_json::{Value, json};

use crate::client::{Client, api};
use crate::model::id::TenantId;
use crate::model::reject::Rejected;
use crate::model::signature::Dimension;

use super::capture::{EncoderOption, encoder_message, new_request_id};
use super::connection::Connection;
use super::error::CliError;
use super::output::{Output, table};
use super::policy::PolicyOptions;
use super::show;

/// What can be done with tenants.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create a tenant with a database, keys and a signature space of its own
    Create(Create),
    /// List all tenants
    List(List),
    /// Show one tenant
    Show(Named),
    /// Change parts of a tenant's policy; what is not named stays as it is
    Policy(Change),
    /// Destroy a tenant's keys and files; can't be undone
    Drop(Drop),
}

/// Options of `tenant create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// a-z, 0-9 and inner hyphens
    tenant: TenantId,
    /// Coordinates of a signature
    #[arg(long, default_value = "256", value_parser = dimension)]
    dim: Dimension,
    /// Who makes the signatures, NAME/VERSION
    #[arg(long, value_name = "NAME/VERSION", default_value = "thenar-palm/1")]
    encoder: EncoderOption,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Options of `tenant list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Options of `tenant show`.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Which
    tenant: TenantId,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Options of `tenant policy`.
#[derive(Debug, clap::Args)]
pub struct Change {
    /// Whose
    tenant: TenantId,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Options of `tenant drop`.
#[derive(Debug, clap::Args)]
pub struct Drop {
    /// Which
    tenant: TenantId,
    /// The tenant's name again, so that nothing is dropped by a slip
    #[arg(long, value_name = "TENANT")]
    confirm: TenantId,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Parses a dimension.
pub fn dimension(text: &str) -> Result<Dimension, Rejected> {
    text.parse()
        .map_err(|_| Rejected::new("dimension", format!("{text:?} is no whole number")))
        .and_then(Dimension::new)
}

/// Runs it.
pub async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Create(args) => create(args).await,
        Command::List(args) => list(args).await,
        Command::Show(args) => one(args).await,
        Command::Policy(args) => policy(args).await,
        Command::Drop(args) => drop_tenant(args).await,
    }
}

async fn create(args: Create) -> Result<(), CliError> {
    let request = api::CreateTenantRequest {
        request_id: new_request_id(),
        tenant: args.tenant.to_string(),
        dimension: u32::try_from(args.dim.get()).expect("a dimension fits in 32 bits"),
        encoder: Some(encoder_message(&args.encoder.0)),
        policy: Some(args.policy.message()?),
    };
    let client = args.connection.connect().await?;
    let tenant = client.admin().create_tenant(request).await?.into_inner();
    args.output
        .print(&show::tenant_text(&tenant), &show::tenant(&tenant))
}

async fn list(args: List) -> Result<(), CliError> {
    let client = args.connection.connect().await?;
    let mut tenants = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = api::ListTenantsRequest {
            page_size: 1_000,
            page_token,
        };
        let page = client.admin().list_tenants(request).await?.into_inner();
        tenants.extend(page.tenants);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let rows: Vec<Vec<String>> = tenants.iter().map(show::tenant_row).collect();
    let text = if rows.is_empty() {
        "no tenants".to_owned()
    } else {
        table(&rows)
    };
    let json: Vec<Value> = tenants.iter().map(show::tenant).collect();
    args.output.print(&text, &Value::Array(json))
}

async fn one(args: Named) -> Result<(), CliError> {
    let client = args.connection.connect().await?;
    let request = api::GetTenantRequest {
        tenant: args.tenant.to_string(),
    };
    let tenant = client.admin().get_tenant(request).await?.into_inner();
    args.output
        .print(&show::tenant_text(&tenant), &show::tenant(&tenant))
}

async fn policy(args: Change) -> Result<(), CliError> {
    let client = args.connection.connect().await?;
    let change = |present: api::Tenant| args.policy.over(policy_of(present)?);
    let tenant = change_policy(&client, &args.tenant, change).await?;
    args.output
        .print(&show::tenant_text(&tenant), &show::tenant(&tenant))
}

/// The policy of a tenant that is served.
pub fn policy_of(tenant: api::Tenant) -> Result<api::Policy, CliError> {
    tenant.policy.ok_or_else(|| {
        CliError::Usage(format!(
            "tenant {} can't be served, so that its policy is not known: {}",
            tenant.tenant, tenant.reason
        ))
    })
}

/// Puts in the place of a tenant's policy what `change` makes of the tenant as it is.
pub async fn change_policy(
    client: &Client,
    tenant: &TenantId,
    change: impl FnOnce(api::Tenant) -> Result<api::Policy, CliError>,
) -> Result<api::Tenant, CliError> {
    let request = api::GetTenantRequest {
        tenant: tenant.to_string(),
    };
    let present = client.admin().get_tenant(request).await?.into_inner();
    let request = api::UpdatePolicyRequest {
        request_id: new_request_id(),
        tenant: tenant.to_string(),
        policy: Some(change(present)?),
    };
    Ok(client.admin().update_policy(request).await?.into_inner())
}

async fn drop_tenant(args: Drop) -> Result<(), CliError> {
    if args.confirm != args.tenant {
        return Err(CliError::Usage(format!(
            "--confirm {} is not {}; nothing was dropped",
            args.confirm, args.tenant
        )));
    }
    let client = args.connection.connect().await?;
    let request = api::DropTenantRequest {
        request_id: new_request_id(),
        tenant: args.tenant.to_string(),
    };
    client.admin().drop_tenant(request).await?;
    args.output.print(
        &format!("dropped {}: its keys and files are destroyed", args.tenant),
        &json!({"dropped": args.tenant.as_str()}),
    )
}
