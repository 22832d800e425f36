//! Writes what the rules did to rows: set by set, in the order in which no row refers to one that is not there. Decides nothing.

use super::Tenant;
use super::head::Head;
use super::rows::ReferenceCell;
use crate::model::link::SealedLink;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::code::{Coded, int};
use crate::storage::catalog::draft::rows::{Changes, Erasure, Subject};
use crate::storage::catalog::tables::{HeldReference, NewReference, RecordedEvent, StoredRequest};
use crate::storage::database::transaction::{Statement, Transaction, statement};
use crate::storage::error::StorageError;
use crate::storage::place::Place;

/// Subjects whose last use is changed at a time, where it is for all.
const TOUCHED_AT_ONCE: i64 = 4_096;

const TOUCH: &str = "UPDATE subject s SET last_used = $4, seen = u.seen FROM unnest($2::bigint[], $3::bytea[]) AS u(handle, seen)
    WHERE s.tenant = $1 AND s.handle = u.handle";
const FORGET_EVENTS: &str =
    "UPDATE usage SET subject = NULL, sealed = NULL, told = NULL WHERE tenant = $1 AND id = ANY($2)";
const REMOVE_LINKS: &str = "DELETE FROM link l USING unnest($2::bigint[], $3::smallint[]) AS u(subject, kind)
    WHERE l.tenant = $1 AND l.subject = u.subject AND l.kind = u.kind";
const CHANGE_SUBJECTS: &str = "UPDATE subject s
    SET consent_expires_at = u.expires_at, sealed = u.sealed, last_used = u.last_used, seen = u.seen
    FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bytea[]) AS u(handle, expires_at, sealed, last_used, seen)
    WHERE s.tenant = $1 AND s.handle = u.handle";
const SCRUB: &str = "UPDATE request SET subject = NULL, sealed = NULL WHERE tenant = $1 AND lookup = ANY($2)";
const FORGET_TOMBSTONES: &str = "DELETE FROM tombstone WHERE tenant = $1 AND erasure = ANY($2)";
const PURGE: &str = "UPDATE erasure e SET purged = true, sealed = u.sealed FROM unnest($2::bigint[], $3::bytea[]) AS u(id, sealed)
    WHERE e.tenant = $1 AND e.id = u.id";
pub(super) const ADD_SUBJECTS: &str = "INSERT INTO subject (tenant, handle, lookup, consent_expires_at, sealed, last_used, seen)
    SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[])";
pub(super) const ADD_REFERENCES: &str = "INSERT INTO reference (tenant, id, subject, sequence, sealed, segment, slot, placed)
    SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bytea[])";
const ADD_PENDING: &str = "INSERT INTO pending (tenant, epoch, reference, sealed)
    SELECT $1, $2, * FROM unnest($3::bigint[], $4::bytea[])";
const ADD_LINKS: &str = "INSERT INTO link (tenant, subject, kind, lookup, sealed)
    SELECT $1, * FROM unnest($2::bigint[], $3::smallint[], $4::bytea[], $5::bytea[])";
const ADD_EVENTS: &str = "INSERT INTO usage (tenant, id, subject, commitment, sealed, told)
    SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[])";
const ADD_COMMITMENTS: &str =
    "INSERT INTO usage (tenant, id, commitment) SELECT $1, * FROM unnest($2::bigint[], $3::bytea[])";
const ADD_REQUESTS: &str = "INSERT INTO request (tenant, lookup, method, at, subject, sealed)
    SELECT $1, * FROM unnest($2::bytea[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bytea[])";
const ADD_ERASURES: &str = "INSERT INTO erasure (tenant, id, lookup, purged, sequence, sealed)
    SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::boolean[], $5::bigint[], $6::bytea[])";
const ADD_TOMBSTONES: &str = "INSERT INTO tombstone (tenant, reference, erasure, segment, slot, placed)
    SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])";
const ADD_CHECKPOINT: &str =
    "INSERT INTO checkpoint (tenant, event, checkpoint, signature, public_key) VALUES ($1, $2, $3, $4, $5)";
const PRUNE: &str = "DELETE FROM request WHERE tenant = $1 AND lookup IN
    (SELECT lookup FROM request WHERE tenant = $1 AND at < $2 ORDER BY at LIMIT $3)";

