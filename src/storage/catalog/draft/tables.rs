//! A draft as the rules ask for its rows. Decides nothing.

use super::needs::Depth;
use super::rows::{Erasure, Prune, Subject};
use super::table::Table;
use super::{Draft, NOBODY, Reference};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::consent::Consent;
use crate::model::erasure::SignedReceipt;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::EventId;
use crate::storage::catalog::chain::{Chain, Digest};
use crate::storage::catalog::pending;
use crate::storage::catalog::tables::{
    HeldReference, NewReference, Person, RecordedEvent, StoredRequest, Tables,
};
use crate::storage::error::StorageError;
use crate::storage::place::Place;
use crate::storage::write::EraseAnswer;

/// Calls a method of every table.
macro_rules! every_table {
    ($draft:ident.$method:ident) => {{
        $draft.spec.$method();
        $draft.chain.$method();
        $draft.touched_all.$method();
        $draft.pruned.$method();
        $draft.requests.$method();
        $draft.handles.$method();
        $draft.subjects.$method();
        $draft.owners.$method();
        $draft.links.$method();
        $draft.references.$method();
        $draft.pending.$method();
        $draft.events.$method();
        $draft.told.$method();
        $draft.commitments.$method();
        $draft.erasures.$method();
        $draft.tombstones.$method();
        $draft.checkpoints.$method();
    }};
}

