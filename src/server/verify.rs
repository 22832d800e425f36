//! `thenar data verify`: checks all that a data directory holds, beside a running server or without one. Changes nothing.

use super::ServerError;
use super::config::Config;
use crate::keys::keyring::{Keyring, Purpose};
use crate::model::id::TenantId;
use crate::storage::data_dir;
use crate::storage::verify::{Verification, verify as verify_tenant};

/// A tenant and what was found; `None` where the keyring has no key of it.
pub type Verified = (TenantId, Option<Verification>);

/// Verifies one tenant, or all that have a directory.
pub fn verify(config: &Config, tenant: Option<&TenantId>) -> Result<Vec<Verified>, ServerError> {
    let tenants = match tenant {
        Some(tenant) => vec![tenant.clone()],
        None => data_dir::tenants(&config.data)?,
    };
    let key = config.kek_source().load()?;
    let keyring = Keyring::read(&config.data.join("keyring"), &key)?;
    let mut verified = Vec::new();
    for tenant in tenants {
        let found = keyring
            .get(&tenant, Purpose::Data)?
            .map(|key| verify_tenant(&config.data, &tenant, &key));
        verified.push((tenant, found));
    }
    Ok(verified)
}
