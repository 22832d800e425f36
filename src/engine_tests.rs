//! Tests of the engine as the matcher uses it: exact on every backend, seen at once, forgotten at once, limits named.
#![expect(clippy::cast_possible_truncation, reason = "counts of a test are small")]

use std::sync::mpsc;
use std::time::Duration;

use half::f16;

use super::*;
use crate::engine::samples::{
    KINDS, check, config, dim, gallery, normalized, probes, rng, rotated, scores, thresholds, unit,
};

fn request(gallery: GalleryId, probe: &[f32], threshold: f32) -> ScanRequest {
    ScanRequest {
        gallery,
        probe: Arc::from(probe),
        threshold,
        deterministic: true,
        deadline: None,
    }
}

fn engines() -> Vec<Engine> {
    let cpu = Kernel::ALL
        .into_iter()
        .filter(|kernel| kernel.is_supported())
        .map(|kernel| EngineConfig {
            kernel: Some(kernel),
            ..config()
        });
    let gpu = EngineConfig {
        backend: BackendChoice::Gpu,
        ..config()
    };
    cpu.chain([gpu])
        .map(|config| Engine::start(config).unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

fn filled(engine: &Engine, d: usize, rows: &[f16]) -> GalleryId {
    let id = engine.open_gallery(dim(d)).expect("opened");
    engine.append(id, Codes::encode(dim(d), rows)).expect("appended");
    id
}

/// A probe that is the stored row itself.
fn of_row(rows: &[f16], d: usize, row: usize) -> Vec<f32> {
    normalized(rows[row * d..(row + 1) * d].iter().map(|v| v.to_f32()).collect())
}

async fn found(engine: &Engine, id: GalleryId, probe: &[f32], threshold: f32) -> Vec<u32> {
    let scanned = engine.scan(request(id, probe, threshold)).await.expect("scanned");
    match scanned.survivors {
        Survivors::Rows(rows) => rows,
        Survivors::All => panic!("overflow"),
    }
}

#[tokio::test]
async fn every_backend_gives_the_answer_of_an_exhaustive_scan() {
    for engine in engines() {
        for (kind, d) in KINDS.into_iter().zip([32, 96, 256, 512, 64, 160, 128]) {
            let rows = gallery(kind, d, 1_500, 11);
            let id = engine.open_gallery(dim(d)).expect("opened");
            for part in rows.chunks(d * 700) {
                engine.append(id, Codes::encode(dim(d), part)).expect("appended");
            }
            for probe in probes(&rows, d, 3, 12) {
                let scores = scores(&probe, &rows);
                for threshold in thresholds(&scores) {
                    let scanned = engine
                        .scan(request(id, &probe, threshold))
                        .await
                        .expect("scanned");
                    let what = format!("{} {kind} {d}", engine.backend());
                    check(&scanned.survivors, &scores, threshold, &what);
                    assert_eq!((scanned.rows, &*scanned.backend), (1_500, &*engine.backend()));
                    assert_eq!(scanned.certificate, Certificate::Deterministic);
                }
            }
            engine.close_gallery(id).expect("closed");
        }
    }
}

#[tokio::test]
async fn rotated_galleries_are_searched_by_their_signs_and_no_row_is_missed() {
    for engine in engines() {
        let mut by_sign = 0;
        for (kind, d) in [
            ("random", 256),
            ("anisotropic", 256),
            ("clustered", 128),
            ("spiky", 192),
        ] {
            let rows = rotated(&gallery(kind, d, 1_500, 11), d, 3);
            let id = filled(&engine, d, &rows);
            for probe in probes(&rows, d, 6, 12) {
                let scores = scores(&probe, &rows);
                for threshold in [0.55, 0.7] {
                    let scanned = engine
                        .scan(ScanRequest {
                            deterministic: false,
                            ..request(id, &probe, threshold)
                        })
                        .await
                        .expect("scanned");
                    let what = format!("{} {kind} {d}", engine.backend());
                    check(&scanned.survivors, &scores, threshold, &what);
                    let miss_probability = 1e-9;
                    by_sign +=
                        u32::from(scanned.certificate == Certificate::Probabilistic { miss_probability });
                }
            }
        }
        assert!(
            by_sign > 0 || engine.backend().starts_with("gpu/"),
            "{}",
            engine.backend()
        );
    }
}

#[tokio::test]
async fn scans_handed_in_together_are_answered_in_their_order() {
    let engine = Engine::start(config()).expect("started");
    let rows = gallery("random", 64, 300, 1);
    let (full, empty) = (
        filled(&engine, 64, &rows),
        engine.open_gallery(dim(64)).expect("opened"),
    );
    let closed = engine.open_gallery(dim(64)).expect("opened");
    engine.close_gallery(closed).expect("closed");
    let probe = of_row(&rows, 64, 7);
    let requests: Vec<ScanRequest> = [full, closed, empty, full]
        .into_iter()
        .map(|id| request(id, &probe, 0.98))
        .collect();
    let answers = engine.scan_batch(&requests).await;
    let survivors = |answer: &Result<Scanned, EngineError>| answer.clone().map(|scanned| scanned.survivors);
    assert_eq!(survivors(&answers[0]), Ok(Survivors::Rows(vec![7])));
    assert_eq!(survivors(&answers[1]), Err(EngineError::GalleryUnknown(closed)));
    assert_eq!(survivors(&answers[2]), Ok(Survivors::Rows(Vec::new())));
    assert_eq!(survivors(&answers[3]), Ok(Survivors::Rows(vec![7])));
}

#[tokio::test]
async fn an_appended_row_is_found_by_the_next_scan_and_an_erased_one_never() {
    for engine in engines() {
        let rows = gallery("random", 64, 200, 1);
        let id = engine.open_gallery(dim(64)).expect("opened");
        for row in 0..200 {
            let codes = Codes::encode(dim(64), &rows[row * 64..(row + 1) * 64]);
            assert_eq!(engine.append(id, codes), Ok(row as u32));
            if row % 40 == 0 {
                let probe = of_row(&rows, 64, row);
                assert_eq!(found(&engine, id, &probe, 0.98).await, [row as u32]);
            }
        }
        engine.erase(id, vec![80, 3, 80]).expect("erased");
        engine.erase(id, vec![80]).expect("harmless");
        let probe = of_row(&rows, 64, 80);
        assert_eq!(found(&engine, id, &probe, 0.98).await, [0_u32; 0]);
        let everything = found(&engine, id, &probe, -1.0).await;
        assert!(everything.len() > 190 && !everything.contains(&80) && !everything.contains(&3));
        let again = Codes::encode(dim(64), &rows[80 * 64..81 * 64]);
        assert_eq!(engine.append(id, again), Ok(200));
        assert_eq!(found(&engine, id, &probe, 0.98).await, [200]);
    }
}

#[tokio::test]
async fn galleries_do_not_see_each_other() {
    for engine in engines() {
        let rows = gallery("random", 32, 50, 1);
        let (mine, other) = (
            filled(&engine, 32, &rows),
            filled(&engine, 64, &gallery("random", 64, 50, 2)),
        );
        let empty = engine.open_gallery(dim(32)).expect("opened");
        let probe = of_row(&rows, 32, 7);
        assert_eq!(found(&engine, mine, &probe, 0.98).await, [7]);
        assert_eq!(found(&engine, empty, &probe, 0.5).await, [0_u32; 0]);
        let refusal = engine
            .scan(request(other, &probe, 0.5))
            .await
            .expect_err("another dimension");
        assert!(matches!(refusal, EngineError::Rejected(_)), "{refusal}");
    }
}

#[tokio::test]
async fn a_closed_gallery_is_unknown_to_everything() {
    let engine = Engine::start(config()).expect("started");
    let rows = gallery("random", 32, 50, 1);
    let id = filled(&engine, 32, &rows);
    assert!(engine.resident_bytes(id) >= 50 * (16 + 12));
    engine.close_gallery(id).expect("closed");
    let unknown = EngineError::GalleryUnknown(id);
    assert_eq!(engine.resident_bytes(id), 0);
    assert_eq!(engine.close_gallery(id), Err(unknown.clone()));
    assert_eq!(engine.erase(id, vec![0]), Err(unknown.clone()));
    assert_eq!(
        engine.append(id, Codes::encode(dim(32), &rows)),
        Err(unknown.clone())
    );
    let probe = unit(32, &mut rng(1));
    assert_eq!(engine.scan(request(id, &probe, 0.5)).await, Err(unknown));
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_refused() {
    let engine = Engine::start(config()).expect("started");
    let id = filled(&engine, 32, &gallery("random", 32, 5, 1));
    let mut late = request(id, &unit(32, &mut rng(1)), 0.5);
    late.deadline = Some(Instant::now());
    assert_eq!(engine.scan(late).await, Err(EngineError::DeadlineExceeded));
}

#[test]
fn memory_beyond_the_limit_is_refused_and_the_gallery_stays() {
    let engine = Engine::start(EngineConfig {
        resident_bytes_max: 10_000,
        ..config()
    })
    .expect("started");
    let id = filled(&engine, 32, &gallery("random", 32, 100, 1));
    let before = engine.resident_bytes(id);
    let refusal = engine.append(id, Codes::encode(dim(32), &gallery("random", 32, 1_000, 1)));
    assert!(
        matches!(refusal, Err(EngineError::MemoryFull { max: 10_000, .. })),
        "{refusal:?}"
    );
    assert_eq!(engine.resident_bytes(id), before);
    let one = Codes::encode(dim(32), &gallery("random", 32, 1, 2));
    assert_eq!(engine.append(id, one), Ok(100), "smaller ones still fit");
}

#[test]
fn settings_out_of_range_and_kernels_that_do_not_run_stop_the_start() {
    let threads = Engine::start(EngineConfig {
        threads: 0,
        ..config()
    });
    assert!(matches!(
        threads.err(),
        Some(EngineError::Config {
            field: "engine.threads",
            ..
        })
    ));
}

#[test]
fn the_name_of_the_backend_tells_the_kernel() {
    let engine = Engine::start(EngineConfig {
        kernel: Some(Kernel::Portable),
        ..config()
    })
    .expect("started");
    assert_eq!(engine.backend(), "cpu/portable");
}

#[test]
fn auto_never_takes_a_software_adapter() {
    let engine = Engine::start(EngineConfig {
        backend: BackendChoice::Auto,
        ..config()
    })
    .expect("started");
    assert!(!engine.backend().contains("llvmpipe"), "{}", engine.backend());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_get_their_own_answers() {
    let engine = Engine::start(EngineConfig {
        batch_max: 5,
        ..config()
    })
    .expect("started");
    let rows = gallery("random", 96, 3_000, 1);
    let id = filled(&engine, 96, &rows);
    let tasks: Vec<_> = (0..200)
        .map(|row| {
            let (engine, probe) = (engine.clone(), of_row(&rows, 96, row));
            tokio::spawn(async move { found(&engine, id, &probe, 0.98).await })
        })
        .collect();
    for (row, task) in (0_u32..).zip(tasks) {
        assert_eq!(task.await.expect("no panic"), [row]);
    }
}

#[test]
fn the_last_handle_ends_the_thread() {
    let engine = Engine::start(config()).expect("started");
    let shared = Arc::downgrade(&engine.inner.shared);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        drop(engine);
        sender.send(()).expect("received");
    });
    receiver.recv_timeout(Duration::from_secs(10)).expect("it ends");
    assert!(shared.upgrade().is_none());
}
