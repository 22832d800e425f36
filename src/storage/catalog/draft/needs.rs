//! What must be read for a group of writes before its rules run: keys, and how much of whoever they lead to. Reads nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::id::{RequestId, SubjectId};
use crate::model::link::LinkKind;
use crate::model::usage::{EventId, UsageRecord};
use crate::storage::catalog::chain;
use crate::storage::catalog::erase::StoredAnswer;
use crate::storage::catalog::request::{self, Method};
use crate::storage::catalog::state::State;
use crate::storage::catalog::tables::StoredRequest;
use crate::storage::error::StorageError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::write::{SubjectKey, Write};

/// How much is read of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::storage::catalog) enum Depth {
    /// Who it is.
    Row = 0,
    /// Also its references and its links.
    Held = 1,
    /// All: also sealed rows of its pending references, events and stored answers that name it.
    Whole = 2,
}

/// Kind and keyed hash of a link.
pub(in crate::storage::catalog) type LinkKey = (LinkKind, [u8; 32]);

/// What must be read. A subject that several keys lead to is read as deep as the deepest of them says. The tenant's spec and its chain are always read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::storage::catalog) struct Needs {
    /// Requests by id.
    pub(in crate::storage::catalog) requests: BTreeSet<RequestId>,
    /// Subjects by id.
    pub(in crate::storage::catalog) subjects: BTreeMap<SubjectId, Depth>,
    /// Links, and whoever has them.
    pub(in crate::storage::catalog) links: BTreeMap<LinkKey, Depth>,
    /// Erasures, and whether a segment holds a row of them.
    pub(in crate::storage::catalog) erasures: BTreeSet<u64>,
    /// Commitments of all events above the one that the chain's head is over, also of those that erasures took.
    pub(in crate::storage::catalog) commitments: bool,
    /// Events by what they are told under.
    pub(in crate::storage::catalog) told: BTreeSet<EventId>,
    /// Whether rows become pending, for which a key is needed.
    pub(in crate::storage::catalog) seals: bool,
}

impl Needs {
    /// Of a group, given the counters before it. Once the requests are read, [`Needs::add_answers`] says what else is.
    pub(in crate::storage::catalog) fn of(group: &[Write], state: &State) -> Self {
        let mut needs = Self::default();
        let mut events = 0;
        for write in group {
            match write {
                Write::Enroll(write) => {
                    needs.requests.insert(write.request_id.clone());
                    needs.subject(&write.subject_id, Depth::Held);
                    for link in &write.links {
                        needs.link((link.kind, link.lookup), Depth::Row);
                    }
                    needs.seals = true;
                    events += 1;
                }
                Write::Erase(write) => {
                    needs.requests.insert(write.request_id.clone());
                    match &write.subject {
                        SubjectKey::Id(id) => needs.subject(id, Depth::Whole),
                        SubjectKey::Link { kind, lookup } => needs.link((*kind, *lookup), Depth::Whole),
                    }
                }
                Write::Policy(write) => {
                    needs.requests.insert(write.request_id.clone());
                }
                Write::Usage(UsageRecord { id, event }) => {
                    needs.told.insert(*id);
                    if let Some(id) = &event.subject_id {
                        needs.subject(id, Depth::Row);
                    }
                    events += 1;
                }
            }
        }
        needs.follow_links(group);
        needs.commitments = chain::is_due(state.last_usage, state.last_usage + events);
        needs
    }

    /// Of [`WriteCatalog::mark_purged`](crate::storage::catalog::seam::WriteCatalog::mark_purged).
    pub(in crate::storage::catalog) fn of_purge(erasures: &[u64]) -> Self {
        Self {
            erasures: erasures.iter().copied().collect(),
            ..Self::default()
        }
    }

    /// Of [`WriteCatalog::catch_up`](crate::storage::catalog::seam::WriteCatalog::catch_up).
    pub(in crate::storage::catalog) fn of_catch_up(erasures: &[ErasureEntry]) -> Self {
        let mut needs = Self::default();
        for entry in erasures {
            needs.subject(&entry.subject_id, Depth::Whole);
        }
        needs
    }

    /// Of [`WriteCatalog::checkpoint`](crate::storage::catalog::seam::WriteCatalog::checkpoint).
    pub(in crate::storage::catalog) fn of_checkpoint() -> Self {
        Self {
            commitments: true,
            ..Self::default()
        }
    }

    /// Adds the erasures that requests of the group were answered with: a repetition is told how they are now. Only where there are repetitions do they take
    /// another look.
    pub(in crate::storage::catalog) fn add_answers<'a>(
        &mut self,
        requests: impl IntoIterator<Item = &'a (RequestId, StoredRequest)>,
    ) -> Result<(), StorageError> {
        for (id, kept) in requests {
            if kept.method == Method::Erase && kept.answer.is_some() && self.requests.contains(id) {
                let answer: Option<StoredAnswer> = request::answer(Some(kept.clone()), Method::Erase, None)?;
                self.erasures.extend(answer.map(|answer| answer.erasure));
            }
        }
        Ok(())
    }

    /// A link that somebody gets within the group may lead to them when it is erased by.
    fn follow_links(&mut self, group: &[Write]) {
        for write in group {
            if let Write::Enroll(write) = write {
                let erased_by = |key| self.links.get(&key) == Some(&Depth::Whole);
                if write.links.iter().any(|link| erased_by((link.kind, link.lookup))) {
                    self.subject(&write.subject_id, Depth::Whole);
                }
            }
        }
    }

    fn subject(&mut self, id: &SubjectId, depth: Depth) {
        deepen(&mut self.subjects, id.clone(), depth);
    }

    fn link(&mut self, key: LinkKey, depth: Depth) {
        deepen(&mut self.links, key, depth);
    }
}

/// Keeps the greater depth of a key.
pub(super) fn deepen<K: Ord>(depths: &mut BTreeMap<K, Depth>, key: K, depth: Depth) {
    let known = depths.entry(key).or_insert(depth);
    *known = depth.max(*known);
}

#[cfg(test)]
#[path = "needs_tests.rs"]
mod tests;
