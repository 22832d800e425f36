//! The way of a batch through the stages, the same for every instruction set. Chooses no threads.

use crate::engine::backend::Work;
use crate::engine::bound::QuantizedProbe;
use crate::engine::gallery::PageView;

use super::kernel::Functions;
use super::refine::{Batch, Hits};
use super::sign::{Kept, SignProbe};

/// Least distance of a stranger's typical sum from the line of stage 1, in standard deviations: below it so many rows survive stage 1 that looking at
/// them one by one takes longer than stage 2 over all rows.
const TYPICAL_MIN: f32 = 1.2;

/// A batch as the stages want it.
pub(super) struct Prepared {
    /// One a probe; empty where stage 2 alone runs.
    signs: Vec<SignProbe>,
    batch: Batch,
}

impl Prepared {
    pub(super) fn new(work: &Work<'_>, functions: &Functions) -> Self {
        let pays = |probe: &&QuantizedProbe| probe.sign.is_some_and(|bound| bound.typical >= TYPICAL_MIN);
        let by_sign = work.gallery.has_signs()
            && work.probes.len() <= functions.sign_probes_max
            && work.probes.iter().all(pays);
        let signs = if by_sign {
            work.probes
                .iter()
                .filter_map(|probe| SignProbe::new(probe))
                .map(|probe| {
                    if functions.sign_bytes {
                        probe.with_bytes()
                    } else {
                        probe
                    }
                })
                .collect()
        } else {
            Vec::new()
        };
        Self {
            signs,
            batch: Batch::new(work.gallery.dim(), &work.probes, functions.layout),
        }
    }

    /// Whether stage 1 comes first.
    pub(super) fn by_sign(&self) -> bool {
        !self.signs.is_empty()
    }

    /// Scans pages.
    pub(super) fn scan(&self, pages: &[PageView<'_>], functions: &Functions, hits: &mut Hits<'_>) {
        if !self.by_sign() {
            (functions.pages)(pages, &self.batch, hits);
            return;
        }
        // What a page kept is looked at when the next page has been scanned: stage 1 asks memory for it, and it has come by then.
        let mut kept: Vec<[Kept; 2]> = self.signs.iter().map(|_| <[Kept; 2]>::default()).collect();
        let mut before: Option<&PageView<'_>> = None;
        for (turn, page) in pages.iter().map(Some).chain([None]).enumerate() {
            for (probe, (own, kept)) in self.signs.iter().zip(&mut kept).enumerate() {
                let [even, odd] = kept;
                let (now, last) = if turn % 2 == 0 { (even, odd) } else { (odd, even) };
                if let Some(page) = page {
                    (functions.sign)(page, own, now);
                }
                if let Some(before) = before {
                    (functions.rows)(before, last.positions(), &self.batch, probe, hits);
                }
            }
            before = page;
        }
    }
}
