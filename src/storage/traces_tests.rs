//! Tests of the search for sealed rows: each is found wherever it stands, and nothing else.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::*;
use crate::model::erasure::ErasureState;
use crate::model::timestamp::Timestamp;

const DIM: usize = 32;

fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha12Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn receipt(rows: &[Vec<u8>]) -> ErasureReceipt {
    ErasureReceipt {
        erasure: 1,
        tenant: "acme".parse().expect("valid"),
        subject_id: "s".parse().expect("valid"),
        erased_at: Timestamp(1),
        purged_at: None,
        state: ErasureState::Erased,
        sealed_row_sha256: rows.iter().map(|row| to_hex(&sha256(row))).collect(),
        sealed_row_search: rows.iter().map(|row| search_key(row)).collect(),
        removed: None,
    }
}

fn of_earlier_release(rows: &[Vec<u8>]) -> ErasureReceipt {
    ErasureReceipt {
        sealed_row_search: Vec::new(),
        ..receipt(rows)
    }
}

fn dimension() -> Dimension {
    Dimension::new(DIM).expect("valid")
}

#[test]
fn rows_are_found_at_every_offset_with_and_without_fingerprints() {
    let rows = [random(2 * DIM + 16, 1), random(2 * DIM + 28, 2)];
    for receipt in [receipt(&rows), of_earlier_release(&rows)] {
        let traces = Traces::new(&receipt, Some(dimension())).expect("readable");
        for (row, at) in rows.iter().zip([0, 517, 900]) {
            let mut bytes = random(900 + row.len(), 3);
            bytes.splice(at..at + row.len(), row.iter().copied());
            assert_eq!(traces.find(&bytes, bytes.len()).0, [at]);
            *bytes.get_mut(at + 5).expect("within") ^= 1;
            assert_eq!(
                traces.find(&bytes, bytes.len()).0,
                [0; 0],
                "one bit is another row"
            );
        }
    }
}

#[test]
fn windows_are_counted_and_those_that_begin_later_are_left_to_the_next_stretch() {
    let row = random(80, 1);
    let traces = Traces::new(&receipt(std::slice::from_ref(&row)), None).expect("readable");
    let bytes = [random(100, 2), row].concat();
    assert_eq!(traces.find(&bytes, 200), (vec![100], 101));
    assert_eq!(traces.find(&bytes, 101), (vec![100], 101));
    assert_eq!(traces.find(&bytes, 100), (Vec::new(), 100));
    assert_eq!(traces.find(&bytes[..79], 100), (Vec::new(), 0));
}

#[test]
fn a_fingerprint_alone_is_no_row() {
    let row = random(80, 1);
    let mut lying = receipt(std::slice::from_ref(&row));
    lying.sealed_row_sha256 = vec![to_hex(&sha256(b"another"))];
    let traces = Traces::new(&lying, None).expect("readable");
    assert_eq!(traces.find(&row, 80), (Vec::new(), 1));
}

#[test]
fn receipts_that_do_not_say_what_to_look_for_are_refused() {
    let rows = [random(80, 1), random(80, 2)];
    assert!(Traces::new(&of_earlier_release(&rows), None).is_err());
    let change = |change: &dyn Fn(&mut ErasureReceipt)| {
        let mut receipt = receipt(&rows);
        change(&mut receipt);
        Traces::new(&receipt, Some(dimension())).is_err()
    };
    assert!(change(&|receipt| drop(receipt.sealed_row_search.pop())));
    assert!(change(&|receipt| receipt.sealed_row_search[0].bytes = 0));
    assert!(change(&|receipt| receipt.sealed_row_search[0].bytes = u32::MAX));
    assert!(change(
        &|receipt| receipt.sealed_row_search[0].fingerprint = "12".to_owned()
    ));
    assert!(change(&|receipt| receipt.sealed_row_sha256[0] = "zz".to_owned()));
}
