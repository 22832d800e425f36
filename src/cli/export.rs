//! `thenar export`: everything that is held on a subject as one JSON document: record, links, whole history, receipts. Prints no signature.

use serde_json::{Value, json};

use crate::client::api::export_subject_request::Subject;
use crate::client::{Client, api};
use crate::model::id::{SubjectId, TenantId};
use crate::model::timestamp::Timestamp;

use super::capture::LinkOption;
use super::connection::Connection;
use super::error::CliError;
use super::{history, output, show};

/// Options of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The subject
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "link",
        conflicts_with = "link"
    )]
    subject: Option<SubjectId>,
    /// The subject that has this link, as badge-id=1234
    #[arg(long, value_name = "KIND=VALUE")]
    link: Option<LinkOption>,
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let tenant = args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default();
    let subject = match (&args.subject, &args.link) {
        (Some(id), _) => Subject::SubjectId(id.to_string()),
        (None, Some(link)) => Subject::Link(link.message()),
        (None, None) => return Err(CliError::Usage("--subject or --link is required".to_owned())),
    };
    let client = args.connection.connect().await?;
    let document = document(&client, &tenant, subject).await?;
    output::line(&format!("{document:#}"))
}

async fn document(client: &Client, tenant: &str, asked: Subject) -> Result<Value, CliError> {
    let request = api::ExportSubjectRequest {
        tenant: tenant.to_owned(),
        subject: Some(asked),
    };
    let exported = client.enrollment().export_subject(request).await?.into_inner();
    let events = match &exported.subject {
        Some(subject) => history::events(client, tenant, &subject.subject_id, usize::MAX).await?,
        None => Vec::new(),
    };
    let mut erasures = Vec::with_capacity(exported.erasures.len());
    for erasure in &exported.erasures {
        let request = api::GetErasureRequest {
            tenant: tenant.to_owned(),
            erasure: *erasure,
        };
        let answer = client.enrollment().get_erasure(request).await?.into_inner();
        erasures.push(show::erasure(&answer));
    }
    Ok(json!({
        "export_time": Timestamp::now().to_string(),
        "subject": exported.subject.as_ref().map(|subject| record(subject, exported.dimension)),
        "history": events.iter().map(show::event).collect::<Vec<Value>>(),
        "erasures": erasures,
    }))
}

/// What is held on the subject, and of each reference that its signature is held too.
fn record(subject: &api::Subject, dimension: u32) -> Value {
    let mut record = show::subject(subject);
    let references = record.get_mut("references").and_then(Value::as_array_mut);
    for reference in references.into_iter().flatten() {
        if let Some(reference) = reference.as_object_mut() {
            let held =
                json!({"coordinates": dimension, "element_type": "F16", "protection": "rotated and sealed"});
            reference.insert("signature".to_owned(), held);
        }
    }
    record
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
