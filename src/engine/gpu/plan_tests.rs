//! Tests of plans: which kernel for which work, and tables that cover every row and probe once.

use half::f16;

use super::*;
use crate::engine::bound::QuantizedProbe;
use crate::engine::bound::sign::quantile;
use crate::engine::gallery::GalleryView;
use crate::engine::samples::{dim, gallery, probes, resident, resident_with};

fn probe(d: usize, threshold: f32, by_sign: bool) -> QuantizedProbe {
    let values = probes(&[], d, 1, 1).swap_remove(0);
    let quantile = by_sign.then(|| quantile(d, 1e-9));
    QuantizedProbe::new(&values.into(), dim(d), threshold, quantile).expect("a unit vector")
}

fn work<'a>(gallery: GalleryView<'a>, rows: Range<u32>, probe: &'a QuantizedProbe, count: usize) -> Work<'a> {
    Work {
        gallery,
        rows,
        probes: vec![probe; count],
    }
}

#[test]
fn kernels_are_chosen_by_batch_size_rows_and_bound() {
    let (residency, id) = resident(256, &[]);
    let view = residency.view(id).expect("open");
    let (steep, flat, none) = (
        probe(256, 0.5, true),
        probe(256, 0.3, true),
        probe(256, 0.5, false),
    );
    let tuning = Tuning::new(true, true);
    let sign = |probes| Kernel::Sign {
        probes,
        subgroups: true,
    };
    for (rows, probe, count, expected) in [
        (1_000_000, &steep, 1, sign(1)),
        (1_000_000, &steep, 3, sign(4)),
        (1_000_000, &steep, 5, Kernel::Refine { probes: 8 }),
        (1_000_000, &steep, 15, Kernel::Refine { probes: 16 }),
        (1_000_000, &steep, 16, Kernel::Matrix),
        (1_000, &steep, 1, Kernel::Refine { probes: 1 }),
        (1_000_000, &flat, 1, Kernel::Refine { probes: 1 }),
        (1_000_000, &none, 4, Kernel::Refine { probes: 4 }),
    ] {
        let work = work(view, 0..rows, probe, count);
        assert_eq!(tuning.kernel(&work), expected, "{rows} rows, {count} probes");
    }
    let mut mixed = work(view, 0..1_000_000, &steep, 2);
    mixed.probes.push(&none);
    assert_eq!(tuning.kernel(&mixed), Kernel::Refine { probes: 4 });
    let (without, id) = resident_with(256, &[], false);
    let bare = work(without.view(id).expect("open"), 0..1_000_000, &steep, 1);
    assert_eq!(tuning.kernel(&bare), Kernel::Refine { probes: 1 });
    let plain = Tuning::new(false, false);
    let large = work(view, 0..1_000_000, &steep, 70);
    assert_eq!(plain.kernel(&large), Kernel::Refine { probes: 16 });
}

#[test]
fn tasks_of_a_dispatch_follow_each_other() {
    let mut plan = Plan::default();
    let span = |first_block, blocks, probes| Span {
        first_block,
        blocks,
        probes,
        ..Span::zeroed()
    };
    let spans = vec![span(7, 3, 20), span(0, 1, 1), span(20, 5, 16)];
    let shape = Shape { quads: 2 };
    plan.dispatch((shape, 0, Kernel::Refine { probes: 16 }), spans.clone());
    plan.dispatch((shape, 0, Kernel::sign(4, false)), spans);
    let firsts: Vec<u32> = plan.spans.iter().map(|span| span.first_task).collect();
    assert_eq!(firsts, [0, 6, 7, 0, 1, 2]);
    let params: Vec<[u32; 3]> = plan
        .dispatches
        .iter()
        .map(|d| [d.params.tasks, d.params.first_span, d.params.spans])
        .collect();
    assert_eq!(params, [[12, 0, 3], [4, 3, 3]]);
}

#[test]
fn works_without_rows_or_probes_take_no_dispatch_and_keep_their_place() {
    let (residency, id) = resident(64, &gallery("random", 64, 10, 1));
    let view = residency.view(id).expect("open");
    let probe = probe(64, 0.5, true);
    let works = [work(view, 0..0, &probe, 3), work(view, 0..10, &probe, 0)];
    let plan = Plan::new(
        &Tuning::new(false, false),
        &[(&works[0], None), (&works[1], None)],
    );
    assert!(plan.dispatches.is_empty());
    assert_eq!(plan.works, [(0..3, false), (3..3, false)]);
}

#[test]
fn coordinates_meet_their_codes() {
    let d = 96;
    let probe = probe(d, 0.5, false);
    let shape = Shape::of(dim(d));
    let mut words = Vec::new();
    probes::push_words(&mut words, &probe, shape);
    let mut halves = Vec::new();
    probes::push_halves(&mut halves, &probe, shape);
    assert_eq!((words.len(), halves.len()), (8, 32), "a quad is filled up");
    let words: Vec<[u8; 4]> = words.iter().flatten().map(|word| word.to_le_bytes()).collect();
    for (coordinate, p) in probe.values.iter().enumerate() {
        let (unit, in_unit) = (coordinate / 32, coordinate % 32);
        let (j, rest) = (in_unit / 8, in_unit % 8);
        let (byte, word) = (rest / 2, unit * 8 + 2 * j + rest % 2);
        assert_eq!(words[word][byte].cast_signed(), *p);
        let half: [usize; 4] = [0, 2, 1, 3];
        assert_eq!(halves[word][half[byte]], f16::from_f32(f32::from(*p)));
    }
    assert!(words[24..].iter().all(|word| *word == [0; 4]));
    assert!(halves[24..].iter().all(|four| *four == [f16::ZERO; 4]));
}

#[test]
fn marks_carry_the_bounds() {
    let probe = probe(64, 0.5, true);
    let (mark, sign) = (Mark::of(&probe), probe.sign.expect("asked for"));
    assert_eq!((mark.slope, mark.intercept), (sign.slope, sign.intercept));
    assert_eq!(mark.offset, 15 * mark.sum);
    assert_eq!((mark.step, mark.rounding), (probe.step, probe.rounding));
}
