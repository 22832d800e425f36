//! Tests of the supervision with scripted devices: whatever they do, a scan is answered, and exactly so.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::host::Host;
use super::*;
use crate::engine::gallery::PackedRows;
use crate::engine::residency::Residency;
use crate::engine::samples::{dim, gallery, probes, quantized};

#[path = "backend/supervision_tests.rs"]
mod supervision;

const NAME: &str = "gpu/scripted";
const CPU: &str = "cpu/portable";

/// What a device does when it is asked the next time.
type Act = fn() -> BackendError;

/// What a test knows of a device, and how it tells it what to do.
#[derive(Default)]
struct Script {
    calls: Vec<&'static str>,
    /// Rows that it holds of each gallery.
    holds: HashMap<GalleryId, Range<u32>>,
    /// Rows that it was given since a test looked.
    given: Vec<Range<u32>>,
    on_update: VecDeque<Act>,
    on_forget: VecDeque<Act>,
    on_scan: VecDeque<Act>,
    /// Rows that it has memory for.
    room: Option<u32>,
    /// Drops the last answer.
    is_short: bool,
    dropped: usize,
}

#[derive(Clone, Default)]
struct Remote(Arc<Mutex<Script>>);

impl Remote {
    fn with<T>(&self, f: impl FnOnce(&mut Script) -> T) -> T {
        // A scripted panic poisons nothing: it is raised outside.
        f(&mut self.0.lock().expect("no panic"))
    }

    fn calls(&self) -> Vec<&'static str> {
        self.with(|script| std::mem::take(&mut script.calls))
    }

    fn held(&self, id: GalleryId) -> Range<u32> {
        self.with(|script| script.holds.get(&id).cloned().unwrap_or(0..0))
    }

    fn device(&self, name: &str, id: &str) -> Device {
        self.device_that_opens(name, id, Ok(self.open()), |remote| Ok(remote.open()))
    }

    fn device_that_opens(
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
    fn open(&self) -> Box<dyn Backend> {
        Box::new(Scripted {
            remote: self.clone(),
            cpu: CpuBackend::new(Kernel::Portable, 1).expect("threads"),
        })
    }
}

struct Scripted {
    remote: Remote,
    cpu: CpuBackend,
}

