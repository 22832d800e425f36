//! Tests of the limits of blocks: no row that survives has a sum below its block's limit.

use proptest::prelude::*;

use super::*;
use crate::engine::code::{Codes, Scale};
use crate::engine::cpu::refine::{Batch, Layout};
use crate::engine::gallery::PackedRows;
use crate::engine::samples::{dim, gallery, quantized, resident, rng, unit};

/// The smallest sum that lets a row survive, by bisection of the row's own statement.
fn smallest_surviving(batch: &Batch, figure: Figure) -> i32 {
    let own = batch.figures_of(0);
    let (mut low, mut high) = (-40_000_000_i32, 40_000_000_i32);
    while low < high {
        let middle = (low + high).div_euclid(2);
        if own.survives(figure, middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn check(codes: Codes, threshold: f32, seed: u64) {
    let d = codes.dim.get();
    let probe = quantized(&unit(d, &mut rng(seed)), threshold);
    let batch = Batch::new(dim(d), &[&probe], Layout::Wide);
    let mut residency = crate::engine::residency::Residency::with_limits(
        crate::engine::config::LockMemory::Off,
        u64::MAX,
        true,
    );
    let id = residency.open(dim(d));
    residency
        .append(id, &PackedRows::pack(codes).expect("whole rows"))
        .expect("memory");
    let view = residency.view(id).expect("open");
    for page in view.pages(0..view.rows()) {
        for position in (0..page.len()).step_by(BLOCK_ROWS) {
            let figures = &page.figures[position..page.len().min(position + BLOCK_ROWS)];
            let mut limit = [UNREACHABLE];
            let is_live = thresholds(&page, position, &batch, &mut limit);
            assert_eq!(is_live, figures.iter().any(|figure| !figure.is_dead()));
            for figure in figures.iter().filter(|figure| !figure.is_dead()) {
                assert!(
                    !is_live || limit[0] <= smallest_surviving(&batch, *figure),
                    "{figure:?}"
                );
            }
        }
    }
}

#[test]
fn blocks_of_strange_rows_have_safe_limits() {
    for (seed, threshold) in [(1, 0.4), (2, 0.0), (3, -0.9), (4, 0.999)] {
        let mut codes = Codes::encode(dim(64), &gallery("random", 64, 200, seed));
        let figures = |scale: f32, residual: f32| Scale {
            scale,
            residual,
            alpha: 0.5,
        };
        codes.scale[3] = Scale::DEAD;
        codes.scale[4] = figures(0.0, 1e30);
        codes.scale[70] = figures(0.0, 0.3);
        codes.scale[140] = figures(1e-30, 1e-3);
        codes.scale[141] = figures(3.0, 40.0);
        codes.scale[192..].fill(Scale::DEAD);
        check(codes, threshold, seed);
    }
}

#[test]
fn the_limit_of_a_usual_block_is_tight() {
    let (residency, id) = resident(256, &gallery("random", 256, 64, 1));
    let view = residency.view(id).expect("open");
    let page = view.pages(0..64).next().expect("a page");
    let probe = quantized(&unit(256, &mut rng(5)), 0.4);
    let batch = Batch::new(dim(256), &[&probe], Layout::Wide);
    let mut limit = [UNREACHABLE];
    assert!(thresholds(&page, 0, &batch, &mut limit));
    let of_rows = page
        .figures
        .iter()
        .map(|figure| smallest_surviving(&batch, *figure));
    let offset = batch.figures_of(0).offset / 2;
    let (own, block) = (of_rows.min().expect("64 rows") - offset, limit[0] - offset);
    assert!(
        block <= own && f64::from(block) > f64::from(own) * 0.93,
        "{block} for {own}"
    );
}

proptest! {
    #[test]
    fn no_survivor_is_below_the_limit(seed in any::<u64>(), threshold in -1.0_f32..1.0, kind in 0_usize..7) {
        let rows = gallery(crate::engine::samples::KINDS[kind], 96, 100, seed);
        check(Codes::encode(dim(96), &rows), threshold, seed);
    }
}
