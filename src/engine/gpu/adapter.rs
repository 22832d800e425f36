//! Which GPUs there are, how they are named and told apart. Opens none.

use wgpu::{
    Adapter, AdapterInfo, Backends, CooperativeScalarType, DeviceType, Features, Instance, InstanceDescriptor,
};

use super::device::block_on;

/// Invocations of a subgroup that the matrix shader is written for.
const MATRIX_SUBGROUP: u32 = 32;
/// Rows, columns and depth of its tiles.
const MATRIX_TILE: u32 = 16;

/// Where Linux shows GPUs: graphics cards, NVIDIA's driver, Windows' GPU in a guest.
#[cfg(target_os = "linux")]
const DEVICE_FILES: [&str; 4] = ["/dev/dri", "/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"];

/// Whether a look for adapters could find one that is not software. Saves loading every driver, and what drivers print, on a
/// machine without a GPU.
fn has_hardware() -> bool {
    #[cfg(target_os = "linux")]
    return DEVICE_FILES
        .iter()
        .any(|file| std::path::Path::new(file).exists());
    #[cfg(not(target_os = "linux"))]
    true
}

/// The GPUs, best first, each once. Where there is none, the software adapter alone if `software` allows it. The error says what was seen.
pub(super) fn list(software: bool) -> Result<Vec<Adapter>, String> {
    if !software && !has_hardware() {
        return Err("no GPU has a device file".to_owned());
    }
    let mut descriptor = InstanceDescriptor::new_without_display_handle();
    descriptor.backends = Backends::VULKAN;
    let adapters = block_on(Instance::new(descriptor).enumerate_adapters(Backends::VULKAN));
    let infos: Vec<AdapterInfo> = adapters.iter().map(Adapter::get_info).collect();
    let chosen = choose(&infos, software);
    if chosen.is_empty() {
        let seen: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
        return Err(format!("usable adapters: none; seen: {seen:?}"));
    }
    let mut adapters: Vec<Option<Adapter>> = adapters.into_iter().map(Some).collect();
    Ok(chosen
        .into_iter()
        .filter_map(|at| adapters.get_mut(at)?.take())
        .collect())
}

/// Places of the adapters to be used, best first.
fn choose(infos: &[AdapterInfo], software: bool) -> Vec<usize> {
    let mut ranked: Vec<(u8, usize)> = infos
        .iter()
        .enumerate()
        .filter_map(|(at, info)| Some((rank(info.device_type, software)?, at)))
        .collect();
    ranked.sort_unstable();
    let mut names: Vec<String> = Vec::new();
    let mut chosen = Vec::new();
    for (rank, at) in ranked {
        let Some(info) = infos.get(at) else { continue };
        // Software shares the processor with the kernels of the CPU, and with itself: one is enough, and none beside a GPU.
        let is_software = rank == SOFTWARE;
        // Two drivers may offer one card.
        if (is_software && !chosen.is_empty()) || (!is_software && names.contains(&name(info))) {
            continue;
        }
        names.push(name(info));
        chosen.push(at);
    }
    chosen
}

/// Rank of software.
const SOFTWARE: u8 = 3;

/// Order of preference; `None` is not used.
fn rank(kind: DeviceType, software: bool) -> Option<u8> {
    match kind {
        DeviceType::DiscreteGpu => Some(0),
        DeviceType::VirtualGpu => Some(1),
        DeviceType::IntegratedGpu => Some(2),
        DeviceType::Other | DeviceType::Cpu => software.then_some(SOFTWARE),
    }
}

/// Name of a device: model and place on the PCI bus, which twins don't share, for instance `NVIDIA H200 0000:17:00.0`.
pub(super) fn name(info: &AdapterInfo) -> String {
    match info.device_type {
        DeviceType::Other | DeviceType::Cpu => info.name.clone(),
        _ if info.device_pci_bus_id.is_empty() => info.name.clone(),
        _ => format!("{} {}", info.name, info.device_pci_bus_id),
    }
}

/// What the kernels use where it is offered.
pub(super) fn features(adapter: &Adapter) -> Features {
    let (offered, info) = (adapter.features(), adapter.get_info());
    let mut wanted = offered & Features::SUBGROUP;
    let matrix = Features::SUBGROUP | Features::SHADER_F16 | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let has_tiles = adapter.cooperative_matrix_properties().iter().any(|tile| {
        [tile.m_size, tile.n_size, tile.k_size] == [MATRIX_TILE; 3]
            && tile.ab_type == CooperativeScalarType::F16
            && tile.cr_type == CooperativeScalarType::F32
    });
    let subgroups = [info.subgroup_min_size, info.subgroup_max_size];
    if has_tiles && offered.contains(matrix) && subgroups == [MATRIX_SUBGROUP; 2] {
        wanted |= matrix;
    }
    wanted
}

#[cfg(test)]
#[path = "adapter_tests.rs"]
mod tests;
