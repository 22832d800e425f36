//! Tests of following frames: wherever their bytes are cut, each is seen once, and settings are counted alone.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 1];
    frame.extend(payload);
    frame
}

/// How many frames of settings pass of these bytes, given in pieces of this length.
fn passed(bytes: &[u8], piece: usize) -> u32 {
    let mut frames = Frames::new();
    for bytes in bytes.chunks(piece) {
        frames.follow(bytes).expect("few");
    }
    assert_eq!((frames.skip, frames.came), (0, 0), "the bytes end with a frame");
    SETTINGS_AT_ONCE_MAX - frames.settings_left
}

#[tokio::test(start_paused = true)]
async fn frames_are_found_wherever_their_bytes_are_cut() {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, &[0; 12]));
    // The payload looks like frames of settings itself.
    bytes.extend(frame(0, &frame(SETTINGS, &[]).repeat(40)));
    bytes.extend(frame(1, &[7; 300]));
    bytes.extend(frame(SETTINGS, &[]));
    bytes.extend(frame(6, &[1; 8]));
    for piece in 1..=bytes.len() {
        assert_eq!(passed(&bytes, piece), 2, "pieces of {piece}");
    }
}

#[tokio::test(start_paused = true)]
async fn settings_beyond_what_anybody_needs_are_told_and_come_back_with_time() {
    let mut frames = Frames::new();
    frames.follow(PREFACE).expect("no frame");
    // Without a payload: what is refused is followed no further.
    let one = frame(SETTINGS, &[]);
    for _ in 0..SETTINGS_AT_ONCE_MAX {
        frames.follow(&one).expect("allowed");
    }
    assert_eq!(frames.follow(&one), Err(TooManySettings));
    tokio::time::advance(2 * SETTINGS_EVERY).await;
    frames.follow(&one).expect("a second later");
    frames.follow(&one).expect("and another one");
    assert_eq!(frames.follow(&one), Err(TooManySettings));
    tokio::time::advance(1_000 * SETTINGS_EVERY).await;
    for _ in 0..SETTINGS_AT_ONCE_MAX {
        frames.follow(&one).expect("no more than at the beginning");
    }
    assert_eq!(frames.follow(&one), Err(TooManySettings));
}
