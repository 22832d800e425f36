//! An engine without any engine: plain rows in maps, read by needs and written by changes, with the keys and references that a database would hold it to.

use std::collections::BTreeMap;

use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::RequestId;
use crate::model::link::{LinkKind, SealedLink};
use crate::model::tenant::TenantSpec;
use crate::model::usage::EventId;
use crate::storage::catalog::chain::{Chain, Digest};
use crate::storage::catalog::draft::needs::{Depth, Needs, deepen};
use crate::storage::catalog::draft::rows::{Changes, Erasure, Event, Facts, Subject};
use crate::storage::catalog::tables::{HeldReference, NewReference, RecordedEvent, StoredRequest};
use crate::storage::place::Place;

/// A tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buried {
    pub(super) erasure: u64,
    pub(super) place: Option<(u32, u32)>,
}

/// A reference and where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reference {
    pub(super) new: NewReference,
    pub(super) place: Place,
}

/// All rows of a catalog.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) spec: TenantSpec,
    pub(super) chain: Chain,
    pub(super) subjects: BTreeMap<u64, Subject>,
    pub(super) links: BTreeMap<(u64, LinkKind), SealedLink>,
    pub(super) references: BTreeMap<u64, Reference>,
    pub(super) pending: BTreeMap<u64, Vec<u8>>,
    pub(super) events: BTreeMap<u64, RecordedEvent>,
    pub(super) events_erased: BTreeMap<u64, Digest>,
    /// In the order in which they came.
    pub(super) requests: Vec<(RequestId, StoredRequest)>,
    pub(super) erasures: BTreeMap<u64, Erasure>,
    pub(super) tombstones: BTreeMap<u64, Buried>,
    pub(super) checkpoints: Vec<SignedCheckpoint>,
}

impl Store {
    fn told(&self, needs: &Needs) -> Vec<(EventId, u64)> {
        let asked = |told: &EventId| needs.told.contains(told);
        let events = self.events.values();
        events
            .filter_map(|event| Some((event.told.filter(asked)?, event.number)))
            .collect()
    }

    /// Reads what is needed, and no more.
    pub(super) fn read(&self, needs: &mut Needs) -> Facts {
        let depths = self.depths(needs);
        let at_least = |handle: &u64, least| depths.get(handle).is_some_and(|depth| *depth >= least);
        let requests: Vec<_> = self
            .requests
            .iter()
            .filter(|(id, kept)| {
                let names = kept.subject.is_some_and(|handle| at_least(&handle, Depth::Whole));
                names || needs.requests.contains(id)
            })
            .cloned()
            .collect();
        needs.add_answers(&requests).expect("answers can be read");
        let held = |it: &Reference| HeldReference {
            reference: it.new.reference,
            hand: it.new.hand,
            place: it.place,
        };
        let events = self
            .events
            .values()
            .filter_map(|event| Some((event.subject?, event)));
        let commitments = self.events.values().map(|event| (event.number, event.commitment));
        let erased = self.events_erased.iter().map(|(number, left)| (*number, *left));
        let mut commitments: Vec<_> = commitments
            .chain(erased)
            .filter(|(number, _)| needs.commitments && *number > self.chain.event)
            .collect();
        commitments.sort_unstable();
        Facts {
            spec: self.spec.clone(),
            chain: self.chain,
            requests,
            subjects: (self.subjects.iter())
                .filter(|(handle, _)| depths.contains_key(handle))
                .map(|(handle, subject)| (*handle, subject.clone()))
                .collect(),
            links: (self.links.iter())
                .filter(|((handle, _), link)| {
                    at_least(handle, Depth::Held) || needs.links.contains_key(&(link.kind, link.lookup))
                })
                .map(|((handle, _), link)| (*handle, link.clone()))
                .collect(),
            references: (self.references.values())
                .filter(|it| at_least(&it.new.subject, Depth::Held))
                .map(|it| (it.new.subject, held(it)))
                .collect(),
            pending: (self.pending.iter())
                .filter(|(reference, _)| at_least(&self.references[reference].new.subject, Depth::Whole))
                .map(|(reference, sealed)| (*reference, sealed.clone()))
                .collect(),
            events: events
                .filter(|(subject, _)| at_least(subject, Depth::Whole))
                .map(|(subject, event)| Event {
                    number: event.number,
                    subject,
                    recorded: Some(event.clone()),
                })
                .collect(),
            told: self.told(needs),
            commitments,
            erasures: (self.erasures.iter())
                .filter(|(number, _)| needs.erasures.contains(number))
                .map(|(number, erasure)| Erasure {
                    is_held: self.is_held(*number),
                    ..erasure.clone()
                })
                .collect(),
        }
    }

    /// How much is to be read of whom.
    fn depths(&self, needs: &Needs) -> BTreeMap<u64, Depth> {
        let mut depths = BTreeMap::new();
        for (handle, subject) in &self.subjects {
            if let Some(depth) = needs.subjects.get(&subject.id) {
                deepen(&mut depths, *handle, *depth);
            }
        }
        for ((handle, _), link) in &self.links {
            if let Some(depth) = needs.links.get(&(link.kind, link.lookup)) {
                deepen(&mut depths, *handle, *depth);
            }
        }
        depths
    }

