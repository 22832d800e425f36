//! Cells of a catalog that somebody else keeps: sealed for the one place they stand in, found by keyed digests, rows and heads under a MAC. Knows no table.
//!
//! All keys follow (HKDF) from one secret that is of the catalog alone, so that a rotation of what seals files touches no cell and no lookup, and from the
//! tenant's incarnation, so that a tenant that is made anew shares nothing with the one before. Each table has a key of its own.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::aead::{AeadError, Sealer};
use super::mac::{MAC_LEN, MacKey};
use super::secret::SecretKey;

/// Bytes of the number of a tenant's incarnation.
pub const INCARNATION_LEN: usize = 16;

/// Seals, opens, finds and authenticates the cells of one incarnation of a tenant.
pub struct CellKeys {
    incarnation: [u8; INCARNATION_LEN],
    tables: BTreeMap<&'static str, TableKeys>,
}

struct TableKeys {
    sealer: Sealer,
    lookup: MacKey,
    mac: MacKey,
}

impl CellKeys {
    /// Prepares the keys of these tables from the catalog's secret.
    pub fn new(
        secret: &SecretKey,
        incarnation: [u8; INCARNATION_LEN],
        tables: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let keys = |table: &'static str| {
            let key = |what: &[u8]| secret.derive(&[what, &incarnation, table.as_bytes()]);
            let keys = TableKeys {
                sealer: Sealer::new(&key(b"catalog seal")),
                lookup: MacKey::new(&key(b"catalog lookup")),
                mac: MacKey::new(&key(b"catalog mac")),
            };
            (table, keys)
        };
        Self {
            incarnation,
            tables: tables.into_iter().map(keys).collect(),
        }
    }

    /// Seals a cell under a random nonce, for a row with these clear columns: nonce, ciphertext, tag. A table's key seals up to 2³² cells.
    pub fn seal(&self, table: &str, clear: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        self.table(table).sealer.seal(&self.context(table, clear), plain)
    }

    /// Opens a cell of this table in a row with these clear columns; it opens nowhere else.
    pub fn open(&self, table: &str, clear: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        self.table(table).sealer.open(&self.context(table, clear), sealed)
    }

    /// The keyed digest that a value of this table is found by.
    pub fn lookup(&self, table: &str, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        self.table(table).lookup.digest(parts)
    }

    /// Authenticates columns that stay clear.
    pub fn mac(&self, table: &str, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        self.table(table).mac.digest(parts)
    }

    /// Whether [`CellKeys::mac`] made this, in constant time.
    pub fn verify(&self, table: &str, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.table(table).mac.verify(parts, mac)
    }

    fn table(&self, table: &str) -> &TableKeys {
        self.tables
            .get(table)
            .expect("keys are prepared for every table there is")
    }

    /// Incarnation, table and columns, each preceded by its length (u64), so that no two rows give the same.
    fn context(&self, table: &str, clear: &[&[u8]]) -> Vec<u8> {
        let mut context = Vec::new();
        for part in [self.incarnation.as_slice(), table.as_bytes()]
            .iter()
            .chain(clear)
        {
            context.extend_from_slice(&(part.len() as u64).to_le_bytes());
            context.extend_from_slice(part);
        }
        context
    }
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
