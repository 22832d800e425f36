//! An open device and its queue: limits, buffers, waiting, and the first error that came. Knows no shader.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wgpu::{
    Adapter, Buffer, BufferDescriptor, BufferUsages, CommandEncoder, DeviceDescriptor, ErrorFilter, Features,
    Limits, MapMode, PollType,
};

use crate::engine::backend::BackendError;

use super::{adapter, trust};

/// Longest wait for the device. Longer work is never submitted at once, so that it hangs.
const WAIT_S_MAX: u64 = 30;
/// How long a wait asks again and again before it sleeps: a wake-up costs as much as a short scan.
const SPIN_MS_MAX: u64 = 5;
/// Largest storage binding, in bytes: Vulkan offers no more, however large the card, and wgpu takes sizes in steps of 4.
const BINDING_LEN_MAX: u64 = (1 << 31) - 4;

/// An open device.
pub(super) struct Device {
    raw: wgpu::Device,
    queue: wgpu::Queue,
    name: String,
    features: Features,
    buffer_len_max: u64,
    failure: Arc<Mutex<Option<String>>>,
}

impl Device {
    /// Opens an adapter with the features that the kernels use.
    pub(super) fn open(adapter: &Adapter) -> Result<Self, String> {
        let name = adapter::name(&adapter.get_info());
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
        let features = adapter::features(adapter);
        let experimental = features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        let (device, queue) = block_on(adapter.request_device(&DeviceDescriptor {
            label: Some("thenar"),
            required_features: features,
            required_limits: limits,
            experimental_features: if experimental {
                trust::experimental()
            } else {
                wgpu::ExperimentalFeatures::disabled()
            },
            ..DeviceDescriptor::default()
        }))
        .map_err(|error| format!("{name}: {error}"))?;
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
            name,
            features,
            buffer_len_max,
            failure,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether subgroup operations are offered.
    pub(super) fn has_subgroups(&self) -> bool {
        self.features.contains(Features::SUBGROUP)
    }

    /// Whether the matrix units are offered, in the shape that the shader uses.
    pub(super) fn has_matrices(&self) -> bool {
        self.features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
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

    /// Makes something that a driver may refuse, without counting a refusal as a failure of the device.
    pub(super) fn attempt<T>(&self, make: impl FnOnce(&wgpu::Device) -> T) -> Result<T, BackendError> {
        let internal = self.raw.push_error_scope(ErrorFilter::Internal);
        let validation = self.raw.push_error_scope(ErrorFilter::Validation);
        let made = make(&self.raw);
        let (validation, internal) = (block_on(validation.pop()), block_on(internal.pop()));
        match validation.or(internal) {
            None => Ok(made),
            Some(error) => Err(BackendError::Lost(error.to_string())),
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

    /// Maps the first `len` bytes of a buffer when the work submitted is done: asks at short intervals at first, then sleeps.
    pub(super) fn map(&self, buffer: &Buffer, mode: MapMode, len: u64) -> Result<(), BackendError> {
        let (done, result) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (told, answer) = (Arc::clone(&done), Arc::clone(&result));
        buffer.map_async(mode, ..len, move |mapped| {
            *answer.lock() = Some(mapped);
            told.store(true, Ordering::Release);
        });
        let start = Instant::now();
        while !done.load(Ordering::Acquire) {
            if start.elapsed() >= Duration::from_millis(SPIN_MS_MAX) {
                self.wait()?;
                break;
            }
            // What goes wrong here the lost callback tells.
            let _ = self.raw.poll(PollType::Poll);
            self.check()?;
            std::hint::spin_loop();
        }
        match result.lock().take() {
            Some(Ok(())) => Ok(()),
            other => Err(BackendError::Lost(format!("a buffer can't be mapped: {other:?}"))),
        }
    }

    /// Waits for the work submitted and reads the first `len` bytes of a mappable buffer as words.
    pub(super) fn read(&self, buffer: &Buffer, len: u64) -> Result<Vec<u32>, BackendError> {
        self.map(buffer, MapMode::Read, len)?;
        let view = buffer
            .get_mapped_range(..len)
            .map_err(|error| BackendError::Lost(error.to_string()))?;
        let words = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        buffer.unmap();
        Ok(words)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread. wgpu's are ready at once outside of browsers.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
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
