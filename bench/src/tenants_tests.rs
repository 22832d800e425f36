//! Tests of one side: every mate is found in its own gallery.

use super::*;
use thenar::engine::BackendChoice;

#[test]
fn mates_are_found_in_their_own_galleries() {
    let side = Side {
        galleries: 7,
        rows: 150,
        dim: Dimension::new(64).expect("a multiple of 32"),
        seed: 5,
        search: Search {
            threshold: 0.45,
            deterministic: true,
        },
    };
    let config = EngineConfig {
        backend: BackendChoice::Cpu,
        threads: 1,
        ..EngineConfig::default()
    };
    let engine = Engine::start(config).expect("the CPU is there");
    let rows = Rows::new(side.seed, side.dim);
    let galleries: Vec<GalleryId> = (0..side.galleries)
        .map(|number| {
            let gallery = engine.open_gallery(side.dim).expect("room for one");
            append(&engine, gallery, rows, as_u64(number * side.rows), side.rows).expect("it fits");
            gallery
        })
        .collect();
    let (requests, mates): (Vec<_>, Vec<_>) = one_batch(side, &galleries, 0, 8).into_iter().unzip();
    let scanned = runtime()
        .expect("a runtime")
        .block_on(engine.scan_batch(&requests));
    assert_eq!(mates.iter().flatten().count(), 6, "three of four");
    for (scanned, mate) in scanned.into_iter().zip(mates) {
        let survivors = scanned.expect("no limit is reached").survivors;
        assert!(mate.is_none_or(|mate| survives(&survivors, mate)));
    }
}
