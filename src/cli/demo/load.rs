//! The first act: two tenants, and palms imported into both. Makes no palm itself.

use std::time::Instant;

use crate::client::Client;
use crate::model::id::TenantId;
use crate::model::principal::Role;

use super::super::error::CliError;
use super::super::simulated::import;
use super::host::Host;
use super::plan::{OTHER_PALMS, Plan, arena, office};
use super::report::Check;
use super::{check, say};

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
    let request_id = format!("import-{tenant}");
    import::run(&client, &tenant, request_id, &plan.population, first, count).await
}
