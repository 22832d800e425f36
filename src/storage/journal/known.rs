//! What a journal says of each tenant, and whether a tenant is as new as that. Writes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::entry::{self, DropEntry, Entry, Extent};
use crate::keys::receipt::ReceiptSigner;
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;

/// A tenant as it was made once: another one of the same name has another time.
pub(super) type Incarnation = (TenantId, Timestamp);

/// What a journal has.
#[derive(Debug, Default)]
pub struct Known {
    /// The last erasure of each tenant that ever was.
    pub(super) last: BTreeMap<Incarnation, u64>,
    /// All drops there ever were.
    pub(super) dropped: Vec<DropEntry>,
    entries: u64,
}

impl Known {
    /// Reads a journal from its beginning, which another process may be writing to. What a loss of power left of an append at its end is passed over; any other
    /// line that is not as it was written, or that another keyring's key signed, is refused with its number.
    pub fn read(path: &Path, signer: &ReceiptSigner) -> Result<(Self, Extent), StorageError> {
        let mut known = Self::default();
        let extent = entry::read(path, signer, false, |entry, torn| {
            known.entries += 1;
            match (entry, torn) {
                // The tenant's catalog has it, and writes it again.
                (Entry::Erasure(_), Some(_)) => {}
                (Entry::Erasure(erasure), None) => {
                    known
                        .last
                        .insert((erasure.tenant, erasure.created_at), erasure.erasure);
                }
                // Nobody else has it, and it was appended after all before it was durable.
                (Entry::Drop(drop), Some(line)) => {
                    let tenant = drop.tenant;
                    let fault = format!(
                        "line {line} is not as it was written, and the drop of tenant {tenant} stands behind it"
                    );
                    return Err(entry::damaged(path, fault));
                }
                (Entry::Drop(drop), None) => known.dropped.push(drop),
            }
            Ok(())
        })?;
        Ok((known, extent))
    }

    /// How many signed entries there are.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The last erasure of a tenant.
    pub(super) fn last(&self, of: &Incarnation) -> u64 {
        self.last.get(of).copied().unwrap_or(0)
    }

    /// Refuses a tenant whose last erasure is `newest` where that is older than `journal` says: whoever was erased since would be back.
    pub fn check(
        &self,
        journal: &Path,
        (tenant, created_at): &(TenantId, Timestamp),
        newest: u64,
    ) -> Result<(), StorageError> {
        let outdated = |problem: String| {
            Err(StorageError::Outdated {
                tenant: tenant.clone(),
                journal: journal.to_owned(),
                problem,
            })
        };
        let is_it = |drop: &DropEntry| drop.tenant == *tenant && drop.is_of(*created_at);
        if self.dropped.iter().any(is_it) {
            return outdated("it was dropped, and is still there because that was cut off, or came back with older files: drop it again".to_owned());
        }
        let last = self.last(&(tenant.clone(), *created_at));
        if newest < last {
            return outdated(format!(
                "its last erasure is number {newest}, that of the journal {last}: restore it from a backup with that journal"
            ));
        }
        Ok(())
    }
}
