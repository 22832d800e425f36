//! Reads what a group of writes needs of the rows, in two or three looks within its transaction. Decides nothing.

use std::collections::BTreeMap;

use crate::model::usage::EventId;
use tokio_postgres::Row;

use super::Tenant;
use super::head::Head;
use super::rows::select;
use crate::model::id::RequestId;
use crate::storage::catalog::chain::Digest;
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::depths;
use crate::storage::catalog::draft::needs::{Depth, Needs};
use crate::storage::catalog::draft::rows::{Erasure, Event, Facts};
use crate::storage::catalog::tables::{HeldReference, StoredRequest};
use crate::storage::database::transaction::{Transaction, statement};
use crate::storage::error::StorageError;

const REQUESTS: &str = select!(request, "FROM request WHERE tenant = $1 AND lookup = ANY($2)");
const REQUESTS_OF: &str = select!(request, "FROM request WHERE tenant = $1 AND subject = ANY($2)");
/// By lookups of ids, and by those of links.
const SUBJECTS: &str = select!(
    subject,
    "FROM subject
    WHERE tenant = $1 AND handle IN (SELECT handle FROM subject WHERE tenant = $1 AND lookup = ANY($2)
        UNION ALL SELECT subject FROM link WHERE tenant = $1 AND lookup = ANY($3))"
);
const LINKS: &str = select!(link, "FROM link WHERE tenant = $1 AND lookup = ANY($2)");
const LINKS_OF: &str = select!(link, "FROM link WHERE tenant = $1 AND subject = ANY($2)");
const REFERENCES_OF: &str = select!(
    reference,
    "FROM reference
    WHERE tenant = $1 AND subject = ANY($2)"
);
const PENDING_OF: &str = "SELECT p.reference, p.sealed FROM reference r
    JOIN pending p ON p.tenant = r.tenant AND p.reference = r.id WHERE r.tenant = $1 AND r.subject = ANY($2)";
