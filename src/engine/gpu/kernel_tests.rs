//! Tests of every kernel that the adapter runs, against the bounds and an exhaustive search; galleries of all kinds, every dimension.

use super::*;
use crate::engine::bound::sign::quantile;
use crate::engine::gpu::plan::Tuning;

/// Stage 1 for every batch that it can take; with subgroup operations where they are offered.
fn by_sign(gpu: &mut GpuBackend, subgroups: bool) {
    gpu.tuning = Tuning {
        sign_typical_min: f32::MIN,
        sign_rows_min: 0,
        subgroups: subgroups && gpu.device.has_subgroups(),
        ..gpu.tuning
    };
}

/// Whether the device offers what a kernel takes; says so where it does not.
fn is_offered(gpu: &GpuBackend, kernel: shader::Kernel) -> bool {
    let offered = match kernel {
        shader::Kernel::Sign { subgroups: true, .. } => gpu.device.has_subgroups(),
        shader::Kernel::Matrix => gpu.device.has_matrices(),
        _ => true,
    };
    if !offered {
        println!("SKIPPED: {kernel:?}: {} does not offer it", gpu.name());
    }
    offered
}

/// Bounded for stage 1 too, where a row at the threshold is dismissed with probability `miss`.
fn signed(probe: &[f32], threshold: f32, miss: f64) -> QuantizedProbe {
    let d = probe.len();
    QuantizedProbe::new(&Arc::from(probe), dim(d), threshold, Some(quantile(d, miss))).expect("a unit vector")
}

/// Galleries of every kind, scanned at thresholds at, just above and just below scores that occur.
fn compare(gpu: &mut GpuBackend, d: usize, n: usize, count: usize, is_by_sign: bool) {
    for kind in KINDS {
        let rows = gallery(kind, d, n, d as u64);
        let (residency, id) = resident(d, &rows);
        let view = residency.view(id).expect("open");
        gpu.update(view, 0..view.rows(), &[]).expect("uploaded");
        for probe in probes(&rows, d, 2, 1) {
            let scores = scores(&probe, &rows);
            let thresholds = thresholds(&scores);
            let thresholds: Vec<f32> = thresholds
                .into_iter()
                .filter(|threshold| !is_by_sign || *threshold > 0.0)
                .collect();
            let thresholds: Vec<f32> = thresholds.iter().copied().cycle().take(count).collect();
            let batch: Vec<QuantizedProbe> = thresholds.iter().map(|t| signed(&probe, *t, 1e-9)).collect();
            let work = Work {
                gallery: view,
                rows: 0..view.rows(),
                probes: batch.iter().collect(),
            };
            let found = gpu.scan(&[work]).expect("scanned").swap_remove(0);
            assert_eq!(found.by_sign, is_by_sign);
            for (survivors, threshold) in found.survivors.iter().zip(&thresholds) {
                check(
                    survivors,
                    &scores,
                    *threshold,
                    &format!("{kind} {d} x {n}, {count} probes"),
                );
            }
        }
        gpu.forget(id).expect("forgotten");
    }
}

#[test]
fn stage_2_keeps_every_row_for_every_dimension() {
    let mut gpu = open();
    gpu.tuning.matrices = false;
    for d in (32..=1_024).step_by(32).chain([1_536, 2_048]) {
        let count = [1, 4, 8, 16, 21][d / 32 % 5];
        compare(&mut gpu, d, 3 + d % 100, count, false);
    }
}

#[test]
fn stage_2_keeps_every_row_whatever_their_number() {
    let mut gpu = open();
    for n in [0, 1, 65, 127, 128, 129, 1_025] {
        compare(&mut gpu, 96, n, 7, false);
    }
}

#[test]
fn stage_1_keeps_every_row_for_every_dimension() {
    let mut gpu = open();
    for d in (64..=1_024).step_by(32) {
        by_sign(&mut gpu, d % 64 == 0);
        compare(&mut gpu, d, 3 + d % 100, 1 + d / 32 % 4, true);
    }
}

#[test]
fn stage_1_keeps_every_row_whatever_their_number() {
    let mut gpu = open();
    for n in [1, 127, 128, 511, 512, 513, 1_100] {
        by_sign(&mut gpu, n % 2 == 1);
        compare(&mut gpu, 160, n, 3, true);
    }
}

/// ⟨p, σ⟩ of a row.
fn signed_sum(nibbles: &[u8], probe: &QuantizedProbe) -> i16 {
    let codes = nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    let sum: i32 = codes
        .zip(&probe.values)
        .map(|(u, p)| if u >= 8 { i32::from(*p) } else { -i32::from(*p) })
        .sum();
    i16::try_from(sum).expect("below 127 times the dimension")
}

