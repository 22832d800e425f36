//! Rows that an engine reads before the rules of a group run, and what becomes of rows by them. Reads and writes none.

use crate::model::checkpoint::SignedCheckpoint;
use crate::model::consent::Consent;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::EventId;
use crate::storage::catalog::chain::{Chain, Digest};
use crate::storage::catalog::tables::{HeldReference, NewReference, RecordedEvent, StoredRequest};
use crate::storage::write::EraseAnswer;

/// A subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::catalog) struct Subject {
    /// Who.
    pub(in crate::storage::catalog) id: SubjectId,
    /// When it was first enrolled.
    pub(in crate::storage::catalog) created_at: Timestamp,
    /// The consent given last.
    pub(in crate::storage::catalog) consent: Consent,
    /// The last interaction that is noted.
    pub(in crate::storage::catalog) last_used: Timestamp,
}

/// An event that names a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::catalog) struct Event {
    /// Its number.
    pub(in crate::storage::catalog) number: u64,
    /// Handle of the subject.
    pub(in crate::storage::catalog) subject: u64,
    /// All of it; `None` where it can't be read any more.
    pub(in crate::storage::catalog) recorded: Option<RecordedEvent>,
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::catalog) struct Erasure {
    /// As it is now.
    pub(in crate::storage::catalog) answer: EraseAnswer,
    /// Whether a segment holds a row of it.
    pub(in crate::storage::catalog) is_held: bool,
}

/// What [`Needs`](super::needs::Needs) asked for, as it is at one moment. What is not here is not there.
#[derive(Debug, Clone)]
pub(in crate::storage::catalog) struct Facts {
    /// The tenant.
    pub(in crate::storage::catalog) spec: TenantSpec,
    /// Its chain.
    pub(in crate::storage::catalog) chain: Chain,
    /// Requests that were asked for, and those that name a subject which is read whole.
    pub(in crate::storage::catalog) requests: Vec<(RequestId, StoredRequest)>,
    /// Subjects by handle, found by id or link.
    pub(in crate::storage::catalog) subjects: Vec<(u64, Subject)>,
    /// Links by handle of who has them: those asked for, and all of subjects that are read at least [held](super::needs::Depth::Held).
    pub(in crate::storage::catalog) links: Vec<(u64, SealedLink)>,
    /// References by handle of whose they are, of subjects that are read at least held.
    pub(in crate::storage::catalog) references: Vec<(u64, HeldReference)>,
    /// Sealed rows by reference, of pending references of subjects that are read whole.
    pub(in crate::storage::catalog) pending: Vec<(u64, Vec<u8>)>,
    /// Events that name subjects which are read whole.
    pub(in crate::storage::catalog) events: Vec<Event>,
    /// What events were told under, of those that were asked for, and their numbers.
    pub(in crate::storage::catalog) told: Vec<(EventId, u64)>,
    /// Number and commitment of events that no head is over, where they were asked for.
    pub(in crate::storage::catalog) commitments: Vec<(u64, Digest)>,
    /// Erasures that were asked for.
    pub(in crate::storage::catalog) erasures: Vec<Erasure>,
}

/// Requests that are forgotten with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage::catalog) struct Prune {
    /// Of so many that were answered first,
    pub(in crate::storage::catalog) max: u32,
    /// those from before this time.
    pub(in crate::storage::catalog) before: Timestamp,
}

/// What a transaction does to rows, in an order in which no row refers to one that is not there and no key is there twice: what holds for all subjects, removals,
/// replacements, additions, and what is old. Rows by ascending key. The counters come with it.
#[derive(Debug, Clone, Default)]
pub(in crate::storage::catalog) struct Changes {
    /// Nobody's last interaction is from before this time.
    pub(in crate::storage::catalog) touched_all: Option<Timestamp>,

    /// Numbers of events that go, and leave number and commitment.
    pub(in crate::storage::catalog) events_forgotten: Vec<u64>,
    /// References whose sealed rows go.
    pub(in crate::storage::catalog) pending_removed: Vec<u64>,
    /// References that go.
    pub(in crate::storage::catalog) references_removed: Vec<u64>,
    /// Links that go, by handle and kind; one that is replaced is removed and added.
    pub(in crate::storage::catalog) links_removed: Vec<(u64, LinkKind)>,
    /// Handles of subjects that go.
    pub(in crate::storage::catalog) subjects_removed: Vec<u64>,

    /// The tenant, where it is another one.
    pub(in crate::storage::catalog) spec: Option<TenantSpec>,
    /// The chain, where it is another one.
    pub(in crate::storage::catalog) chain: Option<Chain>,
    /// Subjects by handle with another consent or a later use.
    pub(in crate::storage::catalog) subjects_changed: Vec<(u64, Subject)>,
    /// Requests that lose digest, answer and subject.
    pub(in crate::storage::catalog) requests_scrubbed: Vec<RequestId>,
    /// Erasures that are purged, with other receipts; their tombstones go.
    pub(in crate::storage::catalog) erasures_purged: Vec<Erasure>,

    /// New subjects by handle.
    pub(in crate::storage::catalog) subjects_added: Vec<(u64, Subject)>,
    /// New references, none in a segment.
    pub(in crate::storage::catalog) references_added: Vec<NewReference>,
    /// Sealed rows of these.
    pub(in crate::storage::catalog) pending_added: Vec<(u64, Vec<u8>)>,
    /// New links by handle.
    pub(in crate::storage::catalog) links_added: Vec<(u64, SealedLink)>,
    /// New events.
    pub(in crate::storage::catalog) events_added: Vec<RecordedEvent>,
    /// Number and commitment of events that came and went within the transaction: they stand where those of [`Changes::events_forgotten`] do.
    pub(in crate::storage::catalog) commitments_left: Vec<(u64, Digest)>,
    /// New requests.
    pub(in crate::storage::catalog) requests_added: Vec<(RequestId, StoredRequest)>,
    /// New erasures.
    pub(in crate::storage::catalog) erasures_added: Vec<Erasure>,
    /// Tombstones of these by number of the erasure, of a reference as it was.
    pub(in crate::storage::catalog) tombstones_added: Vec<(u64, HeldReference)>,
    /// New checkpoints.
    pub(in crate::storage::catalog) checkpoints_added: Vec<SignedCheckpoint>,

    /// Requests that go. None of those that were added is among them.
    pub(in crate::storage::catalog) pruned: Option<Prune>,
}
