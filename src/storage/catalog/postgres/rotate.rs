//! The step of a rotation at which a tenant's next keys count: its segments are in objects that are sealed with them, what is pending is sealed under an epoch of theirs, and both by one transaction.
//! Makes no key and opens no object.

use std::collections::{BTreeMap, BTreeSet};

use ulid::Ulid;

use super::Tenant;
use super::head::Head;
use super::rows::select;
use super::sealing::{EpochSeal, with_keys};
use super::shared::{SegmentObject, SharedCatalog};
use crate::cluster::view::Segment;
use crate::keys::epochs::Epochs;
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::database::transaction::{Transaction, statement};
use crate::storage::error::StorageError;
use crate::storage::rotate::Convert;

const SEGMENTS: &str = select!(segment, "FROM segment WHERE tenant = $1 ORDER BY number");
const EXCHANGE: &str = "UPDATE segment s SET ulid = u.ulid, mac = u.mac
    FROM unnest($2::bigint[], $3::bytea[], $4::bytea[]) AS u(number, ulid, mac) WHERE s.tenant = $1 AND s.number = u.number";

/// What a rotation has made.
pub(in crate::storage) struct NextKeys<'a> {
    /// The keys of the next generation's epochs.
    pub(in crate::storage) epochs: &'a dyn Epochs,
    /// By segment: the object that was copied, and the one that it was copied into.
    pub(in crate::storage) objects: &'a BTreeMap<u32, (Ulid, SegmentObject)>,
    /// What became of the rows on the way.
    pub(in crate::storage) convert: Option<&'a dyn Convert>,
}

impl SharedCatalog {
    /// Of which generation of keys the tenant is here.
    pub fn key_generation(&self) -> u32 {
        self.tenant.key_generation
    }

    /// Of which generation of keys it is now.
    pub(in crate::storage) fn key_generation_now(&self) -> Result<u32, StorageError> {
        Ok(self.tenant.head()?.key_generation)
    }

    /// All segments that are listed, whether they count or not, and the objects that hold them.
    pub(in crate::storage) fn all_objects(&self) -> Result<BTreeMap<u32, SegmentObject>, StorageError> {
        let tenant = &*self.tenant;
        let rows = tenant.database.read(vec![statement!(SEGMENTS, tenant.number)])?;
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        let entries = tenant.entries_of(&rows)?.into_iter();
        Ok(entries.map(|(number, entry)| (number, entry.into())).collect())
    }

    /// Has the next keys count, where each segment is in the object still that was copied; the former objects are [`SharedCatalog::unlisted`] from then on. [`StorageError::RowsMoved`] where another one has come, or another segment: what is new
    /// is to be copied then. [`StorageError::KeysRotated`] where somebody else was faster.
    pub(in crate::storage) fn change_over(&self, next: &NextKeys<'_>) -> Result<(), StorageError> {
        let (tenant, standing) = (&*self.tenant, self.standing);
        // Behind the present keys' spare: whoever still has those finds that he lacks a key, and none that does not fit.
        let (epoch, key) = next.epochs.begin(tenant.head()?.epoch + 1)?;
        let seal = EpochSeal::new(&key, epoch, next.epochs.incarnation());
        with_keys(tenant, || {
            self.writer.lock().transact(
                |tenant, transaction, head| {
                    if head.epoch >= epoch {
                        return Err(StorageError::RowsMoved(tenant.id.clone()));
                    }
                    let former = tenant.exchange(transaction, next.objects)?;
                    let came: Vec<Ulid> = next.objects.values().map(|(_, to)| to.ulid).collect();
                    tenant.take_all_loose(transaction, standing, &came)?;
                    tenant.let_loose(transaction, &former, head.key_generation)?;
                    tenant.reseal(transaction, &seal, (next.convert, head.spec.dimension))?;
                    turn(head, epoch, next.convert);
                    Ok(())
                },
                |()| Ok(false),
            )
        })
    }
}

fn turn(head: &mut Head, epoch: u64, convert: Option<&dyn Convert>) {
    head.epoch = epoch;
    head.key_generation += 1;
    if let Some(convert) = convert {
        head.spec.transform = convert.transform().clone();
    }
}

impl Tenant {
    /// Points all segments to other objects, or none where those that were copied are not all there is. Gives the former objects.
    fn exchange(
        &self,
        transaction: &Transaction,
        objects: &BTreeMap<u32, (Ulid, SegmentObject)>,
    ) -> Result<Vec<Ulid>, StorageError> {
        let rows = transaction.query(statement!(SEGMENTS, self.number))?;
        let listed = rows.iter().map(|row| self.segment_row(row));
        let listed: Vec<(SegmentEntry, Segment)> = listed.collect::<Result<_, _>>()?;
        let numbers: BTreeSet<u32> = listed.iter().map(|(entry, _)| entry.number).collect();
        let moved = || StorageError::RowsMoved(self.id.clone());
        if !numbers.iter().eq(objects.keys()) {
            return Err(moved());
        }
        let (mut at, mut ulids, mut macs) = (Vec::new(), Vec::new(), Vec::new());
        let mut former = Vec::with_capacity(listed.len());
        for (entry, state) in listed {
            let (from, to) = objects.get(&entry.number).ok_or_else(moved)?;
            if (*from, to.rows, to.holes) != (entry.ulid, entry.rows, entry.holes) {
                return Err(moved());
            }
            let next = SegmentEntry {
                ulid: to.ulid,
                ..entry
            };
            at.push(i64::from(entry.number));
            ulids.push(to.ulid.to_bytes().to_vec());
            macs.push(self.segment_mac(&next, state).to_vec());
            former.push(entry.ulid);
        }
        let exchanged = transaction.execute(statement!(EXCHANGE, self.number, at, ulids, macs))?;
        if exchanged == former.len() as u64 {
            return Ok(former);
        }
        Err(self.damaged("segment", "a segment that is exchanged is not there"))
    }
}
