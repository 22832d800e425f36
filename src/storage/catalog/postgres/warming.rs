//! A flush in two steps: a segment is listed while its rows still count in the fresh part, and takes them over once nodes have it. Opens no file.
//!
//! Between the steps the catalog remembers which row goes where, so that an erasure finds it in both places.

use std::collections::{BTreeMap, BTreeSet};

use super::Tenant;
use super::changes::ints;
use super::feed::live;
use super::head::Head;
use super::register::Standing;
use super::rows::select;
use super::segments::{INSERTED_AT_ONCE, by_reference};
use super::shared::TOMBSTONES;
use crate::cluster::course::Change;
use crate::cluster::view::Segment;
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::rows::Changes;
use crate::storage::catalog::seam::Flushed;
use crate::storage::database::transaction::{Transaction, statement};
use crate::storage::error::StorageError;
use crate::storage::place::{Place, RowId};
use crate::storage::segment::writer::WrittenSegment;

const STANDING: &str = "SELECT r.id, r.subject, r.segment IS NULL AND w.reference IS NULL FROM reference r
    LEFT JOIN warming w ON w.tenant = r.tenant AND w.reference = r.id WHERE r.tenant = $1 AND r.id = ANY($2)";
const LISTED: &str = select!(segment, "FROM segment WHERE tenant = $1 AND ulid = $2");
const UNPLACED: &str =
    "SELECT count(*) FROM tombstone WHERE tenant = $1 AND reference = ANY($2) AND segment IS NULL";
const ADD: &str = "INSERT INTO warming (tenant, segment, reference, slot, placed)
    SELECT $1, $2, * FROM unnest($3::bigint[], $4::bigint[], $5::bytea[])";
/// As a reference's place is read.
pub(super) const PLACES: &str = "SELECT r.id, r.subject, w.segment, w.slot, w.placed FROM warming w
    JOIN reference r ON r.tenant = w.tenant AND r.id = w.reference WHERE w.tenant = $1 AND w.reference = ANY($2)";
const MOVE: &str = "UPDATE reference r SET segment = w.segment, slot = w.slot, placed = w.placed FROM warming w
    WHERE w.tenant = $1 AND w.segment = $2 AND r.tenant = w.tenant AND r.id = w.reference AND r.segment IS NULL";
const REMOVE_PENDING: &str = "DELETE FROM pending p USING warming w
    WHERE w.tenant = $1 AND w.segment = $2 AND p.tenant = w.tenant AND p.reference = w.reference";
const BURIED: &str = "SELECT count(*) FROM tombstone WHERE tenant = $1 AND segment = $2";

impl Tenant {
    /// Lists a segment of pending rows, row i that of `ids[i]` or a hole; they count where they were. What was erased since it was read gets a tombstone there. Rows that somebody
    /// else flushed meanwhile are refused, with all others; so is an object that is not `by`'s to list, where it is of a node. An object that is listed already, as after a commit of unknown outcome, is left as it is.
    pub(super) fn warm(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        written: &WrittenSegment,
        (ids, by): (&[RowId], Option<Standing>),
    ) -> Result<Flushed, StorageError> {
        if let Some(flushed) = self.warmed(transaction, written)? {
            return Ok(flushed);
        }
        if let Some(by) = by {
            self.take_loose(transaction, by, written.ulid)?;
        }
        let rows = by_reference(ids);
        if (rows.len() + written.holes as usize, ids.len()) != (ids.len(), written.rows as usize) {
            return Err(StorageError::Rows(format!(
                "a segment of {} rows and {} holes is not that of {} references among {}",
                written.rows,
                written.holes,
                rows.len(),
                ids.len()
            )));
        }
        let asked: Vec<u64> = rows.keys().copied().collect();
        let found = transaction.query(statement!(STANDING, self.number, ints(&asked)))?;
        let mut there = BTreeSet::new();
        for row in &found {
            let columns = self.columns("reference", row);
            let (reference, subject, is_standing): (u64, u64, bool) =
                (columns.uint(0)?, columns.uint(1)?, columns.get(2)?);
            let is_its = rows.get(&reference).is_some_and(|(_, id)| id.subject == subject);
            if !(is_standing && is_its) {
                return Err(StorageError::RowsMoved(self.id.clone()));
            }
            there.insert(reference);
        }
        let entry = self.add_segment(transaction, head, written, false)?;
        let gone: BTreeMap<u64, u32> = rows
            .iter()
            .filter(|(reference, _)| !there.contains(reference))
            .map(|(reference, (row, _))| (*reference, *row))
            .collect();
        self.bury_gone(transaction, entry.number, &gone)?;
        head.tombstones += gone.len() as u64;
        let living = rows.iter().filter(|(reference, _)| there.contains(reference));
        self.add_warming(transaction, entry.number, living.map(|(_, living)| *living))?;
        self.tell(
            transaction,
            [(head.state.next_sequence(), Change::Warming(entry.number))],
        )?;
        let buried: BTreeSet<u32> = gone.into_values().collect();
        let is_dead = |(row, id): &(u32, &RowId)| **id == RowId::HOLE || buried.contains(row);
        let dead = (0..).zip(ids).filter(is_dead).map(|(row, _)| row).collect();
        Ok(Flushed { entry, dead, buried })
    }

