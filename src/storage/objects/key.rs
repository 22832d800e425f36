//! Names of objects: `tenants/<tenant>.<incarnation>/<key generation>/<ulid>.seg`. Knows no store.

use std::fmt;

use ulid::Ulid;

use crate::keys::cells::INCARNATION_LEN;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::signature::Dimension;
use crate::storage::segment::blocks::SegmentBlocks;
use crate::storage::segment::format::{SegmentContext, file_name, ulid_of};

/// What all tenants stand under.
const TENANTS: &str = "tenants";

/// A tenant from its creation to its end. One that is made anew under the same id has another incarnation, and so nothing in common with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Home {
    /// The tenant.
    pub tenant: TenantId,
    /// Which of those that had this id.
    pub incarnation: u64,
}

/// Under what a segment's file is kept. A key is written once and never again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Whose.
    pub home: Home,
    /// Of the tenant's keys, one of which seals the file.
    pub generation: u32,
    /// Random, and so never used again; the file's key is derived from it.
    pub ulid: Ulid,
}

/// A segment as the catalog lists it, with what opens it.
#[derive(Clone)]
pub struct ListedSegment {
    /// Under what it is kept.
    pub key: ObjectKey,
    /// Rows, holes included.
    pub rows: u32,
    pub(super) context: SegmentContext,
}

impl Home {
    /// Of a tenant with this incarnation, which is random: its beginning tells it apart.
    pub fn of(tenant: &TenantId, incarnation: &[u8; INCARNATION_LEN]) -> Self {
        let (beginning, _) = incarnation.split_first_chunk().expect("it is longer");
        Self {
            tenant: tenant.clone(),
            incarnation: u64::from_be_bytes(*beginning),
        }
    }
}

impl ListedSegment {
    /// Of a tenant with this dimension and the data key of the key's generation; 1 to 65,536 rows.
    pub fn new(key: ObjectKey, rows: u32, dimension: Dimension, data_key: &SecretKey) -> Self {
        let context = SegmentContext::new(&key.home.tenant, dimension, data_key);
        Self { key, rows, context }
    }

    /// The same with what all segments of the tenant share.
    pub(in crate::storage) fn of(key: ObjectKey, rows: u32, context: &SegmentContext) -> Self {
        let context = context.clone();
        Self { key, rows, context }
    }

    /// Where its blocks are and how each is opened.
    pub(super) fn blocks(&self) -> SegmentBlocks {
        SegmentBlocks::new(&self.context, self.key.ulid, self.rows)
    }
}

impl ObjectKey {
    /// The key with this name; `None` for what no key is written as.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let (tenants, home, generation, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (tenant, incarnation) = home.split_once('.')?;
        let key = Self {
            home: Home {
                tenant: tenant.parse().ok()?,
                incarnation: incarnation.parse().ok()?,
            },
            generation: generation.parse().ok()?,
            ulid: ulid_of(file)?,
        };
        (tenants == TENANTS && key.to_string() == name).then_some(key)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.home, self.generation, file_name(self.ulid))
    }
}

impl fmt::Display for Home {
    /// What the names of all its objects begin with, up to a slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TENANTS}/{}.{}", self.tenant, self.incarnation)
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
