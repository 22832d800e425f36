//! Tests of the fall back: whatever a GPU does, a scan is answered.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use std::sync::Mutex;

use super::*;
use crate::engine::samples::{gallery, quantized, resident, rng, unit};

/// A GPU that does as it is told.
#[derive(Default)]
struct Scripted {
    update: Option<fn() -> BackendError>,
    scan: Option<fn() -> BackendError>,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Scripted {
    fn call<T>(
        &self,
        name: &'static str,
        error: Option<fn() -> BackendError>,
        value: T,
    ) -> Result<T, BackendError> {
        self.calls.lock().expect("no panic").push(name);
        error.map_or(Ok(value), |error| Err(error()))
    }
}

impl Backend for Scripted {
    fn name(&self) -> Arc<str> {
        Arc::from("gpu/scripted")
    }
    fn update(&mut self, _: GalleryView<'_>, _: Range<u32>, _: &[Range<u32>]) -> Result<(), BackendError> {
        self.call("update", self.update, ())
    }
    fn forget(&mut self, _: GalleryId) -> Result<(), BackendError> {
        self.call("forget", None, ())
    }
    fn scan(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError> {
        let everything = |work: &Work<'_>| Found {
            survivors: vec![Survivors::All; work.probes.len()],
            by_sign: false,
        };
        self.call("scan", self.scan, work.iter().map(everything).collect())
    }
}

fn lost() -> BackendError {
    BackendError::Lost("unplugged".into())
}

fn full() -> BackendError {
    BackendError::OutOfMemory { bytes: 7 }
}

fn backends(gpu: Scripted) -> (Backends, Arc<Mutex<Vec<&'static str>>>) {
    let calls = Arc::clone(&gpu.calls);
    let cpu = CpuBackend::new(Kernel::Portable, 1).expect("threads");
    (Backends::new(Box::new(cpu), Some(Box::new(gpu))), calls)
}

fn scan(
    backends: &mut Backends,
    gallery: GalleryView<'_>,
    probe: &QuantizedProbe,
) -> (Vec<Survivors>, Arc<str>) {
    let (found, by) = backends.scan(&[Work {
        gallery,
        rows: 0..gallery.rows(),
        probes: vec![probe],
    }]);
    (found.into_iter().flat_map(|found| found.survivors).collect(), by)
}

#[test]
fn a_healthy_gpu_answers() {
    let (mut backends, _) = backends(Scripted::default());
    let (residency, id) = resident(32, &gallery("random", 32, 3, 1));
    let probe = quantized(&unit(32, &mut rng(1)), 0.9);
    let (found, name) = scan(&mut backends, residency.view(id).expect("open"), &probe);
    assert_eq!(
        (found.as_slice(), &*name),
        (&[Survivors::All][..], "gpu/scripted")
    );
}

/// What the GPU's library does when a device is lost while it waits.
fn panics() -> BackendError {
    panic!("the device is lost")
}

#[test]
fn a_gpu_whose_library_panics_is_a_lost_one() {
    let (mut backends, calls) = backends(Scripted {
        scan: Some(panics),
        ..Scripted::default()
    });
    let (residency, id) = resident(32, &gallery("random", 32, 3, 1));
    let probe = quantized(&unit(32, &mut rng(1)), 0.9);
    for _ in 0..2 {
        let (_, name) = scan(&mut backends, residency.view(id).expect("open"), &probe);
        assert_eq!(&*name, "cpu/portable");
    }
    assert_eq!(*calls.lock().expect("no panic"), ["scan"], "asked once");
}

#[test]
fn a_lost_gpu_fails_no_request_and_is_not_asked_again() {
    let (mut backends, calls) = backends(Scripted {
        scan: Some(lost),
        ..Scripted::default()
    });
    let rows = gallery("random", 32, 30, 1);
    let (residency, id) = resident(32, &rows);
    let view = residency.view(id).expect("open");
    let probe = quantized(&unit(32, &mut rng(1)), 0.99);
    assert_eq!(&*backends.name(), "gpu/scripted");
    for _ in 0..2 {
        let (found, name) = scan(&mut backends, view, &probe);
        assert!(matches!(&found[0], Survivors::Rows(_)));
        assert_eq!(&*name, "cpu/portable");
    }
    backends.update(view, &[0..3]);
    assert_eq!(*calls.lock().expect("no panic"), ["scan"]);
    assert_eq!(&*backends.name(), "cpu/portable");
}

#[test]
fn a_gallery_too_large_for_the_gpu_leaves_it_to_the_others() {
    let (mut backends, calls) = backends(Scripted {
        update: Some(full),
        ..Scripted::default()
    });
    let (mut residency, large) = resident(32, &gallery("random", 32, 30, 1));
    let small = residency.open(crate::engine::samples::dim(32));
    let probe = quantized(&unit(32, &mut rng(1)), 0.99);
    let view = residency.view(large).expect("open");
    backends.update(view, &[0..30]);
    backends.update(view, &[0..30]);
    let (_, by) = scan(&mut backends, view, &probe);
    assert_eq!(&*by, "cpu/portable");
    let (_, by) = scan(&mut backends, residency.view(small).expect("open"), &probe);
    assert_eq!(&*by, "gpu/scripted");
    assert_eq!(*calls.lock().expect("no panic"), ["update", "forget", "scan"]);
}

#[test]
fn survivors_are_sorted_and_bounded() {
    assert_eq!(survivors(vec![3, 1, 2], 3), Survivors::Rows(vec![1, 2, 3]));
    assert_eq!(survivors(vec![1], SURVIVORS_MAX + 1), Survivors::All);
}
