//! A merge in the two steps of a flush: rows of segments that count are written into another one, which takes them over once nodes have it; the former ones are retired then, and unlisted once nobody has a view with them.
//! Opens no file.
//!
//! Between the steps rows count where they were. Who is erased then leaves a tombstone there, and the row that is on its way is marked as that of a tombstone: both are found by whoever loads either segment.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use ulid::Ulid;

use super::Tenant;
use super::changes::ints;
use super::head::Head;
use super::register::Standing;
use super::rows::select;
use super::segments::by_reference;
use super::shared::{SegmentObject, SharedCatalog};
use super::warming::PLACES;
use crate::cluster::course::Change;
use crate::cluster::view::Segment;
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::catalog::tables::HeldReference;
use crate::storage::database::transaction::{Transaction, statement};
use crate::storage::error::StorageError;
use crate::storage::place::{Place, RowId};
use crate::storage::segment::writer::WrittenSegment;

const HELD: &str = select!(place, " FROM reference WHERE tenant = $1 AND segment = $2");
/// Those of these segments that have tombstones, or rows that are on their way elsewhere.
const TAKEN_FROM: &str = "SELECT segment FROM tombstone WHERE tenant = $1 AND segment = ANY($2)
    UNION SELECT r.segment FROM warming w JOIN reference r ON r.tenant = w.tenant AND r.id = w.reference
    WHERE w.tenant = $1 AND r.segment = ANY($2)";
const LEFT: &str = "SELECT (SELECT count(*) FROM tombstone WHERE tenant = $1 AND segment = ANY($2))
    + (SELECT count(*) FROM reference WHERE tenant = $1 AND segment = ANY($2))";
/// The segments that rows on their way into one count in; those of a flush count in none.
const FROM: &str = "SELECT r.segment FROM warming w JOIN reference r ON r.tenant = w.tenant AND r.id = w.reference
        WHERE w.tenant = $1 AND w.segment = $2 AND r.segment IS NOT NULL
    UNION SELECT t.segment FROM warming w JOIN tombstone t ON t.tenant = w.tenant AND t.reference = w.reference
        WHERE w.tenant = $1 AND w.segment = $2 AND t.segment IS NOT NULL";
/// Those that count, and have no row any more.
const EMPTY: &str = "SELECT number FROM segment WHERE tenant = $1 AND rows = holes AND live_from IS NOT NULL AND retired_from IS NULL";
const MOVE: &str =
    "UPDATE reference r SET segment = w.segment, slot = w.slot, placed = w.placed FROM warming w
    WHERE w.tenant = $1 AND w.segment = $2 AND r.tenant = w.tenant AND r.id = w.reference";
const MOVE_TOMBSTONES: &str =
    "UPDATE tombstone t SET segment = w.segment, slot = w.slot, placed = w.placed FROM warming w
    WHERE w.tenant = $1 AND w.segment = $2 AND t.tenant = w.tenant AND t.reference = w.reference";
const MARK: &str =
    "UPDATE warming w SET placed = u.placed FROM unnest($2::bigint[], $3::bytea[]) AS u(reference, placed)
    WHERE w.tenant = $1 AND w.reference = u.reference";
/// Segments with a tombstone of a row that is on its way elsewhere.
const MERGING: &str = "SELECT DISTINCT t.segment FROM tombstone t JOIN warming w ON w.tenant = t.tenant AND w.reference = t.reference
    WHERE t.tenant = $1 AND t.segment IS NOT NULL";
/// Whether this one is such.
const IS_MERGING: &str =
    "SELECT 1 FROM tombstone t JOIN warming w ON w.tenant = t.tenant AND w.reference = t.reference
    WHERE t.tenant = $1 AND t.segment = $2 LIMIT 1";
const RETIRED: &str = select!(
    segment,
    "FROM segment WHERE tenant = $1 AND retired_from IS NOT NULL"
);
const COUNTING: &str = select!(
    segment,
    "FROM segment WHERE tenant = $1 AND number = ANY($2) AND live_from IS NOT NULL AND retired_from IS NULL"
);
/// Erasures of which nothing is left but in objects that nobody lists.
const PURGEABLE: &str = "SELECT e.id FROM erasure e WHERE e.tenant = $1 AND NOT e.purged
    AND NOT EXISTS (SELECT 1 FROM tombstone t WHERE t.tenant = e.tenant AND t.erasure = e.id AND t.segment IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM segment s WHERE s.tenant = e.tenant AND s.retired_from IS NOT NULL) ORDER BY e.id";

