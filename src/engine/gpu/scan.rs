//! One submission: buffers of a scan, its dispatches, and the survivors that are read back. Decides nothing about kernels.

use std::collections::BTreeMap;

use half::f16;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindingResource, Buffer, BufferBinding,
    BufferUsages, CommandEncoder, ComputePassDescriptor,
};

use crate::engine::backend::{BackendError, survivors};
use crate::engine::{SURVIVORS_MAX, Survivors};

use super::device::Device;
use super::pipeline::Pipelines;
use super::plan::{Params, Plan};
use super::planes::Shape;
use super::shader::{Kernel, NEAR};
use super::slab::Pool;

/// Workgroups of one dimension of a grid, as Vulkan and WebGPU allow.
const GRID_MAX: u32 = 65_535;
/// Parameters of a dispatch lie at multiples of this many bytes.
const PARAMS_STEP: usize = 256;
/// Bytes of a row number or a count.
const WORD: u64 = size_of::<u32>() as u64;
/// The same constant, to count words with.
const NEAR_LEN: usize = NEAR as usize;

/// Buffers that scans use one after the other; they grow as needed.
struct Buffers {
    params: Buffer,
    spans: Buffer,
    marks: Buffer,
    hits: Buffer,
    words: Buffer,
    halves: Buffer,
    read: Buffer,
    /// With `words` and with `halves` in the last place.
    bind_groups: [BindGroup; 2],
}

/// Lengths in bytes: params, spans, marks, hits, words, halves, read.
type Lens = [u64; 7];

/// Runs plans.
pub(super) struct Scanner {
    pub(super) pipelines: Pipelines,
    buffers: Option<(Lens, Buffers)>,
}

impl Scanner {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            pipelines: Pipelines::new(device),
            buffers: None,
        }
    }

    /// Survivors of each probe of a plan. One submission and one wait, and a second of each where a probe has more than [`NEAR`].
    pub(super) fn run(
        &mut self,
        device: &Device,
        pools: &BTreeMap<Shape, Pool>,
        plan: &Plan,
    ) -> Result<Vec<Survivors>, BackendError> {
        let total = plan.marks.len();
        if plan.dispatches.is_empty() {
            return Ok(vec![Survivors::Rows(Vec::new()); total]);
        }
        let near_len = (total * (1 + NEAR_LEN)) as u64 * WORD;
        self.make_room(device, plan, near_len)?;
        let Self { pipelines, buffers } = self;
        let (_, buffers) = buffers.as_ref().expect("room was made");
        buffers.fill(device, plan);
        let mut encoder = device.encoder();
        encoder.clear_buffer(&buffers.hits, 0, Some(total as u64 * WORD));
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            for (dispatch, at) in plan.dispatches.iter().zip((0..).step_by(PARAMS_STEP)) {
                let slab = pools
                    .get(&dispatch.shape)
                    .expect("the mirror has a pool")
                    .slab(dispatch.slab);
                let [words, halves] = &buffers.bind_groups;
                let bound = if dispatch.kernel == Kernel::Matrix {
                    halves
                } else {
                    words
                };
                pass.set_pipeline(pipelines.get(device, dispatch.kernel)?);
                pass.set_bind_group(0, &slab.bind_group, &[]);
                pass.set_bind_group(1, bound, &[at]);
                let width = dispatch.params.tasks.min(GRID_MAX);
                pass.dispatch_workgroups(width, dispatch.params.tasks.div_ceil(width), 1);
            }
        }
        encoder.copy_buffer_to_buffer(&buffers.hits, 0, &buffers.read, 0, near_len);
        // Probes don't outlive their scan.
        encoder.clear_buffer(&buffers.words, 0, Some(size_of_val(plan.words.as_slice()) as u64));
        encoder.clear_buffer(
            &buffers.halves,
            0,
            Some(size_of_val(plan.halves.as_slice()) as u64),
        );
        device.submit(encoder);
        let near = device.read(&buffers.read, near_len)?;
        let far = self.read_far(device, near.get(..total).unwrap_or_default())?;
        Ok(collect(&near, &far, total))
    }

    /// The slots beyond the first ones of all probes that have them, one after the other.
    fn read_far(&mut self, device: &Device, counts: &[u32]) -> Result<Vec<u32>, BackendError> {
        let parts = far_parts(counts);
        let len = parts.iter().map(|(_, len)| len).sum::<u64>() * WORD;
        if len == 0 {
            return Ok(Vec::new());
        }
        let (lens, buffers) = self.buffers.as_mut().expect("just used");
        let [.., read_len] = lens;
        if *read_len < len {
            buffers.read = buffer(device, "read", len, READ)?;
            *read_len = buffers.read.size();
        }
        let mut encoder = device.encoder();
        copy_parts(&mut encoder, buffers, &parts);
        device.submit(encoder);
        device.read(&buffers.read, len)
    }

    fn make_room(&mut self, device: &Device, plan: &Plan, near_len: u64) -> Result<(), BackendError> {
        let hits = plan.marks.len() as u64 * (1 + SURVIVORS_MAX as u64) * WORD;
        let needed: Lens = [
            (plan.dispatches.len() * PARAMS_STEP) as u64,
            size_of_val(plan.spans.as_slice()) as u64,
            size_of_val(plan.marks.as_slice()) as u64,
            hits,
            (plan.words_len * size_of::<[u32; 4]>()) as u64,
            (plan.halves_len * size_of::<[f16; 4]>()) as u64,
            near_len,
        ];
        if let Some((lens, _)) = &self.buffers
            && lens.iter().zip(&needed).all(|(len, needed)| len >= needed)
        {
            return Ok(());
        }
        let held = self.buffers.take().map_or([0; 7], |(lens, _)| lens);
        let mut lens = needed;
        for (len, held) in lens.iter_mut().zip(held) {
            *len = held.max(len.next_power_of_two());
        }
        let buffers = Buffers::new(device, &self.pipelines.scan, lens)?;
        self.buffers = Some((lens, buffers));
        Ok(())
    }
}

