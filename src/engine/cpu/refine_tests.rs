//! Tests of the CPU kernels: each one gives the rows that the bound, stated plainly, lets through, and misses none.

use half::f16;

use super::*;
use crate::engine::Survivors;
use crate::engine::backend::{Backend as _, Work};
use crate::engine::bound::sign::quantile;
use crate::engine::config::Kernel;
use crate::engine::cpu::CpuBackend;
use crate::engine::cpu::kernel::functions;
use crate::engine::samples::{
    KINDS, check, dim, gallery, normalized, probes, quantized, resident, resident_with, scan, scores,
    thresholds,
};

fn kernels() -> Vec<CpuBackend> {
    Kernel::ALL
        .into_iter()
        .filter(|kernel| kernel.is_supported())
        .map(|kernel| CpuBackend::new(kernel, 2).expect("threads"))
        .collect()
}

fn scan_rows(
    backend: &mut CpuBackend,
    d: usize,
    rows: &[half::f16],
    probes: &[QuantizedProbe],
) -> Vec<Survivors> {
    let (residency, id) = resident(d, rows);
    let references: Vec<&QuantizedProbe> = probes.iter().collect();
    scan(backend, residency.view(id).expect("open"), &references).expect("the CPU answers")
}

#[test]
fn every_kernel_keeps_every_row_at_or_above_the_threshold() {
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
            for probe in probes(&rows, d, 4, 1) {
                let scores = scores(&probe, &rows);
                let thresholds = thresholds(&scores);
                let batch: Vec<QuantizedProbe> = thresholds.iter().map(|t| quantized(&probe, *t)).collect();
                for backend in &mut kernels() {
                    let found = scan_rows(backend, d, &rows, &batch);
                    for (survivors, threshold) in found.iter().zip(&thresholds) {
                        let what = format!("{} {kind} {d} x {n}", backend.name());
                        check(survivors, &scores, *threshold, &what);
                    }
                }
            }
        }
    }
}

/// Without the signs a second time stage 2 comes first, whatever the probe would allow.
#[test]
fn a_gallery_without_signs_is_scanned_by_every_kernel() {
    let rows = gallery("random", 128, 1_030, 5);
    let (residency, id) = resident_with(128, &rows, false);
    let values = probes(&rows, 128, 2, 1).remove(1);
    let probe = QuantizedProbe::new(&values.clone().into(), dim(128), 0.6, Some(quantile(128, 1e-4)));
    let probe = probe.expect("a unit vector");
    assert!(
        probe.sign.is_some_and(|bound| bound.typical > 1.2),
        "stage 1 would pay"
    );
    let scores = scores(&values, &rows);
    for backend in &mut kernels() {
        let view = residency.view(id).expect("open");
        let work = Work {
            gallery: view,
            rows: 0..view.rows(),
            probes: vec![&probe; 3],
        };
        let found = backend.scan(&[work]).expect("the CPU answers").remove(0);
        assert!(!found.by_sign, "{}", backend.name());
        for survivors in &found.survivors {
            check(survivors, &scores, 0.6, &backend.name());
        }
    }
}

/// Rows whose products are as large as they get, side by side, with themselves as probes: sums in 16 bits are full.
#[test]
fn the_largest_sums_are_kept() {
    for d in [64, 256, 2_048] {
        for held in [32, 64, d] {
            let row: Vec<f32> = (0..d).map(|k| if k < held { 1.0 } else { 0.0 }).collect();
            let row = normalized(row);
            let rows: Vec<f16> = (0..40)
                .flat_map(|_| row.iter().map(|x| f16::from_f32(*x)))
                .collect();
            let probe: Vec<f32> = rows[..d].iter().map(|x| x.to_f32()).collect();
            let scores = scores(&probe, &rows);
            for backend in &mut kernels() {
                for count in [1, 5] {
                    let batch: Vec<QuantizedProbe> =
                        (0..count).map(|_| quantized(&probe, scores[0])).collect();
                    for survivors in &scan_rows(backend, d, &rows, &batch) {
                        let what = format!("{} {held} of {d}", backend.name());
                        check(survivors, &scores, scores[0], &what);
                    }
                }
            }
        }
    }
}

/// Every dimension up to 1,024 and some larger ones, with as many rows as no tile divides.
#[test]
fn every_kernel_is_exact_in_every_dimension() {
    let dims = (32..=1_024).step_by(32).chain([1_056, 1_504, 2_048]);
    for ((d, kind), n) in dims
        .zip(KINDS.into_iter().cycle())
        .zip([1, 15, 17, 63, 65, 130].into_iter().cycle())
    {
        let rows = gallery(kind, d, n, d as u64);
        for probe in probes(&rows, d, 2, 1) {
            let scores = scores(&probe, &rows);
            let thresholds = thresholds(&scores);
            let batch: Vec<QuantizedProbe> = thresholds.iter().map(|t| quantized(&probe, *t)).collect();
            for backend in &mut kernels() {
                let found = scan_rows(backend, d, &rows, &batch);
                for (survivors, threshold) in found.iter().zip(&thresholds) {
                    let what = format!("{} {kind} {d} x {n}", backend.name());
                    check(survivors, &scores, *threshold, &what);
                }
            }
        }
    }
}

