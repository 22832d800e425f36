//! `thenar stats`: figures of one tenant.

use crate::client::api;
use crate::model::id::TenantId;

use super::connection::Connection;
use super::error::CliError;
use super::output::Output;
use super::show;

/// Options of `stats`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which tenant
    tenant: TenantId,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let client = args.connection.connect().await?;
    let request = api::GetStatsRequest {
        tenant: args.tenant.to_string(),
    };
    let stats = client.admin().get_stats(request).await?.into_inner();
    args.output.print(&show::stats_text(&stats), &show::stats(&stats))
}
