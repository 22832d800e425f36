//! Behaviours of rows on their way into segments: flushes, imports, and where references are found meanwhile.

use super::{Rig, written};
use crate::model::link::LinkKind;
use crate::storage::catalog::segments::{Located, Tombstone};
use crate::storage::error::{StorageError, WriteError};
use crate::storage::place::{Place, RowId};
use crate::storage::testing::{enroll, exact, id, import, link};
use crate::storage::write::Write;

pub(super) fn a_flush_gives_places_and_buries_who_was_erased_meanwhile(rig: &impl Rig) {
    let mut catalog = rig.open();
    for (subject, seed) in [("s1", 1), ("s2", 2), ("s3", 3)] {
        catalog.enroll(subject, seed);
    }
    let ids = catalog.ids(&[1, 2]);
    catalog.erase("s2");
    let rows = [ids[0], RowId::HOLE, ids[1]];
    let mut told = 0;
    let reader = &catalog.reader;
    let flushed = catalog.writer.flush(&written(3, 1), &rows, &mut |flushed| {
        told += 1;
        assert_eq!(flushed.entry.number, 1);
        // Whoever maps the segment now is not too late for anybody.
        assert_eq!(reader.pending()?, [1, 3]);
        Ok(())
    });
    let flushed = flushed.expect("flushed");
    assert_eq!(told, 1);
    assert_eq!((flushed.dead, flushed.buried), (vec![1, 2], [2].into()));
    assert_eq!((flushed.entry.rows, flushed.entry.holes), (3, 1));
    assert_eq!(catalog.placed(1), Some((1, 0)));
    assert!(catalog.reader.locate(&[2]).expect("read")[0].is_none());
    let tombstone = Tombstone {
        reference: 2,
        segment: 1,
        row: 2,
    };
    assert_eq!(catalog.reader.tombstones().expect("read"), [tombstone]);
    assert_eq!(catalog.reader.pending().expect("read"), [3]);
    assert_eq!(catalog.writer.state().pending, 1);
    let last = catalog.ids(&[3]);
    let next = catalog.writer.flush(&written(1, 0), &last, &mut |_| Ok(()));
    assert_eq!(next.expect("flushed").entry.number, 2);
    drop(catalog);
    let kept = rig.open();
    let numbers: Vec<_> = kept.segments.iter().map(|it| (it.number, it.rows)).collect();
    assert_eq!(numbers, [(1, 3), (2, 1)]);
    assert_eq!(kept.placed(3), Some((2, 0)));
}

pub(super) fn a_flush_that_is_refused_before_its_end_changes_nothing(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    let before = catalog.writer.state();
    let ids = catalog.ids(&[1]);
    let refused = catalog.writer.flush(&written(1, 0), &ids, &mut |_| {
        Err(StorageError::Rows("it can't be mapped".to_owned()))
    });
    assert!(matches!(refused, Err(StorageError::Rows(_))));
    assert_eq!(catalog.writer.state(), before);
    assert_eq!(catalog.reader.pending().expect("read"), [1]);
    drop(catalog);
    let mut kept = rig.open();
    assert_eq!(kept.segments, []);
    let flushed = kept.writer.flush(&written(1, 0), &ids, &mut |_| Ok(()));
    assert_eq!(flushed.expect("flushed").entry.number, 1);
}

pub(super) fn an_import_is_all_or_nothing(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s3", 3);
    let before = catalog.writer.state();
    let refused = catalog.import("i1", &["s1", "s2", "s3"]).expect_err("enrolled");
    let exists = WriteError::SubjectExists { subject_id: id("s3") };
    assert!(
        matches!(&refused, StorageError::Write(why) if *why == exists),
        "{refused}"
    );
    assert!(!catalog.is_known("s1") && !catalog.is_known("s2"));
    let mut told = Vec::new();
    let undone = catalog.import_told(("i3", 0), &["s1", "s2"], &mut |entries| {
        told.extend(entries.iter().map(|entry| entry.number));
        Err(StorageError::Rows("not now".to_owned()))
    });
    assert!(matches!(undone, Err(StorageError::Rows(_))) && told == [1]);
    assert!(!catalog.is_known("s1") && !catalog.is_known("s2"));
    let after = catalog.writer.state();
    assert_eq!(
        (
            after.subjects,
            after.references,
            after.sequence,
            after.last_segment
        ),
        (
            before.subjects,
            before.references,
            before.sequence,
            before.last_segment
        )
    );
    let (answer, segments) = catalog.import("i2", &["s1", "s2"]).expect("imported");
    assert_eq!((answer.rows, segments.len()), (2, 1));
    let known = catalog.reader.first_known(&[id("s9"), id("s2"), id("s1")]);
    assert_eq!(known.expect("read"), Some(id("s2")));
    let place = Place::Segment {
        segment: segments[0].number,
        row: 1,
    };
    let rows = catalog.reader.subject_rows(&id("s2")).expect("read");
    assert_eq!(rows, Some(vec![place]));
    // Enrolments go on as before.
    catalog.enroll("s2", 2);
    assert_eq!(catalog.writer.state().subjects, 3);
}

