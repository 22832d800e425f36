//! `thenar data verify`: checks all that a data directory holds, beside a running server or without one. Changes nothing.

use super::ServerError;
use super::config::Config;
use crate::keys::keyring::{Keyring, Purpose};
use crate::model::id::TenantId;
use crate::storage::data_dir;
use crate::storage::rotate::is_sealed_with;
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
        let next = keyring.get(&tenant, Purpose::DataNext)?;
        // Between the exchange of its files and the end of a rotation.
        let next = next.filter(|next| is_sealed_with(&config.data, &tenant, next));
        let present = keyring.get(&tenant, Purpose::Data)?;
        let found = next
            .or(present)
            .map(|key| verify_tenant(&config.data, &tenant, &key));
        verified.push((tenant, found));
    }
    Ok(verified)
}
