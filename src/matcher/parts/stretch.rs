//! Rows that came together: a gallery of the engine of their own, and which row of it is which reference. A segment is one, and the fresh part some. Decides nothing.

use std::collections::{BTreeSet, HashMap};

use half::f16;
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::cluster::course::Reference;
use crate::engine::code::Codes;
use crate::engine::{Engine, EngineError, GalleryId, Survivors};
use crate::keys::aead::Sealer;
use crate::keys::secret::SecretKey;
use crate::matcher::apply::exact_values;
use crate::matcher::parts::catalog::SegmentCopy;
use crate::model::signature::Dimension;
use crate::storage::place::{Place, RowId, StoredRow};

/// Stands for a row that doesn't count: no reference has this number.
const NOBODY: u64 = 0;

/// Rows in a gallery of the engine. Those that are erased are overwritten in the engine by whoever takes them out here, see [`Stretch::overwrite`].
pub(super) struct Stretch {
    engine: Engine,
    gallery: GalleryId,
    rows: RwLock<Rows>,
}

struct Rows {
    /// Whose each row of the gallery is.
    references: Vec<u64>,
    /// The rows that count, by rising reference.
    order: Vec<u32>,
    kind: Kind,
}

enum Kind {
    /// The exact rows are in the segment.
    Segment(u32),
    /// They are here, sealed by a key that this stretch alone has.
    Fresh {
        sealer: Sealer,
        /// By reference: whose, and the row.
        exact: HashMap<u64, (u64, Vec<u8>)>,
    },
}

impl Stretch {
    /// A segment.
    pub(super) fn of_segment(
        engine: &Engine,
        dimension: Dimension,
        number: u32,
        copy: SegmentCopy,
    ) -> Result<Self, EngineError> {
        let mut codes = Codes {
            dim: dimension,
            sign: copy.planes.sign,
            refine: copy.planes.refine,
            scale: bytemuck::pod_collect_to_vec(&copy.planes.scale),
        };
        let mut order = Vec::with_capacity(copy.references.len());
        for (row, reference) in (0_u32..).zip(&copy.references) {
            if *reference == NOBODY {
                codes.kill(row as usize);
            } else {
                order.push(row);
            }
        }
        let references = copy.references;
        order.sort_unstable_by_key(|row| references.get(*row as usize).copied());
        let stretch = Self::empty(engine, dimension, Kind::Segment(number))?;
        // The first rows of its gallery, so that they have the numbers that they have in the segment.
        engine.append(stretch.gallery, codes)?;
        *stretch.rows.write() = Rows {
            references,
            order,
            kind: Kind::Segment(number),
        };
        Ok(stretch)
    }

    /// Rows of the fresh part; none so far.
    pub(super) fn of_fresh(engine: &Engine, dimension: Dimension) -> Result<Self, EngineError> {
        let kind = Kind::Fresh {
            sealer: Sealer::new(&SecretKey::random()),
            exact: HashMap::new(),
        };
        Self::empty(engine, dimension, kind)
    }

    fn empty(engine: &Engine, dimension: Dimension, kind: Kind) -> Result<Self, EngineError> {
        let rows = Rows {
            references: Vec::new(),
            order: Vec::new(),
            kind,
        };
        Ok(Self {
            engine: engine.clone(),
            gallery: engine.open_gallery(dimension)?,
            rows: RwLock::new(rows),
        })
    }

    /// Puts rows where nobody counts them yet; gives the first one's number. One caller at a time.
    pub(super) fn append(&self, dimension: Dimension, rows: &[StoredRow]) -> Result<u32, EngineError> {
        let mut exact = Zeroizing::new(Vec::with_capacity(rows.len() * dimension.get()));
        for row in rows {
            exact.extend_from_slice(&exact_values(&row.exact));
        }
        let exact: &[f16] = bytemuck::cast_slice(&exact);
        let first = self
            .engine
            .append(self.gallery, Codes::encode(dimension, exact))?;
        let mut here = self.rows.write();
        here.references.resize(first as usize + rows.len(), NOBODY);
        if let Kind::Fresh { sealer, exact } = &mut here.kind {
            for StoredRow { id, exact: row } in rows {
                let sealed = sealer.seal(&id.reference.to_le_bytes(), row);
                exact.insert(id.reference, (id.subject, sealed));
            }
        }
        Ok(first)
    }

    /// Lets those of the rows count that were appended from row `first` on and that are among `counting`. Gives the others, which are to be overwritten in the engine.
    pub(super) fn count(&self, first: u32, appended: &[StoredRow], counting: &BTreeSet<u64>) -> Vec<u32> {
        let mut guard = self.rows.write();
        let rows = &mut *guard;
        let mut idle = Vec::new();
        // A load may have brought a row that an enrolment brings again. The exact row goes with the last that counts.
        let counted: BTreeSet<u64> = appended
            .iter()
            .map(|stored| stored.id.reference)
            .filter(|reference| counting.contains(reference) || rows.find(*reference).is_some())
            .collect();
        for (row, stored) in (first..).zip(appended) {
            let reference = stored.id.reference;
            if counting.contains(&reference) {
                if let Some(whose) = rows.references.get_mut(row as usize) {
                    *whose = reference;
                }
                rows.order.push(row);
            } else {
                idle.push(row);
                if let Kind::Fresh { exact, .. } = &mut rows.kind
                    && !counted.contains(&reference)
                {
                    exact.remove(&reference);
                }
            }
        }
        let references = &rows.references;
        rows.order
            .sort_unstable_by_key(|row| references.get(*row as usize).copied());
        idle
    }

