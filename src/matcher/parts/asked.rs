//! The pieces that one question goes over, from its beginning to its end. Scans and scores nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::catalog::{CatalogError, GalleryCatalog};
use super::held::{Begun, Facts, Held};
use super::stretch::Stretch;
use crate::cluster::course::Search;
use crate::engine::{Engine, GalleryId, Survivors};
use crate::matcher::node::NodeError;
use crate::matcher::searched::Searched;
use crate::model::id::{SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::signature::Dimension;
use crate::storage::place::{Place, RowId, StoredRow};
use crate::storage::write::CandidateInfo;

/// Rows of a node's copy of a gallery. The search ends when this is dropped, if it was not ended before.
pub(super) struct Asked {
    pub(super) tenant: TenantId,
    pub(super) engine: Engine,
    pub(super) catalog: Arc<dyn GalleryCatalog>,
    held: Arc<Held>,
    facts: Arc<Facts>,
    stretches: Vec<Arc<Stretch>>,
    search: Mutex<Option<Search>>,
    /// Called when the search has ended and there are rows to let go of.
    ended: Box<dyn Fn() + Send + Sync>,
}

impl Asked {
    pub(super) fn new(
        (tenant, engine): (TenantId, Engine),
        catalog: Arc<dyn GalleryCatalog>,
        held: Arc<Held>,
        begun: Begun,
        ended: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            tenant,
            engine,
            catalog,
            held,
            facts: begun.facts,
            stretches: begun.stretches,
            search: Mutex::new(Some(begun.search)),
            ended: Box::new(ended),
        }
    }

    /// Ends the search. False: its answer counts for nothing.
    pub(super) fn end(&self) -> bool {
        let search = self.search.lock().take();
        search.is_some_and(|search| {
            let (counts, is_littered) = self.held.end(search);
            if is_littered {
                (self.ended)();
            }
            counts
        })
    }

    fn rows(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.len()).sum()
    }

    /// Rows of a segment, by row and position in the answer.
    fn read_segment(
        &self,
        segment: u32,
        wanted: &[(u32, usize)],
        answer: &mut [Option<StoredRow>],
    ) -> Result<(), NodeError> {
        let is_it = |stretch: &&Arc<Stretch>| stretch.is_segment(segment);
        let Some(stretch) = self.stretches.iter().find(is_it) else {
            return Ok(());
        };
        let rows: Vec<u32> = wanted.iter().map(|(row, _)| *row).collect();
        let of = (segment, &self.facts.transform);
        let read = self.catalog.exact(of, &rows).map_err(told)?;
        if read.len() != rows.len() {
            let problem = format!("{} rows of segment {segment} came for {}", read.len(), rows.len());
            return Err(NodeError::Internal(problem));
        }
        for ((row, at), read) in wanted.iter().zip(read) {
            // Who was erased meanwhile is still in the object, until that is written anew.
            let Some(reference) = stretch.reference(*row) else {
                continue;
            };
            let is_same = read.as_ref().is_some_and(|read| read.id.reference == reference);
            // A hole where a row counts: the row is being purged, and its erasure has yet to come here.
            if read.is_some() && !is_same {
                return Err(NodeError::TenantUnavailable {
                    tenant: self.tenant.clone(),
                    reason: format!("row {row} of segment {segment} is not the one that was loaded"),
                });
            }
            *answer.get_mut(*at).expect("one answer a place") = read;
        }
        Ok(())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.end();
    }
}

impl Searched for Asked {
    fn id(&self) -> &TenantId {
        &self.tenant
    }

    fn dimension(&self) -> Dimension {
        self.facts.dimension
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn galleries(&self) -> Vec<GalleryId> {
        self.stretches.iter().map(|stretch| stretch.gallery()).collect()
    }

    /// Not fewer: there are no more subjects than rows.
    fn subjects(&self) -> Result<u64, NodeError> {
        Ok(self.rows() as u64)
    }

    fn places(&self, gallery: usize, survivors: &Survivors) -> Vec<Place> {
        let stretch = self.stretches.get(gallery);
        stretch.map_or_else(Vec::new, |stretch| stretch.places(survivors))
    }

    fn any_place(&self, number: u32) -> Option<Place> {
        let mut left = (number as usize).checked_rem(self.rows())?;
        for stretch in &self.stretches {
            match left.checked_sub(stretch.len()) {
                Some(after) => left = after,
                None => return stretch.nth(left),
            }
        }
        None
    }

    /// Nobody is unknown here: others may have the rows of a subject that has none in these parts.
    fn places_of(&self, subject: &SubjectId) -> Result<Option<Vec<Place>>, NodeError> {
        let references = self.catalog.references(subject).map_err(told)?;
        let in_all = |reference| {
            let places = self.stretches.iter();
            places.filter_map(move |stretch| stretch.place_of(reference))
        };
        Ok(Some(references.into_iter().flat_map(in_all).collect()))
    }

    fn read(&self, places: &[Place]) -> Result<Vec<Option<StoredRow>>, NodeError> {
        let mut answer: Vec<Option<StoredRow>> = Vec::with_capacity(places.len());
        let mut in_segments: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
        for (at, place) in places.iter().enumerate() {
            answer.push(match *place {
                Place::Pending { reference } => {
                    self.stretches.iter().find_map(|stretch| stretch.open(reference))
                }
                Place::Segment { segment, row } => {
                    in_segments.entry(segment).or_default().push((row, at));
                    None
                }
            });
        }
        for (segment, wanted) in in_segments {
            self.read_segment(segment, &wanted, &mut answer)?;
        }
        Ok(answer)
    }

    fn describe(&self, ids: &[RowId], links: &[LinkKind]) -> Result<Vec<Option<CandidateInfo>>, NodeError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.catalog.describe(ids, links).map_err(told)
    }
}

/// Why a question could not be answered.
pub(super) fn told(error: CatalogError) -> NodeError {
    match error {
        CatalogError::Node(error) | CatalogError::PassedOver(error) => error,
        CatalogError::Fenced(fenced) => NodeError::NodeUnavailable {
            node: fenced.node.to_string(),
            reason: fenced.to_string(),
        },
        cut @ CatalogError::FeedCut { .. } => NodeError::Internal(cut.to_string()),
    }
}