pub(super) fn an_import_repeated_is_answered_the_same(rig: &impl Rig) {
    let mut catalog = rig.open();
    let request = import("i1", 2);
    let imported = |catalog: &super::OpenCatalog, digest: Option<&[u8; 32]>| {
        catalog.reader.imported(&request.request_id, digest)
    };
    assert_eq!(imported(&catalog, None).expect("read"), None);
    let (answer, _) = catalog.import("i1", &["s1", "s2"]).expect("imported");
    drop(catalog);
    let mut catalog = rig.open();
    for digest in [None, Some(&request.request_digest)] {
        assert_eq!(imported(&catalog, digest).expect("read"), Some(answer));
    }
    let reused = imported(&catalog, Some(&[0; 32]));
    assert!(matches!(
        reused,
        Err(StorageError::Write(WriteError::RequestIdReused))
    ));
    let before = catalog.writer.state().subjects;
    let (again, segments) = catalog.import("i1", &["s1", "s2"]).expect("answered");
    assert_eq!((again, segments.len()), (answer, 0));
    assert_eq!(catalog.writer.state().subjects, before);
}

pub(super) fn an_import_brings_back_nobody_who_was_erased_since_it_began(rig: &impl Rig) {
    let mut catalog = rig.open();
    for subject in ["s1", "s2"] {
        catalog.enroll(subject, 1);
        catalog.erase(subject);
    }
    let before = catalog.writer.state();
    let refused = catalog.import_told(("i1", 1), &["s1", "s2"], &mut |_| Ok(()));
    let refused = refused.expect_err("the second erasure came after the import began");
    assert!(
        matches!(&refused, StorageError::Write(WriteError::SubjectErased { subject_id }) if *subject_id == id("s2")),
        "{refused}"
    );
    let after = catalog.writer.state();
    assert_eq!(
        (after.subjects, after.sequence),
        (before.subjects, before.sequence)
    );
    // Who was erased before may come back by it.
    catalog
        .import_told(("i1", 1), &["s1", "s3"], &mut |_| Ok(()))
        .expect("imported");
    assert_eq!(
        catalog.reader.first_known(&[id("s1")]).expect("read"),
        Some(id("s1"))
    );
}

pub(super) fn references_are_located_in_the_order_asked_for(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.import("i1", &["s1", "s2"]).expect("imported");
    let mut write = enroll("r1", "s3", &[7, 8]);
    write.links = vec![link(LinkKind::BadgeId, 3)];
    catalog.one(Write::Enroll(write)).expect("enrolled");
    let located = catalog.reader.locate(&[4, 99, 2, 0, 3, 4]).expect("read");
    let told = located.iter().map(|located| match located {
        None => "nowhere".to_owned(),
        Some(Located::Placed { segment, row }) => format!("{segment}/{row}"),
        Some(Located::Pending(row)) => {
            let seed = [7, 8].into_iter().find(|seed| exact(*seed) == *row.exact);
            format!("{} with {seed:?}", row.id.reference)
        }
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "4 with Some(8)",
            "nowhere",
            "1/1",
            "nowhere",
            "3 with Some(7)",
            "4 with Some(8)"
        ]
    );
    let mut ids = catalog.ids(&[3]);
    ids.insert(
        0,
        RowId {
            reference: 3,
            subject: 1,
        },
    );
    let found = catalog
        .reader
        .candidates(&ids, &[LinkKind::BadgeId])
        .expect("read");
    assert!(found[0].is_none(), "another one's row");
    let found = found[1].as_ref().expect("enrolled");
    assert_eq!(
        (&found.subject_id, &*found.links),
        (&id("s3"), &[link(LinkKind::BadgeId, 3)][..])
    );
}

pub(super) fn what_is_pending_outlives_its_copies(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    catalog.enroll("s2", 2);
    catalog.erase("s1");
    assert!(catalog.writer.forget_copies().expect("the engine works"));
    let mut located = catalog.reader.locate(&[1, 2]).expect("read");
    assert!(located[0].is_none());
    assert!(matches!(located.remove(1), Some(Located::Pending(row)) if *row.exact == exact(2)));
}
