//! Tests of the tiles of probes, and of what the kernel makes of blocks and passes that are not full. Where the processor
//! has no AMX it is emulated; where that is not possible either they are skipped, and say so.

use super::*;
use crate::engine::cpu::refine::{Counts, Layout, avx512};
use crate::engine::samples::{dim, gallery, probes, quantized, resident};

/// Whether tiles can be used here; says so if not.
fn has_tiles() -> bool {
    let available = crate::engine::config::Kernel::Amx.is_supported();
    if !available {
        println!("SKIPPED: no AMX int8, and no AVX-512 to emulate it beside");
    }
    available
}

#[test]
fn a_tile_holds_four_coordinates_of_sixteen_probes_a_row() {
    let values = probes(&[], 96, 18, 1);
    let quantized: Vec<_> = values.iter().map(|probe| quantized(probe, 0.5)).collect();
    let batch = Batch::new(dim(96), &quantized.iter().collect::<Vec<_>>(), Layout::Tiles);
    let steps = vectors_len(96);
    assert_eq!(batch.tiles.len(), 2 * steps * TILE_ROWS);
    // Probe 17 is column 1 of the second tile; byte 8 of step 1 is the odd coordinate 17.
    let row = batch.tiles[(steps + 1) * TILE_ROWS + 2].0;
    assert_eq!(row[4], quantized[17].values[17]);
    assert_eq!(row[8], 0, "there is no probe 18");
}

#[test]
fn blocks_and_passes_that_are_not_full_are_scanned_like_full_ones() {
    if !has_tiles() {
        return;
    }
    for (d, n) in [
        (32, 16),
        (96, 40),
        (160, 33),
        (256, 1_024),
        (256, 1_100),
        (480, 81),
        (2_048, 70),
    ] {
        let rows = gallery("clustered", d, n, 5);
        let (residency, id) = resident(d, &rows);
        let view = residency.view(id).expect("open");
        let pages: Vec<PageView<'_>> = view.pages(0..view.rows()).collect();
        for count in [1, 15, 16, 17, 32, 33, 70] {
            let quantized: Vec<_> = probes(&rows, d, count, 6)
                .iter()
                .map(|p| quantized(p, 0.8))
                .collect();
            let batch = Batch::new(dim(d), &quantized.iter().collect::<Vec<_>>(), Layout::Tiles);
            let found = [super::pages, avx512::pages].map(|kernel| {
                let counts = Counts::new(count);
                let mut hits = Hits::new(&counts);
                kernel(&pages, &batch, &mut hits);
                let mut rows = hits.into_rows();
                rows.sort_unstable();
                rows
            });
            assert_eq!(found[0], found[1], "{d} x {n}, {count} probes");
            assert!(
                count < 3 || !found[0].is_empty(),
                "{d} x {n}, {count} probes find their rows"
            );
        }
    }
}
