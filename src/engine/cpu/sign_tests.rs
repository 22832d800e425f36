//! Tests of stage 1: every kernel keeps the rows that the sums, added up plainly, let through.

use std::sync::Arc;

use super::*;
use crate::engine::bound::sign::quantile;
use crate::engine::config::Kernel;
use crate::engine::cpu::kernel::{Functions, functions};
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

/// L of a row, read off the nibbles: bit 3 is the sign.
fn sum(own: &SignProbe, nibbles: &[u8]) -> u32 {
    let signs: Vec<usize> = nibbles
        .iter()
        .flat_map(|byte| [byte >> 3 & 1, byte >> 7])
        .map(usize::from)
        .collect();
    let groups = signs.as_chunks::<GROUP>().0.iter();
    groups
        .enumerate()
        .map(|(g, [a, b, c, d])| {
            let entries = own.entries[g / 8 * 2 + g % 2].0[g % 8 / 2];
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
            for values in probes(&rows, d, 2, 4) {
                let own = SignProbe::new(&probe(&values, 0.3))
                    .expect("a sign bound")
                    .with_bytes();
                for (name, functions) in kernels() {
                    let (mut kept, mut survivors) = (Kept::default(), Vec::new());
                    for page in view.pages(0..view.rows()) {
                        (functions.sign)(&page, &own, &mut kept);
                        survivors.extend(kept.positions().iter().map(|position| page.first_row + position));
                    }
                    let wanted: Vec<u32> = (1..view.rows())
                        .filter(|row| {
                            let (nibbles, scale) = view.row(*row).expect("a row");
                            own.survives(bf16::from_f32(scale.alpha), sum(&own, nibbles))
                        })
                        .collect();
                    assert_eq!(survivors, wanted, "{name} {d} x {n}");
                }
            }
        }
    }
}

#[test]
fn no_sum_is_below_that_of_the_probe() {
    let d = 256;
    for seed in 0..20 {
        let values = unit(d, &mut rng(seed));
        let whole = probe(&values, 0.4);
        let own = SignProbe::new(&whole).expect("a sign bound");
        let bound = whole.sign.expect("a sign bound");
        // t and base, from the line that was divided by them.
        let step = f64::from(bound.slope) / f64::from(own.slope);
        let base = f64::from(bound.intercept) - f64::from(own.intercept) * step;
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
            let upper = step * f64::from(sum(&own, nibbles)) + base;
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
    let own = SignProbe::new(&probe(&unit(d, &mut rng(1)), 0.99))
        .expect("a sign bound")
        .with_bytes();
    for (name, functions) in kernels() {
        let page = residency
            .view(id)
            .expect("open")
            .pages(0..40)
            .next()
            .expect("a page");
        let mut kept = Kept::default();
        (functions.sign)(&page, &own, &mut kept);
        let wanted: Vec<u32> = (0..40).filter(|row| ![7, 39].contains(row)).collect();
        assert_eq!(kept.positions(), wanted, "{name}");
    }
}

#[test]
fn a_probe_without_a_bound_has_no_stage_1() {
    let values: Arc<[f32]> = Arc::from(unit(64, &mut rng(1)));
    let proved = QuantizedProbe::new(&values, dim(64), 0.5, None).expect("a unit vector");
    assert!(SignProbe::new(&proved).is_none());
}
