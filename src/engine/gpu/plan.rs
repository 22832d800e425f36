//! What one submission does: which kernel for which work, and the tables that the shaders read. Touches no device.

use std::collections::BTreeMap;
use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use half::f16;
use zeroize::Zeroize;

use crate::engine::SURVIVORS_MAX;
use crate::engine::backend::Work;

use super::mirror::Mirror;
use super::planes::Shape;
use super::probes::{self, Mark, QUAD_HALVES, QUAD_WORDS};
use super::shader::Kernel;

/// Most probes of one work that stage 1 pays for. It takes as many multiplications as stage 2 and a quarter of the bytes, so it wins while
/// memory is the limit, and then it has survivors to gather. From counting bytes and instructions of an H100; not measured on hardware yet.
const SIGN_PROBES_MAX: usize = 4;
/// Below this many standard deviations stage 1 keeps more than a tenth of the rows, and gathering them costs what it saves. By counting too.
const SIGN_TYPICAL_MIN: f32 = 1.3;
/// Below this many rows a scan is as long as its round trip either way, and proving costs nothing. By counting too.
const SIGN_ROWS_MIN: u32 = 65_536;
/// From this many probes on the matrix units are used where they are offered: a quarter of a tile. By counting too.
const MATRIX_PROBES_MIN: usize = 16;

/// How work is given to kernels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    pub(super) sign_probes_max: usize,
    pub(super) sign_typical_min: f32,
    pub(super) sign_rows_min: u32,
    pub(super) matrix_probes_min: usize,
    /// Whether the device's subgroup operations are used, and its matrix units.
    pub(super) subgroups: bool,
    pub(super) matrices: bool,
}

impl Tuning {
    pub(super) fn new(subgroups: bool, matrices: bool) -> Self {
        Self {
            sign_probes_max: SIGN_PROBES_MAX,
            sign_typical_min: SIGN_TYPICAL_MIN,
            sign_rows_min: SIGN_ROWS_MIN,
            matrix_probes_min: MATRIX_PROBES_MIN,
            subgroups,
            matrices,
        }
    }

    /// The kernel for a piece of work.
    fn kernel(&self, work: &Work<'_>) -> Kernel {
        let probes = work.probes.len();
        // Without signs the gallery has no α either, and stage 1 would dismiss nothing.
        let by_sign = work.gallery.has_signs()
            && probes <= self.sign_probes_max
            && work.rows.end - work.rows.start >= self.sign_rows_min
            && work.probes.iter().all(|probe| {
                probe
                    .sign
                    .is_some_and(|sign| sign.typical >= self.sign_typical_min)
            });
        if by_sign {
            Kernel::sign(probes, self.subgroups)
        } else if self.matrices && probes >= self.matrix_probes_min {
            Kernel::Matrix
        } else {
            Kernel::refine(probes)
        }
    }
}

/// `Params` of the shaders.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct Params {
    pub(super) tasks: u32,
    pub(super) first_span: u32,
    pub(super) spans: u32,
    pub(super) quads: u32,
    pub(super) total: u32,
    pub(super) slots: u32,
}

/// `Span` of the shaders.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Span {
    pub(super) first_task: u32,
    pub(super) first_block: u32,
    pub(super) blocks: u32,
    pub(super) first_row: u32,
    pub(super) low: u32,
    pub(super) end: u32,
    pub(super) first_probe: u32,
    pub(super) probes: u32,
    pub(super) first_word: u32,
}

/// One kernel over one slab.
pub(super) struct Dispatch {
    pub(super) kernel: Kernel,
    pub(super) shape: Shape,
    pub(super) slab: usize,
    pub(super) params: Params,
}

/// A submission. Its probes are wiped when it is dropped.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) spans: Vec<Span>,
    pub(super) marks: Vec<Mark>,
    pub(super) words: Vec<[u32; 4]>,
    pub(super) halves: Vec<[f16; 4]>,
    /// Room for words and halves: shaders read whole groups of probes, also behind the last one.
    pub(super) words_len: usize,
    pub(super) halves_len: usize,
    /// For each work its probes' numbers, and whether stage 1 dismisses rows.
    pub(super) works: Vec<(Range<usize>, bool)>,
}

impl Drop for Plan {
    fn drop(&mut self) {
        self.words.zeroize();
        self.halves.fill([f16::ZERO; 4]);
    }
}

impl Plan {
    /// Plans works whose rows are held by the mirrors beside them.
    pub(super) fn new(tuning: &Tuning, works: &[(&Work<'_>, Option<&Mirror>)]) -> Self {
        let mut plan = Self::default();
        let mut spans: BTreeMap<(Shape, usize, Kernel), Vec<Span>> = BTreeMap::new();
        let mut quads = 0;
        for (work, mirror) in works {
            let first_probe = plan.marks.len();
            plan.marks.extend(work.probes.iter().map(|probe| Mark::of(probe)));
            let kernel = tuning.kernel(work);
            let by_sign = matches!(kernel, Kernel::Sign { .. });
            plan.works.push((first_probe..plan.marks.len(), by_sign));
            let Some(mirror) = mirror.filter(|_| !work.probes.is_empty()) else {
                continue;
            };
            quads = quads.max(mirror.shape.quads);
            let first_word = plan.push_probes(kernel, mirror.shape, work);
            for (run, first_row) in mirror.places(&work.rows) {
                spans
                    .entry((mirror.shape, run.slab, kernel))
                    .or_default()
                    .push(Span {
                        first_task: 0,
                        first_block: run.blocks.start,
                        blocks: run.len(),
                        first_row,
                        low: work.rows.start,
                        end: work.rows.end,
                        first_probe: number(first_probe),
                        probes: number(work.probes.len()),
                        first_word,
                    });
            }
        }
        plan.words_len =
            plan.words.len() + (Kernel::refine(usize::MAX).probes() * quads * QUAD_WORDS) as usize;
        plan.halves_len = if plan.halves.is_empty() {
            1
        } else {
            plan.halves.len() + (Kernel::Matrix.probes() * quads * QUAD_HALVES) as usize
        };
        for (place, spans) in spans {
            plan.dispatch(place, spans);
        }
        plan
    }

    /// Appends a work's probes in the form that the kernel reads; returns where they begin.
    fn push_probes(&mut self, kernel: Kernel, shape: Shape, work: &Work<'_>) -> u32 {
        if kernel == Kernel::Matrix {
            let first = number(self.halves.len());
            for probe in &work.probes {
                probes::push_halves(&mut self.halves, probe, shape);
            }
            return first;
        }
        let first = number(self.words.len());
        for probe in &work.probes {
            probes::push_words(&mut self.words, probe, shape);
        }
        first
    }

    /// Adds a dispatch for the spans of a slab.
    fn dispatch(&mut self, (shape, slab, kernel): (Shape, usize, Kernel), spans: Vec<Span>) {
        let first_span = number(self.spans.len());
        let mut tasks = 0;
        for mut span in spans {
            span.first_task = tasks;
            let groups = match kernel {
                // All probes of a work are in one group.
                Kernel::Sign { .. } => 1,
                _ => span.probes.div_ceil(kernel.probes()),
            };
            tasks += span.blocks.div_ceil(kernel.blocks()) * groups;
            self.spans.push(span);
        }
        self.dispatches.push(Dispatch {
            kernel,
            shape,
            slab,
            params: Params {
                tasks,
                first_span,
                spans: number(self.spans.len()) - first_span,
                quads: shape.quads,
                total: number(self.marks.len()),
                slots: number(SURVIVORS_MAX),
            },
        });
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("a submission has few probes and spans")
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
