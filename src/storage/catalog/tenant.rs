//! The tenant itself in its catalog: its spec with the present policy, read and replaced. Judges none.

use rusqlite::Connection;

use super::code::{from_json, to_json};
use super::request::{self, Method};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;
use crate::storage::write::{Committed, PolicyWrite};

/// The tenant as it is within the transaction.
pub(in crate::storage) fn spec(conn: &Connection) -> rusqlite::Result<TenantSpec> {
    conn.prepare_cached("SELECT spec FROM tenant")?
        .query_row([], |row| from_json(0, row.get_ref(0)?.as_str()?))
}

/// Replaces what is said of it.
pub(in crate::storage) fn set_spec(conn: &Connection, spec: &TenantSpec) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE tenant SET spec = ?")?
        .execute([to_json(spec)])?;
    Ok(())
}

/// Replaces its policy, or answers as before.
pub(in crate::storage) fn set_policy(
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
        set_spec(conn, &spec)?;
        request::insert(conn, asked, &(), None, now)?;
    }
    Ok(Committed::PolicySet)
}