    /// Takes rows out: nobody finds them from now on. Gives those that were here, which are to be overwritten in the engine.
    pub(super) fn take_out(&self, references: &[Reference]) -> Vec<u32> {
        let mut guard = self.rows.write();
        let rows = &mut *guard;
        let out: Vec<u32> = references
            .iter()
            .filter_map(|Reference(reference)| rows.find(*reference))
            .collect();
        for row in &out {
            if let Some(reference) = rows.references.get_mut(*row as usize) {
                if let Kind::Fresh { exact, .. } = &mut rows.kind {
                    exact.remove(reference);
                }
                *reference = NOBODY;
            }
        }
        if !out.is_empty() {
            let references = &rows.references;
            let counts = |row: &u32| {
                references
                    .get(*row as usize)
                    .is_some_and(|known| *known != NOBODY)
            };
            rows.order.retain(counts);
        }
        out
    }

    /// Overwrites rows in the engine.
    pub(super) fn overwrite(&self, rows: Vec<u32>) -> Result<(), EngineError> {
        match self.engine.erase(self.gallery, rows) {
            // It was closed, and all rows with it.
            Err(EngineError::GalleryUnknown(_)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Lets go of all rows, whoever still searches them.
    pub(super) fn close(&self) {
        let mut rows = self.rows.write();
        rows.references = Vec::new();
        rows.order = Vec::new();
        if let Kind::Fresh { exact, .. } = &mut rows.kind {
            exact.clear();
        }
        drop(rows);
        // Where the engine has ended, or this was done before, it is gone.
        let _ = self.engine.close_gallery(self.gallery);
    }

    pub(super) fn gallery(&self) -> GalleryId {
        self.gallery
    }

    /// Whether it is this segment.
    pub(super) fn is_segment(&self, number: u32) -> bool {
        matches!(self.rows.read().kind, Kind::Segment(segment) if segment == number)
    }

    /// Rows that were ever appended.
    pub(super) fn appended(&self) -> usize {
        self.rows.read().references.len()
    }

    /// Rows that count.
    pub(super) fn len(&self) -> usize {
        self.rows.read().order.len()
    }

    /// Whether a reference is here.
    pub(super) fn has(&self, reference: u64) -> bool {
        self.rows.read().find(reference).is_some()
    }

    /// Where the rows are that a scan left over.
    pub(super) fn places(&self, survivors: &Survivors) -> Vec<Place> {
        let rows = self.rows.read();
        match survivors {
            Survivors::Rows(listed) => listed.iter().filter_map(|row| rows.place(*row)).collect(),
            Survivors::All => rows.order.iter().filter_map(|row| rows.place(*row)).collect(),
        }
    }

    /// The row that is so many after the first one that counts.
    pub(super) fn nth(&self, number: usize) -> Option<Place> {
        let rows = self.rows.read();
        rows.place(*rows.order.get(number)?)
    }

    /// Where a reference is.
    pub(super) fn place_of(&self, reference: Reference) -> Option<Place> {
        let rows = self.rows.read();
        rows.place(rows.find(reference.0)?)
    }

    /// Whose a row of the gallery is, while it counts.
    pub(super) fn reference(&self, row: u32) -> Option<u64> {
        let known = self.rows.read().references.get(row as usize).copied();
        known.filter(|known| *known != NOBODY)
    }

    /// A row of the fresh part in the clear. `None` where it is not here.
    pub(super) fn open(&self, reference: u64) -> Option<StoredRow> {
        let rows = self.rows.read();
        let Kind::Fresh { sealer, exact } = &rows.kind else {
            return None;
        };
        rows.find(reference)?;
        let (subject, sealed) = exact.get(&reference)?;
        let opened = sealer.open(&reference.to_le_bytes(), sealed);
        Some(StoredRow {
            id: RowId {
                reference,
                subject: *subject,
            },
            exact: opened.expect("it was sealed here"),
        })
    }

    #[cfg(test)]
    pub(super) fn references(&self) -> Vec<u64> {
        let rows = self.rows.read();
        let known = rows.references.iter().copied();
        known.filter(|known| *known != NOBODY).collect()
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        self.close();
    }
}

impl Rows {
    fn position(&self, reference: u64) -> Result<usize, usize> {
        let known = |row: &u32| self.references.get(*row as usize).copied().unwrap_or(NOBODY);
        self.order.binary_search_by_key(&reference, known)
    }

    fn find(&self, reference: u64) -> Option<u32> {
        self.order.get(self.position(reference).ok()?).copied()
    }

    fn place(&self, row: u32) -> Option<Place> {
        let reference = *self.references.get(row as usize)?;
        if reference == NOBODY {
            return None;
        }
        Some(match self.kind {
            Kind::Segment(segment) => Place::Segment { segment, row },
            Kind::Fresh { .. } => Place::Pending { reference },
        })
    }
}

#[cfg(test)]
#[path = "stretch_tests.rs"]
mod tests;
