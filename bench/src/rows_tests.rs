//! Tests of seeded rows: reproducible, of unit norm, mated as promised.

use super::*;

fn rows() -> Rows {
    Rows::new(7, Dimension::new(256).expect("a multiple of 32"))
}

#[test]
fn a_row_does_not_depend_on_how_it_is_asked_for() {
    let rows = rows();
    let mut all = vec![f16::ZERO; 600 * 256];
    rows.fill(0, &mut all);
    let mut tail = vec![f16::ZERO; 90 * 256];
    rows.fill(510, &mut tail);
    assert_eq!(all.get(510 * 256..), Some(&*tail));
    assert_eq!(all.get(255 * 256..256 * 256), Some(&*rows.row(255)));
}

#[test]
fn rows_are_unit_vectors_and_differ() {
    let rows = rows();
    let (a, b) = (rows.row(1), rows.row(2));
    for row in [&a, &b] {
        let squared: f32 = row.iter().map(|v| v.to_f32() * v.to_f32()).sum();
        assert!((squared - 1.0).abs() < 2e-3, "{squared}");
    }
    assert_ne!(a, b);
    assert_ne!(a, Rows::new(8, rows.dimension()).row(1), "another seed");
}

#[test]
fn three_of_four_probes_score_about_as_promised() {
    let rows = rows();
    let probes = rows.probes(400, 1_000_000);
    let mated: Vec<f32> = probes
        .iter()
        .filter_map(|probe| Some(canonical::score(&probe.values, &rows.row(probe.mate?))))
        .collect();
    assert_eq!(mated.len(), 300);
    let mean = mated.iter().sum::<f32>() / 300.0;
    assert!((mean - MATED_SCORE).abs() < 0.02, "{mean}");
    assert!(mated.iter().all(|score| (score - MATED_SCORE).abs() < 0.2));
}

#[test]
fn probes_of_an_empty_gallery_are_strangers() {
    assert!(rows().probes(8, 0).iter().all(|probe| probe.mate.is_none()));
}

#[test]
fn strangers_and_weak_mates_reach_nothing() {
    let rows = rows();
    assert!(rows.reaches(&rows.mated(0, 5), 0.4));
    assert!(!rows.reaches(&rows.mated(0, 5), 0.95));
    assert!(!rows.reaches(&rows.stranger(0), -1.0));
}
