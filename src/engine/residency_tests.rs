//! Tests of what is resident: limits refuse before anything changes, numbers are never given twice.

use super::*;
use crate::engine::code::Codes;
use crate::engine::samples::{dim, gallery};

fn packed(d: usize, rows: usize) -> PackedRows {
    PackedRows::pack(Codes::encode(dim(d), &gallery("random", d, rows, 1))).expect("whole rows")
}

fn layout() -> PageLayout {
    PageLayout {
        dim: dim(32),
        has_signs: true,
    }
}

#[test]
fn memory_beyond_the_limit_is_refused_before_anything_changes() {
    let max = Gallery::bytes(layout(), 100);
    let mut residency = Residency::with_limits(LockMemory::Off, max, true);
    let (first, second) = (residency.open(dim(32)), residency.open(dim(32)));
    residency.append(first, &packed(32, 90)).expect("fits");
    let held = residency.resident_bytes(first);
    let refusal = residency.append(second, &packed(32, 40)).expect_err("too much");
    let needed = held + Gallery::bytes(layout(), 40);
    assert_eq!(refusal, EngineError::MemoryFull { needed, max });
    assert!(refusal.to_string().contains("engine.resident_bytes_max"));
    assert_eq!(
        (residency.resident_bytes(first), residency.resident_bytes(second)),
        (held, 0)
    );
    residency.close(first).expect("open");
    residency.append(second, &packed(32, 40)).expect("room again");
}

#[test]
fn galleries_are_never_given_a_number_twice() {
    let mut residency = Residency::with_limits(LockMemory::Off, u64::MAX, true);
    let first = residency.open(dim(32));
    residency.close(first).expect("open");
    assert_ne!(residency.open(dim(32)), first);
    assert_eq!(residency.close(first), Err(EngineError::GalleryUnknown(first)));
}

#[test]
fn rows_of_another_dimension_are_refused() {
    let mut residency = Residency::with_limits(LockMemory::Off, u64::MAX, true);
    let id = residency.open(dim(64));
    let refusal = residency.append(id, &packed(32, 1)).expect_err("refused");
    assert_eq!(
        refusal.to_string(),
        "codes.dim: is 32; the gallery's dimension is 64"
    );
}

#[test]
fn erasing_an_unknown_row_changes_nothing() {
    let mut residency = Residency::with_limits(LockMemory::Off, u64::MAX, true);
    let id = residency.open(dim(32));
    residency.append(id, &packed(32, 5)).expect("memory");
    let refusal = residency.erase(id, &[1, 5]).expect_err("refused");
    assert_eq!(refusal, EngineError::RowUnknown { row: 5, rows: 5 });
    assert_eq!(residency.view(id).expect("open").gallery.live(), 5);
}

#[test]
fn rows_appended_after_an_erasure_get_new_numbers() {
    let mut residency = Residency::with_limits(LockMemory::Off, u64::MAX, true);
    let id = residency.open(dim(32));
    residency.append(id, &packed(32, 5)).expect("memory");
    residency.erase(id, &[0, 4]).expect("there");
    assert_eq!(residency.append(id, &packed(32, 2)).expect("memory"), 5..7);
    assert_eq!(residency.view(id).expect("open").gallery.live(), 5);
}
