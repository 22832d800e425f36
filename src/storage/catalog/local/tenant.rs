//! The tenant itself in its table. Decides nothing.

use rusqlite::Connection;

use crate::model::tenant::TenantSpec;
use crate::storage::catalog::code::{from_json, to_json};

/// The tenant as it is within the transaction.
pub(super) fn spec(conn: &Connection) -> rusqlite::Result<TenantSpec> {
    conn.prepare_cached("SELECT spec FROM tenant")?
        .query_row([], |row| from_json(0, row.get_ref(0)?.as_str()?))
}

/// Replaces what is said of it.
pub(super) fn set_spec(conn: &Connection, spec: &TenantSpec) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE tenant SET spec = ?")?
        .execute([to_json(spec)])?;
    Ok(())
}
