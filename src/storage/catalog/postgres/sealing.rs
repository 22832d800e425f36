//! What pending rows are sealed with: keys of epochs, and how one takes the place of another. Knows no place where such keys are kept.

use zeroize::Zeroizing;

use super::Tenant;
use super::columns::clear;
use super::rows::PENDING;
use crate::keys::cells::{CellKeys, INCARNATION_LEN};
use crate::keys::secret::SecretKey;
use crate::model::signature::Dimension;
use crate::storage::catalog::code::int;
use crate::storage::catalog::seam::LOCATED_MAX;
use crate::storage::database::transaction::{Transaction, statement};
use crate::storage::error::StorageError;
use crate::storage::rotate::Convert;

/// Multiplications between two statements of a transaction: some tens of milliseconds.
const CONVERTED_MAX: usize = 1 << 26;
/// How often what lacks a key is done.
const TRIES: usize = 5;

const PENDING_AFTER: &str = "SELECT reference, epoch, sealed FROM pending
    WHERE tenant = $1 AND reference > $2 ORDER BY reference LIMIT $3";
const RESEAL: &str = "UPDATE pending p SET epoch = $2, sealed = u.sealed FROM unnest($3::bigint[], $4::bytea[]) AS u(reference, sealed)
    WHERE p.tenant = $1 AND p.reference = u.reference";

/// Seals pending rows of one epoch.
pub(super) struct EpochSeal {
    pub(super) epoch: u64,
    cells: CellKeys,
}

impl EpochSeal {
    pub(super) fn new(key: &SecretKey, epoch: u64, incarnation: [u8; INCARNATION_LEN]) -> Self {
        Self {
            epoch,
            cells: CellKeys::new(key, incarnation, [PENDING]),
        }
    }

    /// Nonce, ciphertext, tag; bound to incarnation, epoch and reference.
    pub(super) fn seal(&self, reference: u64, exact: &[u8]) -> Vec<u8> {
        self.cells.seal(PENDING, clear![self.epoch, reference], exact)
    }

    /// Opens what [`EpochSeal::seal`] made; `None` for anything else.
    pub(super) fn open(&self, reference: u64, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let opened = self.cells.open(PENDING, clear![self.epoch, reference], sealed);
        opened.ok()
    }
}

impl Tenant {
    /// What is sealed with the key of an epoch that has not ended.
    pub(super) fn epoch(&self, epoch: u64) -> Result<EpochSeal, StorageError> {
        let key = self.epochs.read(epoch)?.ok_or_else(|| {
            let fault = format!("it lacks the key of epoch {epoch}, which pending rows are sealed with");
            StorageError::damaged(self.epochs.path(), fault)
        })?;
        Ok(EpochSeal::new(&key, epoch, self.epochs.incarnation()))
    }

    /// The same, and nobody is asked for the key. For whoever holds locks, which must not wait for where keys are.
    pub(super) fn epoch_known(&self, epoch: u64) -> Result<EpochSeal, StorageError> {
        let key = self.epochs.known(epoch)?;
        let key = key.ok_or(StorageError::EpochUnread(epoch))?;
        Ok(EpochSeal::new(&key, epoch, self.epochs.incarnation()))
    }

    /// Begins the next epoch, has `turn` seal what is pending anew under its key unless another one has come, and destroys the key before: then nothing that was sealed with that opens any
    /// more, in whatever heap, log or backup a copy of it lies. One that was cut off between its steps is done again whole, or ended by the next opening. `turn` alone may hold locks.
    pub(super) fn forget_copies(
        &self,
        epoch: u64,
        turn: impl FnOnce(&EpochSeal) -> Result<bool, StorageError>,
    ) -> Result<bool, StorageError> {
        let (next, key) = self.epochs.begin(epoch)?;
        let is_next = turn(&EpochSeal::new(&key, next, self.epochs.incarnation()))?;
        // Another node began one meanwhile, and what this one was asked to forget may have been pending when it did.
        if is_next {
            self.epochs.end_before(next)?;
        }
        Ok(is_next)
    }

    /// Seals what is pending anew, whatever epochs it is of, and as it is converted.
    pub(super) fn reseal(
        &self,
        transaction: &Transaction,
        seal: &EpochSeal,
        (convert, dimension): (Option<&dyn Convert>, Dimension),
    ) -> Result<(), StorageError> {
        let limit = match convert {
            None => LOCATED_MAX,
            // The server ends a transaction in which nothing is said for a second.
            Some(_) => (CONVERTED_MAX / dimension.get().pow(2)).clamp(1, LOCATED_MAX),
        };
        let limit = i64::try_from(limit).expect("it is small");
        let mut after = 0;
        loop {
            let rows = transaction.query(statement!(PENDING_AFTER, self.number, int(after), limit))?;
            if rows.is_empty() {
                return Ok(());
            }
            let (mut references, mut sealed) = (Vec::new(), Vec::new());
            for row in &rows {
                let columns = self.columns("pending", row);
                let (reference, epoch) = (columns.uint(0)?, columns.uint(1)?);
                let exact = self.epoch_known(epoch)?.open(reference, columns.get(2)?);
                let mut exact = exact
                    .ok_or_else(|| columns.fault(&format!("reference {reference} fails authentication")))?;
                if let Some(convert) = convert {
                    convert.exact(&mut exact);
                }
                after = reference;
                references.push(int(reference));
                sealed.push(seal.seal(reference, &exact));
            }
            transaction.execute(statement!(
                RESEAL,
                self.number,
                int(seal.epoch),
                references,
                sealed
            ))?;
        }
    }
}

/// Does what may lack a key, and reads that where it does, while nothing is locked.
pub(super) fn with_keys<T>(
    tenant: &Tenant,
    mut write: impl FnMut() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match write() {
            Err(StorageError::EpochUnread(epoch)) if tried < TRIES => match tenant.epoch(epoch) {
                Ok(_) => {}
                // It may be over by now.
                Err(StorageError::Damaged { .. }) if tried < TRIES - 1 => {}
                Err(error) => return Err(error),
            },
            done => return done,
        }
    }
}
