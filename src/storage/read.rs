//! Reads of a tenant: rows in the clear for the exact rescore, subjects, history, erasures. Changes nothing.

use zeroize::Zeroizing;

use super::catalog::seam::LOCATED_MAX;
use super::catalog::segments::Located;
use super::error::StorageError;
use super::place::{Place, RowId, StoredRow};
use super::segment::format::Plane;
use super::store::{Live, Shared, Store};
use super::write::{CandidateInfo, EraseAnswer, SubjectKey};
use crate::model::id::SubjectId;
use crate::model::link::LinkKind;
use crate::model::policy::Policy;
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;

/// Most events of a page of the history.
pub const USAGE_PAGE_MAX: usize = 1_000;

impl Store {
    /// The tenant's policy as it is now.
    pub fn policy(&self) -> Result<Policy, StorageError> {
        Ok(self.0.readers.spec()?.policy)
    }

    /// References that are not in a segment, ascending.
    pub fn pending(&self) -> Result<Vec<u64>, StorageError> {
        self.0.readers.pending()
    }

    /// Rows in the clear, one answer a place, in their order; `None` for a row that was erased. Each block is opened
    /// once, the rows asked for are copied, and it is wiped. A row enrolled as pending is found also after its flush.
    pub fn read(&self, places: &[Place]) -> Result<Vec<Option<StoredRow>>, StorageError> {
        let mut rows: Vec<Option<StoredRow>> = Vec::with_capacity(places.len());
        rows.resize_with(places.len(), || None);
        // Position in the answer beside each row, so that the rows can be sorted by block.
        let mut in_segments: Vec<(u32, u32, usize)> = Vec::with_capacity(places.len());
        let mut in_catalog = Vec::new();
        for (at, place) in places.iter().enumerate() {
            match *place {
                Place::Segment { segment, row } => in_segments.push((segment, row, at)),
                Place::Pending { reference } => in_catalog.push((reference, at)),
            }
        }
        if !in_catalog.is_empty() {
            self.0.read_pending(&in_catalog, &mut rows, &mut in_segments)?;
        }
        in_segments.sort_unstable();
        for of_segment in in_segments.chunk_by(|a, b| a.0 == b.0) {
            self.0.read_segment(of_segment, &mut rows)?;
        }
        Ok(rows)
    }

    /// Where a subject's references are, oldest first; `None` when the subject is unknown.
    pub fn subject_rows(&self, subject: &SubjectId) -> Result<Option<Vec<Place>>, StorageError> {
        self.0.readers.subject_rows(subject)
    }

    /// Who rows belong to, one answer a row, with links of the kinds asked for; `None` when it was erased meanwhile.
    pub fn candidates(
        &self,
        ids: &[RowId],
        links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, StorageError> {
        self.0.readers.candidates(ids, links)
    }

    /// All that is held on a subject, without signatures; `None` when it is unknown.
    pub fn subject(&self, key: &SubjectKey) -> Result<Option<SubjectRecord>, StorageError> {
        self.0.readers.subject(key)
    }

    /// Up to `limit` (1 to 1,000) events numbered below `before`, newest first, and what to ask for
    /// next; `None` on the last page. An unknown subject has no events.
    pub fn usage(
        &self,
        subject: Option<&SubjectId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<UsageEvent>, Option<u64>), StorageError> {
        let limit = limit.clamp(1, USAGE_PAGE_MAX);
        self.0.readers.usage(subject, before, limit)
    }

    /// Up to `limit` subjects who are due, those first who have been for longest.
    pub fn due(&self, due: Due, limit: usize) -> Result<Vec<SubjectId>, StorageError> {
        let due = due.no_later_than(Timestamp::now());
        self.0.readers.due(&due, limit)
    }

    /// Numbers of the erasures of a subject of this id, ascending. Looks at every erasure of the tenant.
    pub fn erasures_of(&self, subject: &SubjectId) -> Result<Vec<u64>, StorageError> {
        self.0.readers.erasures_of(subject)
    }

    /// An erasure as it is now; `None` when the number was never given out.
    pub fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError> {
        self.0.readers.erasure(erasure)
    }
}

impl Shared {
    /// Opens pending rows; those that a flush has moved are left to `in_segments`.
    fn read_pending(
        &self,
        asked: &[(u64, usize)],
        rows: &mut [Option<StoredRow>],
        in_segments: &mut Vec<(u32, u32, usize)>,
    ) -> Result<(), StorageError> {
        for asked in asked.chunks(LOCATED_MAX) {
            let references: Vec<u64> = asked.iter().map(|(reference, _)| *reference).collect();
            for ((_, at), located) in asked.iter().zip(self.readers.locate(&references)?) {
                match located {
                    None => {}
                    Some(Located::Placed { segment, row }) => in_segments.push((segment, row, *at)),
                    Some(Located::Pending(row)) => {
                        *rows.get_mut(*at).expect("one answer a place") = Some(row);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads rows of one segment, which come sorted by row.
    fn read_segment(
        &self,
        asked: &[(u32, u32, usize)],
        rows: &mut [Option<StoredRow>],
    ) -> Result<(), StorageError> {
        let Some(&(segment, last_row, _)) = asked.last() else {
            return Ok(());
        };
        let live: std::sync::Arc<Live> = self.live(segment, last_row)?;
        live.file.part(|reader| {
            let block_rows = reader.exact_block_rows();
            let mut block = Zeroizing::new(Vec::new());
            for of_block in asked.chunk_by(|a, b| a.1 / block_rows == b.1 / block_rows) {
                let alive: Vec<(u32, usize)> = {
                    let dead = live.dead.read();
                    let alive = of_block.iter().filter(|(_, row, _)| !dead.contains(row));
                    alive.map(|(_, row, at)| (*row, *at)).collect()
                };
                let Some((first, _)) = alive.first() else {
                    continue;
                };
                reader.open_block(Plane::Exact, (first / block_rows) as usize, &mut block)?;
                for (row, at) in alive {
                    *rows.get_mut(at).expect("one answer a place") = reader.row_in_block(row, &block);
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
