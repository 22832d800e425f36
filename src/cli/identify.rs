//! `thenar identify`: 1:N for one palm. Prints the decision; any decision is success.

use crate::client::api;
use crate::model::decision::CANDIDATES_MAX;
use crate::model::id::{SiteId, TenantId};

use super::capture::{CaptureOptions, HandOption, new_request_id};
use super::connection::Connection;
use super::error::CliError;
use super::image::PalmOptions;
use super::output::Output;
use super::sealed::SealOption;
use super::show;

/// Options of `identify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    palm: PalmOptions,
    /// Which hand, if the scanner can tell
    #[arg(long, value_enum)]
    hand: Option<HandOption>,
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The place
    #[arg(long)]
    site: Option<SiteId>,
    /// Candidates with scores to show; operators only
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=CANDIDATES_MAX as i64))]
    candidates: u32,
    #[command(flatten)]
    capture: CaptureOptions,
    #[command(flatten)]
    seal: SealOption,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let signature = args.palm.signature(args.hand, &args.capture)?;
    let tenant = args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default();
    let request_id = new_request_id();
    let client = args.connection.connect().await?;
    let (probe, sealed_probe) = args.seal.probe(&client, &tenant, &request_id, signature).await?;
    let request = api::IdentifyRequest {
        tenant,
        request_id,
        probe,
        site: args.site.as_ref().map(SiteId::to_string).unwrap_or_default(),
        candidates_max: args.candidates,
        sealed_probe,
    };
    let answer = client.identity().identify(request).await?.into_inner();
    args.output
        .print(&show::identified_text(&answer), &show::identified(&answer))
}
