//! The chain over the history (docs/format.md): a salted commitment an event, a head over all of them, signed checkpoints. Judges nothing.
//!
//! An event's commitment is made when it is recorded. Heads follow from commitments, so that they are computed where one is asked for: when a
//! checkpoint is made, from the one before on, and from the beginning when somebody audits. An erasure takes event and salt, and leaves number and commitment.

use aws_lc_rs::{digest, rand};

use super::code::Coded;
use super::state::State;
use super::tables::{RecordedEvent, Tables};
use crate::keys::encoding::to_hex;
use crate::keys::receipt::ReceiptSigner;
use crate::model::checkpoint::{ChainStart, Checkpoint, SignedCheckpoint};
use crate::model::id::{SiteId, SubjectId, TenantId};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;
use crate::storage::error::StorageError;

/// Events after which a checkpoint is made with the transaction that records them.
const CHECKPOINT_EVENTS: u64 = 1_024;
/// Without it a commitment could be tried against what an event may have been.
const SALT_LEN: usize = 16;
/// Stand before what is hashed.
const EVENT_DOMAIN: &[u8] = b"thenar event 1";
const HEAD_DOMAIN: &[u8] = b"thenar history 1";

/// SHA-256.
pub(in crate::storage) type Digest = [u8; 32];
/// Random bytes of one event, gone with it.
pub(in crate::storage) type Salt = [u8; SALT_LEN];

/// An event as it is committed to: numbers and texts of its row, and its subject's id.
pub(in crate::storage) struct Event<'a> {
    /// Its number.
    pub(in crate::storage) number: u64,
    /// Microseconds since 1970.
    pub(in crate::storage) at: i64,
    /// Code of its kind.
    pub(in crate::storage) kind: i64,
    /// Code of its outcome.
    pub(in crate::storage) outcome: i64,
    /// Who.
    pub(in crate::storage) subject: Option<&'a str>,
    /// Where.
    pub(in crate::storage) site: Option<&'a str>,
    /// Who asked.
    pub(in crate::storage) principal: &'a str,
    /// The request.
    pub(in crate::storage) request: &'a str,
}

impl<'a> Event<'a> {
    /// With the number that it is recorded with.
    pub(in crate::storage) fn of(number: u64, event: &'a UsageEvent) -> Self {
        Self {
            number,
            at: event.at.0,
            kind: event.kind.code(),
            outcome: event.outcome.code(),
            subject: event.subject_id.as_ref().map(SubjectId::as_str),
            site: event.site.as_ref().map(SiteId::as_str),
            principal: event.principal.as_str(),
            request: event.request_id.as_str(),
        }
    }

    /// What stays when the event goes. No id or name is empty, so that an empty one stands for none.
    pub(in crate::storage) fn commitment(&self, tenant: &TenantId, salt: &Salt) -> Digest {
        hash(&[
            EVENT_DOMAIN,
            salt,
            tenant.as_str().as_bytes(),
            &self.number.to_le_bytes(),
            &self.at.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.outcome.to_le_bytes(),
            self.subject.unwrap_or_default().as_bytes(),
            self.site.unwrap_or_default().as_bytes(),
            self.principal.as_bytes(),
            self.request.as_bytes(),
        ])
    }
}

/// A new salt.
pub(in crate::storage) fn salt() -> Salt {
    let mut salt = [0; SALT_LEN];
    rand::fill(&mut salt).expect("the operating system's generator answers");
    salt
}

/// The head after an event.
pub(in crate::storage) fn next_head(head: &Digest, number: u64, commitment: &Digest) -> Digest {
    hash(&[HEAD_DOMAIN, head, &number.to_le_bytes(), commitment])
}

/// SHA-256 of parts, each preceded by its length (u64).
fn hash(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context
        .finish()
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Where the chain begins, and how far heads were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Chain {
    /// Where it begins.
    pub(in crate::storage) since: ChainStart,
    /// Events that erasures removed since.
    pub(in crate::storage) erased: u64,
    /// The last event that the head is over; 0 before the first.
    pub(in crate::storage) event: u64,
    /// The head there.
    pub(in crate::storage) head: Digest,
}

/// Events that an erasure took.
pub(in crate::storage) struct Forgotten {
    /// All of them.
    pub(in crate::storage) events: u64,
    /// Those that did not fit their commitments. Afterwards nobody could tell.
    pub(in crate::storage) altered: u64,
}

/// Takes the events of a subject, and leaves of each its number and its commitment, and not whose they were.
pub(in crate::storage) fn forget(
    tables: &mut impl Tables,
    tenant: &TenantId,
    subject: u64,
) -> Result<Forgotten, StorageError> {
    let mut altered = 0;
    tables.events(subject, &mut |event| {
        altered += u64::from(!event.is_some_and(|event| fits(&event, tenant)));
    })?;
    let events = tables.forget_events(subject)?;
    Ok(Forgotten { events, altered })
}

/// Whether an event is as it was recorded.
fn fits(kept: &RecordedEvent, tenant: &TenantId) -> bool {
    Event::of(kept.number, &kept.event).commitment(tenant, &kept.salt) == kept.commitment
}

/// Whether a checkpoint is due once this event, and the last one before the transaction, are these.
pub(in crate::storage) fn is_due(last_before: u64, last: u64) -> bool {
    last / CHECKPOINT_EVENTS > last_before / CHECKPOINT_EVENTS
}

/// Makes a checkpoint of the history as it is within this transaction, and keeps it where there are events that no other one has.
pub(in crate::storage) fn checkpoint(
    tables: &mut impl Tables,
    state: &State,
    (spec, signer): (&TenantSpec, &ReceiptSigner),
) -> Result<SignedCheckpoint, StorageError> {
    let mut chain = tables.chain()?;
    let last_before = chain.event;
    tables.commitments(last_before, &mut |number, commitment| {
        chain.event = number;
        chain.head = next_head(&chain.head, number, commitment);
    })?;
    let signed = signer.sign_checkpoint(&Checkpoint {
        tenant: spec.id.clone(),
        created_at: spec.created_at,
        at: Timestamp::now(),
        event: chain.event,
        head: to_hex(&chain.head),
        erasures: state.last_erasure,
        events_erased: chain.erased,
        since: chain.since,
    });
    if chain.event > last_before {
        tables.set_chain(&chain)?;
        tables.insert_checkpoint(&signed)?;
    }
    Ok(signed)
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
