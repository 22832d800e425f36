//! What an erasure reads of segments before it waits for its transaction, and what it reads within.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::nodes::{Nodes, object};
use super::*;
use crate::cluster::course::{Piece, Reference};
use crate::keys::encoding::to_hex;
use crate::model::erasure::ErasureReceipt;
use crate::model::id::SubjectId;
use crate::storage::catalog::erase::{Trace, sha256};
use crate::storage::cluster::SegmentObject;
use crate::storage::write::{Committed, EraseWrite};

/// An erasure for which this was read ahead of its row.
fn erasure(subject: &str, place: (u32, u32), from: SegmentObject, sealed: &[u8]) -> EraseWrite {
    let Write::Erase(mut write) = erase(&format!("erase-{subject}"), subject) else {
        panic!("an erasure")
    };
    write.ahead.0.insert(place, (from.ulid, Trace::of(sealed)));
    write
}

#[test]
fn a_row_that_was_read_ahead_is_read_again_only_where_another_object_has_it_by_now() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    for subject in ["s1", "s2", "s3", "s4"] {
        one.enroll(subject);
    }
    let mut course = one.follow();
    let first = object(4);
    one.catalog.intend(first.ulid).expect("recorded");
    let (segment, _) = one.catalog.warm(first, &one.fresh()).expect("listed");
    one.catch_up(&mut course);
    one.load(&mut course, Piece::Segment(segment));
    assert!(one.catalog.go_live(segment).expect("asked"));

    let read = RefCell::new(Vec::new());
    let commit = |group: &[Write]| {
        let sealed = |object: &SegmentObject, row: u32| {
            read.borrow_mut().push((object.ulid, row));
            Ok(b"read within".to_vec())
        };
        let answers = one.catalog.commit(group, Timestamp::now(), &sealed);
        let digests = answers.expect("done").into_iter().map(|answer| {
            let Ok(Committed::Erased {
                receipt, sequence, ..
            }) = answer
            else {
                panic!("erased: {answer:?}")
            };
            let receipt: ErasureReceipt = serde_json::from_str(&receipt.receipt_json).expect("a receipt");
            (sequence, receipt.sealed_row_sha256)
        });
        digests.collect::<Vec<_>>()
    };
    let digest = |bytes: &[u8]| vec![to_hex(&sha256(bytes))];
    let ahead = || Write::Erase(erasure("s1", (segment, 0), first, b"ahead"));
    assert_eq!(commit(&[ahead()]), [(7, digest(b"ahead"))]);
    assert!(read.borrow().is_empty(), "nothing was read within");
    assert_eq!(
        commit(&[ahead()]),
        [(7, digest(b"ahead"))],
        "the same change when repeated"
    );

    let second = SegmentObject {
        holes: 1,
        ..object(4)
    };
    let gone = BTreeMap::from([(0, Reference(1))]);
    one.catalog.intend(second.ulid).expect("recorded");
    one.catalog
        .replace(segment, first.ulid, second, &gone)
        .expect("replaced");
    let group = [
        Write::Erase(erasure("s2", (segment, 1), first, b"ahead")),
        Write::Erase(erasure("s3", (segment, 2), second, b"ahead")),
        erase("erase-s4", "s4"),
    ];
    let expected = [
        (8, digest(b"read within")),
        (9, digest(b"ahead")),
        (10, digest(b"read within")),
    ];
    assert_eq!(commit(&group), expected);
    assert_eq!(*read.borrow(), [(second.ulid, 1), (second.ulid, 3)]);
    let found = one.catalog.erasures_of(&id::<SubjectId>("s2")).expect("read");
    assert_eq!(found, [2]);
}
