//! The feed of a gallery's changes in a database: each under its number, in the transaction that makes it. Says which rows by their numbers alone, and decides nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use tokio_postgres::Row;

use super::changes::ints;
use super::columns::clear;
use super::head::{self, Head};
use super::{Owner, Tenant};
use crate::cluster::course::{Change, Reference};
use crate::cluster::view;
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::rows::Changes;
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::database::transaction::{Statement, Transaction, statement};
use crate::storage::error::StorageError;

/// Most changes that are read at a time.
pub const FEED_MAX: usize = 4_096;

const ENROLLED: i16 = 1;
const ERASED: i16 = 2;
const WARMING: i16 = 3;
const LIVE: i16 = 4;
const WITHDRAWN: i16 = 5;

const ADD: &str = "INSERT INTO change (tenant, sequence, kind, payload, mac) VALUES ($1, $2, $3, $4, $5)";
/// With those of the rows that came which are still in no live segment, as of the same moment.
const AFTER: &str = "SELECT c.sequence, c.kind, c.payload, c.mac,
        ARRAY(SELECT r.id FROM reference r WHERE r.tenant = c.tenant AND c.kind = 1 AND r.id = ANY(c.payload) AND r.segment IS NULL ORDER BY r.id)
    FROM change c WHERE c.tenant = $1 AND c.sequence > $2 ORDER BY c.sequence LIMIT $3";

/// What the feed is told of a group of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Each change.
    Each,
    /// That it ends here: numbers were passed over, so that whoever follows begins anew.
    Anew,
}

impl Tenant {
    /// Tells of what a group of writes did under these numbers (the last one before them, and the last one).
    pub(super) fn tell_of(
        &self,
        transaction: &Transaction,
        numbers: Range<u64>,
        changes: &Changes,
        told: Told,
    ) -> Result<(), StorageError> {
        if told == Told::Anew {
            transaction.execute(statement!("DELETE FROM change WHERE tenant = $1", self.number))?;
            return Ok(());
        }
        // What came and went within the group is of a change that nobody finds rows of any more.
        let nothing = Change::Enrolled {
            rows: Vec::new(),
            gone: true,
        };
        let mut feed: BTreeMap<u64, Change> = (numbers.start + 1..=numbers.end)
            .map(|sequence| (sequence, nothing.clone()))
            .collect();
        for new in &changes.references_added {
            if let Some(Change::Enrolled { rows, gone }) = feed.get_mut(&new.sequence) {
                rows.push(Reference(new.reference));
                *gone = false;
            }
        }
        for erasure in &changes.erasures_added {
            let of = |(number, held): &(u64, _)| (*number == erasure.answer.erasure).then_some(*held);
            let rows = changes.tombstones_added.iter().filter_map(of);
            let rows =
                rows.map(|held: crate::storage::catalog::tables::HeldReference| Reference(held.reference));
            feed.insert(erasure.answer.sequence, Change::Erased(rows.collect()));
        }
        self.tell(transaction, feed)
    }

    /// Tells of segments whose rows came with them.
    pub(super) fn tell_of_live(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        entries: &[SegmentEntry],
    ) -> Result<(), StorageError> {
        let steps = entries
            .iter()
            .flat_map(|entry| [Change::Warming(entry.number), live(entry.number)]);
        let feed: Vec<_> = steps.map(|step| (head.state.next_sequence(), step)).collect();
        self.tell(transaction, feed)
    }

    /// Adds changes to the feed.
    pub(super) fn tell(
        &self,
        transaction: &Transaction,
        feed: impl IntoIterator<Item = (u64, Change)>,
    ) -> Result<(), StorageError> {
        let add = |(sequence, change): (u64, Change)| self.add_change(sequence, &change);
        let statements: Vec<Statement> = feed.into_iter().map(add).collect();
        if !statements.is_empty() {
            transaction.execute_all(statements)?;
        }
        Ok(())
    }

