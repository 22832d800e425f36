//! Tenants before the run: found or made, filled where they are empty, and known to hold simulated palms alone. Sends no load.

use std::time::{SystemTime, UNIX_EPOCH};

use tonic::Code;

use crate::cli::error::CliError;
use crate::cli::local::Authority;
use crate::cli::simulated::{self, SEED, import};
use crate::client::{Client, api};
use crate::model::id::{PrincipalName, TenantId};
use crate::model::principal::{Principal, Role};
use crate::model::signature::Dimension;
use crate::population::Population;

use super::LoadError;
use super::crowd::{member, principal};
use super::target::Target;

/// Wanted FPIR of a tenant that is made.
const FPIR: f64 = 1e-3;

/// What a tenant is before the run.
pub struct Gallery {
    /// Whose palms it has.
    pub population: Population,
    /// How many: the first subjects.
    pub palms: u64,
    /// Score from which on a candidate counts.
    pub threshold: f64,
}

/// A tenant as it has to be where it isn't yet.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Palms.
    pub palms: u64,
    /// Coordinates of a signature.
    pub dim: Dimension,
}

/// Finds the tenant, or makes and fills it as wanted.
pub async fn run(
    target: &Target,
    authority: &Authority,
    tenant: &TenantId,
    wanted: Option<Wanted>,
) -> Result<Gallery, CliError> {
    let name: PrincipalName = "load".parse()?;
    let admin = Principal::Admin { name: name.clone() };
    let admin = principal(target, authority, &admin).await?;
    let found = found_or_made(&admin, tenant, wanted).await?;
    if found.encoder != Some(simulated::encoder()) {
        return Err(LoadError::NotSimulated(tenant.clone()).into());
    }
    let dim = usize::try_from(found.dimension).unwrap_or(usize::MAX);
    let population = Population::new(SEED, Dimension::new(dim)?);
    let operator = member(target, authority, tenant, Role::Operator, name).await?;
    let palms = match (palms(&operator).await?, wanted) {
        (0, Some(wanted)) => {
            super::say(&format!(
                "tenant {tenant}: {} palms, made as they are imported",
                wanted.palms
            ));
            let id = format!("import-{}", stamp());
            import::run(&operator, tenant, id, &population, 0, wanted.palms).await?
        }
        (palms, _) => palms,
    };
    if palms == 0 {
        return Err(LoadError::Empty(tenant.clone()).into());
    }
    Ok(Gallery {
        population,
        palms,
        threshold: f64::from(found.threshold),
    })
}

async fn found_or_made(
    admin: &Client,
    tenant: &TenantId,
    wanted: Option<Wanted>,
) -> Result<api::Tenant, CliError> {
    let request = api::GetTenantRequest {
        tenant: tenant.to_string(),
    };
    match admin.admin().get_tenant(request).await {
        Ok(found) => Ok(found.into_inner()),
        Err(status) if status.code() == Code::NotFound => {
            let wanted = wanted.ok_or_else(|| LoadError::NoTenant(tenant.clone()))?;
            let id = format!("create-{}", stamp());
            let request = simulated::tenant_request(tenant, id, wanted.dim, FPIR, wanted.palms);
            Ok(admin.admin().create_tenant(request).await?.into_inner())
        }
        Err(status) => Err(status.into()),
    }
}

async fn palms(operator: &Client) -> Result<u64, CliError> {
    let request = api::GetStatsRequest::default();
    Ok(operator.admin().get_stats(request).await?.into_inner().references)
}

/// Tells requests of one run from those of another.
fn stamp() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_micros())
}
