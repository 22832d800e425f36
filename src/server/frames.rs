//! Follows the frames of HTTP/2 (RFC 9113, section 4.1) as their bytes pass, by their headers alone, and tells when a caller sends more of those that steer a connection (settings,
//! windows, pings) than anybody needs. Changes no byte, and is no judge of frames: what is malformed ends the connection elsewhere.

use std::time::Duration;

use tokio::time::Instant;

/// What a caller sends before its first frame.
const PREFACE_LEN: usize = 24;
const HEADER_LEN: usize = 9;
/// The type of frames that set settings.
const SETTINGS: u8 = 4;
/// Types of frames that carry calls, which are bounded elsewhere: DATA, HEADERS, `RST_STREAM`, CONTINUATION.
const OF_CALLS: [u8; 4] = [0, 1, 3, 9];
/// Frames of settings that may come at once, and after what time one more may. Each costs a walk over all streams. Callers set them when they begin, and again when
/// they find out how much the way carries.
const SETTINGS_MAX: (u32, Duration) = (64, Duration::from_secs(1));
/// Frames that steer, of all types. The busiest front sends some ten thousand a second, a flood millions.
const STEERING_MAX: (u32, Duration) = (100_000, Duration::from_micros(10));

/// The frames of one connection, and how many that steer it may still come.
pub(super) struct Frames {
    /// Bytes until the next frame's header.
    skip: usize,
    header: [u8; HEADER_LEN],
    /// Bytes of the header that came.
    came: usize,
    settings: Allowance,
    steering: Allowance,
}

/// A caller that sends more frames that steer its connection than anybody needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyFrames;

impl Frames {
    /// Of a connection that begins.
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE_LEN,
            header: [0; HEADER_LEN],
            came: 0,
            settings: Allowance::new(SETTINGS_MAX),
            steering: Allowance::new(STEERING_MAX),
        }
    }

    /// Follows the next bytes, cut wherever they are.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), TooManyFrames> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let taken = (HEADER_LEN - self.came).min(bytes.len());
            let (part, rest) = bytes.split_at(taken);
            self.header
                .iter_mut()
                .skip(self.came)
                .zip(part)
                .for_each(|(to, from)| *to = *from);
            self.came += taken;
            bytes = rest;
            if self.came == HEADER_LEN {
                self.came = 0;
                let [a, b, c, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.count(kind)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: u8) -> Result<(), TooManyFrames> {
        if OF_CALLS.contains(&kind) {
            return Ok(());
        }
        if kind == SETTINGS {
            self.settings.spend()?;
        }
        self.steering.spend()
    }
}

/// So many at once, and more with time; after a rest up to twice as many.
struct Allowance {
    at_once_max: u32,
    every: Duration,
    left: u32,
    /// Until when time was turned into allowance.
    until: Instant,
}

impl Allowance {
    fn new((at_once_max, every): (u32, Duration)) -> Self {
        Self {
            at_once_max,
            every,
            left: at_once_max,
            until: Instant::now(),
        }
    }

    fn spend(&mut self) -> Result<(), TooManyFrames> {
        if self.left == 0 {
            let now = Instant::now();
            let earned = now.duration_since(self.until).as_nanos() / self.every.as_nanos();
            match u32::try_from(earned) {
                Ok(earned) if earned < self.at_once_max => {
                    self.left = earned;
                    self.until += self.every * earned;
                }
                _ => {
                    self.left = self.at_once_max;
                    self.until = now;
                }
            }
        }
        self.left = self.left.checked_sub(1).ok_or(TooManyFrames)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
