//! Tests of the GPU backend on whatever adapter there is, lavapipe included. Without one they fail and say what to install.
//! Those of every kernel against the bounds are in `gpu/kernel_tests`.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use super::*;
use crate::engine::Survivors;
use crate::engine::bound::QuantizedProbe;
use crate::engine::code::Codes;
use crate::engine::config::Kernel;
use crate::engine::cpu::CpuBackend;
use crate::engine::gallery::PackedRows;
use crate::engine::residency::Residency;
use crate::engine::samples::{
    KINDS, check, dim, gallery, probes, quantized, resident, scan, scores, thresholds,
};

/// An open device for tests of its parts.
pub(super) fn device() -> Device {
    adapter::list(true)
        .and_then(|adapters| Device::open(adapters.first().ok_or("none")?))
        .unwrap_or_else(|reason| panic!("no Vulkan adapter: install mesa-vulkan-drivers ({reason})"))
}

pub(super) fn open() -> GpuBackend {
    GpuBackend::open(true, 16)
        .unwrap_or_else(|reason| panic!("no Vulkan adapter: install mesa-vulkan-drivers ({reason})"))
}

fn update(
    gpu: &mut GpuBackend,
    residency: &Residency,
    id: GalleryId,
    changed: &[Range<u32>],
) -> Result<(), BackendError> {
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..view.rows(), changed)
}

fn rows(survivors: &Survivors) -> &[u32] {
    match survivors {
        Survivors::Rows(rows) => rows,
        Survivors::All => panic!("overflow"),
    }
}

#[test]
fn the_self_test_passes_and_leaves_nothing() {
    let mut gpu = open();
    assert_eq!(gpu.self_test(), Ok(()));
    assert!(gpu.mirrors.is_empty() && gpu.pools.is_empty());
    assert!(gpu.name().starts_with("gpu/"), "{}", gpu.name());
}

#[test]
fn the_gpu_keeps_every_row_at_or_above_the_threshold() {
    let mut gpu = open();
    for kind in KINDS {
        for (d, n) in [
            (32, 1_025),
            (96, 7),
            (96, 1_025),
            (256, 300),
            (512, 100),
            (32, 1),
            (32, 0),
        ] {
            let rows = gallery(kind, d, n, d as u64);
            let (residency, id) = resident(d, &rows);
            let view = residency.view(id).expect("open");
            gpu.update(view, 0..view.rows(), &[0..view.rows()])
                .expect("uploaded");
            for probe in probes(&rows, d, 3, 1) {
                let scores = scores(&probe, &rows);
                let thresholds = thresholds(&scores);
                let batch: Vec<QuantizedProbe> = thresholds.iter().map(|t| quantized(&probe, *t)).collect();
                let found = scan(&mut gpu, view, &batch.iter().collect::<Vec<_>>()).expect("scanned");
                for (survivors, threshold) in found.iter().zip(&thresholds) {
                    check(survivors, &scores, *threshold, &format!("{kind} {d} x {n}"));
                }
            }
            gpu.forget(id).expect("forgotten");
        }
    }
}

/// What stage 2 keeps by its statement, with figures as the device holds them. Rounding may move a row whose bound meets the limit; in
/// these tests it moves none.
fn kept(gallery: GalleryView<'_>, probe: &QuantizedProbe) -> Survivors {
    let survives = |row: &u32| {
        let (nibbles, scale) = gallery.row(*row).expect("there");
        let codes = nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]);
        let dot: i32 = codes
            .zip(&probe.values)
            .map(|(u, p)| i32::from(u) * i32::from(*p))
            .sum();
        probe.survives(&planes::held(&scale, nibbles), 2 * dot - probe.offset)
    };
    Survivors::Rows((0..gallery.rows()).filter(survives).collect())
}

