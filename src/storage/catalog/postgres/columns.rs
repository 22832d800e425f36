//! Columns of rows in a database: as what is bound to them takes them, and read one by one. Knows no table.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::Owner;
use crate::storage::error::StorageError;

/// A clear column as what is bound to it takes it.
pub(super) trait Column {
    fn column(&self) -> Vec<u8>;
}

impl Column for u64 {
    fn column(&self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}

impl Column for i64 {
    fn column(&self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}

impl Column for bool {
    fn column(&self) -> Vec<u8> {
        vec![u8::from(*self)]
    }
}

impl Column for [u8] {
    fn column(&self) -> Vec<u8> {
        self.to_vec()
    }
}

/// NULL is no bytes.
impl Column for Option<u64> {
    fn column(&self) -> Vec<u8> {
        self.map_or_else(Vec::new, |value| value.column())
    }
}

/// Clear columns of a row.
macro_rules! clear {
    ($($column:expr),* $(,)?) => { &[$(&$crate::storage::catalog::postgres::columns::Column::column(&$column)[..]),*] };
}
pub(super) use clear;

/// A row whose columns are read one by one; what can't be is damage.
pub(super) struct Columns<'a> {
    owner: &'a Owner,
    table: &'static str,
    row: &'a Row,
}

impl<'a> Columns<'a> {
    pub(super) fn get<T: FromSql<'a>>(&self, column: usize) -> Result<T, StorageError> {
        self.row
            .try_get(column)
            .map_err(|_| self.fault(&format!("its column {column} can't be read")))
    }

    pub(super) fn uint(&self, column: usize) -> Result<u64, StorageError> {
        let value: i64 = self.get(column)?;
        u64::try_from(value).map_err(|_| self.fault(&format!("its column {column} is below zero")))
    }

    pub(super) fn uint_or_null(&self, column: usize) -> Result<Option<u64>, StorageError> {
        let value: Option<i64> = self.get(column)?;
        value
            .map(|value| {
                u64::try_from(value).map_err(|_| self.fault(&format!("its column {column} is below zero")))
            })
            .transpose()
    }

    pub(super) fn small(&self, column: usize) -> Result<u32, StorageError> {
        u32::try_from(self.uint(column)?)
            .map_err(|_| self.fault(&format!("its column {column} is too large")))
    }

    pub(super) fn digest(&self, column: usize) -> Result<[u8; 32], StorageError> {
        let bytes: &[u8] = self.get(column)?;
        bytes
            .try_into()
            .map_err(|_| self.fault(&format!("its column {column} has not 32 bytes")))
    }

    /// Segment and slot, bound to the row by a MAC.
    pub(super) fn place(
        &self,
        [segment, slot, mac]: [usize; 3],
        [of, subject_or_erasure]: [u64; 2],
    ) -> Result<Option<(u32, u32)>, StorageError> {
        let place = self.uint_or_null(segment)?.zip(self.uint_or_null(slot)?);
        let placed: &[u8] = self.get(mac)?;
        let fits = self.owner.cells.verify(
            self.table,
            clear![of, subject_or_erasure, place.map(|at| at.0), place.map(|at| at.1)],
            placed,
        );
        match place.map(|(segment, slot)| (u32::try_from(segment), u32::try_from(slot))) {
            None if fits => Ok(None),
            Some((Ok(segment), Ok(slot))) if fits => Ok(Some((segment, slot))),
            _ => Err(self.fault("its place was changed")),
        }
    }

    pub(super) fn fault(&self, fault: &str) -> StorageError {
        self.owner.damaged(self.table, fault)
    }
}

impl Owner {
    /// A row of a table.
    pub(super) fn columns<'a>(&'a self, table: &'static str, row: &'a Row) -> Columns<'a> {
        Columns {
            owner: self,
            table,
            row,
        }
    }
}
