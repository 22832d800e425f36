//! A tenant of simulated palms, made and filled as an administrator and an operator do it. Asks nobody who is in it.

use thenar::cli::simulated::{self, import};
use thenar::client::Client;
use thenar::model::id::TenantId;
use thenar::population::Population;

use crate::{Failure, progress};

/// Wanted FPIR of such tenants.
const FPIR: f64 = 1e-3;

/// Makes the tenant and imports the first `palms` palms of the population into it. Its threshold.
pub async fn run(
    admin: &Client,
    operator: &Client,
    tenant: &str,
    population: &Population,
    palms: u64,
) -> Result<f32, Failure> {
    progress(format!("{palms} palms into {tenant}"));
    let tenant: TenantId = tenant.parse()?;
    let id = format!("create-{tenant}");
    let request = simulated::tenant_request(&tenant, id, population.dimension(), FPIR, palms);
    let made = admin.admin().create_tenant(request).await?.into_inner();
    let id = "import".to_owned();
    let taken = import::run(operator, &tenant, id, population, 0, palms).await?;
    if taken != palms {
        return Err(format!("{taken} of {palms} palms were imported").into());
    }
    Ok(made.threshold)
}
