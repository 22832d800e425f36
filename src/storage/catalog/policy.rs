//! The tenant's policy within its spec: read, and replaced. Judges none.

use rusqlite::Connection;

use super::code::{from_json, to_json};
use super::request::{self, Method};
use crate::model::policy::Policy;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;
use crate::storage::write::{Committed, PolicyWrite};

/// The tenant with its present policy.
pub(in crate::storage) fn spec(conn: &Connection) -> rusqlite::Result<TenantSpec> {
    conn.prepare_cached("SELECT spec FROM tenant")?
        .query_row([], |row| from_json(0, row.get_ref(0)?.as_str()?))
}

/// The policy as it is within the transaction.
pub(in crate::storage) fn get(conn: &Connection) -> rusqlite::Result<Policy> {
    Ok(spec(conn)?.policy)
}

/// Replaces it, or answers as before.
pub(in crate::storage) fn set(
    conn: &Connection,
    write: &PolicyWrite,
    now: Timestamp,
) -> Result<Committed, StorageError> {
    let asked = (&write.request_id, Method::Policy, &write.request_digest);
    if request::find::<()>(conn, asked.0, asked.1, asked.2)?.is_none() {
        let spec = TenantSpec {
            policy: write.policy.clone(),
            ..spec(conn)?
        };
        conn.prepare_cached("UPDATE tenant SET spec = ?")?
            .execute([to_json(&spec)])?;
        request::insert(conn, asked, &(), None, now)?;
    }
    Ok(Committed::PolicySet)
}
