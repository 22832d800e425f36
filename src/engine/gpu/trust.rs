//! The two things of wgpu that the compiler can't vouch for: shaders without run-time checks, and features it calls experimental.
#![expect(
    unsafe_code,
    reason = "wgpu marks unchecked shaders and experimental features so; each is called in one place, here"
)]

use wgpu::{
    Device, ExperimentalFeatures, ShaderModule, ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource,
};

/// Compiles a text of `shader::source` without bounds checks and loop limits, which cost time in the inner loops.
///
/// That every index is in range follows from the plan of a scan (`plan`), which is made from the slabs themselves:
///
/// * Spans: the search ends between `first_span` and `first_span + spans`, which the plan wrote. Its loop halves a number.
/// * Planes, figures, alphas: a span's blocks lie in the slab that is bound, and every plane has room for all of its blocks.
/// * Words: behind the last probe there is room for a full group of probes of the largest dimension in the scan.
/// * Marks and hits: only probes below `span.probes` reach them; there is one of each for every probe of the scan. A slot is
///   compared with `NEAR` and `slots` before it is used.
/// * Workgroup memory: the list has room for every row and probe of a task; tiles are addressed by constants, lane and subgroup,
///   and the matrix shader is used only where a subgroup has 32 invocations.
///
/// Other loops run to a count of blocks, quads or list entries.
pub(super) fn module(device: &Device, label: &str, source: String) -> ShaderModule {
    let descriptor = ShaderModuleDescriptor {
        label: Some(label),
        source: ShaderSource::Wgsl(source.into()),
    };
    // SAFETY: the texts are this crate's own, and keep to their buffers as said above.
    unsafe { device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) }
}

/// Leave to use cooperative matrices.
pub(super) fn experimental() -> ExperimentalFeatures {
    // SAFETY: wgpu asks its users to accept that such a feature may have faults. It is used for one shader, whose results the self-test
    // compares with the statement of the bound before any scan relies on them.
    unsafe { ExperimentalFeatures::enabled() }
}
