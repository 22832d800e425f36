//! Pipelines and what they bind. Runs none.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use wgpu::{
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType, BufferBindingType,
    ComputePipeline, ComputePipelineDescriptor, PipelineCompilationOptions, PipelineLayout,
    PipelineLayoutDescriptor, ShaderStages,
};

use crate::engine::backend::BackendError;

use super::device::Device;
use super::shader::Kernel;
use super::trust;

/// Pipelines, each made when it is first used; the self-test uses all that scans will.
pub(super) struct Pipelines {
    /// The planes of a slab.
    pub(super) slab: BindGroupLayout,
    /// What a scan brings along.
    pub(super) scan: BindGroupLayout,
    layout: PipelineLayout,
    /// Texts of the kernels; tests put others in their place.
    pub(super) text: fn(Kernel) -> String,
    made: HashMap<Kernel, ComputePipeline>,
}

impl Pipelines {
    pub(super) fn new(device: &Device) -> Self {
        let read = BufferBindingType::Storage { read_only: true };
        let write = BufferBindingType::Storage { read_only: false };
        let layout = |label: &str, kinds: &[BufferBindingType]| {
            let entries: Vec<BindGroupLayoutEntry> =
                (0..).zip(kinds).map(|(at, kind)| entry(at, *kind)).collect();
            device.raw().create_bind_group_layout(&BindGroupLayoutDescriptor {
                label: Some(label),
                entries: &entries,
            })
        };
        let slab = layout("slab", &[read; 4]);
        let scan = layout("scan", &[BufferBindingType::Uniform, read, read, write, read]);
        let layout = device.raw().create_pipeline_layout(&PipelineLayoutDescriptor {
            label: Some("stages"),
            bind_group_layouts: &[Some(&slab), Some(&scan)],
            immediate_size: 0,
        });
        Self {
            slab,
            scan,
            layout,
            text: Kernel::source,
            made: HashMap::new(),
        }
    }

    /// The pipeline of a kernel. An error leaves the device usable.
    pub(super) fn get(&mut self, device: &Device, kernel: Kernel) -> Result<&ComputePipeline, BackendError> {
        match self.made.entry(kernel) {
            Entry::Occupied(made) => Ok(made.into_mut()),
            Entry::Vacant(place) => {
                Ok(place.insert(make(device, &self.layout, kernel, (self.text)(kernel))?))
            }
        }
    }
}

fn make(
    device: &Device,
    layout: &PipelineLayout,
    kernel: Kernel,
    text: String,
) -> Result<ComputePipeline, BackendError> {
    let label = format!("{kernel:?}");
    device.attempt(|raw| {
        let module = trust::module(raw, &label, text);
        raw.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: PipelineCompilationOptions {
                // Each shader writes what it reads there.
                zero_initialize_workgroup_memory: false,
                ..PipelineCompilationOptions::default()
            },
            cache: None,
        })
    })
}

fn entry(binding: u32, kind: BufferBindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer {
            ty: kind,
            // Each dispatch of a scan has parameters of its own in one buffer.
            has_dynamic_offset: kind == BufferBindingType::Uniform,
            min_binding_size: None,
        },
        count: None,
    }
}
