//! Taking up a tenant's catalog: it waits for a transaction of a former process that is still under way, which may list a file that nobody else knows of, and from then on
//! a former writer that is alone goes on no more.

use super::head::{self, Head};
use super::read::TOMBSTONES;
use super::register::{Standing, repeat, sets, uncommitted};
use super::rows::select;
use super::{Owner, Tenant};
use crate::cluster::view::Segment;
use crate::storage::catalog::segments::{SegmentEntry, Tombstone};
use crate::storage::database::transaction::statement;
use crate::storage::error::StorageError;

const SEGMENTS: &str = select!(segment, "FROM segment WHERE tenant = $1 ORDER BY number");

/// What a catalog was taken up with: its head, its segments and their tombstones.
pub(super) type TakenUp = (Head, Vec<(SegmentEntry, Segment)>, Vec<Tombstone>);

impl Tenant {
    /// For a process that is alone from now on: counts the rows against the tenant's row, and makes a change of it. So a tenant in the making is made.
    pub(super) fn take_up(&self) -> Result<TakenUp, StorageError> {
        repeat(|| {
            let seen = self.seen();
            let (transaction, rows) = self.database.begin(head::lock(self.number))?;
            let mut head = self.look(Head::of(self, rows.first())?, seen)?;
            let rows = transaction.query_all(vec![
                head::counts(self.number),
                statement!(SEGMENTS, self.number),
                statement!(TOMBSTONES, self.number),
            ])?;
            let [counts, segments, tombstones] = sets(&self.database, rows)?;
            head.check_counts(self, counts.first())?;
            let segments = segments.iter().map(|row| self.segment_row(row));
            let segments = segments.collect::<Result<_, _>>()?;
            let tombstones = self.buried(&tombstones)?;
            head.state.commits += 1;
            transaction.commit(vec![head.update(self)]).map_err(uncommitted)?;
            Ok((head, segments, tombstones))
        })
    }

    /// For a node of a cluster: waits for a transaction of its former registration, and makes a tenant that is in the making. Counts nothing, since many nodes open a tenant, and again after each
    /// registration: the fresh part and each segment are counted whenever they are loaded.
    pub(super) fn join(&self, standing: Standing) -> Result<Head, StorageError> {
        repeat(|| {
            let (transaction, mut head, _) = self.begin(standing)?;
            if head.state.commits == 0 {
                head.state.commits = 1;
                transaction.commit(vec![head.update(self)]).map_err(uncommitted)?;
            }
            Ok(head)
        })
    }
}

impl Owner {
    /// Tombstones in segments, of rows of their table.
    pub(super) fn buried(&self, rows: &[tokio_postgres::Row]) -> Result<Vec<Tombstone>, StorageError> {
        rows.iter()
            .filter_map(|row| self.tombstone_row(row).transpose())
            .collect()
    }
}