impl Scripted {
    fn begin(
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

fn lost() -> BackendError {
    BackendError::Lost("unplugged".into())
}

fn full() -> BackendError {
    BackendError::OutOfMemory { bytes: 7 }
}

/// What the GPU's library does when a device is lost while it waits.
fn panics() -> BackendError {
    panic!("the device is lost")
}

/// A clock that a test moves, no chance, and threads that end at once or, where they are held, when the test says so.
struct Clock {
    began: Instant,
    passed: Mutex<Duration>,
    is_held: Mutex<bool>,
    jobs: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Clock {
    fn advance(&self, by: Duration) {
        *self.passed.lock().expect("no panic") += by;
    }

    fn hold(&self, is_held: bool) {
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
struct Bench {
    backends: Backends,
    residency: Residency,
    clock: Arc<Clock>,
}

const DIM: usize = 32;

impl Bench {
    fn new(gpus: impl IntoIterator<Item = Device>) -> Self {
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
            residency: Residency::with_limits(crate::engine::LockMemory::Off, u64::MAX),
            clock,
        }
    }

    fn open(&mut self) -> GalleryId {
        self.residency.open(dim(DIM))
    }

    fn filled(&mut self, rows: usize) -> GalleryId {
        let id = self.open();
        self.append(id, rows);
        id
    }

    fn append(&mut self, id: GalleryId, rows: usize) {
        let codes = crate::engine::code::Codes::encode(dim(DIM), &gallery("random", DIM, rows, id.0));
        let packed = PackedRows::pack(codes).expect("whole rows");
        let rows = self.residency.append(id, &packed).expect("memory");
        self.backends
            .update(self.residency.view(id).expect("open"), &[rows]);
    }

    fn erase(&mut self, id: GalleryId, rows: Range<u32>) {
        let numbers: Vec<u32> = rows.clone().collect();
        self.residency.erase(id, &numbers).expect("they were appended");
        self.backends
            .update(self.residency.view(id).expect("open"), &[rows]);
    }

    /// Scans, compares the answer with the CPU's, and says who answered.
    fn scan(&mut self, ids: &[GalleryId]) -> String {
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
    fn tend(&mut self) -> Option<Duration> {
        self.backends.tend(&self.residency)
    }

    /// Rounds until there is nothing to do at once.
    fn settle(&mut self) -> usize {
        for rounds in 1..10_000 {
            if self.tend() != Some(Duration::ZERO) {
                return rounds;
            }
        }
        panic!("it never settles")
    }

    /// Lets time pass. A device that is opened by then is taken over in the round after.
    fn wait(&mut self, by: Duration) {
        self.clock.advance(by);
        self.settle();
        self.settle();
    }

    fn status(&self, at: usize) -> DeviceStatus {
        self.backends.devices().borrow()[at].clone()
    }
}

fn one() -> (Bench, Remote) {
    let remote = Remote::default();
    (Bench::new([remote.device(NAME, "0")]), remote)
}

#[test]
fn a_healthy_gpu_answers() {
    let (mut bench, remote) = one();
    let id = bench.filled(30);
    assert_eq!(bench.scan(&[id]), NAME);
    bench.append(id, 20);
    bench.append(id, 3_000);
    assert_eq!(bench.scan(&[id]), NAME);
    assert_eq!(remote.held(id), 0..3_050, "on the device when the append returns");
    assert_eq!(remote.calls(), ["update", "scan", "update", "update", "scan"]);
    assert_eq!(&*bench.backends.name(), NAME);
}

#[test]
fn an_empty_gallery_is_no_devices_affair() {
    let (mut bench, remote) = one();
    let id = bench.open();
    assert_eq!(bench.scan(&[id]), CPU);
    bench
        .backends
        .update(bench.residency.view(id).expect("open"), &[]);
    bench.backends.forget(id);
    assert!(remote.calls().is_empty());
}

#[test]
fn without_a_gpu_the_cpu_answers_and_nothing_is_to_be_tended() {
    let mut bench = Bench::new(None);
    let id = bench.filled(30);
    assert_eq!(bench.scan(&[id]), CPU);
    assert_eq!(bench.tend(), None);
    assert!(bench.backends.devices().borrow().is_empty());
}

#[test]
fn a_gpu_whose_library_panics_is_a_lost_one() {
    let (mut bench, remote) = one();
    let id = bench.filled(30);
    remote.with(|script| script.on_scan.push_back(panics));
    for _ in 0..2 {
        assert_eq!(bench.scan(&[id]), CPU);
    }
    assert_eq!(remote.calls(), ["update", "scan"], "asked once");
    assert_eq!(remote.with(|script| script.dropped), 1, "let go of");
}

#[test]
fn whatever_a_gpu_is_lost_at_no_request_fails() {
    let losses: [(&str, fn(&mut Script) -> &mut VecDeque<Act>); 3] = [
        ("update", |script| &mut script.on_update),
        ("forget", |script| &mut script.on_forget),
        ("scan", |script| &mut script.on_scan),
    ];
    for (what, acts) in losses {
        for act in [lost as Act, panics as Act] {
            let (mut bench, remote) = one();
            let (id, other) = (bench.filled(3_000), bench.filled(50));
            remote.with(|script| acts(script).push_back(act));
            match what {
                "update" => bench.append(id, 10),
                "forget" => bench.backends.forget(other),
                _ => {}
            }
            assert_eq!(bench.scan(&[id]), CPU, "{what}");
            assert_eq!(&*bench.backends.name(), CPU, "{what}");
            remote.calls();
            bench.erase(id, 3..9);
            bench.scan(&[id]);
            assert!(remote.calls().is_empty(), "{what}: it is not asked any more");
        }
    }
}

#[test]
fn a_gpu_that_leaves_probes_unanswered_is_a_lost_one() {
    let (mut bench, remote) = one();
    let (a, b) = (bench.filled(30), bench.filled(40));
    remote.with(|script| script.is_short = true);
    assert_eq!(bench.scan(&[a, b]), CPU);
    bench.settle();
    assert_eq!(bench.status(0).state, DeviceState::Failed);
}

#[test]
fn an_erased_row_is_gone_from_the_device_or_the_device_is() {
    let (mut bench, remote) = one();
    let id = bench.filled(3_000);
    remote.with(|script| script.given.clear());
    bench.erase(id, 1_500..1_510);
    assert_eq!(
        remote.with(|script| std::mem::take(&mut script.given)),
        [1_500..1_510]
    );
    // It has no memory to follow: the gallery leaves it.
    remote.with(|script| script.on_update.push_back(full));
    bench.erase(id, 20..30);
    assert_eq!(remote.held(id), 0..0);
    assert_eq!(bench.scan(&[id]), CPU);
    // It can't even forget: it is dropped.
    let other = bench.filled(40);
    assert_eq!(remote.held(other), 0..0, "no room is known to be left");
    bench.wait(Duration::from_secs(1));
    assert_eq!((remote.held(id), remote.held(other)), (0..3_000, 0..40));
    remote.with(|script| {
        script.on_update.push_back(full);
        script.on_forget.push_back(full);
    });
    bench.erase(other, 0..1);
    assert_eq!(bench.scan(&[id, other]), CPU);
    assert_eq!(remote.with(|script| (script.dropped, script.holds.len())), (1, 0));
}

#[test]
fn a_gallery_too_large_for_the_gpu_leaves_it_to_the_others() {
    let (mut bench, remote) = one();
    let small = bench.filled(700);
    remote.with(|script| script.room = Some(2_000));
    let large = bench.filled(3_000);
    assert_eq!(remote.held(large), 0..0);
    assert_eq!(remote.calls(), ["update", "update", "forget"]);
    assert_eq!(bench.scan(&[large]), CPU);
    assert_eq!(bench.scan(&[small]), NAME);
    assert_eq!(bench.scan(&[small, large]), format!("{NAME} + {CPU}"));
}

#[test]
fn a_gallery_that_outgrows_the_gpu_is_scanned_by_both() {
    let (mut bench, remote) = one();
    remote.with(|script| script.room = Some(2_500));
    let id = bench.filled(2_300);
    bench.append(id, 1_000);
    bench.append(id, 1_000);
    assert_eq!(remote.held(id), 0..2_300, "it keeps what it has");
    assert_eq!(bench.scan(&[id]), format!("{NAME} + {CPU}"));
    bench.erase(id, 2_200..2_400);
    assert_eq!(bench.scan(&[id]), format!("{NAME} + {CPU}"));
    // The device is lost in the middle of it: its part is done by the CPU in the same call.
    remote.with(|script| script.on_scan.push_back(lost));
    assert_eq!(bench.scan(&[id]), CPU);
}

#[test]
fn a_scan_without_room_for_its_results_is_done_by_the_cpu() {
    let (mut bench, remote) = one();
    let (a, b) = (bench.filled(3_000), bench.filled(30));
    remote.with(|script| script.on_scan.push_back(full));
    assert_eq!(bench.scan(&[a]), CPU);
    assert_eq!(bench.scan(&[b]), NAME, "the others stay");
    assert_eq!((remote.held(a), remote.held(b)), (0..0, 0..30));
}

#[test]
fn survivors_are_sorted_and_bounded() {
    assert_eq!(survivors(vec![3, 1, 2], 3), Survivors::Rows(vec![1, 2, 3]));
    assert_eq!(survivors(vec![1], SURVIVORS_MAX + 1), Survivors::All);
}
