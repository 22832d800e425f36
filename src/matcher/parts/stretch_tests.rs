//! Tests of a stretch: what counts, what is found, and what is left in the engine.

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::*;
use crate::engine::ScanRequest;
use crate::matcher::apply::exact_bytes;
use crate::matcher::fixture::{DIM, engine};
use crate::matcher::load::encode_planes;
use crate::matcher::parts::tests::random;
use crate::model::signature::Signature;

fn dimension() -> Dimension {
    Dimension::new(DIM).expect("a dimension")
}

fn rows(references: &[u64]) -> (Vec<Signature>, Vec<StoredRow>) {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let signatures: Vec<Signature> = references.iter().map(|_| random(&mut rng)).collect();
    let stored = references
        .iter()
        .zip(&signatures)
        .map(|(reference, signature)| StoredRow {
            id: RowId {
                reference: *reference,
                subject: reference + 100,
            },
            exact: exact_bytes(signature),
        });
    let stored = stored.collect();
    (signatures, stored)
}

async fn survivors(stretch: &Stretch, probe: &Signature) -> Vec<Place> {
    let scanned = stretch.engine.scan(ScanRequest {
        gallery: stretch.gallery(),
        probe: probe.values().into(),
        threshold: 0.99,
        deterministic: true,
        deadline: None,
    });
    stretch.places(&scanned.await.expect("scanned").survivors)
}

#[tokio::test]
async fn rows_of_the_fresh_part_count_when_told_and_are_found_by_reference() {
    let stretch = Stretch::of_fresh(&engine(), dimension()).expect("opened");
    let (signatures, stored) = rows(&[9, 4, 7]);
    let first = stretch.append(dimension(), &stored).expect("there is room");
    assert!(
        survivors(&stretch, &signatures[0]).await.is_empty(),
        "nobody counts yet"
    );
    assert!(stretch.open(9).is_none());
    let idle = stretch.count(first, &stored, &[9, 7].into());
    assert_eq!((idle.clone(), stretch.len(), stretch.appended()), (vec![1], 2, 3));
    assert_eq!(
        survivors(&stretch, &signatures[0]).await,
        [Place::Pending { reference: 9 }]
    );
    assert!(stretch.open(9).is_some_and(|row| row == stored[0]));
    assert!(!stretch.has(4) && stretch.open(4).is_none());
    assert_eq!(stretch.take_out(&[Reference(4), Reference(9)]), [0]);
    assert!(stretch.open(9).is_none() && stretch.has(7));
    stretch.overwrite(vec![0, 1]).expect("they are there");
    assert!(survivors(&stretch, &signatures[0]).await.is_empty());
    assert_eq!(stretch.nth(0), Some(Place::Pending { reference: 7 }));
    assert_eq!(stretch.nth(1), None);
}

#[tokio::test]
async fn a_row_that_comes_twice_stays_as_it_is() {
    let stretch = Stretch::of_fresh(&engine(), dimension()).expect("opened");
    let (signatures, stored) = rows(&[9, 4]);
    let first = stretch.append(dimension(), &stored).expect("there is room");
    assert!(stretch.count(first, &stored, &BTreeSet::from([4, 9])).is_empty());
    let again = stretch.append(dimension(), &stored).expect("there is room");
    let idle = stretch.count(again, &stored, &BTreeSet::new());
    assert_eq!(idle, [again, again + 1]);
    stretch.overwrite(idle).expect("overwritten");
    assert_eq!(
        survivors(&stretch, &signatures[0]).await,
        [Place::Pending { reference: 9 }]
    );
    for (reference, stored) in [9, 4].into_iter().zip(&stored) {
        assert_eq!(stretch.open(reference).expect("here").exact, stored.exact);
    }
}

#[tokio::test]
async fn a_segment_has_its_own_row_numbers_and_no_row_that_is_gone() {
    let (signatures, stored) = rows(&[5, 3, 8, 6]);
    let exact: Vec<u8> = stored.iter().flat_map(|row| row.exact.to_vec()).collect();
    let copy = SegmentCopy {
        planes: encode_planes(dimension(), &exact),
        references: vec![5, 3, 0, 6],
    };
    let stretch = Stretch::of_segment(&engine(), dimension(), 2, copy).expect("opened");
    let place = |row| Place::Segment { segment: 2, row };
    assert_eq!(survivors(&stretch, &signatures[1]).await, [place(1)]);
    assert!(survivors(&stretch, &signatures[2]).await.is_empty(), "a hole");
    assert_eq!(stretch.place_of(Reference(6)), Some(place(3)));
    assert_eq!((stretch.reference(2), stretch.reference(3)), (None, Some(6)));
    assert_eq!(stretch.places(&Survivors::All), [place(1), place(0), place(3)]);
    assert_eq!(stretch.take_out(&[Reference(6)]), [3]);
    assert_eq!((stretch.reference(3), stretch.len()), (None, 2));
    stretch.close();
    assert_eq!(stretch.len(), 0);
    stretch.overwrite(vec![3]).expect("all of it is gone already");
}
