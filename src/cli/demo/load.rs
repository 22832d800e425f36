//! The first act: two tenants, and palms imported into both. Makes rows as fast as the server takes them.

use std::time::Instant;

use indicatif::ProgressBar;

use crate::client::import::{self, RowSender};
use crate::client::{Client, api};
use crate::model::id::TenantId;
use crate::model::principal::Role;

use super::super::error::CliError;
use super::super::progress;
use super::host::Host;
use super::plan::{self, OTHER_PALMS, Plan, arena, half_bytes, office, subject_id};
use super::report::Check;
use super::{DemoError, check, say};

/// Creates the tenants and imports their palms.
pub(super) async fn run(host: &Host, plan: &Plan) -> Result<Vec<Check>, CliError> {
    let admin = host.admin().await?;
    for tenant in [arena(), office()] {
        let made = admin
            .admin()
            .create_tenant(plan.tenant_request(&tenant))
            .await?
            .into_inner();
        say(&format!("tenant {tenant}, threshold {:.3}", made.threshold));
    }
    say(&format!("{} palms, made as they are imported", plan.palms));
    let begin = Instant::now();
    let imported = import_palms(host, plan, arena(), 0, plan.palms).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let others = import_palms(host, plan, office(), plan.palms, OTHER_PALMS).await?;
    Ok(vec![check(
        "every palm is imported",
        imported == plan.palms && others == OTHER_PALMS,
        format!("{imported} in {seconds:.1} s, and {others} elsewhere"),
    )])
}

async fn import_palms(
    host: &Host,
    plan: &Plan,
    tenant: TenantId,
    first: u64,
    count: u64,
) -> Result<u64, CliError> {
    let client: Client = host.member(tenant.clone(), Role::Operator, "importer").await?;
    let header = api::ImportHeader {
        tenant: tenant.to_string(),
        request_id: format!("import-{tenant}"),
        encoder: Some(plan::encoder()),
        element_type: api::ElementType::F16.into(),
        hand: api::Hand::Right.into(),
        quality: 90,
        consent: Some(plan::consent()),
        rows: count,
        first_row: 0,
    };
    let bar = progress::rows("importing", count);
    let (shown, plan) = (bar.clone(), plan.clone());
    let produce = move |sender: RowSender| {
        produce(&plan, first, count, &sender, &shown);
        Ok::<(), DemoError>(())
    };
    let answer = import::import(&client, header, produce).await??;
    bar.finish_and_clear();
    Ok(answer.imported)
}

fn produce(plan: &Plan, first: u64, count: u64, sender: &RowSender, bar: &ProgressBar) {
    let chunk = import::chunk_rows(plan.dim.get() * 2) as u64;
    let end = first + count;
    let mut next = first;
    while next < end {
        let subjects = next..end.min(next + chunk);
        let rows = api::ImportRows {
            data: half_bytes(&plan.population.references(subjects.clone())).into(),
            subject_ids: subjects.clone().map(subject_id).collect(),
        };
        // The server has ended the call when nobody takes the rows; its answer says why.
        if !sender.send_blocking(rows) {
            return;
        }
        bar.inc(subjects.end - subjects.start);
        next = subjects.end;
    }
}