#[test]
fn stage_1_dismisses_what_its_bound_dismisses() {
    let mut gpu = open();
    let all = gallery("random", 128, 1_500, 6);
    let (mut residency, id) = resident(128, &all);
    residency.erase(id, &[7, 700]).expect("there");
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..1_500, &[]).expect("uploaded");
    for (subgroups, count) in [
        (false, 1),
        (false, 2),
        (false, 4),
        (true, 1),
        (true, 2),
        (true, 3),
        (true, 4),
    ] {
        let kernel = shader::Kernel::sign(count, subgroups);
        if !is_offered(&gpu, kernel) {
            continue;
        }
        by_sign(&mut gpu, subgroups);
        let mut batch: Vec<QuantizedProbe> = probes(&all, 128, count, 11)
            .iter()
            .map(|probe| signed(probe, 0.3, 0.02))
            .collect();
        for probe in &mut batch {
            // Stage 2 keeps all that live.
            probe.limit = f32::MIN;
        }
        let work = Work {
            gallery: view,
            rows: 0..1_500,
            probes: batch.iter().collect(),
        };
        let found = gpu.scan(&[work]).expect("scanned").swap_remove(0);
        for (probe, survivors) in batch.iter().zip(&found.survivors) {
            let bound = probe.sign.expect("asked for");
            let expected: Vec<u32> = (0..1_500)
                .filter(|row| {
                    let (nibbles, scale) = view.row(*row).expect("there");
                    let held = planes::held(&scale, nibbles);
                    let sum = probe.step * f32::from(signed_sum(nibbles, probe)) + probe.rounding;
                    !scale.is_dead() && bound.survives(held.alpha, sum)
                })
                .collect();
            assert!(
                (10..1_400).contains(&expected.len()),
                "{} survive",
                expected.len()
            );
            // Rounding may move a row whose sum meets the bound; none does here.
            assert_eq!(rows(survivors), expected, "{kernel:?}");
        }
    }
}

#[test]
fn rows_without_an_alpha_survive_stage_1() {
    let mut gpu = open();
    by_sign(&mut gpu, false);
    let mut all = gallery("random", 64, 300, 8);
    let long: Vec<half::f16> = all[..64]
        .iter()
        .map(|v| half::f16::from_f32(v.to_f32() * 1.2))
        .collect();
    all[640..704].copy_from_slice(&long);
    let (residency, id) = resident(64, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..300, &[]).expect("uploaded");
    // Points away from that row, so that its signs alone would dismiss it.
    let away: Vec<f32> = all[..64].iter().map(|v| -v.to_f32()).collect();
    let mut probe = signed(&crate::engine::samples::normalized(away), 0.9, 1e-9);
    probe.limit = f32::MIN;
    let work = Work {
        gallery: view,
        rows: 0..300,
        probes: vec![&probe],
    };
    let found = gpu.scan(&[work]).expect("scanned").swap_remove(0);
    assert!(rows(&found.survivors[0]).contains(&10));
    assert!(!rows(&found.survivors[0]).contains(&0));
}

#[test]
fn a_list_of_stage_1_that_is_full_loses_nothing() {
    let mut gpu = open();
    let all = gallery("duplicated", 64, 20_000, 9);
    let (residency, id) = resident(64, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..20_000, &[]).expect("uploaded");
    let same: Vec<f32> = all[..64].iter().map(|v| v.to_f32()).collect();
    for subgroups in [false, true] {
        by_sign(&mut gpu, subgroups);
        // Every row passes stage 1: the lists of all tasks are full.
        let mut probe = signed(&same, 0.9, 1e-9);
        probe.sign.as_mut().expect("asked for").intercept = f32::MIN;
        let mut everything = probe.clone();
        everything.limit = f32::MIN;
        let work = Work {
            gallery: view,
            rows: 0..20_000,
            probes: vec![&probe, &everything, &probe, &everything],
        };
        let found = gpu.scan(&[work]).expect("scanned").swap_remove(0);
        let expected: Vec<u32> = (0..20_000).step_by(3).collect();
        assert_eq!(found.survivors[0], Survivors::Rows(expected));
        assert_eq!(found.survivors[1], Survivors::All);
        assert_eq!(found.survivors[2], found.survivors[0]);
    }
}

#[test]
fn probes_without_a_bound_of_stage_1_go_straight() {
    let mut gpu = open();
    by_sign(&mut gpu, false);
    let all = gallery("random", 64, 500, 2);
    let (residency, id) = resident(64, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..500, &[]).expect("uploaded");
    let probe = &probes(&all, 64, 1, 3)[0];
    let (with, without) = (signed(probe, 0.5, 1e-9), quantized(probe, 0.5));
    for (batch, expected) in [
        (vec![&with], true),
        (vec![&without], false),
        (vec![&with, &without], false),
    ] {
        let work = Work {
            gallery: view,
            rows: 0..500,
            probes: batch,
        };
        assert_eq!(gpu.scan(&[work]).expect("scanned")[0].by_sign, expected);
    }
}