#[test]
fn a_full_batch_finds_what_the_bound_keeps_and_all_that_the_cpu_finds() {
    let (mut gpu, mut cpu) = (open(), CpuBackend::new(Kernel::Portable, 1).expect("threads"));
    let all = gallery("clustered", 96, 3_000, 4);
    let (residency, id) = resident(96, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..view.rows(), &[0..3_000]).expect("uploaded");
    let batch: Vec<QuantizedProbe> = probes(&all, 96, 16, 5)
        .iter()
        .map(|p| quantized(p, 0.8))
        .collect();
    let batch: Vec<&QuantizedProbe> = batch.iter().collect();
    let (found, by_cpu) = (
        scan(&mut gpu, view, &batch).expect("scanned"),
        scan(&mut cpu, view, &batch).expect("scanned"),
    );
    let listed: usize = found.iter().map(|s| rows(s).len()).sum();
    assert!(listed > 1_000, "{listed} survivors take the second read");
    for ((probe, found), by_cpu) in batch.iter().zip(&found).zip(&by_cpu) {
        assert!(*found == kept(view, probe));
        // Figures of 16 bits may keep a few more.
        assert!(rows(by_cpu).iter().all(|row| rows(found).contains(row)));
    }
}

#[test]
fn rows_follow_appends_and_erasures_through_growth() {
    let mut gpu = open();
    let all = gallery("random", 32, 5_000, 6);
    let (mut residency, id) = resident(32, &all[..32 * 100]);
    update(&mut gpu, &residency, id, &[0..100]).expect("uploaded");
    for (from, to) in [(100, 101), (101, 1_030), (1_030, 5_000)] {
        let codes = Codes::encode(dim(32), &all[from * 32..to * 32]);
        let packed = PackedRows::pack(codes).expect("whole rows");
        let range = residency.append(id, &packed).expect("memory");
        update(&mut gpu, &residency, id, &[range]).expect("uploaded");
    }
    let probe_of = |row: usize| -> Vec<f32> {
        let row = all[row * 32..(row + 1) * 32].iter().map(|v| v.to_f32()).collect();
        crate::engine::samples::normalized(row)
    };
    let find = |gpu: &mut GpuBackend, residency: &Residency, row: usize| {
        let probe = quantized(&probe_of(row), 0.98);
        let found = scan(gpu, residency.view(id).expect("open"), &[&probe]).expect("scanned");
        rows(&found[0]).iter().any(|found| *found as usize == row)
    };
    for row in [0, 99, 100, 1_023, 1_024, 1_029, 4_999] {
        assert!(find(&mut gpu, &residency, row), "row {row}");
    }
    residency.erase(id, &[99, 100, 4_999]).expect("there");
    update(&mut gpu, &residency, id, &[99..101, 4_999..5_000]).expect("uploaded");
    for (row, found) in [
        (99, false),
        (100, false),
        (4_999, false),
        (98, true),
        (4_998, true),
    ] {
        assert_eq!(find(&mut gpu, &residency, row), found, "row {row}");
    }
}

#[test]
fn too_many_survivors_are_noticed() {
    let mut gpu = open();
    let all = gallery("duplicated", 32, 60_000, 3);
    let (residency, id) = resident(32, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..view.rows(), &[0..60_000]).expect("uploaded");
    let same: Vec<f32> = all[..32].iter().map(|v| v.to_f32()).collect();
    let other = quantized(&same.iter().map(|v| -v).collect::<Vec<_>>(), 0.99);
    let found = scan(&mut gpu, view, &[&quantized(&same, 0.9), &other]).expect("scanned");
    assert_eq!(found[0], Survivors::All);
    assert!(matches!(&found[1], Survivors::Rows(_)));
}

#[test]
fn a_gallery_that_was_never_uploaded_is_an_error_unless_empty() {
    let mut gpu = open();
    let all = gallery("random", 32, 3, 3);
    let probe = quantized(&probes(&[], 32, 1, 1)[0], 0.5);
    let (residency, id) = resident(32, &all);
    assert!(scan(&mut gpu, residency.view(id).expect("open"), &[&probe]).is_err());
    let (empty, id) = resident(32, &[]);
    let found = scan(&mut gpu, empty.view(id).expect("open"), &[&probe]).expect("scanned");
    assert_eq!(found, [Survivors::Rows(Vec::new())]);
}

