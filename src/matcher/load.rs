//! Loading: from a tenant's files to its resident gallery. Changes nothing on disk but what recovery must.

use std::sync::Arc;

use half::f16;
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::apply::exact_values;
use super::home::{Home, OpenError};
use super::residency::Residency;
use super::tenant::Tenant;
use crate::engine::code::Codes;
use crate::engine::{Engine, EngineError, GalleryId};
use crate::model::id::TenantId;
use crate::model::signature::Dimension;
use crate::storage::error::StorageError;
use crate::storage::journal::Journal;
use crate::storage::place::{LoadedSegment, Place, RowPlanes};
use crate::storage::store::Store;

/// Pending rows read at once.
const PENDING_PER_READ_MAX: usize = 4_096;

/// Why a tenant could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// From its files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// From the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why a tenant is unavailable, in words that name file and fault, and whether that may be gone by itself later.
#[derive(Debug)]
pub(super) struct Unopened {
    pub(super) reason: String,
    pub(super) may_pass: bool,
}

impl From<OpenError> for Unopened {
    fn from(error: OpenError) -> Self {
        Self {
            reason: error.to_string(),
            may_pass: error.may_pass(),
        }
    }
}

/// Opens a tenant and makes its gallery resident.
pub(super) fn open_tenant(
    home: &Home,
    journal: &Arc<Journal>,
    engine: &Engine,
    id: &TenantId,
) -> Result<Arc<Tenant>, Unopened> {
    let store = home.open(id)?;
    match journal.record_erasures(&store) {
        Err(error @ StorageError::Outdated { .. }) => return Err(OpenError::from(error).into()),
        // The gallery can be searched all the same. The next erasure writes what is missing, or is refused.
        Err(error) => tracing::error!(tenant = %id, %error, "erasures are missing in the erasure journal"),
        Ok(()) => {}
    }
    load(store, journal, engine).map_err(|error| match error {
        LoadError::Storage(error) => OpenError::from(error).into(),
        LoadError::Engine(error) => Unopened {
            reason: error.to_string(),
            may_pass: false,
        },
    })
}

/// Makes a store's whole gallery resident.
pub(super) fn load(store: Store, journal: &Arc<Journal>, engine: &Engine) -> Result<Arc<Tenant>, LoadError> {
    let resident = Resident::of(&store, engine)?;
    Ok(resident.into_tenant(store, journal))
}

/// A store's whole gallery. Closed when it is dropped before a tenant has it.
pub(super) struct Resident {
    engine: Engine,
    gallery: GalleryId,
    residency: Residency,
    is_taken: bool,
}

impl Resident {
    pub(super) fn of(store: &Store, engine: &Engine) -> Result<Self, LoadError> {
        let mut resident = Self {
            engine: engine.clone(),
            gallery: engine.open_gallery(store.spec().dimension)?,
            residency: Residency::default(),
            is_taken: false,
        };
        resident.residency = fill(store, engine, resident.gallery)?;
        Ok(resident)
    }

    /// The tenant of `store`, which has the rows of the one that this was loaded from at the same places.
    pub(super) fn into_tenant(mut self, store: Store, journal: &Arc<Journal>) -> Arc<Tenant> {
        self.is_taken = true;
        let residency = std::mem::take(&mut self.residency);
        Tenant::new(
            store,
            Arc::clone(journal),
            self.engine.clone(),
            self.gallery,
            residency,
        )
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if !self.is_taken {
            // Where the engine has ended, so has the gallery.
            let _ = self.engine.close_gallery(self.gallery);
        }
    }
}

fn fill(store: &Store, engine: &Engine, gallery: GalleryId) -> Result<Residency, LoadError> {
    let dimension = store.spec().dimension;
    let mut residency = Residency::default();
    let mut alive = 0;
    // Segments are opened side by side, as many at a time as there are threads, and appended in order.
    for group in store.segments().chunks(rayon::current_num_threads().max(1)) {
        let loaded: Vec<Result<(usize, Codes), StorageError>> = group
            .par_iter()
            .map(|segment| {
                let loaded = store.load_segment(segment.number)?;
                Ok((loaded.dead.len(), codes_of(dimension, loaded)))
            })
            .collect();
        for (segment, loaded) in group.iter().zip(loaded) {
            let (dead, codes) = loaded?;
            alive += u64::from(segment.rows) - dead as u64;
            let first = engine.append(gallery, codes)?;
            residency.add_segment(first, segment.number, segment.rows);
        }
    }
    for references in store.pending()?.chunks(PENDING_PER_READ_MAX) {
        let places: Vec<Place> = references
            .iter()
            .map(|&reference| Place::Pending { reference })
            .collect();
        let mut exact = Zeroizing::new(Vec::new());
        for row in store.read(&places)? {
            match row {
                Some(row) => {
                    alive += 1;
                    exact.extend_from_slice(&exact_values(&row.exact));
                }
                // All zero codes to a dead row.
                None => exact.extend(std::iter::repeat_n(0, dimension.get())),
            }
        }
        let first = engine.append(gallery, encode(dimension, &exact))?;
        residency.add_pending(first, references);
    }
    store.check_loaded(alive)?;
    Ok(residency)
}

fn encode(dimension: Dimension, exact: &[u16]) -> Codes {
    let rows: &[f16] = bytemuck::cast_slice(exact);
    Codes::encode(dimension, rows)
}

fn codes_of(dimension: Dimension, loaded: LoadedSegment) -> Codes {
    let mut codes = Codes {
        dim: dimension,
        sign: loaded.planes.sign,
        refine: loaded.planes.refine,
        scale: bytemuck::pod_collect_to_vec(&loaded.planes.scale),
    };
    for row in loaded.dead {
        codes.kill(row as usize);
    }
    codes
}

/// The planes of codes as they are stored.
pub(super) fn planes_of(codes: &Codes) -> RowPlanes {
    RowPlanes {
        sign: codes.sign.clone(),
        refine: codes.refine.clone(),
        scale: bytemuck::cast_slice(&codes.scale).to_vec(),
    }
}

/// Encodes stored bytes of `f16` rows into planes, for a flush.
pub(super) fn encode_planes(dimension: Dimension, exact: &[u8]) -> RowPlanes {
    planes_of(&encode(dimension, &exact_values(exact)))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
