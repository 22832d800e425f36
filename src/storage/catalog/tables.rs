//! What the rules of a group of writes ask of the rows of a catalog and do to them, within one transaction and in the model's terms. Knows no engine and decides nothing.
//!
//! The rules are in `group`, `enroll`, `erase`, `usage`, `request`, `tenant` and `chain`. An engine keeps rows as it likes (codes, sealed cells, interned texts); counters
//! ([`State`](super::state::State)) stand beside it. An error means that the engine failed; that a write is not possible is for the rules to say.

use super::chain::{Chain, Digest, Salt};
use super::request::Method;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::consent::Consent;
use crate::model::erasure::SignedReceipt;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::subject::{Capture, Hand};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::EventId;
use crate::model::usage::UsageEvent;
use crate::storage::error::StorageError;
use crate::storage::place::Place;
use crate::storage::write::EraseAnswer;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct StoredRequest {
    /// What was asked.
    pub(in crate::storage) method: Method,
    /// Keyed digest of what was asked, 32 bytes; empty once the answer is scrubbed.
    pub(in crate::storage) digest: Vec<u8>,
    /// The answer as JSON; `None` once the subject of whom it tells is erased.
    pub(in crate::storage) answer: Option<String>,
    /// Handle of the subject of whom it tells.
    pub(in crate::storage) subject: Option<u64>,
    /// When it was answered.
    pub(in crate::storage) at: Timestamp,
}

/// What the rules look at of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Person {
    /// Who.
    pub(in crate::storage) subject_id: SubjectId,
    /// Until when the consent holds.
    pub(in crate::storage) consent_expires_at: Timestamp,
    /// The last interaction that is noted.
    pub(in crate::storage) last_used: Timestamp,
}

/// A reference that is enrolled and in no segment yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::storage) struct NewReference {
    /// Its number.
    pub(in crate::storage) reference: u64,
    /// Handle of its subject.
    pub(in crate::storage) subject: u64,
    /// Hand.
    pub(in crate::storage) hand: Hand,
    /// Capture; its hand is not looked at.
    pub(in crate::storage) capture: Capture,
    /// When it became one.
    pub(in crate::storage) enrolled_at: Timestamp,
    /// The change it came with.
    pub(in crate::storage) sequence: u64,
}

/// A reference of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct HeldReference {
    /// Its number.
    pub(in crate::storage) reference: u64,
    /// Hand.
    pub(in crate::storage) hand: Hand,
    /// Where its row is.
    pub(in crate::storage) place: Place,
}

/// An event of the history with what the chain needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct RecordedEvent {
    /// Its number.
    pub(in crate::storage) number: u64,
    /// Handle of the subject that it names; `None` where it names nobody.
    pub(in crate::storage) subject: Option<u64>,
    /// What happened. Names a subject where `subject` does.
    pub(in crate::storage) event: UsageEvent,
    /// Random bytes, gone with the event.
    pub(in crate::storage) salt: Salt,
    /// Stays when the event goes.
    pub(in crate::storage) commitment: Digest,
    /// By what it is known again where it is told again; `None` where a request that is known again brought it.
    pub(in crate::storage) told: Option<EventId>,
}

/// The rows of one tenant's catalog within one transaction. What was written is read at once.
pub(in crate::storage) trait Tables {
    /// Begins a member of a group: what follows can be undone up to here.
    fn begin(&mut self) -> Result<(), StorageError>;

    /// Undoes all since [`Tables::begin`], and ends the member.
    fn undo(&mut self) -> Result<(), StorageError>;

    /// Ends the member.
    fn keep(&mut self) -> Result<(), StorageError>;

    /// The tenant.
    fn spec(&self) -> Result<TenantSpec, StorageError>;

    /// Replaces what is said of the tenant.
    fn set_spec(&mut self, spec: &TenantSpec) -> Result<(), StorageError>;

    /// A request that was answered, and is remembered.
    fn request(&self, id: &RequestId) -> Result<Option<StoredRequest>, StorageError>;

    /// Keeps a request that [`Tables::request`] did not know.
    fn insert_request(&mut self, id: &RequestId, request: StoredRequest) -> Result<(), StorageError>;

    /// Wipes digest, answer and subject of the requests that tell of a subject, and counts them.
    fn scrub_requests(&mut self, subject: u64) -> Result<u64, StorageError>;

