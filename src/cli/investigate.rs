//! `thenar investigate`: the nearest subjects to one palm, for operators. Prints them with their scores.

use crate::client::api;
use crate::model::decision::CANDIDATES_MAX;
use crate::model::id::{SiteId, TenantId};

use super::capture::{CaptureOptions, HandOption, new_request_id};
use super::connection::Connection;
use super::error::CliError;
use super::image::PalmOptions;
use super::output::Output;
use super::show;

/// Options of `investigate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    palm: PalmOptions,
    /// Which hand, if it is known
    #[arg(long, value_enum)]
    hand: Option<HandOption>,
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The place
    #[arg(long)]
    site: Option<SiteId>,
    /// How many subjects to show
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=CANDIDATES_MAX as i64))]
    candidates: u32,
    #[command(flatten)]
    capture: CaptureOptions,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let request = api::InvestigateRequest {
        tenant: args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
        request_id: new_request_id(),
        probe: Some(args.palm.signature(args.hand, &args.capture)?),
        site: args.site.as_ref().map(SiteId::to_string).unwrap_or_default(),
        candidates_max: args.candidates,
    };
    let client = args.connection.connect().await?;
    let answer = client.identity().investigate(request).await?.into_inner();
    args.output
        .print(&show::investigated_text(&answer), &show::investigated(&answer))
}
