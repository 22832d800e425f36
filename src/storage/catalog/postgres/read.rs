//! Reads of a catalog in a database: each method one moment, all of its statements sent together. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::head::{self, Head};
use super::rows::select;
use super::{EpochSeal, Tenant};
use crate::cluster::course::Reference;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::retention::Due;
use crate::model::subject::{ReferenceInfo, SubjectRecord};
use crate::model::tenant::TenantSpec;
use crate::model::usage::UsageEvent;
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::rows::Subject;
use crate::storage::catalog::request::{self, Method};
use crate::storage::catalog::seam::ReadCatalog;
use crate::storage::catalog::segments::{Located, Tombstone};
use crate::storage::database::transaction::{Statement, statement};
use crate::storage::error::StorageError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::{Place, RowId, StoredRow};
use crate::storage::write::{CandidateInfo, EraseAnswer, ImportAnswer, SubjectKey};

/// How often rows are read whose epoch ends while they are.
const READINGS_MAX: usize = 3;

/// Reads a catalog in a database.
pub(super) struct PostgresReader(Arc<Tenant>);

/// Whoever has a subject's lookup, or one of the links with a link's.
macro_rules! owner {
    () => {
        "(SELECT handle FROM subject WHERE tenant = $1 AND lookup = $2 UNION ALL SELECT subject FROM link WHERE tenant = $1 AND lookup = $2)"
    };
}

