//! Tests of stage 1: every kernel keeps the rows that the sums, added up plainly, let through.

use std::sync::Arc;

use super::*;
use crate::engine::bound::sign::quantile;
use crate::engine::config::Kernel;
use crate::engine::cpu::kernel::{Functions, functions};
use crate::engine::gallery::GalleryView;
use crate::engine::samples::{dim, gallery, probes, resident, rng, unit};

fn probe(values: &[f32], threshold: f32) -> QuantizedProbe {
    let quantile = quantile(values.len(), 1e-4);
    QuantizedProbe::new(&Arc::from(values), dim(values.len()), threshold, Some(quantile))
        .expect("a unit vector")
}

fn kernels() -> Vec<(&'static str, Functions)> {
    Kernel::ALL
        .into_iter()
        .filter(|kernel| kernel.is_supported())
        .map(|kernel| (kernel.name(), functions(kernel).expect("supported")))
        .collect()
}

/// A batch in both layouts.
fn batches(probes: &[QuantizedProbe]) -> (SignBatch, SignBatch) {
    let probes: Vec<&QuantizedProbe> = probes.iter().collect();
    let batch = |layout| SignBatch::new(&probes, layout).expect("sign bounds");
    (batch(SignLayout::Entries), batch(SignLayout::Tables))
}

/// Rows that a kernel keeps, for each probe.
fn kept(
    functions: &Functions,
    view: GalleryView<'_>,
    (entries, tables): &(SignBatch, SignBatch),
) -> Vec<Vec<u32>> {
    let batch = match functions.sign_layout {
        SignLayout::Entries => entries,
        SignLayout::Tables => tables,
    };
    let mut rows = vec![Vec::new(); batch.len()];
    // What was there before is forgotten.
    let mut kept = vec![Kept([u64::MAX; PAGE_LEN / KEPT_ROWS]); batch.len()];
    let (mut scratch, mut positions) = (Scratch::default(), Positions::default());
    for page in view.pages(0..view.rows()) {
        (functions.sign)(&page, &[], batch, &mut scratch, &mut kept);
        for (rows, kept) in rows.iter_mut().zip(&kept) {
            let positions = kept.list(&mut positions);
            rows.extend(
                positions
                    .iter()
                    .map(|position| page.first_row + u32::from(*position)),
            );
        }
    }
    rows
}

/// L of a row for a probe, read off the nibbles: bit 3 is the sign.
fn sum(own: &SignBatch, probe: usize, nibbles: &[u8]) -> u32 {
    let signs: Vec<usize> = nibbles
        .iter()
        .flat_map(|byte| [byte >> 3 & 1, byte >> 7])
        .map(usize::from)
        .collect();
    let groups = signs.as_chunks::<GROUP>().0.iter();
    groups
        .enumerate()
        .map(|(g, [a, b, c, d])| {
            let entries = own.entries[probe * own.words * 2 + g / 8 * 2 + g % 2].0[g % 8 / 2];
            u32::from(entries[a | b << 1 | c << 2 | d << 3])
        })
        .sum()
}

#[test]
fn every_kernel_keeps_what_the_plain_sums_let_through() {
    for d in [32, 64, 96, 256, 480, 1_024, 2_048] {
        for n in [1, 16, 17, 1_024, 1_030] {
            let rows = gallery("random", d, n, 3);
            let (mut residency, id) = resident(d, &rows);
            residency.erase(id, &[0]).expect("there");
            let view = residency.view(id).expect("open");
            // As many as fill no group, one, and more than the batches that a kernel treats alike.
            for count in [1, 3, 4, 9, 18] {
                let batch: Vec<QuantizedProbe> = probes(&rows, d, count, 4)
                    .iter()
                    .map(|values| probe(values, 0.3))
                    .collect();
                let batches = batches(&batch);
                let plain = |probe: usize| -> Vec<u32> {
                    (1..view.rows())
                        .filter(|row| {
                            let (nibbles, scale) = view.row(*row).expect("a row");
                            let own = &batches.0;
                            own.survives(probe, bf16::from_f32(scale.alpha), sum(own, probe, nibbles))
                        })
                        .collect()
                };
                let wanted: Vec<Vec<u32>> = (0..count).map(plain).collect();
                for (name, functions) in kernels() {
                    assert_eq!(
                        kept(&functions, view, &batches),
                        wanted,
                        "{name} {d} x {n}, {count}"
                    );
                }
            }
        }
    }
}

#[test]
fn positions_are_those_of_the_bits() {
    let mut positions = Positions::default();
    let all: Vec<u16> = (0_u16..1_024).collect();
    assert_eq!(Kept([u64::MAX; PAGE_LEN / KEPT_ROWS]).list(&mut positions), all);
    assert_eq!(Kept::default().list(&mut positions), Vec::<u16>::new());
    let mut kept = Kept::default();
    (kept.0[0], kept.0[1], kept.0[15]) = (1 << 63, 0b1_1011_0001, 1 << 63 | 1);
    assert_eq!(kept.list(&mut positions), [63, 64, 68, 69, 71, 72, 960, 1_023]);
}

#[test]
fn no_sum_is_below_that_of_the_probe() {
    let d = 256;
    for seed in 0..20 {
        let values = unit(d, &mut rng(seed));
        let whole = probe(&values, 0.4);
        let own = SignBatch::new(&[&whole], SignLayout::Entries).expect("a sign bound");
        let bound = whole.sign.expect("a sign bound");
        // t and base, from the line that was divided by them.
        let step = f64::from(bound.slope) / f64::from(own.slopes[0]);
        let base = f64::from(bound.intercept) - f64::from(own.intercepts[0]) * step;
        let rows = gallery("random", d, 50, seed);
        let (residency, id) = resident(d, &rows);
        let view = residency.view(id).expect("open");
        for (row, values_of_row) in (0..50).zip(rows.chunks_exact(d)) {
            let (nibbles, _) = view.row(row).expect("a row");
            let exact: f64 = values
                .iter()
                .zip(values_of_row)
                .map(|(q, x)| f64::from(*q) * if x.to_f32() >= 0.0 { 1.0 } else { -1.0 })
                .sum();
            let upper = step * f64::from(sum(&own, 0, nibbles)) + base;
            assert!(
                upper >= exact - 1e-3 && upper <= exact + 0.3,
                "{upper} against {exact}"
            );
        }
    }
}

#[test]
fn rows_without_alpha_always_survive_and_dead_ones_never() {
    let d = 64;
    let short: Vec<half::f16> = gallery("random", d, 40, 1)
        .iter()
        .map(|x| half::f16::from_f32(x.to_f32() * 0.5))
        .collect();
    let (mut residency, id) = resident(d, &short);
    residency.erase(id, &[7, 39]).expect("there");
    let batches = batches(&[probe(&unit(d, &mut rng(1)), 0.99)]);
    let view = residency.view(id).expect("open");
    let wanted: Vec<u32> = (0..40).filter(|row| ![7, 39].contains(row)).collect();
    for (name, functions) in kernels() {
        assert_eq!(
            kept(&functions, view, &batches),
            std::slice::from_ref(&wanted),
            "{name}"
        );
    }
}

#[test]
fn a_probe_without_a_bound_has_no_stage_1() {
    let values: Arc<[f32]> = Arc::from(unit(64, &mut rng(1)));
    let proved = QuantizedProbe::new(&values, dim(64), 0.5, None).expect("a unit vector");
    let bounded = probe(&values, 0.5);
    assert!(SignBatch::new(&[&bounded, &proved], SignLayout::Entries).is_none());
}
