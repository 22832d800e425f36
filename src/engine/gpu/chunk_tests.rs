//! Tests of a gallery that spans several chunks, which real limits reach only with millions of rows.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use super::*;
use crate::engine::samples::{gallery, resident};

fn device() -> Device {
    Device::open(true)
        .unwrap_or_else(|reason| panic!("no Vulkan adapter: install mesa-vulkan-drivers ({reason})"))
}

#[test]
fn chunks_grow_to_their_limit_and_then_follow_each_other() {
    let device = device();
    let (residency, id) = resident(32, &gallery("random", 32, 3_000, 1));
    let view = residency.view(id).expect("open");
    let mut mirror = GpuGallery::new(&device, view.dim());
    mirror.chunk_rows_max = 1_280;
    mirror.update(&device, view, &[0..3_000]).expect("uploaded");
    let rows: Vec<(u32, u32)> = mirror
        .chunks
        .iter()
        .map(|c| (c.first_row, mirror.rows_of(c)))
        .collect();
    assert_eq!(rows, [(0, 1_280), (1_280, 1_280), (2_560, 440)]);
    assert_eq!(
        (mirror.chunk_end(0), mirror.chunk_end(20), mirror.chunk_end(40)),
        (20, 40, 56)
    );
    mirror.wipe(&device);
    device.finish().expect("done");
}

#[test]
fn a_chunk_fits_into_one_binding_and_one_dispatch() {
    let device = device();
    for d in [32, 256, 2_048] {
        let mirror = GpuGallery::new(&device, crate::engine::samples::dim(d));
        assert!(u64::from(mirror.chunk_rows_max) * (d as u64 / 2) <= device.buffer_len_max());
        assert!(mirror.chunk_rows_max.is_multiple_of(BLOCK_ROWS));
        assert!(mirror.chunk_rows_max / BLOCK_ROWS <= 65_535);
    }
}
