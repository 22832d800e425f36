//! Tests of the writer: what it refuses and what it leaves behind.

use super::*;
use crate::model::signature::Dimension;
use crate::storage::testing::{DIM, files, id, key, rows};

fn context() -> SegmentContext {
    SegmentContext::new(&id("acme"), Dimension::new(DIM).expect("valid"), &key(1))
}

fn ids(count: u64) -> Vec<RowId> {
    (1..=count)
        .map(|n| RowId {
            reference: n,
            subject: n,
        })
        .collect()
}

fn refusal(change: fn(&mut SegmentRows)) -> String {
    let tmp = tempfile::tempdir().expect("a directory");
    let mut writer = SegmentWriter::create(tmp.path(), &context(), 3).expect("created");
    let mut bad = rows(&[ids(2), vec![RowId::HOLE]].concat());
    change(&mut bad);
    writer.push(&bad, 0..3).expect_err("refused").to_string()
}

#[test]
fn a_file_that_is_not_finished_leaves_nothing() {
    let tmp = tempfile::tempdir().expect("a directory");
    let mut writer = SegmentWriter::create(tmp.path(), &context(), 100).expect("created");
    writer.push(&rows(&ids(50)), 0..50).expect("taken");
    assert_eq!(files(tmp.path()).len(), 1);
    drop(writer);
    assert!(files(tmp.path()).is_empty());
}

#[test]
fn planes_must_be_as_long_as_their_rows() {
    let cut = refusal(|rows| {
        rows.planes.refine.pop();
    });
    assert!(cut.contains("refine plane has 35 bytes; 3 rows take 36"), "{cut}");
    let cut = refusal(|rows| {
        rows.exact.pop();
    });
    assert!(cut.contains("exact plane"), "{cut}");
}

#[test]
fn a_hole_is_zero_and_only_a_hole_has_no_scale() {
    assert!(refusal(|rows| rows.exact[2 * 2 * DIM] = 1).contains("hole"));
    assert!(refusal(|rows| rows.planes.scale[2 * 12] = 1).contains("has a scale"));
    assert!(refusal(|rows| rows.planes.scale[..12].fill(0)).contains("reference 1 has no scale"));
}

#[test]
fn the_file_is_as_long_as_its_layout_says() {
    let tmp = tempfile::tempdir().expect("a directory");
    for count in [1_u32, 32, 33, 1_500] {
        let mut writer = SegmentWriter::create(tmp.path(), &context(), count).expect("created");
        let rows = rows(&ids(u64::from(count)));
        writer.push(&rows, 0..count as usize).expect("taken");
        let written = writer.finish().expect("finished");
        let len = std::fs::metadata(&written.path).expect("there").len();
        assert_eq!(len, Layout::new(context().dimension, count).file_len());
        assert_eq!((written.rows, written.holes), (count, 0));
    }
}
