//! Tests of the upload: the size of its messages, and that it stops when the server does.

use super::*;

#[test]
fn chunks_keep_both_limits() {
    assert_eq!(chunk_rows(256 * 2), 2_048);
    assert_eq!(chunk_rows(4_096 * 4), 64);
    assert_eq!(chunk_rows(32 * 2), CHUNK_ROWS_MAX);
    assert_eq!(chunk_rows(0), CHUNK_ROWS_MAX);
    assert_eq!(chunk_rows(CHUNK_BYTES_MAX * 2), 1);
}

#[test]
fn a_full_message_stays_below_the_message_limit() {
    let ids = CHUNK_ROWS_MAX * (crate::model::id::NAME_LEN_MAX + 4);
    assert!(CHUNK_BYTES_MAX + ids + 64 < super::super::MESSAGE_BYTES_MAX);
}

#[test]
fn sending_ends_when_nobody_listens() {
    let (messages, receiver) = mpsc::channel(1);
    let sender = RowSender { messages };
    assert!(sender.send_blocking(ImportRows::default()));
    drop(receiver);
    assert!(!sender.send_blocking(ImportRows::default()));
}