impl Tables for Draft<'_> {
    fn begin(&mut self) -> Result<(), StorageError> {
        every_table!(self.mark);
        Ok(())
    }

    fn undo(&mut self) -> Result<(), StorageError> {
        every_table!(self.undo);
        Ok(())
    }

    fn keep(&mut self) -> Result<(), StorageError> {
        every_table!(self.mark);
        Ok(())
    }

    fn spec(&self) -> Result<TenantSpec, StorageError> {
        Ok(self.spec.get(&()).expect("always read").clone())
    }

    fn set_spec(&mut self, spec: &TenantSpec) -> Result<(), StorageError> {
        self.spec.set((), Some(spec.clone()));
        Ok(())
    }

    fn request(&self, id: &RequestId) -> Result<Option<StoredRequest>, StorageError> {
        Ok(self.requests.asked(id, "request").cloned())
    }

    fn insert_request(&mut self, id: &RequestId, request: StoredRequest) -> Result<(), StorageError> {
        self.requests.set(id.clone(), Some(request));
        Ok(())
    }

    fn scrub_requests(&mut self, subject: u64) -> Result<u64, StorageError> {
        self.expect(subject, Depth::Whole);
        let named = self
            .requests
            .iter()
            .filter(|(_, kept)| kept.subject == Some(subject));
        let scrubbed: Vec<_> = named
            .map(|(id, kept)| {
                let kept = StoredRequest {
                    digest: Vec::new(),
                    answer: None,
                    subject: None,
                    ..*kept
                };
                (id.clone(), kept)
            })
            .collect();
        let count = scrubbed.len() as u64;
        for (id, kept) in scrubbed {
            self.requests.set(id, Some(kept));
        }
        Ok(count)
    }

    fn prune_requests(&mut self, before: Timestamp, max: u32) -> Result<(), StorageError> {
        self.pruned.set((), Some(Prune { max, before }));
        Ok(())
    }

    fn subject(&self, id: &SubjectId) -> Result<Option<u64>, StorageError> {
        Ok(self.handles.asked(id, "subject").copied())
    }

    fn link_owner(&self, kind: LinkKind, lookup: &[u8; 32]) -> Result<Option<u64>, StorageError> {
        Ok(self.owners.asked(&(kind, *lookup), "link").copied())
    }

    fn person(&self, subject: u64) -> Result<Option<Person>, StorageError> {
        let found = self.subjects.asked(&subject, "subject's row");
        Ok(found.map(|subject| Person {
            subject_id: subject.id.clone(),
            consent_expires_at: subject.consent.expires_at,
            last_used: subject.last_used,
        }))
    }

    fn insert_subject(
        &mut self,
        subject: u64,
        id: &SubjectId,
        consent: &Consent,
        created_at: Timestamp,
    ) -> Result<(), StorageError> {
        let row = Subject {
            id: id.clone(),
            created_at,
            consent: consent.clone(),
            last_used: created_at,
        };
        self.handles.set(id.clone(), Some(subject));
        self.subjects.set(subject, Some(row));
        // Nothing of it is anywhere else; also when this is undone and the handle given out again.
        self.depths.insert(subject, Depth::Whole);
        Ok(())
    }

    fn set_consent(&mut self, subject: u64, consent: &Consent) -> Result<(), StorageError> {
        let row = Subject {
            consent: consent.clone(),
            ..self.subject_row(subject)
        };
        self.subjects.set(subject, Some(row));
        Ok(())
    }

    fn touch(&mut self, subject: u64, now: Timestamp, stale: Timestamp) -> Result<(), StorageError> {
        let row = self.subject_row(subject);
        if row.last_used < stale {
            self.subjects.set(
                subject,
                Some(Subject {
                    last_used: now,
                    ..row
                }),
            );
        }
        Ok(())
    }

    fn touch_all(&mut self, at: Timestamp) -> Result<(), StorageError> {
        let early: Vec<u64> = self
            .subjects
            .iter()
            .filter(|(_, subject)| subject.last_used < at)
            .map(|(handle, _)| *handle)
            .collect();
        for handle in early {
            let row = self.subject_row(handle);
            self.subjects.set(handle, Some(Subject { last_used: at, ..row }));
        }
        self.touched_all.set((), Some(at));
        Ok(())
    }

    fn remove_subject(&mut self, subject: u64) -> Result<(), StorageError> {
        let row = self.subject_row(subject);
        self.handles.set(row.id, None);
        self.subjects.set(subject, None);
        Ok(())
    }

    fn put_link(&mut self, subject: u64, link: &SealedLink) -> Result<(), StorageError> {
        self.expect(subject, Depth::Held);
        let key = (subject, link.kind);
        if let Some(former) = self.links.get(&key) {
            self.owners.set((former.kind, former.lookup), None);
        }
        self.owners.set((link.kind, link.lookup), Some(subject));
        self.links.set(key, Some(link.clone()));
        Ok(())
    }

    fn remove_links(&mut self, subject: u64) -> Result<u64, StorageError> {
        self.expect(subject, Depth::Held);
        let held: Vec<_> = LinkKind::ALL
            .into_iter()
            .filter_map(|kind| self.links.get(&(subject, kind)))
            .map(|link| (link.kind, link.lookup))
            .collect();
        for (kind, lookup) in &held {
            self.owners.set((*kind, *lookup), None);
            self.links.set((subject, *kind), None);
        }
        Ok(held.len() as u64)
    }

    fn references(&self, subject: u64) -> Result<Vec<HeldReference>, StorageError> {
        self.expect(subject, Depth::Held);
        Ok(of(&self.references, subject).map(|(_, it)| it.held).collect())
    }

    fn insert_reference(&mut self, new: &NewReference, exact: &[u8]) -> Result<(), StorageError> {
        let reference = new.reference;
        let held = HeldReference {
            reference,
            hand: new.hand,
            place: Place::Pending { reference },
        };
        let row = Reference {
            held,
            new: Some(*new),
        };
        self.references.set((new.subject, reference), Some(row));
        self.pending.set(reference, Some((self.seal)(reference, exact)));
        Ok(())
    }

    fn sealed(&self, subject: u64, reference: u64) -> Result<Vec<u8>, StorageError> {
        self.expect(subject, Depth::Whole);
        let sealed = self.pending.get(&reference).cloned();
        sealed.ok_or_else(|| pending::missing(reference))
    }

    fn remove_references(&mut self, subject: u64) -> Result<u64, StorageError> {
        self.expect(subject, Depth::Whole);
        let held: Vec<u64> = of(&self.references, subject)
            .map(|((_, number), _)| *number)
            .collect();
        for reference in &held {
            self.references.set((subject, *reference), None);
            if self.pending.get(reference).is_some() {
                self.pending.set(*reference, None);
            }
        }
        Ok(held.len() as u64)
    }

    fn is_recorded(&self, told: EventId) -> Result<bool, StorageError> {
        Ok(self.told.asked(&told, "event").is_some())
    }

    fn insert_event(&mut self, event: RecordedEvent) -> Result<(), StorageError> {
        if let Some(told) = event.told {
            self.told.set(told, Some(event.number));
        }
        let key = (event.subject.unwrap_or(NOBODY), event.number);
        self.commitments.set(event.number, Some(event.commitment));
        self.events.set(key, Some(Some(event)));
        Ok(())
    }

    fn events(&self, subject: u64, each: &mut dyn FnMut(Option<RecordedEvent>)) -> Result<(), StorageError> {
        self.expect(subject, Depth::Whole);
        for (_, event) in of(&self.events, subject) {
            each(event.clone());
        }
        Ok(())
    }

    fn forget_events(&mut self, subject: u64) -> Result<u64, StorageError> {
        self.expect(subject, Depth::Whole);
        let keys: Vec<_> = of(&self.events, subject).map(|(key, _)| *key).collect();
        for key in &keys {
            self.events.set(*key, None);
        }
        let told = self
            .told
            .iter()
            .filter(|(_, number)| keys.contains(&(subject, **number)));
        let told: Vec<EventId> = told.map(|(told, _)| *told).collect();
        for told in told {
            self.told.set(told, None);
        }
        let events = keys.len() as u64;
        let mut chain = self.chain()?;
        chain.erased += events;
        self.set_chain(&chain)?;
        Ok(events)
    }

    fn commitments(&self, after: u64, each: &mut dyn FnMut(u64, &Digest)) -> Result<(), StorageError> {
        assert!(
            self.knows_commitments,
            "commitments are asked for that were not read: the needs of the group forgot them"
        );
        for (number, commitment) in self.commitments.range(after + 1..) {
            each(*number, commitment);
        }
        Ok(())
    }

    fn chain(&self) -> Result<Chain, StorageError> {
        Ok(*self.chain.get(&()).expect("always read"))
    }

    fn set_chain(&mut self, chain: &Chain) -> Result<(), StorageError> {
        self.chain.set((), Some(*chain));
        Ok(())
    }

    fn insert_checkpoint(&mut self, checkpoint: &SignedCheckpoint) -> Result<(), StorageError> {
        let number = self.checkpoints.iter().count() as u64;
        self.checkpoints.set(number, Some(checkpoint.clone()));
        Ok(())
    }

    fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError> {
        let found = self.erasures.asked(&erasure, "erasure");
        Ok(found.map(|erasure| erasure.answer.clone()))
    }

    fn insert_erasure(&mut self, answer: &EraseAnswer, buried: &[HeldReference]) -> Result<(), StorageError> {
        let number = answer.erasure;
        let row = Erasure {
            answer: answer.clone(),
            is_held: buried
                .iter()
                .any(|held| matches!(held.place, Place::Segment { .. })),
        };
        self.erasures.set(number, Some(row));
        for held in buried {
            self.tombstones.set((number, held.reference), Some(*held));
        }
        Ok(())
    }

    fn is_held(&self, erasure: u64) -> Result<bool, StorageError> {
        let found = self.erasures.asked(&erasure, "erasure");
        Ok(found.is_some_and(|erasure| erasure.is_held))
    }

    fn set_purged(&mut self, erasure: u64, receipt: &SignedReceipt) -> Result<(), StorageError> {
        let row = self.erasures.asked(&erasure, "erasure");
        let mut row = row.expect("it is there").clone();
        row.answer.purged = true;
        row.answer.receipt = receipt.clone();
        self.erasures.set(erasure, Some(row));
        let buried: Vec<_> = of(&self.tombstones, erasure).map(|(key, _)| *key).collect();
        for key in buried {
            self.tombstones.set(key, None);
        }
        Ok(())
    }
}

impl Draft<'_> {
    fn subject_row(&self, handle: u64) -> Subject {
        let row = self.subjects.asked(&handle, "subject's row");
        row.expect("it is there").clone()
    }
}

/// Rows of a table whose keys begin with this number.
fn of<V>(table: &Table<(u64, u64), V>, first: u64) -> impl Iterator<Item = (&(u64, u64), &V)> {
    table.range((first, 0)..=(first, u64::MAX))
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
