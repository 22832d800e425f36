//! Which tenants a database has rows of, and their removal as a whole. Reads no row's content and knows no key.

use std::collections::BTreeMap;

use super::transaction::{Statement, Uncommitted, misread, statement};
use super::{Database, migrate_check};
use crate::keys::cells::INCARNATION_LEN;
use crate::model::id::TenantId;
use crate::storage::error::StorageError;

/// What removes all rows of a tenant, those first that others are named by. Objects that are not listed go with its own row.
const OF_TENANT: [&str; 14] = [
    "DELETE FROM follower WHERE tenant = $1",
    "DELETE FROM change WHERE tenant = $1",
    "DELETE FROM warming WHERE tenant = $1",
    "DELETE FROM tombstone WHERE tenant = $1",
    "DELETE FROM erasure WHERE tenant = $1",
    "DELETE FROM pending WHERE tenant = $1",
    "DELETE FROM reference WHERE tenant = $1",
    "DELETE FROM link WHERE tenant = $1",
    "DELETE FROM subject WHERE tenant = $1",
    "DELETE FROM segment WHERE tenant = $1",
    "DELETE FROM usage WHERE tenant = $1",
    "DELETE FROM checkpoint WHERE tenant = $1",
    "DELETE FROM request WHERE tenant = $1",
    "DELETE FROM tenant WHERE tenant = $1",
];

/// A tenant as a database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantRow {
    /// Which of those that had this name.
    pub incarnation: [u8; INCARNATION_LEN],
    /// Whether it is made; else it is in the making, and no head of it is read.
    pub is_made: bool,
}

/// Which tenant's rows are meant.
pub(in crate::storage) enum Rows {
    /// Those of one incarnation, whatever was written to it.
    Of([u8; INCARNATION_LEN]),
    /// Those of one incarnation to which nothing was written yet.
    Unmade([u8; INCARNATION_LEN]),
}

impl Rows {
    fn lock(&self) -> Statement {
        match self {
            Self::Of(incarnation) => statement!(
                "SELECT tenant FROM tenant WHERE incarnation = $1 FOR UPDATE",
                incarnation.to_vec()
            ),
            Self::Unmade(incarnation) => statement!(
                "SELECT tenant FROM tenant WHERE incarnation = $1 AND commits = 0 FOR UPDATE",
                incarnation.to_vec()
            ),
        }
    }
}

impl Database {
    /// Tenants that have rows, and how many changes of each were committed; 0 for one that is in the making. One that is being filled is none yet. Refuses tables that this release doesn't work with.
    pub fn tenants(&self) -> Result<BTreeMap<TenantId, u64>, StorageError> {
        migrate_check(self)?;
        // No tenant's id has a slash.
        let sql = "SELECT name, commits FROM tenant WHERE position('/' in name) = 0";
        let rows = self.read(vec![statement!(sql)])?;
        let mut tenants = BTreeMap::new();
        for row in rows.into_iter().flatten() {
            let id = row.try_get::<_, String>(0).ok().and_then(|id| id.parse().ok());
            let commits = row.try_get::<_, i64>(1).ok();
            let commits = commits.and_then(|commits| u64::try_from(commits).ok());
            match (id, commits) {
                (Some(id), Some(commits)) => tenants.insert(id, commits),
                _ => return Err(misread(self, "its table `tenant` names one that is none")),
            };
        }
        Ok(tenants)
    }

    /// Whether it answers.
    pub fn check(&self) -> Result<(), StorageError> {
        self.read(vec![statement!("SELECT 1")]).map(drop)
    }

    /// How many changes of a tenant were committed; `None` where it has no rows.
    pub fn commits(&self, id: &TenantId) -> Result<Option<u64>, StorageError> {
        let select = statement!(
            "SELECT commits FROM tenant WHERE name = $1",
            id.as_str().to_owned()
        );
        let rows = self.read(vec![select])?;
        let commits = rows.first().and_then(|rows| rows.first());
        commits
            .map(|row| {
                let commits = row.try_get::<_, i64>(0).ok();
                let commits = commits.and_then(|commits| u64::try_from(commits).ok());
                commits.ok_or_else(|| misread(self, "its table `tenant` has no numbers of changes"))
            })
            .transpose()
    }

    /// What a tenant's row says in the clear; `None` where it has none.
    pub fn row(&self, id: &TenantId) -> Result<Option<TenantRow>, StorageError> {
        let select = statement!(
            "SELECT incarnation, commits FROM tenant WHERE name = $1",
            id.as_str().to_owned()
        );
        let rows = self.read(vec![select])?;
        let row = rows.first().and_then(|rows| rows.first());
        row.map(|row| {
            let incarnation = row.try_get::<_, &[u8]>(0).ok();
            let incarnation = incarnation.and_then(|bytes| bytes.try_into().ok());
            match (incarnation, row.try_get::<_, i64>(1).ok()) {
                (Some(incarnation), Some(commits)) => Ok(TenantRow {
                    incarnation,
                    is_made: commits > 0,
                }),
                _ => Err(misread(self, "its table `tenant` has no incarnations")),
            }
        })
        .transpose()
    }

    /// Whether the incarnation of a tenant is made; `None` where it has no row.
    pub(in crate::storage) fn is_made(
        &self,
        incarnation: &[u8; INCARNATION_LEN],
    ) -> Result<Option<bool>, StorageError> {
        let sql = "SELECT commits FROM tenant WHERE incarnation = $1";
        let rows = self.read(vec![statement!(sql, incarnation.to_vec())])?;
        let row = rows.first().and_then(|rows| rows.first());
        row.map(|row| {
            let commits = row.try_get::<_, i64>(0).ok();
            let commits =
                commits.ok_or_else(|| misread(self, "its table `tenant` has no numbers of changes"));
            Ok(commits? > 0)
        })
        .transpose()
    }

    /// Removes a tenant's rows, all or none; `false` where there are none.
    pub(in crate::storage) fn remove(&self, rows: &Rows) -> Result<bool, StorageError> {
        let (transaction, found) = self.begin(rows.lock())?;
        let Some(number) = found.first() else {
            return Ok(false);
        };
        let number: i64 = number
            .try_get(0)
            .map_err(|_| misread(self, "its tenants have no numbers"))?;
        let deletes = OF_TENANT.iter().map(|sql| statement!(*sql, number)).collect();
        match transaction.commit(deletes) {
            Ok(()) => Ok(true),
            Err(Uncommitted::Undone(error)) => Err(error),
            // Whoever asks again finds out.
            Err(Uncommitted::Unknown(problem)) => Err(StorageError::Unreachable {
                server: self.server().to_owned(),
                problem: format!("it can't be told whether the rows are removed ({problem}); repeat it"),
            }),
        }
    }
}

#[cfg(test)]
#[path = "tenants_tests.rs"]
mod tests;
