//! By whose signatures what was signed of a tenant stands: the keyring's own, and those of servers that had the tenant before it was moved.

use super::Keyring;
use super::body::Body;
use crate::keys::encoding::{from_hex, to_hex};
use crate::keys::error::KeyError;
use crate::keys::receipt::SignerKeys;
use crate::model::id::TenantId;

impl Keyring {
    /// By which keys what was signed of a tenant stands, by what is in memory.
    pub fn signer_keys(&self, tenant: &TenantId) -> Result<SignerKeys, KeyError> {
        let decode = |key: &String| from_hex(key).map(|bytes| bytes.to_vec());
        let former = self.held.with(|body| {
            let former = body.former_signers.get(tenant).into_iter().flatten();
            former.map(decode).collect::<Option<_>>()
        });
        Ok(SignerKeys {
            present: self.signer.public_key().to_vec(),
            former: former.ok_or_else(|| KeyError::Damaged {
                path: self.held.store().path().to_owned(),
                problem: format!("a former signer of tenant {tenant} is no public key"),
            })?,
        })
    }

    /// What was signed by these stands from now on, too. Whether any is new.
    pub(super) fn adopt_signers(
        &self,
        body: &mut Body,
        tenant: &TenantId,
        signed_by: Option<&SignerKeys>,
    ) -> bool {
        let mut is_new = false;
        let strangers = signed_by.into_iter().flat_map(SignerKeys::all);
        for stranger in strangers.filter(|key| *key != self.signer.public_key()) {
            let known = body.former_signers.entry(tenant.clone()).or_default();
            is_new |= known.insert(to_hex(stranger));
        }
        is_new
    }
}

#[cfg(test)]
#[path = "signers_tests.rs"]
mod tests;
