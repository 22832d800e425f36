//! `thenar receipt verify`: holds an erasure receipt against its signature and against what a data directory has. Changes nothing.

use std::path::Path;

use super::ServerError;
use super::config::Config;
use super::verify::data_key;
use crate::keys::keyring::Keyring;
use crate::keys::receipt::{verify, verify_of};
use crate::model::erasure::{ErasureReceipt, ErasureState, SignedReceipt};
use crate::storage::absence::{self, Absence};
use crate::storage::error::StorageError;

/// What a receipt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is signed, and that is all that was asked.
    Signed,
    /// It is signed, and no live file has what it lists.
    Holds,
    /// What it lists is still there, and nobody has said that it is not.
    NotYetPurged,
    /// It says that something is gone that is there, or the catalog contradicts it.
    Violated,
}

/// A receipt that is signed, and what was found.
#[derive(Debug)]
pub struct CheckedReceipt {
    /// What was signed.
    pub receipt: ErasureReceipt,
    /// What was looked at; `None` where the signature alone was asked for.
    pub absence: Option<Absence>,
}

impl CheckedReceipt {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        let Some(absence) = &self.absence else {
            return Verdict::Signed;
        };
        let catalog = absence.catalog.as_ref();
        let purged =
            self.receipt.state == ErasureState::Purged || catalog.is_some_and(|standing| standing.purged);
        if catalog.is_some_and(|standing| !standing.contradictions.is_empty()) {
            Verdict::Violated
        } else if absence.found.is_empty() {
            Verdict::Holds
        } else if purged {
            Verdict::Violated
        } else {
            Verdict::NotYetPurged
        }
    }
}

/// Checks a receipt with the keyring of a data directory, and looks for what it lists there.
pub fn check_receipt(config: &Config, signed: &SignedReceipt) -> Result<CheckedReceipt, ServerError> {
    let keyring = Keyring::read(&config.data.join("keyring"), config.keks()?)?;
    // Whose receipt it says it is decides which keys count; that one of them signed it is looked at then.
    let signers = keyring.signer_keys(&verify(signed)?.tenant)?;
    let receipt = signers.verify(signed)?;
    let data_key = data_key(&config.data, &keyring, &receipt.tenant)?
        .ok_or_else(|| StorageError::TenantUnknown(receipt.tenant.clone()))?;
    let keys = (&data_key, &signers);
    let absence = Some(absence::search(&config.data, &receipt, Some(keys))?);
    Ok(CheckedReceipt { receipt, absence })
}

/// Checks a receipt with a public key that was learned before, and looks for what it lists in a data directory without its keys, where one
/// is given.
pub fn check_receipt_of(
    public_key: &[u8],
    data: Option<&Path>,
    signed: &SignedReceipt,
) -> Result<CheckedReceipt, ServerError> {
    let receipt = verify_of(signed, public_key)?;
    let absence = data
        .map(|data| absence::search(data, &receipt, None))
        .transpose()?;
    Ok(CheckedReceipt { receipt, absence })
}
