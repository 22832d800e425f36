//! A group of writes, done in their order within one transaction: what every engine does, over its rows. A write that is not possible fails alone and leaves nothing behind.

use std::borrow::Borrow;

use super::seam::TraceOf;
use super::state::State;
use super::tables::Tables;
use super::{chain, enroll, erase, request, tenant, usage};
use crate::keys::receipt::ReceiptSigner;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::write::{Answers, Committed, Durability, Write};

/// What the rules need beside rows and counters.
#[derive(Clone, Copy)]
pub(in crate::storage) struct Rules<'a> {
    /// The tenant as it was opened; of it, nothing but the policy changes since.
    pub(in crate::storage) spec: &'a TenantSpec,
    /// Signs receipts and checkpoints.
    pub(in crate::storage) signer: &'a ReceiptSigner,
    /// What a receipt says of a sealed row (segment, row) as it stands in its file.
    pub(in crate::storage) trace: &'a TraceOf<'a>,
}

/// Does the writes of a group, and what is due with it. One answer a write; on an error the transaction must be undone.
pub(super) fn commit(
    tables: &mut impl Tables,
    state: &mut State,
    rules: &Rules<'_>,
    group: impl IntoIterator<Item = impl Borrow<Write>>,
    now: Timestamp,
) -> Result<Answers, StorageError> {
    let last_before = state.last_usage;
    let mut lasting = false;
    // Each write that is not lent is dropped, and its rows wiped, as soon as it is done.
    let answers = group
        .into_iter()
        .map(|write| {
            let write = write.borrow();
            lasting |= write.durability() == Durability::Power;
            member(tables, state, rules, write, now)
        })
        .collect::<Result<Answers, _>>()?;
    if chain::is_due(last_before, state.last_usage) {
        chain::checkpoint(tables, state, (rules.spec, rules.signer))?;
    }
    if lasting {
        request::prune(tables, now)?;
    }
    Ok(answers)
}

/// One write of a group; what it did is undone when it is not possible.
fn member(
    tables: &mut impl Tables,
    state: &mut State,
    rules: &Rules<'_>,
    write: &Write,
    now: Timestamp,
) -> Result<Result<Committed, WriteError>, StorageError> {
    let before = *state;
    tables.begin()?;
    match apply(tables, state, rules, write, now) {
        Ok(committed) => {
            tables.keep()?;
            Ok(Ok(committed))
        }
        Err(StorageError::Write(refusal)) => {
            tables.undo()?;
            *state = before;
            Ok(Err(refusal))
        }
        Err(error) => Err(error),
    }
}

fn apply(
    tables: &mut impl Tables,
    state: &mut State,
    rules: &Rules<'_>,
    write: &Write,
    now: Timestamp,
) -> Result<Committed, StorageError> {
    match write {
        Write::Enroll(write) => enroll::enroll(tables, state, rules.spec, write, now),
        Write::Erase(write) => erase::erase(tables, state, rules, write, now),
        Write::Policy(write) => tenant::set_policy(tables, write, now),
        Write::Usage(record) => {
            usage::record(tables, state, &rules.spec.id, record, now)?;
            Ok(Committed::Recorded)
        }
    }
}
