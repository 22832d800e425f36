//! `thenar audit verify`: holds histories against their chains, checkpoints and receipts, beside a running server or without one. Changes nothing.

use super::ServerError;
use super::config::Config;
use super::verify::data_key;
use crate::keys::keyring::Keyring;
use crate::keys::receipt::{SignerKeys, verify_checkpoint};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::TenantId;
use crate::storage::audit::{Audit, Named, audit as audit_tenant};
use crate::storage::data_dir;
use crate::storage::error::StorageError;

/// A tenant and what was found; `None` where the keyring has no key of it.
pub type Audited = (TenantId, Option<Audit>);

/// Audits one tenant, or all that have a directory and all that a checkpoint is of. Checkpoints that were kept come with what they are called; signatures
/// are held against `public_keys`, which whoever audits learned before (the server's, then those of servers that had the tenants before), or, where there are none, against the keyring's.
pub fn audit(
    config: &Config,
    tenant: Option<&TenantId>,
    public_keys: &[&[u8]],
    against: &[(String, SignedCheckpoint)],
) -> Result<Vec<Audited>, ServerError> {
    let keyring = Keyring::read(&config.data.join("keyring"), config.keks()?)?;
    let signers = |tenant: &TenantId| match public_keys {
        [] => keyring.signer_keys(tenant),
        [present, former @ ..] => Ok(SignerKeys {
            present: present.to_vec(),
            former: former.iter().map(|key| key.to_vec()).collect(),
        }),
    };
    let mut kept: Vec<Named> = Vec::with_capacity(against.len());
    for (name, signed) in against {
        let not_its = |source| ServerError::Checkpoint {
            name: name.clone(),
            source,
        };
        let of = verify_checkpoint(signed).map_err(not_its)?.tenant;
        let checkpoint = signers(&of)?.verify_checkpoint(signed).map_err(not_its)?;
        kept.push((name.clone(), checkpoint));
    }
    let present = data_dir::tenants(&config.data)?;
    if let Some(tenant) = tenant.filter(|tenant| !present.contains(tenant)) {
        return Err(StorageError::TenantUnknown(tenant.clone()).into());
    }
    let mut wanted = tenant.map_or_else(|| present.clone(), |tenant| vec![tenant.clone()]);
    wanted.extend(kept.iter().map(|(_, of)| of.tenant.clone()));
    wanted.sort();
    wanted.dedup();
    let mut audited = Vec::with_capacity(wanted.len());
    for tenant in wanted {
        let of_tenant: Vec<Named> = kept
            .iter()
            .filter(|(_, of)| of.tenant == tenant)
            .cloned()
            .collect();
        let found = match data_key(&config.data, &keyring, &tenant) {
            Ok(None) => None,
            Ok(Some(key)) => {
                let found = audit_tenant(&config.data, &tenant, &key, &signers(&tenant)?, &of_tenant);
                // One tenant that can't be read hides nothing of the others.
                Some(found.unwrap_or_else(|error| Audit::failed(&error)))
            }
            Err(error) => Some(Audit::failed(&error)),
        };
        audited.push((tenant, found));
    }
    Ok(audited)
}
