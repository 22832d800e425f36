//! `thenar enroll`: palms of one subject, with consent and links. Sends what it is given.

use std::path::PathBuf;

use serde_json::json;

use crate::client::api;
use crate::model::id::{RequestId, SiteId, SubjectId, TenantId};

use super::capture::{CaptureOptions, ConsentOptions, HandOption, LinkOption, new_request_id};
use super::connection::Connection;
use super::error::CliError;
use super::image::ImageOptions;
use super::output::Output;
use super::show;

/// Options of `enroll`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("palms").required(true).multiple(true).args(["left", "right", "image"]))]
pub struct Args {
    /// Signature of the left palm, `NumPy`; may be given again
    #[arg(long, value_name = "FILE")]
    left: Vec<PathBuf>,
    /// Signature of the right palm, `NumPy`; may be given again
    #[arg(long, value_name = "FILE")]
    right: Vec<PathBuf>,
    /// A palm as an image: PNG, JPEG, BMP or PNM, encoded here; may be given again
    #[arg(long, value_name = "FILE", requires = "hand")]
    image: Vec<PathBuf>,
    /// Whose palm the images show
    #[arg(long, value_enum, requires = "image")]
    hand: Option<HandOption>,
    #[command(flatten)]
    images: ImageOptions,
    /// The subject; without it the server makes an id
    #[arg(long, value_name = "ID")]
    subject: Option<SubjectId>,
    /// A link of the person, as badge-id=1234; may be given again, one of a kind
    #[arg(long = "link", value_name = "KIND=VALUE")]
    links: Vec<LinkOption>,
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The place
    #[arg(long)]
    site: Option<SiteId>,
    /// Makes a repetition harmless; made up when not given
    #[arg(long, value_name = "ID")]
    request_id: Option<RequestId>,
    #[command(flatten)]
    capture: CaptureOptions,
    #[command(flatten)]
    consent: ConsentOptions,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let request = request(&args)?;
    let client = args.connection.connect().await?;
    let answer = client.enrollment().enroll(request).await?.into_inner();
    let retake = answer.retake_reason();
    let json = json!({
        "subject_id": answer.subject_id,
        "references": answer.references,
        "sequence": answer.sequence,
        "retake_reason": show::retake(retake),
    });
    if let Some(reason) = show::retake(retake) {
        return args.output.print(
            &format!("RETAKE ({reason}): nothing was changed; capture the palm again"),
            &json,
        );
    }
    let text = format!(
        "enrolled {} with {} signature(s) (change {})",
        answer.subject_id,
        answer.references.len(),
        answer.sequence
    );
    args.output.print(&text, &json)
}

fn request(args: &Args) -> Result<api::EnrollRequest, CliError> {
    let left = args.left.iter().map(|path| (path, HandOption::Left));
    let right = args.right.iter().map(|path| (path, HandOption::Right));
    let images = args
        .image
        .iter()
        .map(|path| args.images.signature(path, args.hand, &args.capture));
    let signatures = left
        .chain(right)
        .map(|(path, hand)| args.capture.signature(path, Some(hand)))
        .chain(images)
        .collect::<Result<_, _>>()?;
    Ok(api::EnrollRequest {
        tenant: args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
        request_id: args
            .request_id
            .as_ref()
            .map_or_else(new_request_id, RequestId::to_string),
        subject_id: args
            .subject
            .as_ref()
            .map(SubjectId::to_string)
            .unwrap_or_default(),
        signatures,
        consent: Some(args.consent.message()),
        links: args.links.iter().map(LinkOption::message).collect(),
        site: args.site.as_ref().map(SiteId::to_string).unwrap_or_default(),
    })
}