/// Compares straight scans on matrix units with those by dot products.
fn compare_matrices(gpu: &mut GpuBackend) {
    for (d, n, count) in [
        (32, 1, 16),
        (96, 700, 64),
        (128, 129, 65),
        (256, 500, 100),
        (2_048, 200, 17),
    ] {
        for kind in KINDS {
            let all = gallery(kind, d, n, 7);
            let (residency, id) = resident(d, &all);
            let view = residency.view(id).expect("open");
            gpu.update(view, 0..view.rows(), &[]).expect("uploaded");
            let batch: Vec<QuantizedProbe> = probes(&all, d, count, 8)
                .iter()
                .map(|p| quantized(p, 0.4))
                .collect();
            let batch: Vec<&QuantizedProbe> = batch.iter().collect();
            gpu.tuning.matrices = true;
            let found = scan(gpu, view, &batch).expect("scanned");
            gpu.tuning.matrices = false;
            let expected = scan(gpu, view, &batch).expect("scanned");
            assert!(found == expected, "{kind} {d} x {n}, {count} probes");
            gpu.forget(id).expect("forgotten");
        }
    }
}

#[test]
fn matrix_units_find_what_the_dot_products_find() {
    let mut gpu = open();
    if is_offered(&gpu, shader::Kernel::Matrix) {
        compare_matrices(&mut gpu);
    }
}

/// What stands in for tiles where there are no matrix units: an invocation holds half a row of each result.
const TILES: &str = "
var<private> own: u32;
struct At { at: u32, stride: u32 }
struct Tile { low: vec4<f32>, high: vec4<f32> }
fn rows_at(at: u32, stride: u32) -> At { return At(at, stride); }
fn probes_at(at: u32, stride: u32) -> At { return At(at, stride); }
fn value(at: At, line: u32, k: u32) -> f32 {
    let pair = halves[at.at + line * at.stride + k / 4u][k % 4u / 2u];
    return unpack2x16float(pair)[k % 2u];
}
fn multiply(a: At, b: At, before: Tile) -> Tile {
    var tile = before;
    let n = own % 2u * 8u;
    for (var k = 0u; k < 16u; k++) {
        let x = codes[a.at + own / 2u * a.stride + k / 4u][k % 4u];
        tile.low += x * vec4(value(b, n, k), value(b, n + 1u, k), value(b, n + 2u, k), value(b, n + 3u, k));
        tile.high += x * vec4(value(b, n + 4u, k), value(b, n + 5u, k), value(b, n + 6u, k), value(b, n + 7u, k));
    }
    return tile;
}
fn store(tile: Tile, at: u32) {
    for (var i = 0u; i < 4u; i++) {
        results[at + own / 2u * 16u + own % 2u * 8u + i] = tile.low[i];
        results[at + own / 2u * 16u + own % 2u * 8u + 4u + i] = tile.high[i];
    }
}
";

/// The matrix shader's text with its tiles replaced, so that everything of it but the matrix units runs anywhere.
fn without_matrices(kernel: shader::Kernel) -> String {
    let mut text = kernel.source();
    if kernel != shader::Kernel::Matrix {
        return text;
    }
    for (from, to) in [
        ("enable f16;", ""),
        ("enable wgpu_cooperative_matrix;", ""),
        ("halves: array<vec4<f16>>", "halves: array<vec2<u32>>"),
        ("vec4<f16>", "vec4<f32>"),
        ("coopLoadT<coop_mat16x16<f16, A>>(&codes[", "rows_at("),
        ("coopLoad<coop_mat16x16<f16, B>>(&halves[", "probes_at("),
        ("], PITCH)", ", PITCH)"),
        ("], stride)", ", stride)"),
        ("coop_mat16x16<f32, C>()", "Tile()"),
        ("coopMultiplyAdd(", "multiply("),
        ("coopStoreT(", "store("),
        ("&results[result], TILE)", "result)"),
        ("    @builtin(subgroup_id) subgroup: u32,\n", ""),
        ("    @builtin(subgroup_invocation_id) in_subgroup: u32,\n", ""),
        (
            "    let in_block",
            "    let subgroup = lane / 32u;\n    let in_subgroup = lane % 32u;\n    own = in_subgroup;\n    let in_block",
        ),
    ] {
        assert!(text.contains(from), "{from:?} is not in the text any more");
        text = text.replace(from, to);
    }
    text + TILES
}

#[test]
fn the_matrix_shader_finds_the_same_without_matrix_units() {
    let mut gpu = open();
    gpu.scanner.pipelines.text = without_matrices;
    compare_matrices(&mut gpu);
}