    /// Remembers which row of a warming segment is to hold whom.
    pub(super) fn add_warming(
        &self,
        transaction: &Transaction,
        segment: u32,
        rows: impl Iterator<Item = (u32, RowId)>,
    ) -> Result<(), StorageError> {
        let rows: Vec<(u32, RowId)> = rows.collect();
        for rows in rows.chunks(INSERTED_AT_ONCE) {
            let (mut references, mut slots, mut placed) = (Vec::new(), Vec::new(), Vec::new());
            for (row, id) in rows {
                let mac = self.placed("reference", [id.reference, id.subject], Some((segment, *row)));
                references.push(int(id.reference));
                slots.push(i64::from(*row));
                placed.push(mac.to_vec());
            }
            let segment = i64::from(segment);
            transaction.execute(statement!(ADD, self.number, segment, references, slots, placed))?;
        }
        Ok(())
    }

    /// What came of an object that was listed before.
    pub(super) fn warmed(
        &self,
        transaction: &Transaction,
        written: &WrittenSegment,
    ) -> Result<Option<Flushed>, StorageError> {
        let ulid = written.ulid.to_bytes().to_vec();
        let rows = transaction.query(statement!(LISTED, self.number, ulid))?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (entry, _) = self.segment_row(row)?;
        let rows = transaction.query(statement!(TOMBSTONES, self.number, i64::from(entry.number)))?;
        let buried: BTreeSet<u32> = self
            .buried(&rows)?
            .iter()
            .map(|tombstone| tombstone.row)
            .collect();
        let dead = buried.iter().copied().collect();
        Ok(Some(Flushed { entry, dead, buried }))
    }

    /// Of rows that are gone: erased, and neither purged meanwhile nor in another segment.
    fn bury_gone(
        &self,
        transaction: &Transaction,
        segment: u32,
        gone: &BTreeMap<u64, u32>,
    ) -> Result<(), StorageError> {
        let references: Vec<u64> = gone.keys().copied().collect();
        let unplaced = self.count(transaction, UNPLACED, ints(&references))?;
        if unplaced != gone.len() as u64 {
            return Err(StorageError::RowsMoved(self.id.clone()));
        }
        self.bury(transaction, segment, gone)
    }

    /// Lets a warming segment's rows count there from the next version of the list on, and nowhere else. One that is live already, or was, is left as it is.
    pub(super) fn go_live(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        segment: u32,
    ) -> Result<(), StorageError> {
        let listed = self.listed(transaction, segment)?;
        if listed.1 != Segment::Warming {
            return Ok(());
        }
        let from = self.merged_from(transaction, segment)?;
        if !from.is_empty() {
            return self.take_over(transaction, head, (listed, from));
        }
        self.let_live(transaction, head, listed, &[])?;
        let number = i64::from(segment);
        let moved = transaction.execute_all(vec![
            statement!(MOVE, self.number, number),
            statement!(REMOVE_PENDING, self.number, number),
            statement!(
                "DELETE FROM warming WHERE tenant = $1 AND segment = $2",
                self.number,
                number
            ),
        ])?;
        let buried = self.count(transaction, BURIED, number)?;
        let rows = self.less("warming", u64::from(listed.0.rows), u64::from(listed.0.holes))?;
        let rows = self.less("warming", rows, buried)?;
        if moved != [rows; 3] {
            return Err(self.damaged(
                "warming",
                "a segment that goes live has other rows than were written",
            ));
        }
        head.state.pending = self.less("pending", head.state.pending, rows)?;
        self.tell(transaction, [(head.state.next_sequence(), live(segment))])
    }

    /// Both steps at once, for a gallery that nobody follows.
    pub(super) fn flush_unfollowed(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        written: &WrittenSegment,
        ids: &[RowId],
    ) -> Result<Flushed, StorageError> {
        let sql = "SELECT 1 FROM follower WHERE tenant = $1 LIMIT 1";
        if !transaction.query(statement!(sql, self.number))?.is_empty() {
            return Err(StorageError::NotBuilt("a flush in one step of what nodes follow"));
        }
        let flushed = self.warm(transaction, head, written, (ids, None))?;
        self.go_live(transaction, head, flushed.entry.number)?;
        Ok(flushed)
    }

    /// Has the tombstones of pending rows that are erased stand in the segments that are warming with them as well.
    pub(super) fn bury_warming(
        &self,
        transaction: &Transaction,
        changes: &mut Changes,
    ) -> Result<(), StorageError> {
        let is_pending = |place: Place| matches!(place, Place::Pending { .. });
        let held = changes.tombstones_added.iter().map(|(_, held)| held);
        let pending: Vec<u64> = held
            .filter(|held| is_pending(held.place))
            .map(|held| held.reference)
            .collect();
        if pending.is_empty() {
            return Ok(());
        }
        let rows = transaction.query(statement!(PLACES, self.number, ints(&pending)))?;
        let places = rows.iter().map(|row| {
            let (reference, _, place) = self.reference_place(row)?;
            Ok((reference, place))
        });
        let places = places.collect::<Result<BTreeMap<u64, Place>, StorageError>>()?;
        if places.is_empty() {
            return Ok(());
        }
        for (_, held) in &mut changes.tombstones_added {
            held.place = places.get(&held.reference).copied().unwrap_or(held.place);
        }
        let gone: Vec<u64> = places.into_keys().collect();
        let sql = "DELETE FROM warming WHERE tenant = $1 AND reference = ANY($2)";
        transaction.execute(statement!(sql, self.number, ints(&gone)))?;
        Ok(())
    }

    /// What one statement counts.
    pub(super) fn count(
        &self,
        transaction: &Transaction,
        sql: &'static str,
        of: impl tokio_postgres::types::ToSql + Send + Sync + 'static,
    ) -> Result<u64, StorageError> {
        let rows = transaction.query(statement!(sql, self.number, of))?;
        rows.first()
            .map_or(Ok(0), |row| self.columns("tombstone", row).uint(0))
    }
}
