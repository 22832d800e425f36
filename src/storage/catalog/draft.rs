//! The rows of a catalog in memory, for engines that can't be asked row by row: read before the rules of a group run, and written after. Asks no engine anything.
//!
//! [`Needs`](needs::Needs) says what to read for a group, [`Facts`](rows::Facts) is what was read, a [`Draft`] is what the rules work on, and [`Changes`](rows::Changes)
//! is what they did. Who is not read is not "not there": asking a draft for a fact that nobody asked the engine for is a bug of `Needs`, and panics.

use std::collections::{BTreeMap, BTreeSet};

use self::needs::{Depth, LinkKey, Needs, deepen};
use self::rows::{Changes, Erasure, Event, Facts, Prune, Subject};
use self::table::Table;
use super::chain::{Chain, Digest};
use super::tables::{HeldReference, NewReference, RecordedEvent, StoredRequest};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::EventId;

pub(super) mod needs;
pub(super) mod rows;
mod table;
mod tables;

/// Seals the row of a pending reference (its number, 2·D bytes) as it is kept.
pub(super) type Seal<'a> = dyn Fn(u64, &[u8]) -> Vec<u8> + 'a;

/// The handle that nobody has.
const NOBODY: u64 = 0;

/// A reference, and all of it where it is new.
#[derive(Clone, Copy)]
struct Reference {
    held: HeldReference,
    new: Option<NewReference>,
}

/// Rows of one tenant within one transaction.
pub(super) struct Draft<'a> {
    seal: &'a Seal<'a>,
    /// How much is known of whom, by handle.
    depths: BTreeMap<u64, Depth>,
    /// Whether all commitments that no head is over are known, and not the new ones alone.
    knows_commitments: bool,

    spec: Table<(), TenantSpec>,
    chain: Table<(), Chain>,
    touched_all: Table<(), Timestamp>,
    pruned: Table<(), Prune>,
    requests: Table<RequestId, StoredRequest>,
    handles: Table<SubjectId, u64>,
    subjects: Table<u64, Subject>,
    owners: Table<LinkKey, u64>,
    links: Table<(u64, LinkKind), SealedLink>,
    /// By handle and number.
    references: Table<(u64, u64), Reference>,
    pending: Table<u64, Vec<u8>>,
    /// By handle and number; those that name nobody under [`NOBODY`]. One that can't be read is `None`.
    events: Table<(u64, u64), Option<RecordedEvent>>,
    /// Numbers of events by what they were told under.
    told: Table<EventId, u64>,
    commitments: Table<u64, Digest>,
    erasures: Table<u64, Erasure>,
    /// Of new erasures, by erasure and reference.
    tombstones: Table<(u64, u64), HeldReference>,
    /// In the order in which they are made.
    checkpoints: Table<u64, SignedCheckpoint>,
}

impl<'a> Draft<'a> {
    /// Of what was asked for and what was read.
    pub(super) fn new(needs: &Needs, facts: Facts, seal: &'a Seal<'a>) -> Self {
        let depths = depths(needs, &facts);
        let handles = facts
            .subjects
            .iter()
            .map(|(handle, subject)| (subject.id.clone(), *handle));
        let handles = Table::new(handles, needs.subjects.keys().cloned());
        let owners = facts
            .links
            .iter()
            .map(|(handle, link)| ((link.kind, link.lookup), *handle));
        let owners = Table::new(owners, needs.links.keys().copied());
        let links = facts
            .links
            .into_iter()
            .map(|(handle, link)| ((handle, link.kind), link));
        let reference =
            |(handle, held): (u64, HeldReference)| ((handle, held.reference), Reference { held, new: None });
        let event = |event: Event| ((event.subject, event.number), event.recorded);
        let erasure = |erasure: Erasure| (erasure.answer.erasure, erasure);
        Self {
            seal,
            depths,
            knows_commitments: needs.commitments,
            spec: Table::new([((), facts.spec)], []),
            chain: Table::new([((), facts.chain)], []),
            touched_all: Table::default(),
            pruned: Table::default(),
            requests: Table::new(facts.requests, needs.requests.iter().cloned()),
            handles,
            subjects: Table::new(facts.subjects, []),
            owners,
            links: Table::new(links, []),
            references: Table::new(facts.references.into_iter().map(reference), []),
            pending: Table::new(facts.pending, []),
            events: Table::new(facts.events.into_iter().map(event), []),
            told: Table::new(facts.told, needs.told.iter().copied()),
            commitments: Table::new(facts.commitments, []),
            erasures: Table::new(
                facts.erasures.into_iter().map(erasure),
                needs.erasures.iter().copied(),
            ),
            tombstones: Table::default(),
            checkpoints: Table::default(),
        }
    }

