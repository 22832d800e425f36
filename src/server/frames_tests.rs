//! Tests of following frames: wherever their bytes are cut, each is seen once, and those that steer a connection are counted alone.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 1];
    frame.extend(payload);
    frame
}

/// How many frames of settings, and how many that steer, pass of these bytes, given in pieces of this length.
fn passed(bytes: &[u8], piece: usize) -> (u32, u32) {
    let mut frames = Frames::new();
    for bytes in bytes.chunks(piece) {
        frames.follow(bytes).expect("few");
    }
    assert_eq!((frames.skip, frames.came), (0, 0), "the bytes end with a frame");
    (
        SETTINGS_MAX.0 - frames.settings.left,
        STEERING_MAX.0 - frames.steering.left,
    )
}

#[tokio::test(start_paused = true)]
async fn frames_are_found_wherever_their_bytes_are_cut() {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, &[0; 12]));
    // The payload looks like frames of settings itself.
    bytes.extend(frame(0, &frame(SETTINGS, &[]).repeat(40)));
    bytes.extend(frame(1, &[7; 300]));
    bytes.extend(frame(SETTINGS, &[]));
    bytes.extend(frame(PING, &[1; 8]));
    bytes.extend(frame(WINDOW_UPDATE, &[1; 4]));
    for piece in 1..=bytes.len() {
        assert_eq!(passed(&bytes, piece), (2, 4), "pieces of {piece}");
    }
}

#[tokio::test(start_paused = true)]
async fn settings_beyond_what_anybody_needs_are_told_and_come_back_with_time() {
    let mut frames = Frames::new();
    frames.follow(PREFACE).expect("no frame");
    // Without a payload: what is refused is followed no further.
    let one = frame(SETTINGS, &[]);
    let (at_once_max, every) = SETTINGS_MAX;
    for _ in 0..at_once_max {
        frames.follow(&one).expect("allowed");
    }
    assert_eq!(frames.follow(&one), Err(TooManyFrames));
    tokio::time::advance(2 * every).await;
    frames.follow(&one).expect("a second later");
    frames.follow(&one).expect("and another one");
    assert_eq!(frames.follow(&one), Err(TooManyFrames));
    tokio::time::advance(1_000 * every).await;
    for _ in 0..at_once_max {
        frames.follow(&one).expect("no more than at the beginning");
    }
    assert_eq!(frames.follow(&one), Err(TooManyFrames));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_windows_is_told_and_calls_are_never_counted() {
    let (at_once_max, every) = STEERING_MAX;
    let mut frames = Frames::new();
    frames.follow(PREFACE).expect("no frame");
    let window = frame(WINDOW_UPDATE, &[]);
    for _ in 0..at_once_max {
        frames.follow(&window).expect("allowed");
    }
    for kind in OF_CALLS {
        frames.follow(&frame(kind, &[0; 5])).expect("not counted");
    }
    assert_eq!(frames.follow(&window), Err(TooManyFrames));
    // As many as a busy front sends, for as long as it likes.
    for _ in 0..20 {
        tokio::time::advance(10_000 * every).await;
        for _ in 0..9_000 {
            frames.follow(&window).expect("allowed");
        }
    }
}
