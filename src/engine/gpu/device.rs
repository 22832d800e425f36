//! Adapter, device and queue: choice, limits, waiting, and the first error that came. Knows no shader.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use wgpu::{
    Adapter, Backends, Buffer, BufferDescriptor, BufferUsages, CommandEncoder, DeviceDescriptor, DeviceType,
    ErrorFilter, Instance, InstanceDescriptor, Limits, MapMode, PollType,
};

use crate::engine::backend::BackendError;

/// Longest wait for the device. Longer work is never submitted at once, so that it hangs.
const WAIT_S_MAX: u64 = 30;
/// Largest storage binding, in bytes: Vulkan offers no more, however large the card, and wgpu takes sizes in steps of 4.
const BINDING_LEN_MAX: u64 = (1 << 31) - 4;

/// An open device.
pub(super) struct Device {
    raw: wgpu::Device,
    queue: wgpu::Queue,
    name: String,
    buffer_len_max: u64,
    failure: Arc<Mutex<Option<String>>>,
}

impl Device {
    /// Opens the best Vulkan adapter: discrete, then virtual, then integrated, and a software one only where `software` allows it.
    pub(super) fn open(software: bool) -> Result<Self, String> {
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = Backends::VULKAN;
        let adapters = block_on(Instance::new(descriptor).enumerate_adapters(Backends::VULKAN));
        let found: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
        let adapter = adapters
            .into_iter()
            .filter_map(|adapter| Some((rank(adapter.get_info().device_type, software)?, adapter)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, adapter)| adapter)
            .ok_or_else(|| format!("usable adapters: none; seen: {found:?}"))?;
        Self::request(&adapter)
    }

    fn request(adapter: &Adapter) -> Result<Self, String> {
        let info = adapter.get_info();
        let offered = adapter.limits();
        let buffer_len_max = offered
            .max_storage_buffer_binding_size
            .min(offered.max_buffer_size)
            .min(BINDING_LEN_MAX);
        let limits = Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            ..Limits::default()
        };
        let (device, queue) = block_on(adapter.request_device(&DeviceDescriptor {
            label: Some("thenar"),
            required_limits: limits,
            ..DeviceDescriptor::default()
        }))
        .map_err(|error| format!("{}: {error}", info.name))?;
        let failure = Arc::new(Mutex::new(None));
        let lost = Arc::clone(&failure);
        device.set_device_lost_callback(move |reason, message| {
            lost.lock().get_or_insert(format!("lost ({reason:?}): {message}"));
        });
        let uncaptured = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.lock().get_or_insert(error.to_string());
        }));
        Ok(Self {
            raw: device,
            queue,
            name: info.name,
            buffer_len_max,
            failure,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Largest buffer that can be bound as a whole, in bytes.
    pub(super) fn buffer_len_max(&self) -> u64 {
        self.buffer_len_max
    }

    pub(super) fn raw(&self) -> &wgpu::Device {
        &self.raw
    }

    /// The first error since the device was opened, if there was one.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        self.failure
            .lock()
            .as_ref()
            .map_or(Ok(()), |reason| Err(BackendError::Lost(reason.clone())))
    }

    /// A zeroed buffer, or the news that there is no memory for it.
    pub(super) fn buffer(&self, label: &str, size: u64, usage: BufferUsages) -> Result<Buffer, BackendError> {
        let scope = self.raw.push_error_scope(ErrorFilter::OutOfMemory);
        let buffer = self.raw.create_buffer(&BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        });
        match block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(BackendError::OutOfMemory { bytes: size }),
        }
    }

    pub(super) fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) {
        self.queue.write_buffer(buffer, offset, data);
    }

    pub(super) fn encoder(&self) -> CommandEncoder {
        self.raw
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    pub(super) fn submit(&self, encoder: CommandEncoder) {
        self.queue.submit([encoder.finish()]);
    }

    /// Submits what was written and waits until the device has done everything.
    pub(super) fn finish(&self) -> Result<(), BackendError> {
        self.queue.submit([]);
        self.wait()
    }

    fn wait(&self) -> Result<(), BackendError> {
        let waited = self.raw.poll(PollType::Wait {
            submission_index: None,
            timeout: Some(Duration::from_secs(WAIT_S_MAX)),
        });
        self.check()?;
        waited
            .map(drop)
            .map_err(|error| BackendError::Lost(format!("no answer within {WAIT_S_MAX} s: {error}")))
    }

    /// Waits for the work submitted and reads the first `len` bytes of a mappable buffer as words.
    pub(super) fn read(&self, buffer: &Buffer, len: u64) -> Result<Vec<u32>, BackendError> {
        let mapped = Arc::new(Mutex::new(None));
        let result = Arc::clone(&mapped);
        buffer.map_async(MapMode::Read, ..len, move |answer| {
            *result.lock() = Some(answer);
        });
        self.wait()?;
        match mapped.lock().take() {
            Some(Ok(())) => {}
            other => return Err(BackendError::Lost(format!("results can't be read: {other:?}"))),
        }
        let view = buffer
            .get_mapped_range(..len)
            .map_err(|error| BackendError::Lost(error.to_string()))?;
        let words = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        buffer.unmap();
        Ok(words)
    }
}

/// Order of preference; `None` is not used.
fn rank(kind: DeviceType, software: bool) -> Option<u8> {
    match kind {
        DeviceType::DiscreteGpu => Some(0),
        DeviceType::VirtualGpu => Some(1),
        DeviceType::IntegratedGpu => Some(2),
        DeviceType::Other | DeviceType::Cpu => software.then_some(3),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread. wgpu's are ready at once outside of browsers.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
