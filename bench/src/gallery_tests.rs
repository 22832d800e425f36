//! Tests of whole searches on a small gallery, against every score.

use super::*;
use thenar::engine::{BackendChoice, EngineConfig};

fn engine() -> Engine {
    Engine::start(EngineConfig {
        backend: BackendChoice::Cpu,
        threads: 2,
        ..EngineConfig::default()
    })
    .expect("the CPU is there")
}

fn rows() -> Rows {
    Rows::new(3, Dimension::new(64).expect("a multiple of 32"))
}

fn search(threshold: f32) -> Search {
    Search {
        threshold,
        deterministic: false,
    }
}

#[test]
fn a_search_finds_the_best_of_all_rows() {
    let searched = Searched::new(engine(), rows(), 3_000).expect("it fits");
    let probes = rows().probes(40, 3_000);
    // Low enough for many survivors, so that the rescoring is shared out.
    for threshold in [0.1, 0.5] {
        let requests = searched.requests(probes.iter().map(|probe| &probe.values), search(threshold));
        let outcomes = searched.search(&requests).expect("no limit is reached");
        for (probe, outcome) in probes.iter().zip(outcomes) {
            let best = (0..3_000)
                .filter_map(|row| {
                    Some(Best {
                        row,
                        score: searched.score(&probe.values, row)?,
                    })
                })
                .filter(|best| best.score >= threshold)
                .reduce(better);
            assert_eq!(outcome.best, best);
        }
    }
}

#[test]
fn when_every_row_survives_every_row_is_scored() {
    let searched = Searched::new(engine(), rows(), 20_000).expect("it fits");
    let probes = rows().probes(1, 20_000);
    let requests = searched.requests(probes.iter().map(|probe| &probe.values), search(-1.0));
    let outcomes = searched.search(&requests).expect("no limit is reached");
    assert_eq!(outcomes.first().map(|outcome| outcome.survivors), Some(20_000));
    let found = outcomes
        .first()
        .and_then(|outcome| outcome.best)
        .map(|best| u64::from(best.row));
    assert_eq!(found, probes.first().and_then(|probe| probe.mate));
}

#[test]
fn of_equal_scores_the_lower_row_is_best() {
    let (a, b) = (Best { row: 4, score: 0.5 }, Best { row: 3, score: 0.5 });
    assert_eq!(better(a, b).row, 3);
    assert_eq!(better(b, a).row, 3);
}

#[test]
fn rows_appended_in_pieces_are_the_same_rows() {
    let engine = engine();
    let gallery = engine.open_gallery(rows().dimension()).expect("room for one");
    let count = CHUNK_ROWS + 70;
    append(&engine, gallery, rows(), 5, count).expect("it fits");
    let last = rows().row(5 + as_u64(count) - 1);
    let probe: Arc<[f32]> = last.iter().map(|value| value.to_f32()).collect();
    let requests = requests(gallery, [&probe].into_iter(), search(0.95));
    let scanned = runtime()
        .expect("a runtime")
        .block_on(engine.scan_batch(&requests));
    let row = u32::try_from(count - 1).expect("few rows");
    let survivors = scanned
        .into_iter()
        .next()
        .and_then(Result::ok)
        .map(|scanned| scanned.survivors);
    assert_eq!(survivors, Some(Survivors::Rows(vec![row])));
}
