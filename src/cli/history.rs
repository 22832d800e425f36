//! `thenar history`: what is held on a subject and where palms were used, newest first. Follows pages to the wanted length.

use serde_json::{Value, json};

use crate::client::api::get_subject_request;
use crate::client::{Client, api};
use crate::model::id::{SubjectId, TenantId};

use super::connection::Connection;
use super::error::CliError;
use super::output::{Output, table};
use super::show;

/// Largest page.
const PAGE_SIZE_MAX: u32 = 1_000;

/// Options of `history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this subject, with what is held on it; all subjects are for operators
    #[arg(long, value_name = "ID")]
    subject: Option<SubjectId>,
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Most events to show
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let tenant = args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default();
    let subject_id = args
        .subject
        .as_ref()
        .map(SubjectId::to_string)
        .unwrap_or_default();
    let client = args.connection.connect().await?;
    let subject = match &args.subject {
        Some(id) => Some(subject(&client, &tenant, id).await?),
        None => None,
    };
    let limit = usize::try_from(args.limit).expect("32 bits fit in usize");
    let events = events(&client, &tenant, &subject_id, limit).await?;
    let rows: Vec<Vec<String>> = events.iter().map(show::event_row).collect();
    let mut text = subject.as_ref().map(show::subject_text).unwrap_or_default();
    text.push_str(&table(&rows));
    if rows.is_empty() {
        text.push_str("no events");
    }
    let json = json!({
        "subject": subject.as_ref().map(show::subject),
        "events": events.iter().map(show::event).collect::<Vec<Value>>(),
    });
    args.output.print(&text, &json)
}

async fn subject(client: &Client, tenant: &str, id: &SubjectId) -> Result<api::Subject, CliError> {
    let request = api::GetSubjectRequest {
        tenant: tenant.to_owned(),
        subject: Some(get_subject_request::Subject::SubjectId(id.to_string())),
    };
    Ok(client.enrollment().get_subject(request).await?.into_inner())
}

/// Events, newest first, up to `limit`.
pub async fn events(
    client: &Client,
    tenant: &str,
    subject_id: &str,
    limit: usize,
) -> Result<Vec<api::UsageEvent>, CliError> {
    let mut events = Vec::new();
    let mut page_token = String::new();
    while events.len() < limit {
        let missing = u32::try_from(limit - events.len()).unwrap_or(u32::MAX);
        let request = api::ListUsageRequest {
            tenant: tenant.to_owned(),
            subject_id: subject_id.to_owned(),
            page_size: missing.min(PAGE_SIZE_MAX),
            page_token,
        };
        let page = client.enrollment().list_usage(request).await?.into_inner();
        events.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(events)
}