#[test]
fn all_kernels_agree_whatever_the_batch() {
    let rows = gallery("clustered", 160, 20_000, 7);
    let all = probes(&rows, 160, 47, 2);
    for size in [1, 3, 4, 5, 13, 16, 17, 31, 32, 33, 47] {
        let batch: Vec<QuantizedProbe> = all[..size].iter().map(|probe| quantized(probe, 0.85)).collect();
        let answers: Vec<Vec<Survivors>> = kernels()
            .iter_mut()
            .map(|backend| scan_rows(backend, 160, &rows, &batch))
            .collect();
        for answer in &answers {
            assert_eq!(answer, &answers[0], "batch of {size}");
        }
        let some = |s: &Survivors| !matches!(s, Survivors::Rows(rows) if rows.is_empty());
        assert!(
            size == 1 || answers[0].iter().any(some),
            "the probes after the first are near rows"
        );
    }
}

/// Lists of any length, and the probe of a batch that no group takes, in the dimensions up to 1,024 and the largest.
#[test]
fn every_kernel_takes_the_listed_rows_that_survive() {
    for d in (32..=1_024).step_by(32).chain([2_048]) {
        let rows = gallery("clustered", d, 150, d as u64);
        let (residency, id) = resident(d, &rows);
        let view = residency.view(id).expect("open");
        let page = view.pages(0..view.rows()).next().expect("one page");
        let probe = probes(&rows, d, 2, 1).remove(1);
        // The rows of one cluster of five survive.
        let batch = [0.9, 0.5].map(|threshold| quantized(&probe, threshold));
        let survives = |position: &u16| {
            let nibbles = page.nibbles.chunks_exact(d / 2).nth(usize::from(*position));
            let codes = nibbles
                .expect("a row")
                .iter()
                .flat_map(|byte| [byte & 15, byte >> 4]);
            let products = codes
                .zip(&batch[1].values)
                .map(|(u, p)| i32::from(u) * i32::from(*p));
            let (offset, weight, limit) = (batch[1].offset, batch[1].weight, batch[1].limit);
            let own = Figures {
                offset,
                weight,
                limit,
            };
            own.survives(page.figures[usize::from(*position)], products.sum())
        };
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported()) {
            let functions = functions(kernel).expect("supported");
            let prepared = Batch::new(dim(d), &batch.each_ref(), functions.layout);
            for len in [0, 1, 2, 3, 4, 5, 8, 50] {
                let list: Vec<u16> = (0..150).step_by(3).skip(50 - len).collect();
                let counts = Counts::new(2);
                let mut hits = Hits::new(&counts);
                (functions.rows)(&page, &list, &prepared, 1, &mut hits);
                let some = list.iter().filter(|position| survives(position));
                let wanted: Vec<(u32, u32)> = some.map(|position| (1, u32::from(*position))).collect();
                assert_eq!(hits.into_rows(), wanted, "{} {d}, {len} rows", kernel.name());
                assert!(len < 50 || !wanted.is_empty() && wanted.len() < len, "{d}");
            }
        }
    }
}

#[test]
fn a_page_is_scanned_at_the_largest_dimension() {
    let rows = gallery("random", 2_048, 40, 7);
    let probe = probes(&rows, 2_048, 2, 2).remove(1);
    let batch = [quantized(&probe, 0.9)];
    for backend in &mut kernels() {
        let found = scan_rows(backend, 2_048, &rows, &batch);
        check(&found[0], &scores(&probe, &rows), 0.9, &backend.name());
    }
}

#[test]
fn an_overflow_concerns_its_own_probe_alone() {
    let rows = gallery("duplicated", 32, 60_000, 3);
    let same: Vec<f32> = rows[..32].iter().map(|v| v.to_f32()).collect();
    let opposite: Vec<f32> = same.iter().map(|v| -v).collect();
    let batch = [quantized(&same, 0.9), quantized(&opposite, 0.99)];
    for backend in &mut kernels() {
        let found = scan_rows(backend, 32, &rows, &batch);
        assert_eq!(found[0], Survivors::All, "20,000 equal rows");
        assert!(matches!(&found[1], Survivors::Rows(_)), "{}", backend.name());
    }
}

#[test]
fn exactly_as_many_as_fit_are_listed() {
    let row = gallery("random", 32, 1, 3);
    let probe: Vec<f32> = row.iter().map(|v| v.to_f32()).collect();
    for (n, fits) in [(SURVIVORS_MAX, true), (SURVIVORS_MAX + 1, false)] {
        let rows: Vec<half::f16> = row.iter().copied().cycle().take(32 * n).collect();
        for backend in &mut kernels() {
            let found = scan_rows(backend, 32, &rows, &[quantized(&probe, 0.9)]);
            let listed = matches!(&found[0], Survivors::Rows(rows) if rows.len() == n);
            assert_eq!(listed, fits, "{} {n}", backend.name());
        }
    }
}

#[test]
fn low_nibbles_meet_even_coordinates() {
    let probe = quantized(
        &crate::engine::samples::unit(32, &mut crate::engine::samples::rng(1)),
        0.5,
    );
    let batch = Batch::new(dim(32), &[&probe], Layout::Wide);
    let v = &probe.values;
    assert_eq!(
        batch.values[..8],
        [v[0], v[2], v[4], v[6], v[1], v[3], v[5], v[7]]
    );
    assert_eq!(batch.wide[15..18], [v[30], v[1], v[3]].map(i16::from));
}
