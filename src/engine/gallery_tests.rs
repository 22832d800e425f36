//! Tests of pages: rows stay what they were through growth, and memory stays close to the rows' own.

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::engine::code::Codes;
use crate::engine::config::LockMemory;
use crate::engine::samples::{dim, gallery};

fn packed(d: usize, rows: &[f16]) -> PackedRows {
    PackedRows::pack(Codes::encode(dim(d), rows)).expect("whole rows")
}

fn layout(d: usize) -> PageLayout {
    PageLayout {
        dim: dim(d),
        has_signs: true,
    }
}

fn new(d: usize) -> (Arena, Gallery) {
    (Arena::new(LockMemory::Off), Gallery::new(GalleryId(1), layout(d)))
}

/// All rows as stored.
fn contents(gallery: &Gallery, arena: &Arena) -> Vec<(Vec<u8>, f32, f32)> {
    let view = GalleryView { gallery, arena };
    (0..gallery.rows())
        .map(|row| view.row(row).expect("a row"))
        .map(|(nibbles, scale)| (nibbles.to_vec(), scale.scale, scale.residual))
        .collect()
}

#[test]
fn nibbles_hold_the_planes_bits() {
    let codes = Codes::encode(dim(32), &gallery("random", 32, 1, 1));
    let (sign, refine) = (codes.sign.clone(), codes.refine.clone());
    let rows = PackedRows::pack(codes).expect("whole rows");
    for i in 0..32 {
        let bit = |plane: &[u8]| plane[i / 8] >> (i % 8) & 1;
        let u = bit(&sign) << 3 | bit(&refine) << 2 | bit(&refine[4..]) << 1 | bit(&refine[8..]);
        assert_eq!(rows.nibbles[i / 2] >> (i % 2 * 4) & 15, u, "coordinate {i}");
    }
}

#[test]
fn planes_of_the_wrong_length_are_refused_by_name() {
    let mut codes = Codes::encode(dim(32), &gallery("random", 32, 2, 1));
    codes.refine.pop();
    let refusal = PackedRows::pack(codes).err().expect("refused");
    assert_eq!(
        refusal.to_string(),
        "codes.refine: is 23 bytes long; 2 rows take 24"
    );
}

#[test]
fn rows_appended_one_by_one_are_those_appended_at_once() {
    let rows = gallery("random", 32, 1_100, 2);
    let (mut arena, mut at_once) = new(32);
    at_once.append(&mut arena, &packed(32, &rows)).expect("memory");
    let mut one_by_one = Gallery::new(GalleryId(2), layout(32));
    for row in rows.chunks_exact(32) {
        one_by_one.append(&mut arena, &packed(32, row)).expect("memory");
    }
    assert_eq!(contents(&at_once, &arena), contents(&one_by_one, &arena));
    assert_eq!((one_by_one.rows(), one_by_one.live()), (1_100, 1_100));
}

#[test]
fn rows_beyond_the_end_are_dead() {
    let (mut arena, mut gallery_) = new(32);
    gallery_
        .append(&mut arena, &packed(32, &gallery("random", 32, 1_030, 2)))
        .expect("memory");
    let view = GalleryView {
        gallery: &gallery_,
        arena: &arena,
    };
    let pages: Vec<PageView<'_>> = view.pages(0..view.rows()).collect();
    assert_eq!((pages.len(), pages[1].first_row, pages[1].len()), (2, 1_024, 16));
    let is_dead: Vec<bool> = pages[1].figures.iter().map(|figure| figure.is_dead()).collect();
    assert_eq!(is_dead, (0..16).map(|row| row >= 6).collect::<Vec<_>>());
    assert!(pages[1].alphas[6..].iter().all(|alpha| *alpha == bf16::INFINITY));
    assert!(view.row(5_000).is_none());
}

#[test]
fn a_killed_row_is_zero_and_counted_once() {
    let (mut arena, mut gallery_) = new(64);
    gallery_
        .append(&mut arena, &packed(64, &gallery("random", 64, 20, 2)))
        .expect("memory");
    let before = contents(&gallery_, &arena);
    gallery_.kill(&mut arena, 3);
    gallery_.kill(&mut arena, 3);
    let after = contents(&gallery_, &arena);
    assert_eq!(gallery_.live(), 19);
    assert_eq!(after[3], (vec![0; 32], 0.0, Scale::DEAD.residual));
    assert_eq!((&after[..3], &after[4..]), (&before[..3], &before[4..]));
}

#[test]
fn clearing_gives_all_memory_back() {
    let (mut arena, mut gallery_) = new(32);
    gallery_
        .append(&mut arena, &packed(32, &gallery("random", 32, 3_000, 2)))
        .expect("memory");
    gallery_.clear(&mut arena);
    assert_eq!(
        (gallery_.rows(), gallery_.live(), gallery_.pages.len()),
        (0, 0, 0)
    );
}

#[test]
fn a_thousand_rows_take_little_more_than_their_own_bytes() {
    for (rows, percent) in [(1_000_u64, 5), (100, 20), (1_000_000, 1), (10, 65)] {
        let bytes = Gallery::bytes(layout(256), rows);
        let own = rows * (128 + 32 + 6);
        assert!(
            bytes >= own && bytes * 100 <= own * (100 + percent),
            "{rows}: {bytes} for {own}"
        );
    }
    assert_eq!(Gallery::bytes(layout(256), 0), 0);
}

proptest! {
    #[test]
    fn any_sequence_of_appends_keeps_every_row(parts in prop::collection::vec(0_usize..700, 1..6), seed in any::<u64>()) {
        let total = parts.iter().sum();
        let rows = gallery("random", 32, total, seed);
        let (mut arena, mut whole) = new(32);
        whole.append(&mut arena, &packed(32, &rows)).expect("memory");
        let mut split = Gallery::new(GalleryId(2), layout(32));
        let mut at = 0;
        for part in parts {
            let range = split.append(&mut arena, &packed(32, &rows[at * 32..(at + part) * 32])).expect("memory");
            prop_assert_eq!((range.start as usize, range.end as usize), (at, at + part));
            at += part;
        }
        prop_assert_eq!(contents(&whole, &arena), contents(&split, &arena));
        let held: u64 = split.pages.iter().map(|page| layout(32).page_len(page.capacity) as u64).sum();
        prop_assert_eq!(held, Gallery::bytes(layout(32), total as u64));
    }
}
