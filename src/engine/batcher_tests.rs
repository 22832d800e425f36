//! Tests of the batcher with a backend that stops at a gate, so that what waits is known.

use std::ops::Range;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::engine::backend::{Backend, BackendError, Found};
use crate::engine::code::Codes;
use crate::engine::gallery::GalleryView;
use crate::engine::samples::{config, dim, gallery, rng, unit};
use crate::engine::{Engine, ScanRequest, Survivors};

/// Says how many probes came of which gallery, then waits to be let through.
struct Gate {
    entered: mpsc::Sender<(GalleryId, usize)>,
    open: mpsc::Receiver<()>,
}

impl Backend for Gate {
    fn name(&self) -> Arc<str> {
        Arc::from("gate")
    }
    fn update(&mut self, _: GalleryView<'_>, _: Range<u32>, _: &[Range<u32>]) -> Result<(), BackendError> {
        Ok(())
    }
    fn forget(&mut self, _: GalleryId) -> Result<(), BackendError> {
        Ok(())
    }
    fn scan(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError> {
        let mut found = Vec::new();
        for Work { gallery, probes, .. } in work {
            self.entered
                .send((gallery.id(), probes.len()))
                .expect("the test listens");
            self.open.recv().expect("the test opens");
            let rows = (0..gallery.rows()).collect();
            found.push(Found {
                survivors: vec![Survivors::Rows(rows); probes.len()],
                by_sign: false,
            });
        }
        Ok(found)
    }
}

struct Bench {
    engine: Engine,
    entered: mpsc::Receiver<(GalleryId, usize)>,
    open: mpsc::Sender<()>,
}

impl Bench {
    fn new(batch_max: usize, queue_max: usize) -> Self {
        let (entered, entries) = mpsc::channel();
        let (open, opened) = mpsc::channel();
        let config = EngineConfig {
            batch_max,
            queue_max,
            ..config()
        };
        let gate = Gate {
            entered,
            open: opened,
        };
        let engine =
            Engine::with_backends(config, move || Ok(Backends::new(Box::new(gate), None))).expect("started");
        Self {
            engine,
            entered: entries,
            open,
        }
    }

    fn gallery(&self) -> GalleryId {
        self.engine.open_gallery(dim(32)).expect("opened")
    }

    fn scan(&self, gallery: GalleryId) -> tokio::task::JoinHandle<Result<Scanned, EngineError>> {
        self.scan_until(gallery, None)
    }

    fn scan_until(
        &self,
        gallery: GalleryId,
        deadline: Option<Instant>,
    ) -> tokio::task::JoinHandle<Result<Scanned, EngineError>> {
        let engine = self.engine.clone();
        let probe = Arc::from(unit(32, &mut rng(1)));
        tokio::spawn(async move {
            engine
                .scan(ScanRequest {
                    gallery,
                    probe,
                    threshold: 0.5,
                    deterministic: false,
                    deadline,
                })
                .await
        })
    }

    /// The next batch that reaches the gate.
    fn entered(&self) -> (GalleryId, usize) {
        self.entered
            .recv_timeout(Duration::from_secs(10))
            .expect("a batch comes")
    }

    fn open(&self) {
        self.open.send(()).expect("the engine waits");
    }

    /// Waits until so many scans wait or run.
    async fn waiting(&self, count: usize) {
        while self.engine.inner.shared.waiting() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The job is sent right after its place was taken.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_together_runs_together_up_to_the_limit() {
    let bench = Bench::new(3, 100);
    let a = bench.gallery();
    let first = bench.scan(a);
    assert_eq!(bench.entered(), (a, 1));
    let mut waiting = Vec::new();
    for count in 0..5 {
        waiting.push(bench.scan(a));
        bench.waiting(count + 2).await;
    }
    bench.open();
    for batch in [(a, 3), (a, 2)] {
        assert_eq!(bench.entered(), batch);
        bench.open();
    }
    for scan in waiting.into_iter().chain([first]) {
        scan.await.expect("no panic").expect("scanned");
    }
    bench.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_is_seen_by_scans_that_waited_longer() {
    let bench = Bench::new(8, 100);
    let id = bench.gallery();
    let first = bench.scan(id);
    bench.entered();
    let second = bench.scan(id);
    bench.waiting(2).await;
    let appended = std::thread::scope(|scope| {
        let engine = &bench.engine;
        let codes = Codes::encode(dim(32), &gallery("random", 32, 1, 1));
        let append = scope.spawn(move || engine.append(id, codes));
        std::thread::sleep(Duration::from_millis(50));
        bench.open();
        append.join()
    });
    assert_eq!(appended.expect("no panic"), Ok(0));
    bench.entered();
    bench.open();
    assert_eq!(
        first.await.expect("no panic").expect("scanned").survivors,
        Survivors::Rows(vec![])
    );
    assert_eq!(
        second.await.expect("no panic").expect("scanned").survivors,
        Survivors::Rows(vec![0])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_names_its_limit() {
    let bench = Bench::new(8, 2);
    let id = bench.gallery();
    let waiting = [bench.scan(id), bench.scan(id)];
    bench.waiting(2).await;
    let refusal = bench.scan(id).await.expect("no panic").expect_err("refused");
    assert_eq!(refusal, EngineError::QueueFull { max: 2 });
    assert!(refusal.to_string().contains("engine.queue_max"));
    bench.entered();
    bench.open();
    // The two may have come as one batch or as two.
    bench.open();
    for scan in waiting {
        scan.await.expect("no panic").expect("scanned");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_that_nobody_waits_for_are_left_out() {
    let bench = Bench::new(8, 100);
    let id = bench.gallery();
    let first = bench.scan(id);
    bench.entered();
    let late = bench.scan_until(id, Some(Instant::now() + Duration::from_millis(300)));
    let gone = bench.scan(id);
    let kept = bench.scan(id);
    bench.waiting(4).await;
    gone.abort();
    assert!(gone.await.expect_err("aborted").is_cancelled());
    tokio::time::sleep(Duration::from_millis(350)).await;
    bench.open();
    assert_eq!(bench.entered(), (id, 1));
    bench.open();
    first.await.expect("no panic").expect("scanned");
    kept.await.expect("no panic").expect("scanned");
    assert_eq!(late.await.expect("no panic"), Err(EngineError::DeadlineExceeded));
    bench.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_waits_while_its_gallery_is_closed_is_told() {
    let bench = Bench::new(8, 100);
    let (id, other) = (bench.gallery(), bench.gallery());
    let first = bench.scan(other);
    bench.entered();
    let waits = bench.scan(id);
    bench.waiting(2).await;
    std::thread::scope(|scope| {
        let engine = &bench.engine;
        let close = scope.spawn(move || engine.close_gallery(id));
        std::thread::sleep(Duration::from_millis(50));
        bench.open();
        close.join().expect("no panic").expect("closed");
    });
    assert_eq!(
        waits.await.expect("no panic"),
        Err(EngineError::GalleryUnknown(id))
    );
    first.await.expect("no panic").expect("scanned");
}

#[test]
fn a_backend_that_does_not_open_stops_the_start() {
    let engine = Engine::with_backends(config(), || Err(EngineError::NoAdapter("test".into())));
    assert_eq!(engine.err(), Some(EngineError::NoAdapter("test".into())));
}
