//! Scripted devices, a clock that a test moves, and backends over them as the engine's thread has them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::*;
use crate::engine::LockMemory;
use crate::engine::backend::host::Host;
use crate::engine::code::Codes;
use crate::engine::gallery::PackedRows;
use crate::engine::residency::Residency;
use crate::engine::samples::{dim, gallery, probes, quantized};

pub(super) const NAME: &str = "gpu/scripted";
pub(super) const CPU: &str = "cpu/portable";

/// What a device does when it is asked the next time.
pub(super) type Act = fn() -> BackendError;

/// What a test knows of a device, and how it tells it what to do.
#[derive(Default)]
pub(super) struct Script {
    pub(super) calls: Vec<&'static str>,
    /// Rows that it holds of each gallery.
    pub(super) holds: HashMap<GalleryId, Range<u32>>,
    /// Rows that it was given since a test looked.
    pub(super) given: Vec<Range<u32>>,
    pub(super) on_update: VecDeque<Act>,
    pub(super) on_forget: VecDeque<Act>,
    pub(super) on_scan: VecDeque<Act>,
    /// Rows that it has memory for.
    pub(super) room: Option<u32>,
    /// Drops the last answer.
    pub(super) is_short: bool,
    pub(super) dropped: usize,
}

#[derive(Clone, Default)]
pub(super) struct Remote(Arc<Mutex<Script>>);

impl Remote {
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Script) -> T) -> T {
        // A scripted panic poisons nothing: it is raised outside.
        f(&mut self.0.lock().expect("no panic"))
    }

    pub(super) fn calls(&self) -> Vec<&'static str> {
        self.with(|script| std::mem::take(&mut script.calls))
    }

    pub(super) fn held(&self, id: GalleryId) -> Range<u32> {
        self.with(|script| script.holds.get(&id).cloned().unwrap_or(0..0))
    }

    pub(super) fn device(&self, name: &str, id: &str) -> Device {
        self.device_that_opens(name, id, Ok(self.open()), |remote| Ok(remote.open()))
    }

    pub(super) fn device_that_opens(
        &self,
        name: &str,
        id: &str,
        opened: Result<Box<dyn Backend>, String>,
        again: impl Fn(&Remote) -> Result<Box<dyn Backend>, String> + Send + Sync + 'static,
    ) -> Device {
        let remote = self.clone();
        Device {
            name: Arc::from(name),
            id: Arc::from(id),
            opened,
            opener: Arc::new(move || again(&remote)),
        }
    }

    /// A device that scans as the CPU does.
    pub(super) fn open(&self) -> Box<dyn Backend> {
        Box::new(Scripted {
            remote: self.clone(),
            cpu: CpuBackend::new(Kernel::Portable, 1).expect("threads"),
        })
    }
}

pub(super) struct Scripted {
    pub(super) remote: Remote,
    pub(super) cpu: CpuBackend,
}

impl Scripted {
    pub(super) fn begin(
        &self,
        name: &'static str,
        acts: fn(&mut Script) -> &mut VecDeque<Act>,
    ) -> Result<(), BackendError> {
        let act = self.remote.with(|script| {
            script.calls.push(name);
            acts(script).pop_front()
        });
        act.map_or(Ok(()), |act| Err(act()))
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.remote.with(|script| {
            script.dropped += 1;
            script.holds.clear();
        });
    }
}

impl Backend for Scripted {
    fn name(&self) -> Arc<str> {
        Arc::from(NAME)
    }

    fn update(
        &mut self,
        gallery: GalleryView<'_>,
        held: Range<u32>,
        changed: &[Range<u32>],
    ) -> Result<(), BackendError> {
        assert!(held.start.is_multiple_of(PART_ROWS) && held.end <= gallery.rows() && !held.is_empty());
        self.begin("update", |script| &mut script.on_update)?;
        self.remote.with(|script| {
            let before = script.holds.get(&gallery.id()).cloned().unwrap_or(0..0);
            let others: u32 = script
                .holds
                .iter()
                .filter(|(id, _)| **id != gallery.id())
                .map(|(_, r)| r.end - r.start)
                .sum();
            if script
                .room
                .is_some_and(|room| others + held.end - held.start > room)
            {
                return Err(full());
            }
            // Every row that it did not hold has been given to it.
            for row in held.clone().step_by(97).chain([held.end - 1]) {
                let known = before.contains(&row) || changed.iter().any(|rows| rows.contains(&row));
                assert!(known, "row {row} of {held:?}; {before:?} and {changed:?}");
            }
            assert!(
                changed
                    .iter()
                    .all(|rows| rows.start >= held.start && rows.end <= held.end)
            );
            script.given.extend(changed.iter().cloned());
            script.holds.insert(gallery.id(), held);
            Ok(())
        })
    }

    fn forget(&mut self, gallery: GalleryId) -> Result<(), BackendError> {
        self.begin("forget", |script| &mut script.on_forget)?;
        self.remote.with(|script| script.holds.remove(&gallery));
        Ok(())
    }