    /// What the rules did.
    pub(super) fn changes(self) -> Changes {
        let requests = self.requests.diff();
        let subjects = self.subjects.diff();
        let links = self.links.diff();
        let references = self.references.diff();
        let pending = self.pending.diff();
        let events = self.events.diff();
        let erasures = self.erasures.diff();
        let mut commitments_left = self.commitments.diff().added;
        let events_added: Vec<_> = events.added.into_iter().filter_map(|(_, event)| event).collect();
        let there: BTreeSet<u64> = events_added.iter().map(|event| event.number).collect();
        commitments_left.retain(|(number, _)| !there.contains(number));
        let replaced = links.changed.iter().map(|(key, _)| *key);
        let links_removed = links.removed.iter().copied().chain(replaced).collect();
        let links_added = links.changed.into_iter().chain(links.added);
        Changes {
            touched_all: only(self.touched_all.diff().added),
            events_forgotten: events.removed.into_iter().map(|(_, number)| number).collect(),
            pending_removed: pending.removed,
            references_removed: references
                .removed
                .into_iter()
                .map(|(_, reference)| reference)
                .collect(),
            links_removed,
            subjects_removed: subjects.removed,
            spec: only(self.spec.diff().changed),
            chain: only(self.chain.diff().changed),
            subjects_changed: subjects.changed,
            requests_scrubbed: requests.changed.into_iter().map(|(id, _)| id).collect(),
            erasures_purged: erasures.changed.into_iter().map(|(_, erasure)| erasure).collect(),
            subjects_added: subjects.added,
            references_added: references
                .added
                .into_iter()
                .filter_map(|(_, it)| it.new)
                .collect(),
            pending_added: pending.added,
            links_added: links_added.map(|((handle, _), link)| (handle, link)).collect(),
            events_added,
            commitments_left,
            requests_added: requests.added,
            erasures_added: erasures.added.into_iter().map(|(_, erasure)| erasure).collect(),
            tombstones_added: self
                .tombstones
                .diff()
                .added
                .into_iter()
                .map(|((erasure, _), held)| (erasure, held))
                .collect(),
            checkpoints_added: self
                .checkpoints
                .diff()
                .added
                .into_iter()
                .map(|(_, signed)| signed)
                .collect(),
            pruned: only(self.pruned.diff().added),
        }
    }

    /// Refuses to say less of a subject than there is.
    fn expect(&self, handle: u64, depth: Depth) {
        let known = self.depths.get(&handle);
        assert!(
            known.is_some_and(|known| *known >= depth),
            "a subject is read {known:?}, and {depth:?} is asked for: the needs of the group forgot it"
        );
    }
}

/// How much is read of whom: what the keys say that lead to them.
pub(super) fn depths(needs: &Needs, facts: &Facts) -> BTreeMap<u64, Depth> {
    let mut depths = BTreeMap::new();
    for (handle, subject) in &facts.subjects {
        deepen(&mut depths, *handle, Depth::Row);
        if let Some(depth) = needs.subjects.get(&subject.id) {
            deepen(&mut depths, *handle, *depth);
        }
    }
    for (handle, link) in &facts.links {
        if let Some(depth) = needs.links.get(&(link.kind, link.lookup)) {
            deepen(&mut depths, *handle, *depth);
        }
    }
    depths
}

/// The row of a table of one row.
fn only<T>(rows: Vec<((), T)>) -> Option<T> {
    rows.into_iter().map(|((), row)| row).next()
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
