//! What is told of a scanning device: its status, and the metrics made of it. Decides nothing.

use std::sync::Arc;
use std::time::SystemTime;

use crate::telemetry;

/// How a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// It scans what it holds.
    Ready,
    /// It scans what it holds, and its memory did not suffice for all that it should hold; the CPU scans the rest.
    Full,
    /// It can't be used; the CPU or other devices scan what it held. It is opened again later.
    Failed,
}

/// Status of a GPU. The CPU, which always answers, has none.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceStatus {
    /// Name, for instance `gpu/NVIDIA H200`; with the id where another device has the same.
    pub name: Arc<str>,
    /// What tells it from others of its name: its PCI address where that is known.
    pub id: Arc<str>,
    /// How it is.
    pub state: DeviceState,
    /// Why it failed or is full.
    pub reason: Option<Arc<str>>,
    /// Since when it has been in this state.
    pub since: SystemTime,
    /// Tries since then, or since it last worked for a while, to bring it back.
    pub attempts: u32,
    /// Rows of codes that it holds.
    pub rows: u64,
    /// About how many bytes they take there.
    pub bytes: u64,
}

impl DeviceStatus {
    /// Sets the gauges of the device.
    #[expect(clippy::cast_precision_loss, reason = "a gauge needs no more digits")]
    pub(super) fn gauge(&self) {
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let device = || self.name.to_string();
        metrics::gauge!(telemetry::DEVICE_UP, "device" => device())
            .set(flag(self.state != DeviceState::Failed));
        metrics::gauge!(telemetry::DEVICE_FULL, "device" => device())
            .set(flag(self.state == DeviceState::Full));
        metrics::gauge!(telemetry::DEVICE_ROWS, "device" => device()).set(self.rows as f64);
        metrics::gauge!(telemetry::DEVICE_BYTES, "device" => device()).set(self.bytes as f64);
    }
}
