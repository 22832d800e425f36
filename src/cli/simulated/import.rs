//! Simulated palms into a tenant, made as fast as the server takes them. Makes no tenant.

use indicatif::ProgressBar;

use crate::cli::error::CliError;
use crate::cli::progress;
use crate::client::import::{self, RowSender};
use crate::client::{Client, api};
use crate::model::id::TenantId;
use crate::population::Population;

/// Imports the subjects `first` to `first + count`, as an operator of the tenant. Answers how many the server took.
pub async fn run(
    client: &Client,
    tenant: &TenantId,
    request_id: String,
    population: &Population,
    first: u64,
    count: u64,
) -> Result<u64, CliError> {
    let header = api::ImportHeader {
        tenant: tenant.to_string(),
        request_id,
        encoder: Some(super::encoder()),
        element_type: api::ElementType::F16.into(),
        hand: api::Hand::Right.into(),
        quality: 90,
        consent: Some(super::consent()),
        rows: count,
        first_row: 0,
    };
    let bar = progress::rows("importing", count);
    let (shown, population) = (bar.clone(), population.clone());
    let produce = move |sender: RowSender| {
        produce(&population, first, count, &sender, &shown);
        Ok::<(), CliError>(())
    };
    let answer = import::import(client, header, produce).await??;
    bar.finish_and_clear();
    Ok(answer.imported)
}

fn produce(population: &Population, first: u64, count: u64, sender: &RowSender, bar: &ProgressBar) {
    let chunk = import::chunk_rows(population.dimension().get() * 2) as u64;
    let end = first + count;
    let mut next = first;
    while next < end {
        let subjects = next..end.min(next + chunk);
        let rows = api::ImportRows {
            data: super::half_bytes(&population.references(subjects.clone())).into(),
            subject_ids: subjects.clone().map(super::subject_id).collect(),
        };
        // The server has ended the call when nobody takes the rows; its answer says why.
        if !sender.send_blocking(rows) {
            return;
        }
        bar.inc(subjects.end - subjects.start);
        next = subjects.end;
    }
}
