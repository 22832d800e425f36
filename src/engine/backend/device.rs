//! A GPU under supervision: in use, or lost and opened again after a while on a thread of its own. Knows no gallery.

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use super::host::{Host, wait};
use super::speed::Speed;
use super::status::{DeviceState, DeviceStatus};
use super::{Backend, BackendError};
use crate::model::signature::Dimension;
use crate::telemetry;

/// Opens a device of the same identity again and tests it. May take long, and may hang where a driver does.
pub(super) type Opener = Arc<dyn Fn() -> Result<Box<dyn Backend>, String> + Send + Sync>;

/// How often it is looked whether a device has been opened.
const OPENING_POLL: Duration = Duration::from_millis(100);
/// A device that worked for so long has recovered; one that is lost sooner waits longer the next time.
const RECOVERED_AFTER: Duration = Duration::from_mins(5);

/// A device as it was found.
pub(in crate::engine) struct Device {
    /// Kind and name.
    pub(super) name: Arc<str>,
    /// What tells it from others of its name.
    pub(super) id: Arc<str>,
    /// The open device, tested; or why it can't be used.
    pub(super) opened: Result<Box<dyn Backend>, String>,
    pub(super) opener: Opener,
}

enum State {
    Ready(Box<dyn Backend>),
    Failed { reason: Arc<str>, next: Next },
}

/// What comes next for a device that failed.
enum Next {
    Try(Instant),
    /// It is being opened.
    Opened(Receiver<Result<Box<dyn Backend>, String>>),
}

/// A device's memory did not suffice.
struct Full {
    reason: Arc<str>,
    since: SystemTime,
    /// Bytes that it held when it refused more.
    held: u64,
    attempts: u32,
    /// When it is asked for more again; `None` while it is.
    retry_at: Option<Instant>,
}

/// Rows and bytes of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// What came of tending a device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tended {
    Unchanged,
    /// Its status.
    Changed,
    /// It can take more than before.
    Usable,
}

/// A device under supervision.
pub(super) struct Supervised {
    name: Arc<str>,
    id: Arc<str>,
    opener: Opener,
    state: State,
    since: (Instant, SystemTime),
    attempts: u32,
    full: Option<Full>,
    /// What it holds.
    pub(super) held: Amount,
    /// Bytes that it is to hold.
    pub(super) planned: u64,
    pub(super) speed: Speed,
}

impl Supervised {
    pub(super) fn new(device: Device, name: Arc<str>, host: &dyn Host) -> Self {
        let now = host.now();
        let state = match device.opened {
            Ok(backend) => State::Ready(backend),
            Err(reason) => {
                tracing::error!(device = &*name, reason, "the GPU can't be used; the CPU scans");
                State::Failed {
                    reason: Arc::from(reason),
                    next: Next::Try(now + wait(0, host.chance())),
                }
            }
        };
        Self {
            name,
            id: device.id,
            opener: device.opener,
            state,
            since: (now, host.time()),
            attempts: 0,
            full: None,
            held: Amount::default(),
            planned: 0,
            speed: Speed::default(),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    pub(super) fn backend(&mut self) -> Option<&mut dyn Backend> {
        match &mut self.state {
            State::Ready(backend) => Some(&mut **backend),
            State::Failed { .. } => None,
        }
    }

    /// Asks the device, if it is in use.
    pub(super) fn ask<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Backend) -> Result<T, BackendError>,
    ) -> Option<Result<T, BackendError>> {
        self.backend().map(|backend| guarded(|| call(backend)))
    }

    /// Counts a change of the rows that it holds of a gallery.
    pub(super) fn count(&mut self, dim: Dimension, from: &Range<u32>, to: &Range<u32>) {
        let Amount { rows, bytes } = self.held;
        self.held = Amount {
            rows: rows.saturating_sub(from.len() as u64) + to.len() as u64,
            bytes: bytes.saturating_sub(super::bytes(dim, from)) + super::bytes(dim, to),
        };
    }

    /// Gives the device up; it is opened again later.
    pub(super) fn lose(&mut self, host: &dyn Host, reason: &str) {
        if !self.is_ready() {
            return;
        }
        let now = host.now();
        if now.saturating_duration_since(self.since.0) >= RECOVERED_AFTER {
            self.attempts = 0;
        }
        tracing::error!(
            device = &*self.name,
            reason,
            "the GPU is lost; others scan what it held"
        );
        let failed = State::Failed {
            reason: Arc::from(reason),
            next: Next::Try(now + wait(self.attempts, host.chance())),
        };
        if let State::Ready(backend) = std::mem::replace(&mut self.state, failed) {
            abandon(host, backend);
        }
        self.since = (now, host.time());
        self.full = None;
        self.held = Amount::default();
        self.planned = 0;
        self.speed = Speed::default();
        metrics::counter!(telemetry::DEVICE_LOSSES, "device" => self.name.to_string()).increment(1);
    }

    /// The device has no memory for more than it holds.
    pub(super) fn fill(&mut self, host: &dyn Host, reason: &str) {
        let attempts = match &self.full {
            Some(full) if full.retry_at.is_some() => full.attempts,
            Some(full) => full.attempts + 1,
            None => {
                tracing::warn!(device = &*self.name, reason, "the CPU scans what does not fit");
                0
            }
        };
        let since = self.full.as_ref().map_or_else(|| host.time(), |full| full.since);
        self.full = Some(Full {
            reason: Arc::from(reason),
            since,
            held: self.held.bytes,
            attempts,
            retry_at: Some(host.now() + wait(attempts, host.chance())),
        });
    }