impl Tenant {
    /// Lists a segment of rows that count in others, each at its place by reference; they count where they were. [`StorageError::RowsMoved`] where these are not all rows of those segments and in the objects that they were read from, or
    /// one of them has tombstones or is being merged already, or somebody may still move rows out of the fresh part into it; or where the object is not `by`'s to list. An object that is listed already is left as it is.
    fn warm_merged(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        (written, rows): (&WrittenSegment, &BTreeMap<u64, (u32, RowId)>),
        (from, by): (&BTreeMap<u32, Ulid>, Standing),
    ) -> Result<u32, StorageError> {
        if let Some(listed) = self.warmed(transaction, written)? {
            return Ok(listed.entry.number);
        }
        self.take_loose(transaction, by, written.ulid)?;
        let moved = || StorageError::RowsMoved(self.id.clone());
        let numbers: Vec<i64> = from.keys().map(|number| i64::from(*number)).collect();
        let listed = transaction.query(statement!(COUNTING, self.number, numbers.clone()))?;
        let watched = self.watched_within(transaction, head)?;
        for row in &listed {
            let (entry, state) = self.segment_row(row)?;
            let is_read = from.get(&entry.number) == Some(&entry.ulid);
            if !(is_read && watched.is_settled(state)) {
                return Err(moved());
            }
        }
        let taken = transaction.query(statement!(TAKEN_FROM, self.number, numbers))?;
        if listed.len() != from.len() || !taken.is_empty() {
            return Err(moved());
        }
        let mut held = 0;
        // One after the other: the server ends a transaction in which nothing is said for a second.
        for number in from.keys() {
            for row in transaction.query(statement!(HELD, self.number, i64::from(*number)))? {
                let (reference, subject, _) = self.reference_place(&row)?;
                let is_its = rows.get(&reference).is_some_and(|(_, id)| id.subject == subject);
                if !is_its {
                    return Err(moved());
                }
                held += 1;
            }
        }
        if held != rows.len() {
            return Err(moved());
        }
        let entry = self.add_segment(transaction, head, written, false)?;
        self.add_warming(transaction, entry.number, rows.values().copied())?;
        let told = (head.state.next_sequence(), Change::Warming(entry.number));
        self.tell(transaction, [told])?;
        Ok(entry.number)
    }

    /// The segments that those rows count in which are on their way into this one; none where it is a flush.
    pub(super) fn merged_from(
        &self,
        transaction: &Transaction,
        segment: u32,
    ) -> Result<BTreeSet<u32>, StorageError> {
        let rows = transaction.query(statement!(FROM, self.number, i64::from(segment)))?;
        rows.iter()
            .map(|row| self.columns("warming", row).small(0))
            .collect()
    }

    /// Lets rows count in a warming segment, and no more in those that they come from, nor in any that has none left.
    pub(super) fn take_over(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        (listed, mut from): ((SegmentEntry, Segment), BTreeSet<u32>),
    ) -> Result<(), StorageError> {
        // Nobody has a row to move into one of these: whatever was in it is erased everywhere.
        let empty = transaction.query(statement!(EMPTY, self.number))?;
        for row in &empty {
            from.insert(self.columns("segment", row).small(0)?);
        }
        let (segment, rows) = (listed.0.number, u64::from(listed.0.rows));
        let rows = self.less("warming", rows, u64::from(listed.0.holes))?;
        let former = transaction.query(self.these(&from))?;
        let former = former.iter().map(|row| self.segment_row(row));
        self.let_live(transaction, head, listed, &former.collect::<Result<Vec<_>, _>>()?)?;
        let number = i64::from(segment);
        let moved = transaction.execute_all(vec![
            statement!(MOVE, self.number, number),
            statement!(MOVE_TOMBSTONES, self.number, number),
            statement!(
                "DELETE FROM warming WHERE tenant = $1 AND segment = $2",
                self.number,
                number
            ),
        ])?;
        let numbers: Vec<i64> = from.iter().map(|number| i64::from(*number)).collect();
        let left = self.count(transaction, LEFT, numbers)?;
        if !matches!(moved[..], [living, dead, all] if living + dead == all && all == rows) || left > 0 {
            return Err(self.damaged(
                "warming",
                "a segment that takes over rows of others has other rows than were written",
            ));
        }
        let retired = from;
        let told = (head.state.next_sequence(), Change::Live { segment, retired });
        self.tell(transaction, [told])
    }

