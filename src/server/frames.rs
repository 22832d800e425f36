//! Follows the frames of HTTP/2 (RFC 9113, section 4.1) as their bytes pass, by their headers alone, and tells how often a caller sets its settings. Changes no byte, and is no
//! judge of frames: what is malformed ends the connection elsewhere.

use std::time::Duration;

use tokio::time::Instant;

/// What a caller sends before its first frame.
const PREFACE_LEN: usize = 24;
const HEADER_LEN: usize = 9;
/// The type of frames that set settings.
const SETTINGS: u8 = 4;
/// Frames of settings that may come at once. Callers set them when they begin, and again when they find out how much the way carries.
const SETTINGS_AT_ONCE_MAX: u32 = 64;
/// One more after each such time.
const SETTINGS_EVERY: Duration = Duration::from_secs(1);

/// The frames of one connection, and the settings that it may still set: each costs a walk over all its streams.
pub(super) struct Frames {
    /// Bytes until the next frame's header.
    skip: usize,
    header: [u8; HEADER_LEN],
    /// Bytes of the header that came.
    came: usize,
    settings_left: u32,
    /// When the last of those that are left came to be.
    since: Instant,
}

/// A caller that sets its settings more often than anybody needs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManySettings;

impl Frames {
    /// Of a connection that begins.
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE_LEN,
            header: [0; HEADER_LEN],
            came: 0,
            settings_left: SETTINGS_AT_ONCE_MAX,
            since: Instant::now(),
        }
    }

    /// Follows the next bytes, cut wherever they are.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), TooManySettings> {
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
                if kind == SETTINGS {
                    self.spend()?;
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self) -> Result<(), TooManySettings> {
        while self.settings_left < SETTINGS_AT_ONCE_MAX && self.since.elapsed() >= SETTINGS_EVERY {
            self.settings_left += 1;
            self.since += SETTINGS_EVERY;
        }
        if self.settings_left == SETTINGS_AT_ONCE_MAX {
            self.since = Instant::now();
        }
        self.settings_left = self.settings_left.checked_sub(1).ok_or(TooManySettings)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