    /// Of the `max` requests that were answered first, forgets those from before this time. They may stay until the transaction's end.
    fn prune_requests(&mut self, before: Timestamp, max: u32) -> Result<(), StorageError>;

    /// The handle of a subject.
    fn subject(&self, id: &SubjectId) -> Result<Option<u64>, StorageError>;

    /// The handle of the subject who has a link.
    fn link_owner(&self, kind: LinkKind, lookup: &[u8; 32]) -> Result<Option<u64>, StorageError>;

    /// A subject by handle.
    fn person(&self, subject: u64) -> Result<Option<Person>, StorageError>;

    /// Adds a subject who is not there, last used when it was made.
    fn insert_subject(
        &mut self,
        subject: u64,
        id: &SubjectId,
        consent: &Consent,
        created_at: Timestamp,
    ) -> Result<(), StorageError>;

    /// Replaces a subject's consent.
    fn set_consent(&mut self, subject: u64, consent: &Consent) -> Result<(), StorageError>;

    /// Notes an interaction at `now` of a subject whose last one is from before `stale`; otherwise changes nothing.
    fn touch(&mut self, subject: u64, now: Timestamp, stale: Timestamp) -> Result<(), StorageError>;

    /// Nobody's last interaction is from before this time.
    fn touch_all(&mut self, at: Timestamp) -> Result<(), StorageError>;

    /// Removes a subject of whom nothing else is there any more.
    fn remove_subject(&mut self, subject: u64) -> Result<(), StorageError>;

    /// Gives a subject a link that nobody else has, in the place of the one of its kind.
    fn put_link(&mut self, subject: u64, link: &SealedLink) -> Result<(), StorageError>;

    /// Removes a subject's links and counts them.
    fn remove_links(&mut self, subject: u64) -> Result<u64, StorageError>;

    /// A subject's references, ascending.
    fn references(&self, subject: u64) -> Result<Vec<HeldReference>, StorageError>;

    /// Adds a reference with its row (2·D bytes), which the engine seals and keeps until it is in a segment.
    fn insert_reference(&mut self, new: &NewReference, exact: &[u8]) -> Result<(), StorageError>;

    /// The row of a pending reference of a subject as it is kept, sealed.
    fn sealed(&self, subject: u64, reference: u64) -> Result<Vec<u8>, StorageError>;

    /// Removes a subject's references and their rows, and counts them.
    fn remove_references(&mut self, subject: u64) -> Result<u64, StorageError>;

    /// Whether there is an event that was told under this id.
    fn is_recorded(&self, told: EventId) -> Result<bool, StorageError>;

    /// Adds an event.
    fn insert_event(&mut self, event: RecordedEvent) -> Result<(), StorageError>;

    /// Hands out the events that name a subject; `None` for one that can't be read any more.
    fn events(&self, subject: u64, each: &mut dyn FnMut(Option<RecordedEvent>)) -> Result<(), StorageError>;

    /// Takes the events that name a subject, leaves of each its number and its commitment, and counts them, also in [`Chain::erased`], of which nothing else is looked at: what
    /// is wrong with the chain is for an audit to tell, and hinders no erasure.
    fn forget_events(&mut self, subject: u64) -> Result<u64, StorageError>;

    /// Hands out number and commitment of each event above this one, ascending, whether it is there or taken. A commitment of another length is all zero.
    fn commitments(&self, after: u64, each: &mut dyn FnMut(u64, &Digest)) -> Result<(), StorageError>;

    /// The chain over the history.
    fn chain(&self) -> Result<Chain, StorageError>;

    /// Replaces it.
    fn set_chain(&mut self, chain: &Chain) -> Result<(), StorageError>;

    /// Keeps a checkpoint.
    fn insert_checkpoint(&mut self, checkpoint: &SignedCheckpoint) -> Result<(), StorageError>;

    /// An erasure as it is now; `None` when the number was never given out.
    fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError>;

    /// Adds an erasure, with a tombstone of each reference: where it was, or of one that gets a place once a flush that is under way is done.
    fn insert_erasure(&mut self, answer: &EraseAnswer, buried: &[HeldReference]) -> Result<(), StorageError>;

    /// Whether a segment holds a row of an erasure.
    fn is_held(&self, erasure: u64) -> Result<bool, StorageError>;

    /// Marks an erasure purged, with the receipt that says so, and removes its tombstones.
    fn set_purged(&mut self, erasure: u64, receipt: &SignedReceipt) -> Result<(), StorageError>;
}