    /// Has rows that are on their way from one segment into another stand for tombstones there, once they are erased.
    pub(super) fn bury_merging(
        &self,
        transaction: &Transaction,
        buried: &[(u64, HeldReference)],
    ) -> Result<(), StorageError> {
        let is_placed = |(_, held): &&(u64, HeldReference)| matches!(held.place, Place::Segment { .. });
        let placed = buried.iter().filter(is_placed);
        let erasures: BTreeMap<u64, u64> = placed.map(|(erasure, held)| (held.reference, *erasure)).collect();
        if erasures.is_empty() {
            return Ok(());
        }
        let asked: Vec<u64> = erasures.keys().copied().collect();
        // References go after this, so that their places on the way are as they were written.
        let rows = transaction.query(statement!(PLACES, self.number, ints(&asked)))?;
        let (mut references, mut macs) = (Vec::new(), Vec::new());
        for row in &rows {
            let (reference, _, place) = self.reference_place(row)?;
            let erasure = *erasures.get(&reference).expect("it was asked for");
            let place = match place {
                Place::Segment { segment, row } => Some((segment, row)),
                Place::Pending { .. } => None,
            };
            references.push(reference);
            macs.push(self.placed("tombstone", [reference, erasure], place).to_vec());
        }
        if !references.is_empty() {
            transaction.execute(statement!(MARK, self.number, ints(&references), macs))?;
        }
        Ok(())
    }

    /// Whether a tombstone in this segment is of a row that is on its way elsewhere, so that it has to stay where it is.
    pub(super) fn is_merging(&self, transaction: &Transaction, segment: u32) -> Result<bool, StorageError> {
        let asked = statement!(IS_MERGING, self.number, i64::from(segment));
        Ok(!transaction.query(asked)?.is_empty())
    }