    pub(super) fn is_held(&self, erasure: u64) -> bool {
        let of = |it: &&Buried| it.erasure == erasure;
        self.tombstones.values().filter(of).any(|it| it.place.is_some())
    }

    /// Writes changes in their order. Panics where a database would refuse.
    pub(super) fn write(&mut self, changes: &Changes) {
        if let Some(at) = changes.touched_all {
            for subject in self.subjects.values_mut() {
                subject.last_used = subject.last_used.max(at);
            }
        }
        self.remove(changes);
        self.replace(changes);
        self.add(changes);
        if let Some(prune) = changes.pruned {
            let max = prune.max as usize;
            let mut n = 0;
            self.requests.retain(|(_, kept)| {
                n += 1;
                n > max || kept.at >= prune.before
            });
        }
    }

    fn remove(&mut self, changes: &Changes) {
        for number in &changes.events_forgotten {
            let event = self.events.remove(number).expect("there");
            insert(&mut self.events_erased, *number, event.commitment);
        }
        for reference in &changes.pending_removed {
            self.pending.remove(reference).expect("there");
        }
        for reference in &changes.references_removed {
            self.references.remove(reference).expect("there");
            assert!(!self.pending.contains_key(reference), "its row goes first");
        }
        for key in &changes.links_removed {
            self.links.remove(key).expect("there");
        }
        for handle in &changes.subjects_removed {
            self.subjects.remove(handle).expect("there");
            let refers = self.references.values().any(|it| it.new.subject == *handle)
                || self.links.keys().any(|(owner, _)| owner == handle)
                || self.events.values().any(|it| it.subject == Some(*handle));
            assert!(!refers, "what refers to a subject goes first");
        }
    }

    fn replace(&mut self, changes: &Changes) {
        self.spec = changes.spec.clone().unwrap_or_else(|| self.spec.clone());
        self.chain = changes.chain.unwrap_or(self.chain);
        for (handle, subject) in &changes.subjects_changed {
            let before = self.subjects.insert(*handle, subject.clone()).expect("there");
            assert_eq!(
                (before.id, before.created_at),
                (subject.id.clone(), subject.created_at)
            );
        }
        for id in &changes.requests_scrubbed {
            let (_, kept) = self.requests.iter_mut().find(|(it, _)| it == id).expect("there");
            (kept.digest, kept.answer, kept.subject) = (Vec::new(), None, None);
        }
        for erasure in &changes.erasures_purged {
            let number = erasure.answer.erasure;
            self.tombstones.retain(|_, it| it.erasure != number);
            self.erasures.insert(number, erasure.clone()).expect("there");
        }
    }

    fn add(&mut self, changes: &Changes) {
        for (handle, subject) in &changes.subjects_added {
            assert!(
                self.subjects.values().all(|it| it.id != subject.id),
                "an id is there once"
            );
            insert(&mut self.subjects, *handle, subject.clone());
        }
        for new in &changes.references_added {
            assert!(self.subjects.contains_key(&new.subject));
            let place = Place::Pending {
                reference: new.reference,
            };
            insert(
                &mut self.references,
                new.reference,
                Reference { new: *new, place },
            );
        }
        for (reference, sealed) in &changes.pending_added {
            assert!(self.references.contains_key(reference));
            insert(&mut self.pending, *reference, sealed.clone());
        }
        for (handle, link) in &changes.links_added {
            assert!(self.subjects.contains_key(handle));
            let same = |it: &SealedLink| (it.kind, it.lookup) == (link.kind, link.lookup);
            assert!(!self.links.values().any(same), "a link is there once");
            insert(&mut self.links, (*handle, link.kind), link.clone());
        }
        for event in &changes.events_added {
            assert!(
                event
                    .subject
                    .is_none_or(|handle| self.subjects.contains_key(&handle))
            );
            insert(&mut self.events, event.number, event.clone());
        }
        for (number, commitment) in &changes.commitments_left {
            insert(&mut self.events_erased, *number, *commitment);
        }
        for (id, kept) in &changes.requests_added {
            assert!(
                self.requests.iter().all(|(it, _)| it != id),
                "a request is there once"
            );
            self.requests.push((id.clone(), kept.clone()));
        }
        for erasure in &changes.erasures_added {
            insert(&mut self.erasures, erasure.answer.erasure, erasure.clone());
        }
        for (erasure, held) in &changes.tombstones_added {
            assert!(self.erasures.contains_key(erasure));
            let place = match held.place {
                Place::Segment { segment, row } => Some((segment, row)),
                Place::Pending { .. } => None,
            };
            let erasure = *erasure;
            insert(&mut self.tombstones, held.reference, Buried { erasure, place });
        }
        self.checkpoints.extend_from_slice(&changes.checkpoints_added);
    }
}

/// Adds a row whose key no other one has.
fn insert<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: V) {
    assert!(rows.insert(key, row).is_none(), "a key is there once");
}
