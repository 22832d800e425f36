//! `thenar verify`: 1:1 for one palm and a claimed subject. Any decision is success.

use serde_json::json;

use crate::client::api;
use crate::model::id::{SiteId, SubjectId, TenantId};

use super::capture::{CaptureOptions, HandOption, new_request_id};
use super::connection::Connection;
use super::error::CliError;
use super::image::PalmOptions;
use super::output::Output;
use super::sealed::SealOption;
use super::show;

/// Options of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The claimed subject
    subject: SubjectId,
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
    let request = api::VerifyRequest {
        tenant,
        request_id,
        subject_id: args.subject.to_string(),
        probe,
        site: args.site.as_ref().map(SiteId::to_string).unwrap_or_default(),
        sealed_probe,
    };
    let answer = client.identity().verify(request).await?.into_inner();
    let mut text = show::decision_text(
        answer.decision(),
        args.subject.as_str(),
        answer.match_level(),
        answer.retake_reason(),
    );
    let score = answer.score.map(|score| format!("\nscore {score:.4}"));
    text.push_str(score.as_deref().unwrap_or_default());
    let json = json!({
        "request_id": answer.request_id,
        "decision": show::decision(answer.decision()),
        "match_level": show::level(answer.match_level()),
        "retake_reason": show::retake(answer.retake_reason()),
        "score": answer.score,
    });
    args.output.print(&text, &json)
}