    /// Whether an object is listed that rows were moved out of, by the segments as they were read within the transaction.
    pub(super) fn has_retired(&self, head: &Head, segments: &[Row]) -> Result<bool, StorageError> {
        // Counted: a segment that is hidden is no segment that is gone.
        self.reading(head, segments)?;
        for row in segments {
            if let (_, Segment::Retired { .. }) = self.segment_row(row)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a merge back that is on its way: its rows stay where they count. `false` where it is none.
    fn withdraw(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        segment: u32,
    ) -> Result<bool, StorageError> {
        let listed = transaction.query(self.these(&BTreeSet::from([segment])))?;
        let Some(row) = listed.first() else {
            return Ok(false);
        };
        let (entry, state) = self.segment_row(row)?;
        if state != Segment::Warming || self.merged_from(transaction, segment)?.is_empty() {
            return Ok(false);
        }
        let number = i64::from(segment);
        let sql = "DELETE FROM warming WHERE tenant = $1 AND segment = $2";
        transaction.execute(statement!(sql, self.number, number))?;
        let sql = "DELETE FROM segment WHERE tenant = $1 AND number = $2";
        let went = transaction.execute(statement!(sql, self.number, number))?;
        self.let_loose(transaction, &[entry.ulid], head.key_generation)?;
        head.segments = self.less("segment", head.segments, went)?;
        let told = (head.state.next_sequence(), Change::Withdrawn(segment));
        self.tell(transaction, [told])?;
        Ok(true)
    }

    fn forget_retired(&self, transaction: &Transaction, head: &mut Head) -> Result<bool, StorageError> {
        let watched = self.watched_within(transaction, head)?;
        let rows = transaction.query(statement!(RETIRED, self.number))?;
        let (mut numbers, mut ulids) = (Vec::new(), Vec::new());
        for row in &rows {
            let (entry, state) = self.segment_row(row)?;
            if watched.may_delete(state) {
                numbers.push(i64::from(entry.number));
                ulids.push(entry.ulid);
            }
        }
        let sql = "DELETE FROM segment WHERE tenant = $1 AND number = ANY($2)";
        let went = transaction.execute(statement!(sql, self.number, numbers))?;
        self.let_loose(transaction, &ulids, head.key_generation)?;
        head.segments = self.less("segment", head.segments, went)?;
        Ok(ulids.len() == rows.len())
    }
}

impl SharedCatalog {
    /// Those of these segments that [`SharedCatalog::warm_merged`] takes by now; it asks again.
    pub fn mergeable(&self, segments: &BTreeSet<u32>) -> Result<BTreeSet<u32>, StorageError> {
        let tenant = &*self.tenant;
        let numbers: Vec<i64> = segments.iter().map(|number| i64::from(*number)).collect();
        let watched = tenant.watched()?;
        let rows = tenant.database.read(vec![
            statement!(COUNTING, tenant.number, numbers.clone()),
            statement!(TAKEN_FROM, tenant.number, numbers),
        ])?;
        let [listed, taken] = &rows[..] else {
            return Err(tenant.damaged("segment", "its segments can't be read"));
        };
        let mut mergeable = BTreeSet::new();
        for row in listed {
            let (entry, state) = tenant.segment_row(row)?;
            if watched.is_settled(state) {
                mergeable.insert(entry.number);
            }
        }
        for row in taken {
            mergeable.remove(&tenant.columns("tombstone", row).small(0)?);
        }
        Ok(mergeable)
    }

    /// The first step of a merge: lists an object of all rows of these segments, row i that of `ids[i]`, under a new number, which it gives. `from` are the objects that they were read from. The same again where the object is listed, as
    /// after [`StorageError::Uncertain`]. [`StorageError::RowsMoved`] where anything of them is not as it was read, or the object is none that this node is to list. The second step is [`SharedCatalog::go_live`].
    pub fn warm_merged(
        &self,
        object: SegmentObject,
        ids: &[RowId],
        from: &BTreeMap<u32, Ulid>,
    ) -> Result<u32, StorageError> {
        let (written, by) = (object.written(), self.standing);
        let rows = by_reference(ids);
        if rows.len() != ids.len() || (object.rows as usize, object.holes) != (ids.len(), 0) {
            return Err(StorageError::RowsMoved(self.tenant.id.clone()));
        }
        self.writer.lock().transact(
            |tenant, transaction, head| tenant.warm_merged(transaction, head, (&written, &rows), (from, by)),
            |_| Ok(false),
        )
    }

    /// Whether all owners that follow have loaded a segment that counts, one at least; or its rows have moved on into another one, which counts only once that is so.
    pub fn is_loaded(&self, segment: u32) -> Result<bool, StorageError> {
        let tenant = &*self.tenant;
        let rows = tenant
            .database
            .read(vec![tenant.these(&BTreeSet::from([segment]))])?;
        let row = rows.first().and_then(|rows| rows.first());
        match row.map(|row| tenant.segment_row(row)).transpose()? {
            Some((_, Segment::Warming | Segment::Live { .. })) => self.may_go_live(segment),
            Some((_, Segment::Retired { .. })) | None => Ok(true),
        }
    }

    /// Whether a warming segment is to take over rows of others.
    pub fn is_merge(&self, segment: u32) -> Result<bool, StorageError> {
        let tenant = &*self.tenant;
        let from = statement!(FROM, tenant.number, i64::from(segment));
        let rows = tenant.database.read(vec![from])?;
        Ok(rows.iter().any(|rows| !rows.is_empty()))
    }

    /// Takes a merge back whose segment counts nowhere; its object is one of [`SharedCatalog::unlisted`] from then on. `false` where there is no such merge any more.
    pub fn withdraw(&self, segment: u32) -> Result<bool, StorageError> {
        self.writer.lock().transact(
            |tenant, transaction, head| tenant.withdraw(transaction, head, segment),
            |_| Ok(false),
        )
    }

    /// Unlists the segments whose rows moved on into others, where nobody has a view with them any more (D1); their objects are [`SharedCatalog::unlisted`] from then on. `false` where some stay for now.
    pub fn forget_retired(&self) -> Result<bool, StorageError> {
        let tenant = &*self.tenant;
        let rows = tenant.database.read(vec![statement!(RETIRED, tenant.number)])?;
        if rows.iter().all(Vec::is_empty) {
            return Ok(true);
        }
        // Asked by readings first: who asks again and again is to hold up nobody who writes.
        let watched = tenant.watched()?;
        let states = rows.iter().flatten().map(|row| Ok(tenant.segment_row(row)?.1));
        let states = states.collect::<Result<Vec<_>, StorageError>>()?;
        if !states.into_iter().any(|state| watched.may_delete(state)) {
            return Ok(false);
        }
        self.writer.lock().transact(Tenant::forget_retired, |_| Ok(false))
    }

    /// Segments with rows that are erased, but for those from which such a row is on its way into another one: they are retired soon.
    pub fn buried(&self) -> Result<BTreeSet<u32>, StorageError> {
        let tenant = &*self.tenant;
        let merging = tenant.database.read(vec![statement!(MERGING, tenant.number)])?;
        let merging = merging.iter().flatten();
        let merging = merging.map(|row| tenant.columns("tombstone", row).small(0));
        let merging = merging.collect::<Result<BTreeSet<u32>, _>>()?;
        let mut buried: BTreeSet<u32> = self.tombstones()?.iter().map(|of| of.segment).collect();
        buried.retain(|segment| !merging.contains(segment));
        Ok(buried)
    }

    /// Erasures that are not purged, and whose rows are in no object that is listed.
    pub fn purgeable(&self) -> Result<Vec<u64>, StorageError> {
        let tenant = &*self.tenant;
        let rows = tenant.database.read(vec![statement!(PURGEABLE, tenant.number)])?;
        rows.iter()
            .flatten()
            .map(|row| tenant.columns("erasure", row).uint(0))
            .collect()
    }
}
