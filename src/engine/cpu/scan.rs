//! The way of a batch through the stages, the same for every instruction set. Chooses no threads.

use crate::engine::backend::Work;
use crate::engine::bound::QuantizedProbe;
use crate::engine::gallery::PageView;

use super::kernel::Functions;
use super::refine::{Batch, Hits};
use super::sign::{Kept, Positions, Scratch, SignBatch};

/// Least distance of a stranger's typical sum from the line of stage 1, in standard deviations: below it so many rows survive stage 1 that looking at
/// them one by one takes longer than stage 2 over all rows.
const TYPICAL_MIN: f32 = 1.2;

/// A batch as the stages want it.
pub(super) struct Prepared {
    /// None where stage 2 alone runs.
    signs: Option<SignBatch>,
    batch: Batch,
}

impl Prepared {
    pub(super) fn new(work: &Work<'_>, functions: &Functions) -> Self {
        let pays = |probe: &&QuantizedProbe| probe.sign.is_some_and(|bound| bound.typical >= TYPICAL_MIN);
        let by_sign = work.gallery.has_signs()
            && work.probes.len() <= functions.sign_probes_max
            && work.probes.iter().all(pays);
        Self {
            signs: by_sign
                .then(|| SignBatch::new(&work.probes, functions.sign_layout))
                .flatten(),
            batch: Batch::new(work.gallery.dim(), &work.probes, functions.layout),
        }
    }

    /// Whether what is made for one work is what would be made for the other.
    pub(super) fn is_same(one: &Work<'_>, other: &Work<'_>) -> bool {
        one.gallery.has_signs() == other.gallery.has_signs()
            && one.gallery.dim() == other.gallery.dim()
            && one.probes.len() == other.probes.len()
            && one
                .probes
                .iter()
                .zip(&other.probes)
                .all(|(one, other)| std::ptr::eq(*one, *other))
    }

    /// Whether stage 1 comes first.
    pub(super) fn by_sign(&self) -> bool {
        self.signs.is_some()
    }

    /// Scans pages.
    pub(super) fn scan(&self, pages: &[PageView<'_>], functions: &Functions, hits: &mut Hits<'_>) {
        let Some(signs) = &self.signs else {
            (functions.pages)(pages, &self.batch, hits);
            return;
        };
        // What a page kept is looked at when the next page has been scanned: stage 1 asks memory for it, and it has come by then.
        let mut now = vec![Kept::default(); signs.len()];
        let mut last = now.clone();
        let (mut scratch, mut positions) = (Scratch::default(), Positions::default());
        let mut before: Option<&PageView<'_>> = None;
        for (index, page) in pages.iter().map(Some).chain([None]).enumerate() {
            if let Some(page) = page {
                let next = pages.get(index + 1).map_or(&[][..], |next| next.signs);
                (functions.sign)(page, next, signs, &mut scratch, &mut now);
            }
            if let Some(before) = before {
                for (probe, kept) in last.iter().enumerate() {
                    (functions.rows)(before, kept.list(&mut positions), &self.batch, probe, hits);
                }
            }
            before = page;
            std::mem::swap(&mut now, &mut last);
        }
    }
}
