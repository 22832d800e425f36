//! Finds the GPUs that the configuration asks for and says how each is opened again. Supervises nothing.

use std::sync::Arc;

use super::device::{Device, Opener, abandon, tried};
use super::host::Host;
use super::{Backend, BackendChoice, EngineConfig, EngineError, GpuBackend};

/// Most GPUs of one machine that are used, so that metrics by device have few values.
pub(super) const DEVICES_MAX: usize = 16;

/// The GPUs, each tested: one that fails its test is among them, so that it is tried again. An error where one is asked for and there is
/// none.
pub(super) fn open_devices(config: &EngineConfig, host: &dyn Host) -> Result<Vec<Device>, EngineError> {
    let software = match config.backend {
        BackendChoice::Cpu => return Ok(Vec::new()),
        BackendChoice::Auto => false,
        BackendChoice::Gpu => true,
    };
    let batch_max = config.batch_max;
    let found = tried(|| GpuBackend::open_all(software, batch_max));
    let found = match found {
        Ok(found) => found,
        Err(reason) if software => return Err(EngineError::NoAdapter(reason)),
        Err(reason) => {
            tracing::info!(reason, "no GPU to scan on; the CPU scans");
            return Ok(Vec::new());
        }
    };
    if found.len() > DEVICES_MAX {
        tracing::warn!("{} GPUs are there; {DEVICES_MAX} are used", found.len());
    }
    let device = |(at, gpu): (usize, GpuBackend)| {
        let name = gpu.name();
        let open = move || GpuBackend::open_by_name(&name, batch_max);
        supervised(
            gpu,
            at.to_string(),
            Arc::new(move || open().and_then(tested)),
            host,
        )
    };
    Ok(found
        .into_iter()
        .take(DEVICES_MAX)
        .enumerate()
        .map(device)
        .collect())
}

fn supervised(gpu: GpuBackend, id: String, opener: Opener, host: &dyn Host) -> Device {
    let name = gpu.name();
    let mut gpu = gpu;
    let opened: Result<Box<dyn Backend>, String> = match tried(|| gpu.self_test()) {
        Ok(()) => Ok(Box::new(gpu)),
        Err(reason) => {
            abandon(host, Box::new(gpu));
            Err(format!("self-test: {reason}"))
        }
    };
    Device {
        name,
        id: Arc::from(id),
        opened,
        opener,
    }
}

/// A device that passes its self-test.
fn tested(mut gpu: GpuBackend) -> Result<Box<dyn Backend>, String> {
    gpu.self_test().map_err(|reason| format!("self-test: {reason}"))?;
    Ok(Box::new(gpu))
}
