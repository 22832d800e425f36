//! `thenar erase`: forgets a subject and shows the receipt. Waits for the files to be clean when asked to.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tonic::{Code, Status};

use crate::client::api::erase_request::Subject;
use crate::client::{Client, api};
use crate::model::id::{RequestId, SubjectId, TenantId};

use super::capture::{LinkOption, new_request_id};
use super::connection::Connection;
use super::error::CliError;
use super::output::Output;
use super::show;

/// Time between two looks at an erasure.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Options of `erase`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The subject
    #[arg(required_unless_present = "link", conflicts_with = "link")]
    subject: Option<SubjectId>,
    /// The subject that has this link, as badge-id=1234
    #[arg(long, value_name = "KIND=VALUE")]
    link: Option<LinkOption>,
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Makes a repetition harmless; made up when not given
    #[arg(long, value_name = "ID")]
    request_id: Option<RequestId>,
    /// Wait up to so many seconds until no live file holds a byte of the signatures
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Write the signed receipt to this file, JSON
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let tenant = args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default();
    let subject = match (&args.subject, &args.link) {
        (Some(id), _) => Subject::SubjectId(id.to_string()),
        (None, Some(link)) => Subject::Link(link.message()),
        (None, None) => return Err(CliError::Usage("a subject or --link is required".to_owned())),
    };
    let request = api::EraseRequest {
        tenant: tenant.clone(),
        request_id: args
            .request_id
            .as_ref()
            .map_or_else(new_request_id, RequestId::to_string),
        subject: Some(subject),
    };
    let client = args.connection.connect().await?;
    let request_id = request.request_id.clone();
    let answered = client.enrollment().erase(request).await;
    let mut answer = answered
        .map_err(|refusal| unanswered(refusal, request_id))?
        .into_inner();
    if let Some(seconds) = args.wait {
        answer = purged(&client, &tenant, answer.erasure, Duration::from_secs(seconds)).await?;
    }
    let json = show::erasure(&answer);
    if let Some(path) = &args.receipt {
        std::fs::write(path, format!("{json}\n")).map_err(|e| CliError::file(path, e))?;
    }
    let text = format!(
        "erasure {} is {}\n{}",
        answer.erasure,
        show::erasure_state(answer.state()),
        answer.receipt_json
    );
    args.output.print(&text, &json)
}

/// The person may be erased already: another request would find nobody, and be given no receipt.
fn unanswered(refusal: Status, request_id: String) -> CliError {
    match refusal.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            let refusal = Box::new(refusal);
            CliError::Unacknowledged { request_id, refusal }
        }
        _ => refusal.into(),
    }
}

/// Looks at an erasure until its files are clean; an error after `bound`.
pub async fn purged(
    client: &Client,
    tenant: &str,
    erasure: u64,
    bound: Duration,
) -> Result<api::EraseResponse, CliError> {
    let end = Instant::now() + bound;
    loop {
        let request = api::GetErasureRequest {
            tenant: tenant.to_owned(),
            erasure,
        };
        let answer = client.enrollment().get_erasure(request).await?.into_inner();
        if answer.state() == api::ErasureState::Purged {
            return Ok(answer);
        }
        if Instant::now() >= end {
            return Err(CliError::TimedOut(format!(
                "erasure {erasure} is {} but not yet PURGED after {} s; it goes on by itself",
                show::erasure_state(answer.state()),
                bound.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
