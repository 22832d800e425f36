//! `thenar data verify`: checks all that a data directory holds, beside a running server or without one. Changes nothing.

use std::path::Path;

use super::ServerError;
use super::config::Config;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::storage::data_dir;
use crate::storage::rotate::is_sealed_with;
use crate::storage::verify::{Verification, verify as verify_tenant};

/// A tenant and what was found; `None` where the keyring has no key of it.
pub type Verified = (TenantId, Option<Verification>);

/// The key that a tenant's files are sealed with. It is the next one between the exchange of the files and the end of a rotation.
pub(super) fn data_key(
    data: &Path,
    keyring: &Keyring,
    tenant: &TenantId,
) -> Result<Option<SecretKey>, KeyError> {
    let next = keyring.get(tenant, Purpose::DataNext)?;
    match next.filter(|next| is_sealed_with(data, tenant, next)) {
        Some(next) => Ok(Some(next)),
        None => keyring.get(tenant, Purpose::Data),
    }
}

/// Verifies one tenant, or all that have a directory.
pub fn verify(config: &Config, tenant: Option<&TenantId>) -> Result<Vec<Verified>, ServerError> {
    let tenants = match tenant {
        Some(tenant) => vec![tenant.clone()],
        None => data_dir::tenants(&config.data)?,
    };
    let key = config.kek_source().load()?;
    let keyring = Keyring::read(&config.data.join("keyring"), &key)?;
    let signer = keyring.signer();
    let mut verified = Vec::new();
    for tenant in tenants {
        let key = data_key(&config.data, &keyring, &tenant)?;
        let found = key.map(|key| verify_tenant(&config.data, &tenant, &key, signer.public_key()));
        verified.push((tenant, found));
    }
    Ok(verified)
}
