//! Stage 2 on the GPU: batches in, survivors out, through `shaders/refine.wgsl`. Its CPU twin is `engine::cpu::refine`.

use bytemuck::{Pod, Zeroable};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, BufferUsages, ComputePassDescriptor,
    ComputePipeline, ComputePipelineDescriptor, PipelineCompilationOptions, ShaderModuleDescriptor,
    ShaderSource,
};
use zeroize::Zeroize;

use crate::engine::backend::{BackendError, survivors};
use crate::engine::bound::QuantizedProbe;
use crate::engine::{SURVIVORS_MAX, Survivors};

use super::chunk::{BLOCK_ROWS, Chunk, GpuGallery};
use super::device::Device;

/// Source of the shader.
pub(super) const SHADER: &str = include_str!("../../../shaders/refine.wgsl");
/// Probes that share a pass over the codes.
const GROUP: usize = 8;
/// Survivors of each probe that the first read brings; more take a second one.
const SLOTS_READ_FIRST: usize = 15;

/// `Params` of the shader.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct Params {
    pub(super) rows: u32,
    pub(super) first_row: u32,
    pub(super) words: u32,
    pub(super) probes: u32,
    pub(super) slots: u32,
}

/// `Figures` of the shader.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct Figures {
    pub(super) offset: i32,
    pub(super) weight: f32,
    pub(super) limit: f32,
}

/// `Word` of the shader: for eight probes the coordinates that meet the low nibbles of a word, then those of the high ones.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(super) struct Word {
    pub(super) low_a: [u32; 4],
    pub(super) low_b: [u32; 4],
    pub(super) high_a: [u32; 4],
    pub(super) high_b: [u32; 4],
}

/// The pipeline and the buffers of a batch.
pub(super) struct Refine {
    pipeline: ComputePipeline,
    batch_max: usize,
    buffers: Option<BatchBuffers>,
}

struct BatchBuffers {
    /// Words of a row they were made for.
    words: u32,
    probes: Buffer,
    figures: Buffer,
    hits: Buffer,
    read: Buffer,
}