const STORAGE: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_DST);
const READ: BufferUsages = BufferUsages::MAP_READ.union(BufferUsages::COPY_DST);

/// A buffer with some bytes to spare.
fn buffer(device: &Device, label: &str, len: u64, usage: BufferUsages) -> Result<Buffer, BackendError> {
    device.buffer(label, len.next_power_of_two(), usage)
}

impl Buffers {
    fn new(device: &Device, layout: &BindGroupLayout, lens: Lens) -> Result<Self, BackendError> {
        let [params, spans, marks, hits, words, halves, read] = lens;
        let params = buffer(
            device,
            "params",
            params,
            BufferUsages::UNIFORM | BufferUsages::COPY_DST,
        )?;
        let spans = buffer(device, "spans", spans, STORAGE)?;
        let marks = buffer(device, "marks", marks, STORAGE)?;
        let hits = buffer(device, "hits", hits, STORAGE | BufferUsages::COPY_SRC)?;
        let words = buffer(device, "words", words, STORAGE)?;
        let halves = buffer(device, "halves", halves, STORAGE)?;
        let read = buffer(device, "read", read, READ)?;
        let bind_group = |last: &Buffer| {
            let one = BindingResource::Buffer(BufferBinding {
                buffer: &params,
                offset: 0,
                size: std::num::NonZero::new(size_of::<Params>() as u64),
            });
            let others = [&spans, &marks, &hits, last].map(Buffer::as_entire_binding);
            let entries: Vec<BindGroupEntry<'_>> = (0..)
                .zip([one].into_iter().chain(others))
                .map(|(binding, resource)| BindGroupEntry { binding, resource })
                .collect();
            device.raw().create_bind_group(&BindGroupDescriptor {
                label: Some("scan"),
                layout,
                entries: &entries,
            })
        };
        let bind_groups = [bind_group(&words), bind_group(&halves)];
        Ok(Self {
            params,
            spans,
            marks,
            hits,
            words,
            halves,
            read,
            bind_groups,
        })
    }

    fn fill(&self, device: &Device, plan: &Plan) {
        let mut params = vec![0; plan.dispatches.len() * PARAMS_STEP];
        for (dispatch, bytes) in plan.dispatches.iter().zip(params.chunks_exact_mut(PARAMS_STEP)) {
            let own = bytemuck::bytes_of(&dispatch.params);
            for (to, from) in bytes.iter_mut().zip(own) {
                *to = *from;
            }
        }
        device.write(&self.params, 0, &params);
        device.write(&self.spans, 0, bytemuck::cast_slice(&plan.spans));
        device.write(&self.marks, 0, bytemuck::cast_slice(&plan.marks));
        device.write(&self.words, 0, bytemuck::cast_slice(&plan.words));
        device.write(&self.halves, 0, bytemuck::cast_slice(&plan.halves));
    }
}

/// Slots of a probe that a second read brings.
fn far_len(count: u32) -> usize {
    let count = count as usize;
    if count > SURVIVORS_MAX {
        return 0;
    }
    count.saturating_sub(NEAR_LEN)
}

/// First slot, counted in `hits`, and number of slots of each probe that a second read brings.
fn far_parts(counts: &[u32]) -> Vec<(u64, u64)> {
    let start = counts.len() * (1 + NEAR_LEN);
    let parts = counts.iter().enumerate().map(|(probe, count)| {
        let first = start + probe * (SURVIVORS_MAX - NEAR_LEN);
        (first as u64, far_len(*count) as u64)
    });
    parts.filter(|(_, len)| *len > 0).collect()
}

fn copy_parts(encoder: &mut CommandEncoder, buffers: &Buffers, parts: &[(u64, u64)]) {
    let mut to = 0;
    for (first, len) in parts {
        encoder.copy_buffer_to_buffer(&buffers.hits, first * WORD, &buffers.read, to, len * WORD);
        to += len * WORD;
    }
}

/// Turns counts and slots into survivors.
fn collect(near: &[u32], far: &[u32], total: usize) -> Vec<Survivors> {
    let (counts, slots) = near.split_at(total);
    let mut far = far.iter().copied();
    counts
        .iter()
        .enumerate()
        .map(|(probe, count)| {
            let len = *count as usize;
            let first = slots.iter().skip(probe).step_by(total).take(len.min(NEAR_LEN));
            let mut rows: Vec<u32> = first.copied().collect();
            rows.extend(far.by_ref().take(far_len(*count)));
            survivors(rows, len)
        })
        .collect()
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
