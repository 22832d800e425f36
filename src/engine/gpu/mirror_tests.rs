//! Tests of which rows a device holds: growth, parts that move, and what is left of rows that go.

use half::f16;
use wgpu::{BufferUsages, COPY_BUFFER_ALIGNMENT};

use super::*;
use crate::engine::gpu::pipeline::Pipelines;
use crate::engine::gpu::tests;
use crate::engine::samples::{dim, gallery, resident};

/// A device, and a pool whose planes can be read back.
struct Fixture {
    device: Device,
    layout: BindGroupLayout,
    pool: Pool,
    staging: Staging,
}

impl Fixture {
    fn new(blocks_max: u32) -> Self {
        let device = tests::device();
        let layout = Pipelines::new(&device).slab;
        let mut pool = Pool::new(&device, Shape::of(dim(32)));
        pool.limit(8, blocks_max);
        Self {
            device,
            layout,
            pool,
            staging: Staging::default(),
        }
    }

    fn tools(&mut self) -> Tools<'_> {
        Tools {
            device: &self.device,
            pool: &mut self.pool,
            layout: &self.layout,
            staging: &mut self.staging,
        }
    }

    /// Figures of all rows that the mirror holds, and of the rest of its last block.
    fn figures(&self, mirror: &Mirror) -> Vec<u32> {
        let mut words = Vec::new();
        for (run, _) in mirror.places(&mirror.held) {
            let len = u64::from(run.len() * BLOCK_ROWS) * COPY_BUFFER_ALIGNMENT;
            let usage = BufferUsages::COPY_DST | BufferUsages::MAP_READ;
            let read = self.device.buffer("read", len, usage).expect("memory");
            let mut encoder = self.device.encoder();
            let [_, _, figures, _] = &self.pool.slab(run.slab).buffers;
            let from = u64::from(run.blocks.start * BLOCK_ROWS) * COPY_BUFFER_ALIGNMENT;
            encoder.copy_buffer_to_buffer(figures, from, &read, 0, len);
            self.device.submit(encoder);
            words.extend(self.device.read(&read, len).expect("read"));
        }
        words
    }
}

/// Figures as they should be: of the rows in `held`, then zeros.
fn expected(view: GalleryView<'_>, held: &Range<u32>) -> Vec<u32> {
    let mut planes = Planes::default();
    for first in held.clone().step_by(BLOCK_ROWS as usize) {
        planes.push(Shape::of(view.dim()), view, first, held.end);
    }
    let [_, _, figures, _] = planes.bytes();
    bytemuck::pod_collect_to_vec(figures)
}

#[test]
fn a_part_grows_shrinks_moves_and_goes() {
    let all: Vec<f16> = gallery("random", 32, 9_000, 1);
    let (residency, id) = resident(32, &all);
    let view = residency.view(id).expect("open");
    let mut fixture = Fixture::new(16);
    let mut mirror = Mirror::new(Shape::of(dim(32)));
    for held in [
        2_048..3_000,
        2_048..3_001,
        2_048..9_000,
        1_024..9_000,
        3_072..9_000,
        3_072..3_080,
        0..3_080,
        0..0,
        4_096..4_097,
        0..4_096,
        5_120..9_000,
    ] {
        // Nothing is said to have changed: what is new to the device it fetches itself.
        mirror
            .update(&mut fixture.tools(), view, held.clone(), &[])
            .expect("held");
        assert_eq!(mirror.held, held);
        assert!(fixture.figures(&mirror) == expected(view, &held), "{held:?}");
    }
    mirror.clear(&mut fixture.tools()).expect("cleared");
    assert!(fixture.pool.is_empty());
}

#[test]
fn changes_are_followed_and_only_in_what_is_held() {
    let all: Vec<f16> = gallery("random", 32, 3_000, 2);
    let (mut residency, id) = resident(32, &all);
    let mut fixture = Fixture::new(1_000);
    let mut mirror = Mirror::new(Shape::of(dim(32)));
    let held = 1_024..3_000;
    let view = residency.view(id).expect("open");
    mirror
        .update(
            &mut fixture.tools(),
            view,
            held.clone(),
            std::slice::from_ref(&held),
        )
        .expect("held");
    residency.erase(id, &[5, 1_024, 1_500, 2_999]).expect("there");
    let view = residency.view(id).expect("open");
    let changed = [2_999..3_000, 1_024..1_025, 1_500..1_501, 5..6];
    mirror
        .update(&mut fixture.tools(), view, held.clone(), &changed)
        .expect("followed");
    let figures = fixture.figures(&mirror);
    assert!(figures == expected(view, &held));
    assert_eq!(figures[..1_976].iter().filter(|word| **word == 0).count(), 3);
}

#[test]
fn a_gallery_that_grows_row_by_row_lies_in_few_runs() {
    let all: Vec<f16> = gallery("random", 32, 20_000, 3);
    let (residency, id) = resident(32, &all);
    let view = residency.view(id).expect("open");
    let mut fixture = Fixture::new(1_000);
    let mut mirrors = [Mirror::new(Shape::of(dim(32))), Mirror::new(Shape::of(dim(32)))];
    // Two galleries in one pool, so that neither finds free blocks just behind it.
    for rows in (0..20_000).step_by(128) {
        for mirror in &mut mirrors {
            mirror
                .update(&mut fixture.tools(), view, 0..rows + 128.min(20_000 - rows), &[])
                .expect("held");
        }
    }
    for mirror in &mirrors {
        assert!(mirror.runs.len() < 60, "{} runs", mirror.runs.len());
        let room: u32 = mirror.runs.iter().map(Run::len).sum();
        assert!(room <= 157 * 9 / 8 + 1, "{room} blocks for 157");
        assert!(fixture.figures(mirror)[..20_000] == expected(view, &(0..20_000))[..20_000]);
    }
}

#[test]
fn places_are_those_of_the_rows_asked_for() {
    let mirror = Mirror {
        shape: Shape::of(dim(32)),
        held: 1_024..3_000,
        runs: vec![
            Run {
                slab: 1,
                blocks: 5..9,
            },
            Run {
                slab: 0,
                blocks: 0..12,
            },
        ],
    };
    let all = mirror.places(&(1_024..3_000));
    assert_eq!(
        all,
        [(mirror.runs[0].clone(), 1_024), (mirror.runs[1].clone(), 1_536)]
    );
    let run = |slab, blocks| Run { slab, blocks };
    assert_eq!(
        mirror.places(&(1_500..1_537)),
        [(run(1, 8..9), 1_408), (run(0, 0..1), 1_536)]
    );
    assert_eq!(mirror.places(&(2_999..3_000)), [(run(0, 11..12), 2_944)]);
    assert_eq!(mirror.places(&(1_024..1_024)), []);
}
