//! What a search goes over: a tenant's whole gallery, or parts of one. Says where rows are and reads them; scans and scores nothing.

use super::node::NodeError;
use super::tenant::Tenant;
use crate::engine::{Engine, GalleryId, Survivors};
use crate::model::id::{SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::signature::Dimension;
use crate::storage::place::{Place, RowId, StoredRow};
use crate::storage::write::CandidateInfo;

/// Rows that are searched together, as they are at each call: what is erased between two of them is no longer there.
pub(super) trait Searched: Send + Sync + 'static {
    /// Whose rows.
    fn id(&self) -> &TenantId;
    /// Their dimension.
    fn dimension(&self) -> Dimension;
    /// Where their codes are.
    fn engine(&self) -> &Engine;
    /// The engine's galleries that have all of them together.
    fn galleries(&self) -> Vec<GalleryId>;
    /// Subjects that have rows here, as far as an estimate needs it.
    fn subjects(&self) -> Result<u64, NodeError>;
    /// Where the rows are that a scan of one of the galleries, by its position, left over. Rows that don't count are left out.
    fn places(&self, gallery: usize, survivors: &Survivors) -> Vec<Place>;
    /// Any row, chosen by a number; none where there is none.
    fn any_place(&self, number: u32) -> Option<Place>;
    /// Where the rows of a subject are; `None` where it is unknown.
    fn places_of(&self, subject: &SubjectId) -> Result<Option<Vec<Place>>, NodeError>;
    /// Rows in the clear, one answer a place; `None` for one that was erased.
    fn read(&self, places: &[Place]) -> Result<Vec<Option<StoredRow>>, NodeError>;
    /// Who rows belong to, one answer a row; `None` for a subject that was erased meanwhile.
    fn describe(&self, ids: &[RowId], links: &[LinkKind]) -> Result<Vec<Option<CandidateInfo>>, NodeError>;
}

impl Searched for Tenant {
    fn id(&self) -> &TenantId {
        &self.spec.id
    }

    fn dimension(&self) -> Dimension {
        self.spec.dimension
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn galleries(&self) -> Vec<GalleryId> {
        vec![self.gallery]
    }

    fn subjects(&self) -> Result<u64, NodeError> {
        let figures = self.store.stats().map_err(|error| self.storage_error(&error))?;
        Ok(figures.subjects)
    }

    fn places(&self, _gallery: usize, survivors: &Survivors) -> Vec<Place> {
        let residency = self.residency.read();
        match survivors {
            Survivors::Rows(rows) => rows.iter().filter_map(|&row| residency.place(row)).collect(),
            Survivors::All => residency.places().collect(),
        }
    }

    fn any_place(&self, number: u32) -> Option<Place> {
        let residency = self.residency.read();
        let row = number.checked_rem(residency.rows())?;
        residency.place(row).or_else(|| residency.places().next())
    }

    fn places_of(&self, subject: &SubjectId) -> Result<Option<Vec<Place>>, NodeError> {
        let places = self.store.subject_rows(subject);
        places.map_err(|error| self.storage_error(&error))
    }

    fn read(&self, places: &[Place]) -> Result<Vec<Option<StoredRow>>, NodeError> {
        self.store
            .read(places)
            .map_err(|error| self.storage_error(&error))
    }

    fn describe(&self, ids: &[RowId], links: &[LinkKind]) -> Result<Vec<Option<CandidateInfo>>, NodeError> {
        let known = self.store.candidates(ids, links);
        known.map_err(|error| self.storage_error(&error))
    }
}
