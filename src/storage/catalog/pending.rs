//! Rows that are enrolled and not in a segment yet: sealed one by one in the catalog. Decides nothing about when they move.

use aws_lc_rs::digest;
use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::code::{int, uint};
use crate::keys::aead::Sealer;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::storage::error::StorageError;

/// Seals pending rows of one tenant.
pub(in crate::storage) struct PendingSeal {
    sealer: Sealer,
    tenant_digest: [u8; 32],
}

impl PendingSeal {
    /// With a key of its own, derived from the tenant's data key.
    pub(in crate::storage) fn new(tenant: &TenantId, data_key: &SecretKey) -> Self {
        let digest = digest::digest(&digest::SHA256, tenant.as_str().as_bytes());
        Self {
            sealer: Sealer::new(&data_key.derive(&[b"pending"])),
            tenant_digest: digest.as_ref().try_into().expect("SHA-256 has 32 bytes"),
        }
    }

    /// Nonce, ciphertext, tag; bound to tenant and reference.
    pub(in crate::storage) fn seal(&self, reference: u64, exact: &[u8]) -> Vec<u8> {
        self.sealer.seal(&self.aad(reference), exact)
    }

    /// Opens what [`PendingSeal::seal`] made.
    pub(in crate::storage) fn open(
        &self,
        reference: u64,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        self.sealer.open(&self.aad(reference), sealed).map_err(|_| {
            StorageError::damaged(
                std::path::Path::new("catalog.db"),
                format!("pending reference {reference} fails authentication"),
            )
        })
    }

    fn aad(&self, reference: u64) -> [u8; 40] {
        let mut aad = [0; 40];
        let (tenant, number) = aad.split_at_mut(32);
        tenant.copy_from_slice(&self.tenant_digest);
        number.copy_from_slice(&reference.to_le_bytes());
        aad
    }
}

/// A reference that is neither in a segment nor here.
pub(in crate::storage) fn missing(reference: u64) -> StorageError {
    StorageError::damaged(
        std::path::Path::new("catalog.db"),
        format!("reference {reference} has no row"),
    )
}

/// Adds a sealed row.
pub(in crate::storage) fn insert(conn: &Connection, reference: u64, sealed: &[u8]) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO pending (reference, sealed) VALUES (?, ?)")?
        .execute(params![int(reference), sealed])?;
    Ok(())
}

/// A sealed row.
pub(in crate::storage) fn sealed(conn: &Connection, reference: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT sealed FROM pending WHERE reference = ?")?
        .query_row([int(reference)], |row| row.get(0))
        .optional()
}

/// Removes a row; `false` when it is not there.
pub(in crate::storage) fn remove(conn: &Connection, reference: u64) -> rusqlite::Result<bool> {
    let removed = conn
        .prepare_cached("DELETE FROM pending WHERE reference = ?")?
        .execute([int(reference)])?;
    Ok(removed == 1)
}

/// References of all pending rows, ascending.
pub(in crate::storage) fn references(conn: &Connection) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT reference FROM pending ORDER BY reference")?
        .query_map([], |row| uint(row, 0))?
        .collect()
}

/// Writes all rows anew into zeroed pages. `SQLite`'s `secure_delete` zeroes what is deleted, but a row that was moved
/// between pages before may have left a copy in the unused part of one. Emptying the table zeroes every page of it,
/// and inserting in ascending order moves nothing.
pub(in crate::storage) fn rebuild(conn: &Connection) -> rusqlite::Result<()> {
    replace_all(conn, &all(conn)?)
}

/// All sealed rows by reference.
pub(in crate::storage) fn all(conn: &Connection) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    conn.prepare("SELECT reference, sealed FROM pending ORDER BY reference")?
        .query_map([], |row| Ok((uint(row, 0)?, row.get(1)?)))?
        .collect()
}

/// Puts these rows, by ascending reference, in the place of all that are there, see [`rebuild`].
pub(in crate::storage) fn replace_all(conn: &Connection, rows: &[(u64, Vec<u8>)]) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM pending", [])?;
    for (reference, sealed) in rows {
        insert(conn, *reference, sealed)?;
    }
    Ok(())
}
