//! Tests of sealed streams: what was written is read, and every damage there can be is an error and never an end.

use super::*;

const SEALED_LEN: usize = FRAME_LEN + TAG_LEN;

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32])
}

fn plain(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at % 251).expect("below 251"))
        .collect()
}

fn sealed(len: usize) -> Vec<u8> {
    let mut writer = SealedWriter::new(Vec::new(), &key(1)).expect("begun");
    writer.write_all(&plain(len)).expect("written");
    writer.finish().expect("ended")
}

/// Reads all, or gives the error.
fn opened(bytes: &[u8], with: &SecretKey) -> Result<Vec<u8>, StreamError> {
    let own = |error: &io::Error| {
        *error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<StreamError>())
            .expect("an error of its own")
    };
    let mut reader = SealedReader::new(bytes, with).map_err(|error| own(&error))?;
    let mut read = Vec::new();
    match reader.read_to_end(&mut read) {
        Ok(_) => Ok(read),
        Err(error) => {
            let again = reader.read(&mut [0; 1]).expect_err("it stays an error");
            assert_eq!(own(&again), own(&error));
            Err(own(&error))
        }
    }
}

#[test]
fn what_was_written_is_read() {
    for len in [
        0,
        1,
        FRAME_LEN - 1,
        FRAME_LEN,
        FRAME_LEN + 1,
        2 * FRAME_LEN,
        3 * FRAME_LEN + 7,
    ] {
        let sealed = sealed(len);
        assert_eq!(
            sealed.len(),
            HEADER_LEN + len + (len / FRAME_LEN + 1) * TAG_LEN,
            "{len}"
        );
        assert_eq!(opened(&sealed, &key(1)), Ok(plain(len)), "{len}");
    }
}

#[test]
fn two_streams_of_the_same_bytes_share_no_frame() {
    let (a, b) = (sealed(100), sealed(100));
    assert_ne!(a[8..40], b[8..40]);
    assert_ne!(a[HEADER_LEN..], b[HEADER_LEN..]);
    let mixed = [&a[..HEADER_LEN], &b[HEADER_LEN..]].concat();
    assert_eq!(opened(&mixed, &key(1)), Err(StreamError::Frame(0)));
}

#[test]
fn another_key_is_told_from_damage() {
    assert_eq!(opened(&sealed(100), &key(2)), Err(StreamError::Key));
}

#[test]
fn every_flipped_bit_is_found() {
    let whole = sealed(40);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = opened(&flipped, &key(1)).expect_err("changed");
        match bit / 8 {
            0..7 => assert_eq!(error, StreamError::NotAStream, "bit {bit}"),
            7 => assert!(
                matches!(error, StreamError::Newer(_) | StreamError::Key),
                "bit {bit}"
            ),
            8..HEADER_LEN => assert_eq!(error, StreamError::Key, "bit {bit}"),
            _ => assert_eq!(error, StreamError::Frame(0), "bit {bit}"),
        }
    }
    let whole = sealed(2 * FRAME_LEN + 100);
    for at in (HEADER_LEN..whole.len()).step_by(4_099) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        let frame = ((at - HEADER_LEN) / SEALED_LEN) as u64;
        assert_eq!(
            opened(&flipped, &key(1)),
            Err(StreamError::Frame(frame)),
            "byte {at}"
        );
    }
}