impl Refine {
    pub(super) fn new(device: &Device, batch_max: usize) -> Self {
        let module = device.raw().create_shader_module(ShaderModuleDescriptor {
            label: Some("refine"),
            source: ShaderSource::Wgsl(SHADER.into()),
        });
        let pipeline = device.raw().create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some("refine"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: PipelineCompilationOptions::default(),
            cache: None,
        });
        Self {
            pipeline,
            batch_max,
            buffers: None,
        }
    }

    /// Survivors of up to `batch_max` probes.
    pub(super) fn scan(
        &mut self,
        device: &Device,
        gallery: &GpuGallery,
        probes: &[&QuantizedProbe],
    ) -> Result<Vec<Survivors>, BackendError> {
        if gallery.rows == 0 {
            return Ok(vec![Survivors::Rows(Vec::new()); probes.len()]);
        }
        if self
            .buffers
            .as_ref()
            .is_none_or(|buffers| buffers.words < gallery.words)
        {
            self.buffers = Some(BatchBuffers::new(device, gallery.words, self.batch_max)?);
        }
        let buffers = self.buffers.as_ref().expect("made above");
        let mut words = interleave(probes, gallery.words as usize);
        device.write(&buffers.probes, 0, bytemuck::cast_slice(&words));
        words.fill(Word::zeroed());
        let figures: Vec<Figures> = probes
            .iter()
            .map(|probe| Figures {
                offset: probe.offset,
                weight: probe.weight,
                limit: probe.limit,
            })
            .collect();
        device.write(&buffers.figures, 0, bytemuck::cast_slice(&figures));

        let row_of_hits = size_of::<u32>() as u64 * probes.len() as u64;
        let first_len = row_of_hits * (1 + SLOTS_READ_FIRST as u64);
        let mut encoder = device.encoder();
        encoder.clear_buffer(&buffers.hits, 0, Some(row_of_hits));
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            let groups = u32::try_from(probes.len().div_ceil(GROUP)).expect("a batch has few probes");
            for chunk in &gallery.chunks {
                let params = params(gallery, chunk, probes.len());
                device.write(&chunk.params, 0, bytemuck::bytes_of(&params));
                pass.set_bind_group(0, &self.bind(device, chunk, buffers), &[]);
                pass.dispatch_workgroups(params.rows.div_ceil(BLOCK_ROWS), groups, 1);
            }
        }
        encoder.copy_buffer_to_buffer(&buffers.hits, 0, &buffers.read, 0, first_len);
        device.submit(encoder);
        let mut hits = device.read(&buffers.read, first_len)?;
        let most = hits.iter().take(probes.len()).copied().max().unwrap_or(0) as usize;
        if most > SLOTS_READ_FIRST {
            let len = row_of_hits * (1 + most.min(SURVIVORS_MAX) as u64);
            let mut encoder = device.encoder();
            encoder.copy_buffer_to_buffer(&buffers.hits, 0, &buffers.read, 0, len);
            device.submit(encoder);
            hits = device.read(&buffers.read, len)?;
        }
        Ok(collect(&hits, probes.len()))
    }

    fn bind(&self, device: &Device, chunk: &Chunk, buffers: &BatchBuffers) -> BindGroup {
        let bound = [
            &chunk.params,
            &chunk.codes,
            &chunk.rows,
            &buffers.probes,
            &buffers.figures,
            &buffers.hits,
        ];
        let entries: Vec<BindGroupEntry<'_>> = (0..)
            .zip(bound)
            .map(|(binding, buffer)| BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        device.raw().create_bind_group(&BindGroupDescriptor {
            label: Some("refine"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }
}

impl BatchBuffers {
    fn new(device: &Device, words: u32, batch_max: usize) -> Result<Self, BackendError> {
        let storage = BufferUsages::STORAGE.union(BufferUsages::COPY_DST);
        let batch = batch_max.next_multiple_of(GROUP) as u64;
        let probes = batch / GROUP as u64 * u64::from(words) * size_of::<Word>() as u64;
        let hits = batch * (1 + SURVIVORS_MAX as u64) * size_of::<u32>() as u64;
        Ok(Self {
            words,
            probes: device.buffer("probes", probes, storage)?,
            figures: device.buffer("figures", batch * size_of::<Figures>() as u64, storage)?,
            hits: device.buffer("hits", hits, storage.union(BufferUsages::COPY_SRC))?,
            read: device.buffer("read", hits, BufferUsages::MAP_READ.union(BufferUsages::COPY_DST))?,
        })
    }
}

fn params(gallery: &GpuGallery, chunk: &Chunk, probes: usize) -> Params {
    Params {
        rows: gallery.rows_of(chunk),
        first_row: chunk.first_row,
        words: gallery.words,
        probes: u32::try_from(probes).expect("a batch has few probes"),
        slots: u32::try_from(SURVIVORS_MAX).expect("fits"),
    }
}

/// Probes in the shader's order; the last group is filled with zeros.
fn interleave(probes: &[&QuantizedProbe], words: usize) -> Vec<Word> {
    let mut interleaved = Vec::with_capacity(probes.len().div_ceil(GROUP) * words);
    for group in probes.chunks(GROUP) {
        for w in 0..words {
            let (mut low, mut high) = ([0; GROUP], [0; GROUP]);
            for ((low, high), probe) in low.iter_mut().zip(&mut high).zip(group) {
                let eight = probe.values.as_chunks::<8>().0.get(w);
                let eight = eight.expect("probe and gallery have one dimension");
                *low = every_other(*eight, 0);
                *high = every_other(*eight, 1);
            }
            let ([low_a, low_b], [high_a, high_b]) = (halves(low), halves(high));
            interleaved.push(Word {
                low_a,
                low_b,
                high_a,
                high_b,
            });
            low.zeroize();
            high.zeroize();
        }
    }
    interleaved
}

/// Coordinates `from`, `from + 2`, … as the bytes of a word.
fn every_other(eight: [i8; 8], from: usize) -> u32 {
    let mut bytes = [0; 4];
    for (byte, value) in bytes.iter_mut().zip(eight.iter().skip(from).step_by(2)) {
        *byte = value.cast_unsigned();
    }
    u32::from_le_bytes(bytes)
}

fn halves(words: [u32; GROUP]) -> [[u32; 4]; 2] {
    let (halves, _) = words.as_chunks();
    halves.try_into().expect("a group is two halves")
}

/// Turns counts and slots into survivors.
fn collect(hits: &[u32], probes: usize) -> Vec<Survivors> {
    let (counts, slots) = hits.split_at(probes);
    counts
        .iter()
        .enumerate()
        .map(|(probe, count)| {
            let kept = (*count as usize).min(SURVIVORS_MAX);
            let rows = slots
                .iter()
                .skip(probe)
                .step_by(probes)
                .take(kept)
                .copied()
                .collect();
            survivors(rows, *count as usize)
        })
        .collect()
}
