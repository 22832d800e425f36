//! Tests of the reader: what was written is read, and what was changed is named.

use std::fs;

use super::*;
use crate::keys::aead::TAG_LEN;
use crate::model::signature::Dimension;
use crate::storage::place::RowId;
use crate::storage::segment::format::Layout;
use crate::storage::segment::writer::{SegmentWriter, WrittenSegment};
use crate::storage::testing::{DIM, exact, id, key, rows};

const ROWS: u32 = 1_100;

fn context(tenant: &str) -> SegmentContext {
    SegmentContext::new(&id(tenant), Dimension::new(DIM).expect("valid"), &key(1))
}

fn write(dir: &Path, tenant: &str) -> WrittenSegment {
    let ids: Vec<RowId> = (1..=u64::from(ROWS))
        .map(|n| RowId {
            reference: n,
            subject: n + 7,
        })
        .map(|id| if id.reference == 5 { RowId::HOLE } else { id })
        .collect();
    let mut writer = SegmentWriter::create(dir, &context(tenant), ROWS).expect("created");
    writer.push(&rows(&ids), 0..ids.len()).expect("taken");
    writer.finish().expect("finished")
}

fn open(dir: &Path, written: &WrittenSegment) -> Result<SegmentReader, StorageError> {
    SegmentReader::open(dir, &context("acme"), written.ulid, written.rows)
}

/// Reads every block; the first fault in words.
fn fault(dir: &Path, written: &WrittenSegment) -> Option<String> {
    let reader = match open(dir, written) {
        Ok(reader) => reader,
        Err(error) => return Some(error.to_string()),
    };
    Plane::ALL
        .iter()
        .find_map(|plane| reader.open_plane(*plane).err())
        .map(|error| error.to_string())
}

#[test]
fn rows_come_back_as_they_were_written() {
    let tmp = tempfile::tempdir().expect("a directory");
    let written = write(tmp.path(), "acme");
    let reader = open(tmp.path(), &written).expect("opened");
    let block_rows = reader.exact_block_rows();
    for row in [0, 1, 31, 32, ROWS - 1] {
        let mut block = Vec::new();
        reader
            .open_block(Plane::Exact, (row / block_rows) as usize, &mut block)
            .expect("authentic");
        let stored = reader.row_in_block(row, &block).expect("no hole");
        assert_eq!(stored.id.reference, u64::from(row) + 1);
        assert_eq!(stored.id.subject, u64::from(row) + 8);
        assert_eq!(*stored.exact, exact(u64::from(row) + 1));
    }
    let mut block = Vec::new();
    reader.open_block(Plane::Exact, 0, &mut block).expect("authentic");
    assert!(reader.row_in_block(4, &block).is_none(), "row 4 is a hole");
}

#[test]
fn a_flipped_byte_anywhere_is_found_and_its_plane_named() {
    let tmp = tempfile::tempdir().expect("a directory");
    let written = write(tmp.path(), "acme");
    let whole = fs::read(&written.path).expect("readable");
    assert_eq!(fault(tmp.path(), &written), None);
    let layout = Layout::new(context("acme").dimension, ROWS);
    let mut offsets: Vec<usize> = (0..whole.len()).step_by(997).collect();
    for plane in Plane::ALL {
        let plane = layout.plane(plane);
        offsets.extend([plane.offset, plane.offset + plane.len - 1]);
    }
    for at in offsets {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&written.path, &flipped).expect("written");
        let fault = fault(tmp.path(), &written).unwrap_or_else(|| panic!("byte {at} unnoticed"));
        assert!(fault.contains(&written.ulid.to_string()), "{fault}");
        let plane = Plane::ALL.into_iter().find(|plane| {
            let plane = layout.plane(*plane);
            (plane.offset..plane.offset + plane.len).contains(&at)
        });
        if let Some(plane) = plane {
            let words = format!("of the {} plane fails authentication", plane.name());
            assert!(fault.contains(&words), "byte {at}: {fault}");
        }
    }
}

#[test]
fn truncated_lengthened_and_missing_files_are_named() {
    let tmp = tempfile::tempdir().expect("a directory");
    let written = write(tmp.path(), "acme");
    let whole = fs::read(&written.path).expect("readable");
    for len in [0, 100, HEADER_LEN, whole.len() - 1] {
        fs::write(&written.path, &whole[..len]).expect("written");
        let fault = fault(tmp.path(), &written).expect("damaged");
        assert!(fault.contains(&format!("it is {len} bytes long")), "{fault}");
    }
    fs::write(&written.path, [whole.as_slice(), &[0]].concat()).expect("written");
    assert!(
        fault(tmp.path(), &written)
            .expect("damaged")
            .contains("bytes long")
    );
    fs::remove_file(&written.path).expect("removed");
    assert!(fault(tmp.path(), &written).expect("damaged").contains("missing"));
}

#[test]
fn swapped_files_and_files_of_another_tenant_are_named() {
    let tmp = tempfile::tempdir().expect("a directory");
    let written = write(tmp.path(), "acme");
    let other = write(tmp.path(), "acme");
    fs::copy(&other.path, &written.path).expect("copied");
    assert!(
        fault(tmp.path(), &written)
            .expect("damaged")
            .contains("another segment")
    );
    let foreign = write(tmp.path(), "bank");
    let renamed = WrittenSegment {
        path: tmp.path().join(file_name(foreign.ulid)),
        ..foreign
    };
    assert!(
        fault(tmp.path(), &renamed)
            .expect("damaged")
            .contains("another tenant")
    );
}

#[test]
fn swapped_blocks_of_one_file_are_found() {
    let tmp = tempfile::tempdir().expect("a directory");
    let written = write(tmp.path(), "acme");
    let mut bytes = fs::read(&written.path).expect("readable");
    let layout = Layout::new(context("acme").dimension, ROWS);
    let (first, len) = layout.plane(Plane::Exact).block(0);
    let (second, _) = layout.plane(Plane::Exact).block(1);
    let (head, tail) = bytes.split_at_mut(second);
    head[first..first + len + TAG_LEN].swap_with_slice(&mut tail[..len + TAG_LEN]);
    fs::write(&written.path, &bytes).expect("written");
    let fault = fault(tmp.path(), &written).expect("damaged");
    assert!(fault.contains("block 0 of the exact plane"), "{fault}");
}
