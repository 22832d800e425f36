//! Tests of page authentication: what was sealed opens where it was sealed, and nothing else does.

use super::*;

const SPOT: Spot = Spot::Catalog { offset: 8_192 };

fn page(seal: &PageSeal) -> [u8; PAGE_LEN] {
    let mut page = std::array::from_fn(|at| u8::try_from(at % 251).expect("below 251"));
    page[PAGE_LEN - RESERVED_LEN..].fill(0);
    assert!(seal.seal(SPOT, &mut page));
    page
}

#[test]
fn a_page_opens_where_it_was_sealed() {
    let seal = PageSeal::new(&SecretKey::random());
    let sealed = page(&seal);
    let mut opened = sealed;
    assert!(seal.open(SPOT, &mut opened));
    assert_eq!(
        opened[..PAGE_LEN - RESERVED_LEN],
        sealed[..PAGE_LEN - RESERVED_LEN]
    );
    assert!(opened[PAGE_LEN - RESERVED_LEN..].iter().all(|byte| *byte == 0));
    let (offset, head) = (8_192, [0; FRAME_HEAD_LEN]);
    for spot in [Spot::Log { offset, head }, Spot::Catalog { offset: 12_288 }] {
        let mut page = sealed;
        assert!(!seal.open(spot, &mut page));
        assert_eq!(page, sealed, "left as it is");
    }
    let other = PageSeal::new(&SecretKey::random());
    assert!(!other.open(SPOT, &mut sealed.clone()));
}

#[test]
fn every_flipped_bit_is_found() {
    let seal = PageSeal::new(&SecretKey::random());
    let sealed = page(&seal);
    for bit in 0..PAGE_LEN * 8 {
        let mut flipped = sealed;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!seal.open(SPOT, &mut flipped), "bit {bit}");
    }
}

#[test]
fn a_page_whose_last_bytes_are_in_use_is_refused() {
    let seal = PageSeal::new(&SecretKey::random());
    let mut sealed = page(&seal);
    assert!(!seal.seal(SPOT, &mut sealed));
}

#[test]
fn a_fault_is_told_once() {
    set_fault(PageFault(Spot::Log {
        offset: 56,
        head: [0; FRAME_HEAD_LEN],
    }));
    let fault = take_fault().expect("just set");
    assert_eq!(
        fault.to_string(),
        "the page at byte 56 of its log fails authentication"
    );
    assert_eq!(take_fault(), None);
}