impl Tenant {
    /// Writes changes, and those of them that the tenant's row has into `head`.
    pub(super) fn write(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        changes: &Changes,
    ) -> Result<(), StorageError> {
        if let Some(at) = changes.touched_all {
            self.touch_all(transaction, at)?;
        }
        // The row has them with the next change of it, which ends every transaction.
        head.chain = changes.chain.unwrap_or(head.chain);
        head.spec = changes.spec.clone().unwrap_or_else(|| head.spec.clone());
        let is_placed = |held: &HeldReference| matches!(held.place, Place::Segment { .. });
        let placed = changes
            .tombstones_added
            .iter()
            .filter(|(_, held)| is_placed(held));
        head.tombstones += placed.count() as u64;
        let mut statements = self.removals(changes);
        statements.extend(self.additions(head, changes));
        if let Some(prune) = changes.pruned {
            let max = i64::from(prune.max);
            statements.push(statement!(PRUNE, self.number, prune.before.0, max));
        }
        transaction.execute_all(statements)?;
        Ok(())
    }

    /// Nobody's last use is from before this time.
    fn touch_all(&self, transaction: &Transaction, at: Timestamp) -> Result<(), StorageError> {
        let sql = "SELECT handle FROM subject WHERE tenant = $1 AND last_used < $2 LIMIT $3";
        loop {
            let rows = transaction.query(statement!(sql, self.number, at.0, TOUCHED_AT_ONCE))?;
            if rows.is_empty() {
                return Ok(());
            }
            let handles = rows.iter().map(|row| self.columns("subject", row).uint(0));
            let handles = handles.collect::<Result<Vec<u64>, _>>()?;
            let seen: Vec<Vec<u8>> = handles
                .iter()
                .map(|it| self.bind_last_used(*it, at).to_vec())
                .collect();
            transaction.execute(statement!(TOUCH, self.number, ints(&handles), seen, at.0))?;
        }
    }

