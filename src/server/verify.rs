//! `thenar data verify`: checks all that a data directory holds, beside a running server or without one. Changes nothing.

use std::path::{Path, PathBuf};

use super::ServerError;
use super::config::Config;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::storage::data_dir;
use crate::storage::error::StorageError;
use crate::storage::journal::known::Known;
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

/// The erasure journal and what was found.
#[derive(Debug)]
pub struct VerifiedJournal {
    /// The file.
    pub path: PathBuf,
    /// Entries that are signed.
    pub entries: u64,
    /// What is not as it was written.
    pub fault: Option<StorageError>,
}

/// Verifies one tenant, or all that have a directory, and the erasure journal where there is one.
pub fn verify(
    config: &Config,
    tenant: Option<&TenantId>,
) -> Result<(Vec<Verified>, Option<VerifiedJournal>), ServerError> {
    let all = data_dir::tenants(&config.data)?;
    let tenants = tenant.map_or(all, |tenant| vec![tenant.clone()]);
    let keyring = Keyring::read(&config.data.join("keyring"), config.keks()?)?;
    let signer = keyring.signer();
    // Before the catalogs, which go on first: none may be behind it.
    let path = config.journal_path();
    let (known, journal) = journal(&path, &signer)?;
    let mut verified = Vec::new();
    for tenant in tenants {
        let key = data_key(&config.data, &keyring, &tenant)?;
        let signers = keyring.signer_keys(&tenant)?;
        let mut found = key.map(|key| verify_tenant(&config.data, &tenant, &key, &signers));
        if let Some(found) = &mut found
            && let Some((created_at, newest)) = found.last_erasure
        {
            let outdated = known.check(&path, &(tenant.clone(), created_at), newest);
            found.faults.extend(outdated.err());
        }
        verified.push((tenant, found));
    }
    Ok((verified, journal))
}

/// What the journal says, and what is wrong with it. A front has none, nor has a directory that nobody was erased from yet.
fn journal(path: &Path, signer: &ReceiptSigner) -> Result<(Known, Option<VerifiedJournal>), StorageError> {
    let is_there = path.try_exists();
    if !is_there.map_err(|error| StorageError::io("examine", path, error))? {
        return Ok((Known::default(), None));
    }
    let (known, fault) = match Known::read(path, signer) {
        Ok((known, extent)) => (known, extent.fault(path)),
        Err(fault) => (Known::default(), Some(fault)),
    };
    let journal = VerifiedJournal {
        path: path.to_owned(),
        entries: known.entries(),
        fault,
    };
    Ok((known, Some(journal)))
}