#[test]
fn a_stream_that_was_cut_anywhere_is_no_shorter_stream() {
    for len in [0, 100, FRAME_LEN, 2 * FRAME_LEN, 2 * FRAME_LEN + 100] {
        let whole = sealed(len);
        let borders = (0..4).map(|frame| HEADER_LEN + frame * SEALED_LEN);
        let beside = borders.flat_map(|at| [at - 1, at, at + 1, at + TAG_LEN, at + TAG_LEN + 1]);
        for cut in beside.chain([0, 7, 8, whole.len() - 1]) {
            if cut < whole.len() {
                assert!(
                    opened(&whole[..cut], &key(1)).is_err(),
                    "{len} bytes cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn frames_that_were_moved_repeated_or_left_out_are_found() {
    let whole = sealed(3 * FRAME_LEN + 5);
    let (header, frames) = whole.split_at(HEADER_LEN);
    let frames: Vec<&[u8]> = frames.chunks(SEALED_LEN).collect();
    let of = |order: &[usize]| {
        let mut bytes = header.to_vec();
        for frame in order {
            bytes.extend_from_slice(frames[*frame]);
        }
        opened(&bytes, &key(1))
    };
    assert_eq!(of(&[0, 1, 2, 3]), Ok(plain(3 * FRAME_LEN + 5)));
    for (order, found) in [
        (&[1, 0, 2, 3][..], 0),
        (&[0, 2, 1, 3], 1),
        (&[0, 0, 1, 2, 3], 1),
        (&[0, 2, 3], 1),
        (&[0, 1, 3], 2),
        (&[3], 0),
        (&[0, 1, 2, 3, 3], 3),
        (&[0, 1, 2, 3, 0], 3),
    ] {
        assert_eq!(of(order), Err(StreamError::Frame(found)), "{order:?}");
    }
}

#[test]
fn what_stands_behind_the_end_is_found() {
    for len in [0, 100, FRAME_LEN] {
        let mut longer = sealed(len);
        longer.push(0);
        assert!(opened(&longer, &key(1)).is_err(), "a byte behind {len} bytes");
        let twice = [sealed(len), sealed(len)].concat();
        assert!(opened(&twice, &key(1)).is_err(), "two streams of {len} bytes");
    }
}

#[test]
fn a_stream_that_was_not_ended_is_refused() {
    let mut bytes = Vec::new();
    let mut writer = SealedWriter::new(&mut bytes, &key(1)).expect("begun");
    writer.write_all(&plain(FRAME_LEN)).expect("written");
    drop(writer);
    assert_eq!(bytes.len(), HEADER_LEN + SEALED_LEN);
    assert_eq!(opened(&bytes, &key(1)), Err(StreamError::Frame(1)));
    // Nor does a short frame end a stream that was not sealed as its last one.
    let mut bytes = Vec::new();
    let mut writer = SealedWriter::new(&mut bytes, &key(1)).expect("begun");
    writer.write_all(&plain(100)).expect("written");
    writer.seal(false).expect("written");
    assert_eq!(opened(&bytes, &key(1)), Err(StreamError::Frame(0)));
}

#[test]
fn a_newer_version_is_named() {
    let mut newer = sealed(0);
    newer[7] = 2;
    assert_eq!(opened(&newer, &key(1)), Err(StreamError::Newer(2)));
    assert_eq!(opened(b"PK", &key(1)), Err(StreamError::NotAStream));
}

/// Fails once, in the middle of a frame.
struct FailsOnce<'a> {
    bytes: &'a [u8],
    until: usize,
}

impl Read for FailsOnce<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.until == 0 {
            self.until = usize::MAX;
            return Err(ErrorKind::TimedOut.into());
        }
        let len = self.until.min(to.len());
        let len = self.bytes.read(&mut to[..len])?;
        self.until -= len;
        Ok(len)
    }
}

#[test]
fn nothing_that_is_not_authentic_comes_after_an_error_of_the_medium() {
    let whole = sealed(3 * FRAME_LEN);
    let from = FailsOnce {
        bytes: &whole,
        until: HEADER_LEN + SEALED_LEN + 100,
    };
    let mut reader = SealedReader::new(from, &key(1)).expect("begun");
    let mut read = vec![0; FRAME_LEN];
    reader.read_exact(&mut read).expect("the first frame");
    assert_eq!(read, plain(FRAME_LEN));
    let error = reader.read(&mut read).expect_err("the medium");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    for _ in 0..2 {
        let error = reader.read(&mut read).expect_err("what came is not whole");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
