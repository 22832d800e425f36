//! A sealed stream: bytes of any number, written and read once from front to end. What was changed, cut, moved or put behind it is found. Knows nothing of their meaning.
//!
//! A header (magic with version, a random salt, a tag), then frames of 64 KiB, each with its tag; the last frame is shorter than the others and may be
//! empty. The key comes from the caller's key and the salt. A frame's nonce is its number and whether it is the last one (STREAM: Hoang, Reyhanitabar,
//! Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015).

use std::io::{self, ErrorKind, Read, Write};

use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

use super::aead::{NONCE_LEN, Sealer, TAG_LEN};
use super::secret::SecretKey;

/// First bytes of a stream; the last of them is the version.
const MAGIC: [u8; 8] = *b"THNRBAK\x01";
const VERSION: u8 = 1;
const SALT_LEN: usize = 32;
/// Bytes before the first frame.
const HEADER_LEN: usize = MAGIC.len() + SALT_LEN + TAG_LEN;
/// Plaintext bytes of every frame but the last, which has fewer.
const FRAME_LEN: usize = 64 << 10;
/// No frame has this number; its nonce seals the header.
const HEADER_NUMBER: u64 = u64::MAX;

/// Why a stream can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StreamError {
    /// It does not begin like one.
    #[error("it is not a sealed stream of thenar")]
    NotAStream,
    /// Written by a newer release.
    #[error("it has version {0}; this release reads {VERSION}: use the newer release that wrote it")]
    Newer(u8),
    /// The header fails authentication.
    #[error(
        "it does not open with this key: the key is another one, or its first {HEADER_LEN} bytes were changed"
    )]
    Key,
    /// A frame fails authentication.
    #[error("frame {0} fails authentication: it was changed, cut off or moved")]
    Frame(u64),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Seals what is written to it.
pub struct SealedWriter<W> {
    to: W,
    sealer: Sealer,
    number: u64,
    /// Shorter than a frame between two calls.
    frame: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins a stream.
    pub fn new(mut to: W, key: &SecretKey) -> io::Result<Self> {
        let mut salt = [0; SALT_LEN];
        rand::fill(&mut salt).expect("the operating system's generator answers");
        let sealer = sealer(key, &salt);
        let tag = sealer.seal_at(nonce(HEADER_NUMBER, false), &MAGIC, &mut []);
        for part in [&MAGIC[..], &salt, &tag] {
            to.write_all(part)?;
        }
        Ok(Self {
            to,
            sealer,
            number: 0,
            frame: Zeroizing::new(Vec::with_capacity(FRAME_LEN)),
        })
    }

    /// Ends the stream. One that is not ended is refused by whoever reads it.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = nonce(self.number, is_last);
        let tag = self.sealer.seal_at(nonce, &[], &mut self.frame);
        self.number += 1;
        self.to.write_all(&self.frame)?;
        self.to.write_all(&tag)?;
        self.frame.clear();
        Ok(())
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(FRAME_LEN - self.frame.len());
        self.frame.extend(bytes.iter().take(len));
        if self.frame.len() == FRAME_LEN {
            self.seal(false)?;
        }
        Ok(len)
    }

    /// Does nothing: a frame goes out when it is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what a [`SealedWriter`] wrote. The end is told after the last frame was found authentic, and an error is told again and again.
pub struct SealedReader<R> {
    from: R,
    sealer: Sealer,
    number: u64,
    frame: Zeroizing<Vec<u8>>,
    /// What of the frame was read already.
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    /// The frame is the last one.
    Last,
    Failed(StreamError),
}

impl<R: Read> SealedReader<R> {
    /// Reads the header.
    pub fn new(mut from: R, key: &SecretKey) -> io::Result<Self> {
        let mut header = [0; HEADER_LEN];
        let len = fill(&mut from, &mut header)?;
        let (rest, tag) = header
            .split_last_chunk::<TAG_LEN>()
            .expect("a header is longer than its tag");
        let ([name @ .., version], salt) = rest.split_first_chunk::<8>().expect("the magic comes first");
        let [expected @ .., _] = &MAGIC;
        if len < MAGIC.len() || name != expected {
            return Err(StreamError::NotAStream.into());
        }
        if *version > VERSION {
            return Err(StreamError::Newer(*version).into());
        }
        let sealer = sealer(key, salt);
        let is_authentic = *version == VERSION
            && sealer
                .open_at(nonce(HEADER_NUMBER, false), &MAGIC, &mut [], tag)
                .is_ok();
        if !is_authentic {
            return Err(StreamError::Key.into());
        }
        Ok(Self {
            from,
            sealer,
            number: 0,
            frame: Zeroizing::new(Vec::new()),
            at: 0,
            state: State::Going,
        })
    }

    fn open(&mut self) -> io::Result<()> {
        self.at = 0;
        self.frame.resize(FRAME_LEN + TAG_LEN, 0);
        // What came before an error is of no use: it is not authenticated, and is not read again.
        let len = fill(&mut self.from, &mut self.frame).inspect_err(|_| self.frame.clear())?;
        let is_last = len < FRAME_LEN + TAG_LEN;
        self.frame.truncate(len);
        let number = self.number;
        let opened = self.frame.split_last_chunk_mut::<TAG_LEN>().map(|(sealed, tag)| {
            let tag = *tag;
            self.sealer.open_at(nonce(number, is_last), &[], sealed, &tag)
        });
        if !matches!(opened, Some(Ok(()))) {
            self.frame.clear();
            self.state = State::Failed(StreamError::Frame(number));
            return Err(StreamError::Frame(number).into());
        }
        self.frame.truncate(len - TAG_LEN);
        self.number += 1;
        if is_last {
            self.state = State::Last;
        }
        Ok(())
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        if self.at == self.frame.len() {
            match self.state {
                State::Going => self.open()?,
                State::Last => return Ok(0),
                State::Failed(error) => return Err(error.into()),
            }
        }
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let len = rest.len().min(to.len());
        for (to, from) in to.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += len;
        Ok(len)
    }
}

/// Reads until `to` is full or there is no more.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = to.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

fn sealer(key: &SecretKey, salt: &[u8]) -> Sealer {
    Sealer::new(&key.derive(&[b"sealed stream", salt]))
}

fn nonce(number: u64, is_last: bool) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let (counter, rest) = nonce.split_at_mut(8);
    counter.copy_from_slice(&number.to_le_bytes());
    if let Some(flag) = rest.first_mut() {
        *flag = u8::from(is_last);
    }
    nonce
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
