//! The tenant's policy, replaced. Judges none.

use super::request::{self, Method};
use super::tables::Tables;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;
use crate::storage::write::{Committed, PolicyWrite};

/// Replaces the policy, or answers as before.
pub(super) fn set_policy(
    tables: &mut impl Tables,
    write: &PolicyWrite,
    now: Timestamp,
) -> Result<Committed, StorageError> {
    let asked = (&write.request_id, Method::Policy, &write.request_digest);
    if request::find::<()>(tables, asked)?.is_none() {
        let spec = TenantSpec {
            policy: write.policy.clone(),
            ..tables.spec()?
        };
        tables.set_spec(&spec)?;
        request::insert(tables, asked, &(), None, now)?;
    }
    Ok(Committed::PolicySet)
}