    fn scan(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError> {
        self.begin("scan", |script| &mut script.on_scan)?;
        for piece in work {
            assert_eq!(piece.rows, self.remote.held(piece.gallery.id()), "what it holds");
        }
        let mut found = self.cpu.scan(work)?;
        if self.remote.with(|script| script.is_short) {
            found.pop();
        }
        Ok(found)
    }
}

pub(super) fn lost() -> BackendError {
    BackendError::Lost("unplugged".into())
}

pub(super) fn full() -> BackendError {
    BackendError::OutOfMemory { bytes: 7 }
}

/// What the GPU's library does when a device is lost while it waits.
pub(super) fn panics() -> BackendError {
    panic!("the device is lost")
}

/// A clock that a test moves, no chance, and threads that end at once or, where they are held, when the test says so.
pub(super) struct Clock {
    pub(super) began: Instant,
    pub(super) passed: Mutex<Duration>,
    pub(super) is_held: Mutex<bool>,
    pub(super) jobs: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Clock {
    pub(super) fn advance(&self, by: Duration) {
        *self.passed.lock().expect("no panic") += by;
    }

    pub(super) fn hold(&self, is_held: bool) {
        *self.is_held.lock().expect("no panic") = is_held;
        if !is_held {
            for job in std::mem::take(&mut *self.jobs.lock().expect("no panic")) {
                job();
            }
        }
    }
}

impl Host for Clock {
    fn now(&self) -> Instant {
        self.began + *self.passed.lock().expect("no panic")
    }
    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + *self.passed.lock().expect("no panic")
    }
    fn chance(&self) -> f64 {
        1.0
    }
    fn spawn(&self, _: &str, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        if *self.is_held.lock().expect("no panic") {
            self.jobs.lock().expect("no panic").push(job);
        } else {
            job();
        }
        Ok(())
    }
}

/// Backends over host memory, as the engine's thread has them.
pub(super) struct Bench {
    pub(super) backends: Backends,
    pub(super) residency: Residency,
    pub(super) clock: Arc<Clock>,
}

pub(super) const DIM: usize = 32;

impl Bench {
    pub(super) fn new(gpus: impl IntoIterator<Item = Device>) -> Self {
        let clock = Arc::new(Clock {
            began: Instant::now(),
            passed: Mutex::default(),
            is_held: Mutex::default(),
            jobs: Mutex::default(),
        });
        let host: Arc<dyn Host> = Arc::clone(&clock) as Arc<dyn Host>;
        let cpu = CpuBackend::new(Kernel::Portable, 1).expect("threads");
        Self {
            backends: Backends::with_host(Box::new(cpu), gpus, host),
            residency: Residency::with_limits(LockMemory::Off, u64::MAX, true),
            clock,
        }
    }

    pub(super) fn open(&mut self) -> GalleryId {
        self.residency.open(dim(DIM))
    }

    pub(super) fn filled(&mut self, rows: usize) -> GalleryId {
        let id = self.open();
        self.append(id, rows);
        id
    }

    pub(super) fn append(&mut self, id: GalleryId, rows: usize) {
        let codes = Codes::encode(dim(DIM), &gallery("random", DIM, rows, id.0));
        let packed = PackedRows::pack(codes).expect("whole rows");
        let rows = self.residency.append(id, &packed).expect("memory");
        self.backends
            .update(self.residency.view(id).expect("open"), &[rows]);
    }

    pub(super) fn erase(&mut self, id: GalleryId, rows: Range<u32>) {
        let numbers: Vec<u32> = rows.clone().collect();
        self.residency.erase(id, &numbers).expect("they were appended");
        self.backends
            .update(self.residency.view(id).expect("open"), &[rows]);
    }

    /// Scans, compares the answer with the CPU's, and says who answered.
    pub(super) fn scan(&mut self, ids: &[GalleryId]) -> String {
        let probes: Vec<QuantizedProbe> = probes(&gallery("random", DIM, 40, 1), DIM, 5, 3)
            .iter()
            .map(|probe| quantized(probe, 0.3))
            .collect();
        let work: Vec<Work<'_>> = ids
            .iter()
            .map(|id| {
                let gallery = self.residency.view(*id).expect("open");
                Work {
                    gallery,
                    rows: 0..gallery.rows(),
                    probes: probes.iter().collect(),
                }
            })
            .collect();
        let (found, by) = self.backends.scan(&work);
        let mut alone = CpuBackend::new(Kernel::Portable, 1).expect("threads");
        assert_eq!(found, alone.scan(&work).expect("the CPU answers"));
        by.to_string()
    }

    /// One round of the engine's thread in which nothing comes.
    pub(super) fn tend(&mut self) -> Option<Duration> {
        self.backends.tend(&self.residency)
    }

    /// Rounds until there is nothing to do at once.
    pub(super) fn settle(&mut self) -> usize {
        for rounds in 1..10_000 {
            if self.tend() != Some(Duration::ZERO) {
                return rounds;
            }
        }
        panic!("it never settles")
    }

    /// Lets time pass. A device that is opened by then is taken over in the round after.
    pub(super) fn wait(&mut self, by: Duration) {
        self.clock.advance(by);
        self.settle();
        self.settle();
    }

    pub(super) fn status(&self, at: usize) -> DeviceStatus {
        self.backends.devices().borrow()[at].clone()
    }
}