    /// Everything that it should hold has been put on it.
    pub(super) fn settled(&mut self) -> bool {
        let tried = self.full.as_ref().is_some_and(|full| full.retry_at.is_none());
        if tried {
            tracing::info!(device = &*self.name, "there is room again on the GPU");
            self.full = None;
        }
        tried
    }

    /// Bytes that it holds at most; `None` where no limit is known.
    pub(super) fn bytes_max(&self) -> Option<u64> {
        self.full
            .as_ref()
            .filter(|full| full.retry_at.is_some())
            .map(|full| full.held)
    }

    /// Takes over a device that has been opened, begins to open one whose time has come, allows one that was full to be given more.
    pub(super) fn tend(&mut self, host: &dyn Host) -> Tended {
        let now = host.now();
        if let Some(full) = &mut self.full
            && full.retry_at.is_some_and(|at| at <= now)
        {
            full.retry_at = None;
            return Tended::Usable;
        }
        let State::Failed { next, .. } = &mut self.state else {
            return Tended::Unchanged;
        };
        let outcome = match next {
            Next::Try(at) if *at > now => return Tended::Unchanged,
            Next::Try(_) => {
                self.attempts = self.attempts.saturating_add(1);
                metrics::counter!(telemetry::DEVICE_RETRIES, "device" => self.name.to_string()).increment(1);
                match open(host, &self.opener) {
                    Ok(opened) => {
                        *next = Next::Opened(opened);
                        return Tended::Changed;
                    }
                    Err(error) => Err(format!("no thread to open it: {error}")),
                }
            }
            Next::Opened(opened) => match opened.try_recv() {
                Ok(outcome) => outcome,
                Err(TryRecvError::Empty) => return Tended::Unchanged,
                Err(TryRecvError::Disconnected) => Err("the thread that opened it ended".to_owned()),
            },
        };
        match outcome {
            Ok(backend) => {
                tracing::info!(device = &*self.name, attempts = self.attempts, "the GPU is back");
                self.state = State::Ready(backend);
                self.since = (now, host.time());
                Tended::Usable
            }
            Err(reason) => {
                tracing::debug!(
                    device = &*self.name,
                    reason,
                    attempts = self.attempts,
                    "the GPU is not back"
                );
                self.state = State::Failed {
                    reason: Arc::from(reason),
                    next: Next::Try(now + wait(self.attempts, host.chance())),
                };
                Tended::Changed
            }
        }
    }

    /// How long until it wants to be tended.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        let until = |at: Instant| at.saturating_duration_since(now);
        let full = self.full.as_ref().and_then(|full| full.retry_at).map(until);
        match &self.state {
            State::Ready(_) => full,
            State::Failed {
                next: Next::Try(at), ..
            } => Some(until(*at)),
            State::Failed {
                next: Next::Opened(_),
                ..
            } => Some(OPENING_POLL),
        }
    }

    pub(super) fn status(&self) -> DeviceStatus {
        let (state, reason, since, attempts) = match (&self.state, &self.full) {
            (State::Failed { reason, .. }, _) => (
                DeviceState::Failed,
                Some(Arc::clone(reason)),
                self.since.1,
                self.attempts,
            ),
            (State::Ready(_), Some(full)) => (
                DeviceState::Full,
                Some(Arc::clone(&full.reason)),
                full.since,
                full.attempts,
            ),
            (State::Ready(_), None) => (DeviceState::Ready, None, self.since.1, self.attempts),
        };
        DeviceStatus {
            name: Arc::clone(&self.name),
            id: Arc::clone(&self.id),
            state,
            reason,
            since,
            attempts,
            rows: self.held.rows,
            bytes: self.held.bytes,
        }
    }
}

/// Opens a device on a thread of its own.
fn open(host: &dyn Host, opener: &Opener) -> std::io::Result<Receiver<Result<Box<dyn Backend>, String>>> {
    let (sender, opened) = channel();
    let opener = Arc::clone(opener);
    let job = move || {
        // Nobody listens only if the engine has ended; the device goes with the message.
        let _ = sender.send(tried(|| opener()));
    };
    host.spawn("thenar-gpu-open", Box::new(job))?;
    Ok(opened)
}

/// Opens or tests a device; a panic of the library is a failure.
pub(super) fn tried<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(GAVE_UP.to_owned()))
}

/// Calls a device. Its library panics where a device is lost in the middle of a wait; that is a lost device here.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(BackendError::Lost(GAVE_UP.to_owned())))
}

const GAVE_UP: &str = "the driver's library gave up";

/// Lets go of a device that failed. A driver that hangs may keep whoever does that waiting for ever, so it is a thread of
/// its own; without one the device is left as it is.
pub(super) fn abandon(host: &dyn Host, backend: Box<dyn Backend>) {
    let backend = ManuallyDrop::new(backend);
    let job = move || {
        // What a dying driver's library says on its way out helps nobody.
        let _ = tried(|| {
            drop(ManuallyDrop::into_inner(backend));
            Ok(())
        });
    };
    if let Err(error) = host.spawn("thenar-gpu-end", Box::new(job)) {
        tracing::warn!(%error, "the failed GPU's memory is kept until the process ends");
    }
}

/// Names that differ: those that several devices have get the id behind them.
pub(super) fn names(devices: &[Device]) -> Vec<Arc<str>> {
    let of = |device: &Device| {
        let same = devices.iter().filter(|other| other.name == device.name).count();
        if same > 1 {
            Arc::from(format!("{} at {}", device.name, device.id))
        } else {
            Arc::clone(&device.name)
        }
    };
    devices.iter().map(of).collect()
}