const EVENTS_OF: &str = select!(event, "FROM usage WHERE tenant = $1 AND subject = ANY($2)");
const TOLD: &str = "SELECT told, id FROM usage WHERE tenant = $1 AND told = ANY($2)";
const COMMITMENTS: &str = "SELECT id, commitment FROM usage WHERE tenant = $1 AND id > $2";
const TOMBSTONES: &str = select!(
    tombstone,
    "FROM tombstone WHERE tenant = $1 AND segment IS NOT NULL"
);
const SEGMENTS: &str = select!(segment, "FROM segment WHERE tenant = $1");
const ERASURES: &str = select!(erasure, ", EXISTS (SELECT 1 FROM tombstone t WHERE t.tenant = e.tenant AND t.erasure = e.id AND t.segment IS NOT NULL)
    FROM erasure e WHERE e.tenant = $1 AND e.id = ANY($2)");

impl Tenant {
    /// What is asked for, as it is within the transaction. Adds to the needs what the answers of requests ask for.
    pub(super) fn facts(
        &self,
        transaction: &Transaction,
        needs: &mut Needs,
        head: &Head,
    ) -> Result<Facts, StorageError> {
        let mut facts = Facts {
            spec: head.spec.clone(),
            chain: head.chain,
            requests: Vec::new(),
            subjects: Vec::new(),
            links: Vec::new(),
            references: Vec::new(),
            pending: Vec::new(),
            events: Vec::new(),
            told: Vec::new(),
            commitments: Vec::new(),
            erasures: Vec::new(),
        };
        self.look_up(transaction, needs, &mut facts)?;
        needs.add_answers(&facts.requests)?;
        self.look_closer(transaction, needs, head, &mut facts)?;
        Ok(facts)
    }

    /// What is found by keys.
    fn look_up(
        &self,
        transaction: &Transaction,
        needs: &Needs,
        facts: &mut Facts,
    ) -> Result<(), StorageError> {
        let requests: BTreeMap<[u8; 32], &RequestId> = needs
            .requests
            .iter()
            .map(|id| (self.request_lookup(id), id))
            .collect();
        let asked: Vec<Vec<u8>> = requests.keys().map(|lookup| lookup.to_vec()).collect();
        let subjects = needs.subjects.keys().map(|id| self.subject_lookup(id).to_vec());
        let subjects: Vec<Vec<u8>> = subjects.collect();
        let links = needs.links.keys();
        let links: Vec<Vec<u8>> = links
            .map(|(kind, lookup)| self.link_lookup(*kind, lookup).to_vec())
            .collect();
        let mut statements = vec![
            statement!(REQUESTS, self.number, asked),
            statement!(SUBJECTS, self.number, subjects, links.clone()),
            statement!(LINKS, self.number, links),
        ];
        let told = needs.told.iter().map(|told| told.0.to_vec());
        let told: Vec<Vec<u8>> = told.collect();
        statements.push(statement!(TOLD, self.number, told));
        if needs.commitments {
            statements.push(statement!(COMMITMENTS, self.number, int(facts.chain.event)));
        }
        let mut rows = transaction.query_all(statements)?.into_iter();
        let mut next = || rows.next().unwrap_or_default();
        for row in next() {
            let lookup: &[u8] = self.columns("request", &row).get(0)?;
            let id = <[u8; 32]>::try_from(lookup)
                .ok()
                .and_then(|lookup| requests.get(&lookup));
            let id = id.ok_or_else(|| self.damaged("request", "another request is found"))?;
            facts.requests.push(((*id).clone(), self.request_row(&row)?.1));
        }
        for row in next() {
            facts.subjects.push(self.subject_row(&row)?);
        }
        for row in next() {
            facts.links.push(self.link_row(&row)?);
        }
        for row in next() {
            let columns = self.columns("usage", &row);
            let told = <[u8; 16]>::try_from(columns.get::<&[u8]>(0)?)
                .map_err(|_| columns.fault("an event is told under no id"))?;
            facts.told.push((EventId(told), columns.uint(1)?));
        }
        for row in next() {
            let columns = self.columns("usage", &row);
            let commitment: &[u8] = columns.get(1)?;
            // One of another length is none that was ever made: an audit tells of it, and nothing else stops for it.
            let commitment = Digest::try_from(commitment).unwrap_or_default();
            facts.commitments.push((columns.uint(0)?, commitment));
        }
        Ok(())
    }

    /// What hangs on whoever was found.
    fn look_closer(
        &self,
        transaction: &Transaction,
        needs: &Needs,
        head: &Head,
        facts: &mut Facts,
    ) -> Result<(), StorageError> {
        let depths = depths(needs, facts);
        let of = |least: Depth| {
            let deep = depths.iter().filter(|(_, depth)| **depth >= least);
            deep.map(|(handle, _)| int(*handle)).collect::<Vec<i64>>()
        };
        let (held, whole) = (of(Depth::Held), of(Depth::Whole));
        let erasures: Vec<i64> = needs
            .erasures
            .iter()
            .filter_map(|it| i64::try_from(*it).ok())
            .collect();
        if held.is_empty() && erasures.is_empty() {
            return Ok(());
        }
        let is_purge = !erasures.is_empty();
        let mut statements = vec![
            statement!(LINKS_OF, self.number, held.clone()),
            statement!(REFERENCES_OF, self.number, held),
            statement!(PENDING_OF, self.number, whole.clone()),
            statement!(EVENTS_OF, self.number, whole.clone()),
            statement!(REQUESTS_OF, self.number, whole),
            statement!(ERASURES, self.number, erasures),
        ];
        if is_purge {
            statements.push(statement!(TOMBSTONES, self.number));
            statements.push(statement!(SEGMENTS, self.number));
        }
        let mut rows = transaction.query_all(statements)?.into_iter();
        let mut next = || rows.next().unwrap_or_default();
        for row in next() {
            let link = self.link_row(&row)?;
            if !facts.links.contains(&link) {
                facts.links.push(link);
            }
        }
        for row in next() {
            let row = self.reference_row(&row)?;
            let held = HeldReference {
                reference: row.id,
                hand: row.cell.hand,
                place: row.place,
            };
            facts.references.push((row.subject, held));
        }
        for row in next() {
            let columns = self.columns("pending", &row);
            facts.pending.push((columns.uint(0)?, columns.get(1)?));
        }
        for row in next() {
            facts.events.push(self.event(&row)?);
        }
        for row in next() {
            self.add_request(&row, &mut facts.requests)?;
        }
        for row in next() {
            facts.erasures.push(self.erasure(&row)?);
        }
        // A receipt says purged where there is no tombstone, so none may be missing, nor be another erasure's.
        if is_purge {
            let placed = self.buried(&next())?;
            head.check_tombstones(self, placed.len() as u64)?;
            // Nor may an object still be listed that rows were moved out of.
            let has_retired = self.has_retired(head, &next())?;
            facts
                .erasures
                .iter_mut()
                .for_each(|erasure| erasure.is_held |= has_retired);
        }
        Ok(())
    }

    /// An erasure, and whether a segment holds a row of it.
    fn erasure(&self, row: &Row) -> Result<Erasure, StorageError> {
        let answer = self.erasure_row(row)?;
        let is_held = self.columns("erasure", row).get(5)?;
        Ok(Erasure { answer, is_held })
    }

    /// An event that names a subject. One that is not what was written is told of as such: its erasure counts it, and goes on.
    fn event(&self, row: &Row) -> Result<Event, StorageError> {
        let columns = self.columns("usage", row);
        Ok(Event {
            number: columns.uint(0)?,
            subject: columns.uint(1)?,
            recorded: self.event_row(row).ok(),
        })
    }

    /// A request that tells of a subject, unless it was asked for itself.
    fn add_request(
        &self,
        row: &Row,
        requests: &mut Vec<(RequestId, StoredRequest)>,
    ) -> Result<(), StorageError> {
        let (id, kept) = self.request_row(row)?;
        let id = id.ok_or_else(|| self.damaged("request", "a request names a subject and has no answer"))?;
        if !requests.iter().any(|(known, _)| *known == id) {
            requests.push((id, kept));
        }
        Ok(())
    }
}