    /// Up to `limit` changes after one, in their order, and the head of the same moment. Where the next one is not there any more that is told.
    pub(super) fn feed(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(view::Head, Vec<(u64, Change)>), StorageError> {
        let limit = i64::try_from(limit.min(FEED_MAX)).expect("it is small");
        let seen = self.seen();
        let rows = self.database.read(vec![
            head::select(self.number),
            statement!(AFTER, self.number, int(after), limit),
        ])?;
        let [heads, rows] = &rows[..] else {
            return Err(self.damaged("change", "its feed can't be read"));
        };
        let head = self.look(Head::of(self, heads.first())?, seen)?.of_gallery(self);
        let mut feed = Vec::new();
        for row in rows {
            let (sequence, change) = self.change(row)?;
            // What is behind a gap is for the next reading to find, which begins there.
            if sequence != after + feed.len() as u64 + 1 {
                break;
            }
            feed.push((sequence, change));
        }
        if feed.is_empty() && limit > 0 && after < head.sequence {
            return Err(StorageError::FeedCut {
                tenant: self.id.clone(),
                after,
                sequence: head.sequence,
            });
        }
        Ok((head, feed))
    }
}

impl Owner {
    fn add_change(&self, sequence: u64, change: &Change) -> Statement {
        let numbers = |rows: &[Reference]| rows.iter().map(|row| row.0).collect::<Vec<u64>>();
        let (kind, payload) = match change {
            Change::Enrolled { rows, .. } => (ENROLLED, numbers(rows)),
            Change::Erased(rows) => (ERASED, numbers(rows)),
            Change::Warming(segment) => (WARMING, vec![u64::from(*segment)]),
            Change::Withdrawn(segment) => (WITHDRAWN, vec![u64::from(*segment)]),
            Change::Live { segment, retired } => {
                let segments = [segment].into_iter().chain(retired);
                (LIVE, segments.map(|segment| u64::from(*segment)).collect())
            }
        };
        let mac = self.change_mac(sequence, kind, &payload).to_vec();
        statement!(ADD, self.number, int(sequence), kind, ints(&payload), mac)
    }

    /// Of a row that was read.
    fn change(&self, row: &Row) -> Result<(u64, Change), StorageError> {
        let columns = self.columns("change", row);
        let (sequence, kind): (u64, i16) = (columns.uint(0)?, columns.get(1)?);
        let numbers = |column| {
            let numbers: Vec<i64> = columns.get(column)?;
            let numbers = numbers.into_iter().map(u64::try_from);
            numbers
                .collect::<Result<Vec<u64>, _>>()
                .map_err(|_| columns.fault("a number is below zero"))
        };
        let payload = numbers(2)?;
        let mac: &[u8] = columns.get(3)?;
        let bytes: Vec<u8> = payload.iter().flat_map(|number| number.to_le_bytes()).collect();
        if !self
            .cells
            .verify("change", clear![sequence, i64::from(kind), bytes[..]], mac)
        {
            return Err(columns.fault("a row fails authentication"));
        }
        let references = |numbers: Vec<u64>| numbers.into_iter().map(Reference).collect::<Vec<_>>();
        let mut segments = payload.iter().map_while(|number| u32::try_from(*number).ok());
        let change = match kind {
            ENROLLED => {
                let fresh = numbers(4)?;
                // None at all: they came and went at once.
                let gone = fresh.len() < payload.len() || payload.is_empty();
                let rows = references(fresh);
                Some(Change::Enrolled { rows, gone })
            }
            ERASED => Some(Change::Erased(references(payload))),
            WARMING => segments.next().map(Change::Warming),
            WITHDRAWN => segments.next().map(Change::Withdrawn),
            LIVE => segments.next().map(|segment| Change::Live {
                segment,
                retired: segments.collect(),
            }),
            _ => None,
        };
        change
            .map(|change| (sequence, change))
            .ok_or_else(|| columns.fault("a change is none that there is"))
    }

    fn change_mac(&self, sequence: u64, kind: i16, payload: &[u64]) -> [u8; 32] {
        let bytes: Vec<u8> = payload.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.cells
            .mac("change", clear![sequence, i64::from(kind), bytes[..]])
    }
}

/// The second step of a flush of rows that were in the fresh part.
pub(super) fn live(segment: u32) -> Change {
    Change::Live {
        segment,
        retired: std::collections::BTreeSet::new(),
    }
}