    /// What goes, and what is replaced; nothing is sent for a set that is empty.
    fn removals(&self, changes: &Changes) -> Vec<Statement> {
        let mut statements = Vec::new();
        let mut by_number = |sql: &'static str, numbers: &[u64]| {
            if !numbers.is_empty() {
                statements.push(statement!(sql, self.number, ints(numbers)));
            }
        };
        by_number(FORGET_EVENTS, &changes.events_forgotten);
        by_number(
            "DELETE FROM pending WHERE tenant = $1 AND reference = ANY($2)",
            &changes.pending_removed,
        );
        by_number(
            "DELETE FROM reference WHERE tenant = $1 AND id = ANY($2)",
            &changes.references_removed,
        );
        if !changes.links_removed.is_empty() {
            let (subjects, kinds): (Vec<i64>, Vec<i16>) = changes
                .links_removed
                .iter()
                .map(|(handle, kind)| (int(*handle), i16::from(kind.code())))
                .unzip();
            statements.push(statement!(REMOVE_LINKS, self.number, subjects, kinds));
        }
        if !changes.subjects_removed.is_empty() {
            let sql = "DELETE FROM subject WHERE tenant = $1 AND handle = ANY($2)";
            statements.push(statement!(sql, self.number, ints(&changes.subjects_removed)));
        }
        if !changes.subjects_changed.is_empty() {
            let [handles, _, expires, sealed, used, seen] = self.subject_columns(&changes.subjects_changed);
            let values = vec![Box::new(self.number) as _, handles, expires, sealed, used, seen];
            statements.push((CHANGE_SUBJECTS, values));
        }
        if !changes.requests_scrubbed.is_empty() {
            let lookups = changes
                .requests_scrubbed
                .iter()
                .map(|id| self.request_lookup(id).to_vec());
            statements.push(statement!(SCRUB, self.number, lookups.collect::<Vec<_>>()));
        }
        if !changes.erasures_purged.is_empty() {
            let (ids, sealed): (Vec<i64>, Vec<Vec<u8>>) = changes
                .erasures_purged
                .iter()
                .map(|erasure| {
                    let lookup = self.erased_lookup(&erasure.answer.subject_id);
                    (int(erasure.answer.erasure), self.seal_erasure(&lookup, erasure))
                })
                .unzip();
            statements.push(statement!(FORGET_TOMBSTONES, self.number, ids.clone()));
            statements.push(statement!(PURGE, self.number, ids, sealed));
        }
        statements
    }

    /// What comes.
    pub(super) fn additions(&self, head: &Head, changes: &Changes) -> Vec<Statement> {
        let mut statements = Vec::new();
        if !changes.subjects_added.is_empty() {
            let mut values = vec![Box::new(self.number) as _];
            values.extend(self.subject_columns(&changes.subjects_added));
            statements.push((ADD_SUBJECTS, values));
        }
        if !changes.references_added.is_empty() {
            statements.push(self.add_references(&changes.references_added));
        }
        if !changes.pending_added.is_empty() {
            let (references, sealed): (Vec<i64>, Vec<Vec<u8>>) = changes
                .pending_added
                .iter()
                .map(|(reference, sealed)| (int(*reference), sealed.clone()))
                .unzip();
            let epoch = int(head.epoch);
            statements.push(statement!(ADD_PENDING, self.number, epoch, references, sealed));
        }
        if !changes.links_added.is_empty() {
            statements.push(self.add_links(&changes.links_added));
        }
        if !changes.events_added.is_empty() {
            statements.push(self.add_events(&changes.events_added));
        }
        if !changes.commitments_left.is_empty() {
            let (ids, commitments): (Vec<i64>, Vec<Vec<u8>>) = changes
                .commitments_left
                .iter()
                .map(|(number, commitment)| (int(*number), commitment.to_vec()))
                .unzip();
            statements.push(statement!(ADD_COMMITMENTS, self.number, ids, commitments));
        }
        if !changes.requests_added.is_empty() {
            statements.push(self.add_requests(&changes.requests_added));
        }
        if !changes.erasures_added.is_empty() {
            statements.push(self.add_erasures(&changes.erasures_added));
        }
        if !changes.tombstones_added.is_empty() {
            statements.push(self.add_tombstones(&changes.tombstones_added));
        }
        for signed in &changes.checkpoints_added {
            statements.push(statement!(
                ADD_CHECKPOINT,
                self.number,
                int(head.chain.event),
                signed.checkpoint_json.clone(),
                signed.signature.clone(),
                signed.public_key.clone(),
            ));
        }
        statements
    }

    /// Handles, lookups, ends of consent, cells, last uses and what binds these.
    pub(super) fn subject_columns(
        &self,
        subjects: &[(u64, Subject)],
    ) -> [crate::storage::database::transaction::Value; 6] {
        let (mut handles, mut lookups, mut expires) = (Vec::new(), Vec::new(), Vec::new());
        let (mut sealed, mut used, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for (handle, subject) in subjects {
            let lookup = self.subject_lookup(&subject.id);
            handles.push(int(*handle));
            expires.push(subject.consent.expires_at.0);
            sealed.push(self.seal_subject(*handle, &lookup, subject));
            used.push(subject.last_used.0);
            seen.push(self.bind_last_used(*handle, subject.last_used).to_vec());
            lookups.push(lookup.to_vec());
        }
        [
            Box::new(handles),
            Box::new(lookups),
            Box::new(expires),
            Box::new(sealed),
            Box::new(used),
            Box::new(seen),
        ]
    }

    fn add_references(&self, references: &[NewReference]) -> Statement {
        let mut columns = ReferenceColumns::default();
        for new in references {
            let cell = ReferenceCell::new(new.hand, &new.capture, new.enrolled_at);
            columns.push(self, [new.reference, new.subject, new.sequence], &cell, None);
        }
        columns.statement(self)
    }

    fn add_links(&self, links: &[(u64, SealedLink)]) -> Statement {
        let (mut subjects, mut kinds, mut lookups, mut sealed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (subject, link) in links {
            let lookup = self.link_lookup(link.kind, &link.lookup);
            subjects.push(int(*subject));
            kinds.push(i16::from(link.kind.code()));
            sealed.push(self.seal_link(*subject, &lookup, link));
            lookups.push(lookup.to_vec());
        }
        statement!(ADD_LINKS, self.number, subjects, kinds, lookups, sealed)
    }

    fn add_events(&self, events: &[RecordedEvent]) -> Statement {
        let (mut ids, mut subjects, mut commitments, mut sealed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut told = Vec::new();
        for event in events {
            ids.push(int(event.number));
            subjects.push(event.subject.map(int));
            commitments.push(event.commitment.to_vec());
            sealed.push(self.seal_event(event));
            told.push(event.told.map(|told| told.0.to_vec()));
        }
        statement!(ADD_EVENTS, self.number, ids, subjects, commitments, sealed, told)
    }

    /// Adds requests that were answered.
    pub(super) fn add_requests(
        &self,
        requests: &[(crate::model::id::RequestId, StoredRequest)],
    ) -> Statement {
        let (mut lookups, mut methods, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let (mut subjects, mut sealed) = (Vec::new(), Vec::new());
        for (id, kept) in requests {
            let lookup = self.request_lookup(id);
            methods.push(i16::try_from(kept.method.code()).expect("a method's code is small"));
            times.push(kept.at.0);
            subjects.push(kept.subject.map(int));
            // One that came and was scrubbed within the transaction has no answer either.
            sealed.push(
                kept.answer
                    .is_some()
                    .then(|| self.seal_request(&lookup, id, kept)),
            );
            lookups.push(lookup.to_vec());
        }
        statement!(
            ADD_REQUESTS,
            self.number,
            lookups,
            methods,
            times,
            subjects,
            sealed
        )
    }

    fn add_erasures(&self, erasures: &[Erasure]) -> Statement {
        let (mut ids, mut lookups, mut purged) = (Vec::new(), Vec::new(), Vec::new());
        let (mut sequences, mut sealed) = (Vec::new(), Vec::new());
        for erasure in erasures {
            let lookup = self.erased_lookup(&erasure.answer.subject_id);
            ids.push(int(erasure.answer.erasure));
            purged.push(erasure.answer.purged);
            sequences.push(int(erasure.answer.sequence));
            sealed.push(self.seal_erasure(&lookup, erasure));
            lookups.push(lookup.to_vec());
        }
        statement!(ADD_ERASURES, self.number, ids, lookups, purged, sequences, sealed)
    }

    fn add_tombstones(&self, buried: &[(u64, HeldReference)]) -> Statement {
        let (mut references, mut erasures) = (Vec::new(), Vec::new());
        let (mut segments, mut slots, mut placed) = (Vec::new(), Vec::new(), Vec::new());
        for (erasure, held) in buried {
            let place = match held.place {
                Place::Segment { segment, row } => Some((segment, row)),
                // A flush that is under way finds the tombstone and gives it the place.
                Place::Pending { .. } => None,
            };
            references.push(int(held.reference));
            erasures.push(int(*erasure));
            segments.push(place.map(|(segment, _)| i64::from(segment)));
            slots.push(place.map(|(_, slot)| i64::from(slot)));
            placed.push(
                self.placed("tombstone", [held.reference, *erasure], place)
                    .to_vec(),
            );
        }
        statement!(
            ADD_TOMBSTONES,
            self.number,
            references,
            erasures,
            segments,
            slots,
            placed
        )
    }
}

/// Columns of references that are added.
#[derive(Default)]
pub(super) struct ReferenceColumns {
    ids: Vec<i64>,
    subjects: Vec<i64>,
    sequences: Vec<i64>,
    sealed: Vec<Vec<u8>>,
    segments: Vec<Option<i64>>,
    slots: Vec<Option<i64>>,
    placed: Vec<Vec<u8>>,
}

impl ReferenceColumns {
    /// A reference (number, subject, sequence) at its place.
    pub(super) fn push(
        &mut self,
        tenant: &Tenant,
        [id, subject, sequence]: [u64; 3],
        cell: &ReferenceCell,
        place: Option<(u32, u32)>,
    ) {
        self.ids.push(int(id));
        self.subjects.push(int(subject));
        self.sequences.push(int(sequence));
        self.sealed
            .push(tenant.seal_reference([id, subject, sequence], cell));
        self.segments.push(place.map(|(segment, _)| i64::from(segment)));
        self.slots.push(place.map(|(_, slot)| i64::from(slot)));
        self.placed
            .push(tenant.placed("reference", [id, subject], place).to_vec());
    }

    pub(super) fn statement(self, tenant: &Tenant) -> Statement {
        statement!(
            ADD_REFERENCES,
            tenant.number,
            self.ids,
            self.subjects,
            self.sequences,
            self.sealed,
            self.segments,
            self.slots,
            self.placed,
        )
    }
}

/// Numbers as the database has them.
pub(super) fn ints(numbers: &[u64]) -> Vec<i64> {
    numbers.iter().map(|number| int(*number)).collect()
}