const SUBJECT: &str = select!(subject, "FROM subject WHERE tenant = $1 AND handle IN ", owner!());
const REFERENCES: &str = select!(
    reference,
    "FROM reference WHERE tenant = $1 AND subject IN ",
    owner!(),
    " ORDER BY id"
);
const LINKS: &str = select!(
    link,
    "FROM link WHERE tenant = $1 AND subject IN ",
    owner!(),
    " ORDER BY kind"
);
const LINKS_OF: &str = select!(
    link,
    "FROM link WHERE tenant = $1 AND subject = ANY($2) ORDER BY subject, kind"
);
pub(super) const TOMBSTONES: &str = select!(
    tombstone,
    "FROM tombstone
    WHERE tenant = $1 AND segment IS NOT NULL ORDER BY segment, slot"
);
const LOCATED: &str = select!(
    place,
    ", epoch, p.sealed FROM reference r LEFT JOIN pending p ON p.tenant = r.tenant AND p.reference = r.id
    WHERE r.tenant = $1 AND r.id = ANY($2)"
);
const CANDIDATES: &str = select!(reference, "FROM reference WHERE tenant = $1 AND id = ANY($2)");
const SUBJECTS_OF: &str = select!(
    subject,
    "FROM subject
    WHERE tenant = $1 AND handle IN (SELECT subject FROM reference WHERE tenant = $1 AND id = ANY($2))"
);
const EVENTS: &str = select!(
    event,
    "FROM usage
    WHERE tenant = $1 AND id < $2 AND sealed IS NOT NULL ORDER BY id DESC LIMIT $3"
);
const EVENTS_OF: &str = select!(event, "FROM usage
    WHERE tenant = $1 AND id < $2 AND sealed IS NOT NULL
        AND subject = (SELECT handle FROM subject WHERE tenant = $1 AND lookup = $4) ORDER BY id DESC LIMIT $3");
const CONSENT_ENDED: &str = select!(
    subject,
    "FROM subject
    WHERE tenant = $1 AND consent_expires_at <= $2 ORDER BY consent_expires_at LIMIT $3"
);
const IDLE: &str = select!(
    subject,
    "FROM subject
    WHERE tenant = $1 AND last_used <= $2 ORDER BY last_used LIMIT $3"
);
const ERASURE: &str = select!(erasure, " FROM erasure WHERE tenant = $1 AND id = $2");
const ERASURES_OF: &str = select!(
    erasure,
    " FROM erasure WHERE tenant = $1 AND lookup = $2 ORDER BY id"
);
const ERASURES_BETWEEN: &str = select!(
    erasure,
    " FROM erasure
    WHERE tenant = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4"
);
const ERASURES_OPEN: &str = "SELECT id FROM erasure WHERE tenant = $1 AND NOT purged ORDER BY id";
const REQUEST: &str = select!(request, "FROM request WHERE tenant = $1 AND lookup = $2");

impl PostgresReader {
    /// Of this tenant's.
    pub(super) fn new(tenant: Arc<Tenant>) -> Self {
        Self(tenant)
    }

    /// Rows of statements at one moment.
    fn read<const N: usize>(&self, statements: [Statement; N]) -> Result<[Vec<Row>; N], StorageError> {
        let rows = self.0.database.read(statements.into())?;
        Ok(rows.try_into().expect("one answer a statement"))
    }

    fn locate_once(&self, references: &[u64]) -> Result<Vec<Option<Located>>, StorageError> {
        let asked: Vec<i64> = references
            .iter()
            .filter_map(|it| i64::try_from(*it).ok())
            .collect();
        let [rows] = self.read([statement!(LOCATED, self.0.number, asked)])?;
        let by_reference = rows
            .iter()
            .map(|row| Ok((self.0.columns("reference", row).uint(0)?, row)));
        let by_reference = by_reference.collect::<Result<BTreeMap<u64, &Row>, StorageError>>()?;
        let mut seals = BTreeMap::new();
        let located = references.iter().map(|reference| {
            let row = by_reference.get(reference);
            row.map(|row| self.located(row, &mut seals)).transpose()
        });
        located.collect()
    }

    /// The references of a subject, ascending; none where it is unknown.
    pub(super) fn references(&self, subject: &SubjectId) -> Result<Vec<Reference>, StorageError> {
        let lookup = self.0.subject_lookup(subject).to_vec();
        let [rows] = self.read([statement!(REFERENCES, self.0.number, lookup)])?;
        let references = rows
            .iter()
            .map(|row| Ok(Reference(self.0.reference_place(row)?.0)));
        references.collect()
    }

    fn subjects(&self, rows: &[Row]) -> Result<Vec<(u64, Subject)>, StorageError> {
        rows.iter().map(|row| self.0.subject_row(row)).collect()
    }

    fn links(
        &self,
        rows: &[Row],
        kinds: &[LinkKind],
    ) -> Result<BTreeMap<u64, Vec<SealedLink>>, StorageError> {
        let mut links: BTreeMap<u64, Vec<SealedLink>> = BTreeMap::new();
        for row in rows {
            let (subject, link) = self.0.link_row(row)?;
            if kinds.contains(&link.kind) {
                links.entry(subject).or_default().push(link);
            }
        }
        Ok(links)
    }

    fn erasures(&self, rows: &[Row]) -> Result<Vec<EraseAnswer>, StorageError> {
        rows.iter().map(|row| self.0.erasure_row(row)).collect()
    }

    /// Where the row of a reference is, with the seals of epochs that were asked for.
    pub(super) fn located(
        &self,
        row: &Row,
        seals: &mut BTreeMap<u64, EpochSeal>,
    ) -> Result<Located, StorageError> {
        let tenant = &*self.0;
        let (reference, subject, place) = tenant.reference_place(row)?;
        if let Place::Segment { segment, row } = place {
            return Ok(Located::Placed { segment, row });
        }
        let columns = tenant.columns("pending", row);
        let fault = |fault: &str| columns.fault(&format!("reference {reference} {fault}"));
        let epoch = columns.uint_or_null(5)?.ok_or_else(|| fault("has no row"))?;
        let seal = match seals.entry(epoch) {
            std::collections::btree_map::Entry::Occupied(seal) => seal.into_mut(),
            std::collections::btree_map::Entry::Vacant(none) => none.insert(tenant.epoch(epoch)?),
        };
        let exact = seal.open(reference, columns.get(6)?);
        let row = StoredRow {
            id: RowId { reference, subject },
            exact: exact.ok_or_else(|| fault("fails authentication"))?,
        };
        Ok(Located::Pending(row))
    }

    /// What a subject is found by.
    fn key(&self, key: &SubjectKey) -> Vec<u8> {
        let lookup = match key {
            SubjectKey::Id(id) => self.0.subject_lookup(id),
            SubjectKey::Link { kind, lookup } => self.0.link_lookup(*kind, lookup),
        };
        lookup.to_vec()
    }
}

impl ReadCatalog for PostgresReader {
    fn spec(&self) -> Result<TenantSpec, StorageError> {
        let seen = self.0.seen();
        let [head] = self.read([head::select(self.0.number)])?;
        let head = self.0.look(Head::of(&self.0, head.first())?, seen)?;
        Ok(head.spec)
    }

    /// As many as the tenant's row counts: a purge goes by them.
    fn tombstones(&self) -> Result<Vec<Tombstone>, StorageError> {
        let seen = self.0.seen();
        let [head, rows] = self.read([head::select(self.0.number), statement!(TOMBSTONES, self.0.number)])?;
        let head = self.0.look(Head::of(&self.0, head.first())?, seen)?;
        head.check_tombstones(&self.0, rows.len() as u64)?;
        self.0.buried(&rows)
    }

    fn pending(&self) -> Result<Vec<u64>, StorageError> {
        let sql = "SELECT reference FROM pending WHERE tenant = $1 ORDER BY reference";
        let [rows] = self.read([statement!(sql, self.0.number)])?;
        rows.iter()
            .map(|row| self.0.columns("pending", row).uint(0))
            .collect()
    }

    /// What was sealed in an epoch that ended while it was read is read again: by then it is sealed in the next one.
    fn locate(&self, references: &[u64]) -> Result<Vec<Option<Located>>, StorageError> {
        while_epochs_end(|| self.locate_once(references))
    }

    fn first_known(&self, subjects: &[SubjectId]) -> Result<Option<SubjectId>, StorageError> {
        let lookups = subjects.iter().map(|id| self.0.subject_lookup(id).to_vec());
        let lookups: Vec<Vec<u8>> = lookups.collect();
        let sql = "SELECT lookup FROM subject WHERE tenant = $1 AND lookup = ANY($2)";
        let [rows] = self.read([statement!(sql, self.0.number, lookups.clone())])?;
        let found = rows.iter().map(|row| self.0.columns("subject", row).get(0));
        let found = found.collect::<Result<std::collections::BTreeSet<Vec<u8>>, _>>()?;
        let first = subjects
            .iter()
            .zip(&lookups)
            .find(|(_, lookup)| found.contains(*lookup));
        Ok(first.map(|(id, _)| id.clone()))
    }

    fn subject_rows(&self, subject: &SubjectId) -> Result<Option<Vec<Place>>, StorageError> {
        let (number, lookup) = (self.0.number, self.0.subject_lookup(subject).to_vec());
        let [subjects, references] = self.read([
            statement!(SUBJECT, number, lookup.clone()),
            statement!(REFERENCES, number, lookup),
        ])?;
        if self.subjects(&subjects)?.is_empty() {
            return Ok(None);
        }
        let places = references.iter().map(|row| Ok(self.0.reference_row(row)?.place));
        places.collect::<Result<_, _>>().map(Some)
    }

    fn subject(&self, key: &SubjectKey) -> Result<Option<SubjectRecord>, StorageError> {
        let (number, lookup) = (self.0.number, self.key(key));
        let [subjects, references, links] = self.read([
            statement!(SUBJECT, number, lookup.clone()),
            statement!(REFERENCES, number, lookup.clone()),
            statement!(LINKS, number, lookup),
        ])?;
        let Some((handle, found)) = self.subjects(&subjects)?.pop() else {
            return Ok(None);
        };
        let links = self
            .links(&links, &LinkKind::ALL)?
            .remove(&handle)
            .unwrap_or_default();
        if let SubjectKey::Link { kind, lookup } = key
            && !links
                .iter()
                .any(|link| link.kind == *kind && link.lookup == *lookup)
        {
            return Err(self.0.damaged("link", "a link leads to another subject"));
        }
        let references = references.iter().map(|row| {
            let row = self.0.reference_row(row)?;
            Ok(ReferenceInfo {
                reference: row.id,
                hand: row.cell.hand,
                quality: row.cell.quality,
                captured_at: row.cell.captured_at,
                enrolled_at: row.cell.enrolled_at,
            })
        });
        Ok(Some(SubjectRecord {
            subject_id: found.id,
            created_at: found.created_at,
            consent: found.consent,
            references: references.collect::<Result<_, StorageError>>()?,
            links,
        }))
    }

    fn candidates(
        &self,
        ids: &[RowId],
        links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, StorageError> {
        let number = self.0.number;
        let numbers = |of: fn(&RowId) -> u64| {
            let numbers = ids.iter().filter_map(|id| i64::try_from(of(id)).ok());
            numbers.collect::<Vec<i64>>()
        };
        let references = numbers(|id| id.reference);
        let of: Vec<i64> = if links.is_empty() {
            Vec::new()
        } else {
            numbers(|id| id.subject)
        };
        let [rows, subjects, linked] = self.read([
            statement!(CANDIDATES, number, references.clone()),
            statement!(SUBJECTS_OF, number, references),
            statement!(LINKS_OF, number, of),
        ])?;
        let subjects: BTreeMap<u64, Subject> = self.subjects(&subjects)?.into_iter().collect();
        let linked = self.links(&linked, links)?;
        let rows = rows.iter().map(|row| {
            let row = self.0.reference_row(row)?;
            Ok(((row.id, row.subject), row.cell.hand))
        });
        let hands: BTreeMap<(u64, u64), _> = rows.collect::<Result<_, StorageError>>()?;
        let told = ids.iter().map(|id| {
            let hand = hands.get(&(id.reference, id.subject))?;
            let subject = subjects.get(&id.subject)?;
            Some(CandidateInfo {
                subject_id: subject.id.clone(),
                created_at: subject.created_at,
                hand: *hand,
                links: linked.get(&id.subject).cloned().unwrap_or_default(),
            })
        });
        Ok(told.collect())
    }

    fn usage(
        &self,
        subject: Option<&SubjectId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<UsageEvent>, Option<u64>), StorageError> {
        let before = before
            .and_then(|before| i64::try_from(before).ok())
            .unwrap_or(i64::MAX);
        // One more than asked for tells whether there is a next page.
        let asked = i64::try_from(limit + 1).expect("the limit is small");
        let [rows] = self.read([match subject {
            Some(id) => {
                let lookup = self.0.subject_lookup(id).to_vec();
                statement!(EVENTS_OF, self.0.number, before, asked, lookup)
            }
            None => statement!(EVENTS, self.0.number, before, asked),
        }])?;
        let events = rows.iter().take(limit).map(|row| self.0.event_row(row));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let next = events
            .last()
            .filter(|_| rows.len() > limit)
            .map(|event| event.number);
        Ok((events.into_iter().map(|recorded| recorded.event).collect(), next))
    }

    fn due(&self, due: &Due, limit: usize) -> Result<Vec<SubjectId>, StorageError> {
        let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statements = Vec::new();
        for (sql, by) in [(CONSENT_ENDED, due.consent_ended_by()), (IDLE, due.idle_since())] {
            statements.extend(by.map(|by| statement!(sql, self.0.number, by.0, rows_max)));
        }
        let mut found: Vec<SubjectId> = Vec::new();
        for rows in self.0.database.read(statements)? {
            for (_, subject) in self.subjects(&rows)? {
                if !found.contains(&subject.id) {
                    found.push(subject.id);
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError> {
        // A number that can't be held was never given out.
        let Ok(erasure) = i64::try_from(erasure) else {
            return Ok(None);
        };
        let [rows] = self.read([statement!(ERASURE, self.0.number, erasure)])?;
        Ok(self.erasures(&rows)?.pop())
    }

    fn erasures_of(&self, subject: &SubjectId) -> Result<Vec<u64>, StorageError> {
        let lookup = self.0.erased_lookup(subject).to_vec();
        let [rows] = self.read([statement!(ERASURES_OF, self.0.number, lookup)])?;
        let numbers = self.erasures(&rows)?.into_iter().map(|answer| answer.erasure);
        Ok(numbers.collect())
    }

    fn erasures_open(&self) -> Result<Vec<u64>, StorageError> {
        let [rows] = self.read([statement!(ERASURES_OPEN, self.0.number)])?;
        rows.iter()
            .map(|row| self.0.columns("erasure", row).uint(0))
            .collect()
    }

    fn erasures_between(&self, after: u64, to: u64, limit: usize) -> Result<Vec<ErasureEntry>, StorageError> {
        let (seen, limit) = (self.0.seen(), i64::try_from(limit).unwrap_or(i64::MAX));
        let [head, rows] = self.read([
            head::select(self.0.number),
            statement!(ERASURES_BETWEEN, self.0.number, int(after), int(to), limit),
        ])?;
        let spec = self.0.look(Head::of(&self.0, head.first())?, seen)?.spec;
        let erasures = self.erasures(&rows)?;
        let entries = erasures.iter().map(|answer| {
            let entry = ErasureEntry::of(&spec, answer);
            entry.ok_or_else(|| self.0.damaged("erasure", "a receipt can't be read"))
        });
        entries.collect()
    }

    fn imported(
        &self,
        request: &RequestId,
        digest: Option<&[u8; 32]>,
    ) -> Result<Option<ImportAnswer>, StorageError> {
        let lookup = self.0.request_lookup(request).to_vec();
        let [rows] = self.read([statement!(REQUEST, self.0.number, lookup)])?;
        let kept = rows.first().map(|row| self.0.request_row(row)).transpose()?;
        request::answer(kept.map(|(_, kept)| kept), Method::Import, digest)
    }

    fn is_ahead(&self) -> Result<bool, StorageError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM tenant t JOIN usage u ON u.tenant = t.tenant WHERE t.tenant = $1 AND u.id > t.event)";
        let [rows] = self.read([statement!(sql, self.0.number)])?;
        rows.first()
            .map_or(Ok(false), |row| self.0.columns("usage", row).get(0))
    }

    /// It is found by its tenant's number, in whose place nothing is put.
    fn hold_open(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Reads again what lacked the key of its epoch. What lacks it time and again was not resealed when the epoch ended: that is damage.
pub(super) fn while_epochs_end<T>(read: impl Fn() -> Result<T, StorageError>) -> Result<T, StorageError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match read() {
            Err(StorageError::Damaged { .. }) if tried < READINGS_MAX => {}
            read => return read,
        }
    }
}
