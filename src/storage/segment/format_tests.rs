//! Tests of the byte layout against figures worked out by hand.

use super::*;
use crate::storage::testing::{id, key};

fn dim(count: usize) -> Dimension {
    Dimension::new(count).expect("valid")
}

fn context() -> SegmentContext {
    SegmentContext::new(&id("acme"), dim(256), &key(1))
}

#[test]
fn blocks_hold_a_power_of_two_of_rows_within_4_kib() {
    let rows = |count, plane| Layout::new(dim(count), 1_000).plane(plane).block_rows;
    // 32, 96, 12 and 528 bytes a row at 256 dimensions.
    assert_eq!(Plane::ALL.map(|plane| rows(256, plane)), [128, 32, 256, 4]);
    assert_eq!(Plane::ALL.map(|plane| rows(32, plane)), [1_024, 256, 256, 32]);
    // A row of 4,112 bytes is a block of its own.
    assert_eq!(rows(2_048, Plane::Exact), 1);
}

#[test]
fn planes_follow_each_other_without_a_gap() {
    for rows in [1, 5, 128, 129, SEGMENT_ROWS_MAX] {
        let layout = Layout::new(dim(256), rows);
        let mut at = HEADER_LEN;
        for plane in Plane::ALL {
            assert_eq!(layout.plane(plane).offset, at, "{plane:?} of {rows}");
            at += layout.plane(plane).len;
        }
        assert_eq!(layout.file_len(), at as u64);
    }
}

#[test]
fn a_file_of_five_rows_has_the_documented_length() {
    // 5 rows of 32 + 96 + 12 + 528 bytes, one block in three planes and two in the exact plane, 16 bytes of tag each.
    let layout = Layout::new(dim(256), 5);
    assert_eq!(layout.file_len(), 4_096 + 5 * 668 + 5 * 16);
    let exact = layout.plane(Plane::Exact);
    assert_eq!(exact.block(0), (exact.offset, 4 * 528));
    assert_eq!(exact.block(1), (exact.offset + 4 * 528 + 16, 528));
}

#[test]
fn the_header_stands_as_documented() {
    let ulid = Ulid::from_parts(1, 2);
    let page = context().seal(ulid).header(&Layout::new(dim(256), 5));
    assert_eq!(page.len(), HEADER_LEN);
    assert_eq!(page[..8], MAGIC);
    assert_eq!(page[8..16], [1, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(page[16..32], ulid.to_bytes());
    assert_eq!(page[64..72], [5, 0, 0, 0, 4, 0, 0, 0]);
    // Sign plane: number 0, 32 bytes a row, 128 rows a block, from byte 4,096, 5 rows and a tag long.
    assert_eq!(page[72..76], 0_u32.to_le_bytes());
    assert_eq!(page[76..80], 32_u32.to_le_bytes());
    assert_eq!(page[80..84], 128_u32.to_le_bytes());
    assert_eq!(page[88..96], 4_096_u64.to_le_bytes());
    assert_eq!(page[96..104], 176_u64.to_le_bytes());
    assert!(page[200..4_080].iter().all(|byte| *byte == 0));
}

#[test]
fn faults_of_a_header_are_told_apart() {
    let layout = Layout::new(dim(256), 5);
    let ulid = Ulid::from_parts(1, 2);
    let seal = context().seal(ulid);
    let page = seal.header(&layout);
    assert_eq!(seal.header_fault(&page, &layout), None);
    let fault = |page: &[u8]| match seal.header_fault(page, &layout) {
        Some(HeaderFault::Text(text)) => text,
        other => panic!("damage: {other:?}"),
    };
    let other_tenant = SegmentContext::new(&id("bank"), dim(256), &key(1)).seal(ulid);
    assert!(fault(&other_tenant.header(&layout)).contains("another tenant"));
    let other_file = context().seal(Ulid::from_parts(1, 3));
    assert!(fault(&other_file.header(&layout)).contains("another segment"));
    let other_key = SegmentContext::new(&id("acme"), dim(256), &key(2)).seal(ulid);
    assert!(fault(&other_key.header(&layout)).contains("authentication"));
    assert!(fault(&seal.header(&Layout::new(dim(256), 6))).contains("it has 6 rows; the catalog has 5"));
    assert!(fault(&seal.header(&Layout::new(dim(128), 5))).contains("it has dimension 128"));
    assert!(fault(&page[1..]).contains("begin"));
}

#[test]
fn a_newer_version_is_told_apart_from_damage() {
    let layout = Layout::new(dim(256), 5);
    let seal = context().seal(Ulid::from_parts(1, 2));
    let mut page = seal.header(&layout);
    page[8] = 2;
    assert_eq!(seal.header_fault(&page, &layout), Some(HeaderFault::Newer(2)));
}

#[test]
fn every_byte_of_a_header_counts() {
    let layout = Layout::new(dim(256), 5);
    let seal = context().seal(Ulid::from_parts(1, 2));
    let page = seal.header(&layout);
    for at in 0..HEADER_LEN {
        let mut flipped = page.clone();
        flipped[at] ^= 0x40;
        assert!(seal.header_fault(&flipped, &layout).is_some(), "byte {at}");
    }
}

#[test]
fn a_block_opens_only_in_its_place() {
    let seal = context().seal(Ulid::from_parts(1, 2));
    let mut data = b"plain".to_vec();
    seal.seal_block(Plane::Sign, 3, &mut data, 0);
    let (sealed, tag) = data.split_last_chunk::<16>().expect("a tag");
    let opens = |seal: &SegmentSeal, plane, block| {
        let mut plain = sealed.to_vec();
        seal.open_block(plane, block, &mut plain, tag) && plain == b"plain"
    };
    assert!(opens(&seal, Plane::Sign, 3));
    assert!(!opens(&seal, Plane::Sign, 4));
    assert!(!opens(&seal, Plane::Refine, 3));
    assert!(!opens(&context().seal(Ulid::from_parts(1, 3)), Plane::Sign, 3));
}

#[test]
fn only_names_of_segment_files_are_read_as_such() {
    let ulid = Ulid::generate();
    let name = file_name(ulid);
    assert_eq!(ulid_of(&name), Some(ulid));
    for other in [
        name.to_lowercase(),
        format!("{name}.tmp"),
        ulid.to_string(),
        format!("{ulid}seg"),
        "README".to_owned(),
        ".seg".to_owned(),
    ] {
        assert_eq!(ulid_of(&other), None, "{other}");
    }
}