#[test]
fn rows_beyond_those_that_are_held_are_an_error() {
    let mut gpu = open();
    let all = gallery("random", 32, 3_000, 3);
    let (residency, id) = resident(32, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 1_024..2_500, &[]).expect("uploaded");
    let probe = quantized(&probes(&[], 32, 1, 1)[0], 0.5);
    for (rows, is_held) in [
        (1_024..2_500, true),
        (1_024..2_501, false),
        (0..2_500, false),
        (2_048..2_049, true),
    ] {
        let work = Work {
            gallery: view,
            rows: rows.clone(),
            probes: vec![&probe],
        };
        assert_eq!(gpu.scan(&[work]).is_ok(), is_held, "{rows:?}");
    }
}

#[test]
fn a_part_answers_for_its_rows_alone() {
    let mut gpu = open();
    let all = gallery("clustered", 64, 5_000, 4);
    let (residency, id) = resident(64, &all);
    let view = residency.view(id).expect("open");
    let batch: Vec<QuantizedProbe> = probes(&all, 64, 6, 5).iter().map(|p| quantized(p, 0.7)).collect();
    let batch: Vec<&QuantizedProbe> = batch.iter().collect();
    gpu.update(view, 0..5_000, &[]).expect("uploaded");
    let whole = scan(&mut gpu, view, &batch).expect("scanned");
    for held in [1_024..5_000, 2_048..3_333, 0..2_000] {
        gpu.update(view, held.clone(), &[]).expect("moved");
        let work = Work {
            gallery: view,
            rows: held.clone(),
            probes: batch.clone(),
        };
        let found = gpu.scan(&[work]).expect("scanned").swap_remove(0);
        for (part, whole) in found.survivors.iter().zip(&whole) {
            let expected: Vec<u32> = rows(whole)
                .iter()
                .copied()
                .filter(|row| held.contains(row))
                .collect();
            assert_eq!(rows(part), expected, "{held:?}");
        }
    }
}

#[test]
fn galleries_of_any_dimension_are_scanned_in_one_call() {
    let mut gpu = open();
    gpu.batch_max = 1;
    let galleries: Vec<_> = (0..40_usize)
        .map(|i| {
            let d = [32, 64, 256][i % 3];
            (d, gallery("random", d, 10 + 37 * i, i as u64))
        })
        .collect();
    let mut works = Vec::new();
    let batches: Vec<Vec<QuantizedProbe>> = galleries
        .iter()
        .enumerate()
        .map(|(i, (d, all))| {
            let found = probes(all, *d, 1 + i % 19, 9);
            found.iter().map(|probe| quantized(probe, 0.35)).collect()
        })
        .collect();
    let mut residency = Residency::with_limits(crate::engine::config::LockMemory::Off, u64::MAX, true);
    let ids: Vec<GalleryId> = galleries
        .iter()
        .map(|(d, all)| {
            let id = residency.open(dim(*d));
            let packed = PackedRows::pack(Codes::encode(dim(*d), all)).expect("whole rows");
            residency.append(id, &packed).expect("memory");
            id
        })
        .collect();
    for (id, batch) in ids.iter().zip(&batches) {
        let view = residency.view(*id).expect("open");
        gpu.update(view, 0..view.rows(), &[]).expect("uploaded");
        works.push(Work {
            gallery: view,
            rows: 0..view.rows(),
            probes: batch.iter().collect(),
        });
    }
    let together = gpu.scan(&works).expect("scanned");
    for (work, found) in works.iter().zip(together) {
        for (probe, survivors) in work.probes.iter().zip(found.survivors) {
            assert!(survivors == kept(work.gallery, probe));
        }
    }
}

#[test]
fn devices_are_opened_by_name_again() {
    let all = GpuBackend::open_all(true, 4).expect("an adapter");
    let names: Vec<Arc<str>> = all.iter().map(Backend::name).collect();
    assert!(!names.is_empty());
    drop(all);
    for name in names {
        let mut gpu = GpuBackend::open_by_name(&name, 4).expect("still there");
        assert_eq!(gpu.name(), name);
        gpu.device.raw().destroy();
        assert!(gpu.self_test().is_err());
        let mut gpu = GpuBackend::open_by_name(&gpu.name(), 4).expect("a new device");
        assert_eq!(gpu.self_test(), Ok(()));
    }
    let error = GpuBackend::open_by_name("gpu/none", 4)
        .err()
        .expect("no such device");
    assert!(error.contains("gpu/none"), "{error}");
}

#[path = "gpu/kernel_tests.rs"]
mod kernel;
