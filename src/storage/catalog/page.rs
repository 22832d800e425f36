//! Pages of a catalog and what authenticates them: a keyed digest in the bytes that `SQLite` leaves free at the end of each. Reads no file.

use std::cell::Cell;

use crate::keys::mac::{MAC_LEN, MacKey};
use crate::keys::secret::SecretKey;

/// Bytes of a page.
pub(in crate::storage) const PAGE_LEN: usize = 4_096;
/// Bytes at the end of a page that hold its digest.
pub(in crate::storage) const RESERVED_LEN: usize = MAC_LEN;

/// Bytes of the log's header and of a frame's (`SQLite`, "The WAL File Format").
pub(in crate::storage) const LOG_HEADER_LEN: usize = 32;
pub(in crate::storage) const FRAME_HEADER_LEN: usize = 24;
/// Bytes of a frame's header that stay as they are: number of the page, size of the catalog after a commit. A transaction that goes back to a page
/// that it has logged already gives the frames after that one their salts and checksums at its end.
pub(in crate::storage) const FRAME_HEAD_LEN: usize = 8;

/// Where a page is: its digest says so too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Spot {
    /// In `catalog.db`.
    Catalog {
        /// Its first byte.
        offset: u64,
    },
    /// In the write-ahead log.
    Log {
        /// Its first byte.
        offset: u64,
        /// What the header of its frame says of it.
        head: [u8; FRAME_HEAD_LEN],
    },
}

/// Authenticates the pages of one tenant's catalog.
pub(in crate::storage) struct PageSeal(MacKey);

impl PageSeal {
    /// With a key of its own, derived from the tenant's data key.
    pub(in crate::storage) fn new(data_key: &SecretKey) -> Self {
        Self(MacKey::new(&data_key.derive(&[b"page"])))
    }

    /// Puts the digest into the last bytes of a page. `false` when they are in use.
    #[must_use]
    pub(in crate::storage) fn seal(&self, spot: Spot, page: &mut [u8; PAGE_LEN]) -> bool {
        let (content, reserved) = split(page);
        if reserved.iter().any(|byte| *byte != 0) {
            return false;
        }
        *reserved = match spot {
            Spot::Catalog { offset } => self.0.digest(&[b"catalog", &offset.to_le_bytes(), content]),
            Spot::Log { offset, head } => self.0.digest(&[b"log", &offset.to_le_bytes(), &head, content]),
        };
        true
    }

    /// Checks the digest of a page and takes it out; `false`, and the page as it is, when it is another page's or none.
    #[must_use]
    pub(in crate::storage) fn open(&self, spot: Spot, page: &mut [u8; PAGE_LEN]) -> bool {
        let (content, reserved) = split(page);
        let authentic = match spot {
            Spot::Catalog { offset } => {
                let parts: [&[u8]; 3] = [b"catalog", &offset.to_le_bytes(), content];
                self.0.verify(&parts, reserved)
            }
            Spot::Log { offset, head } => {
                let parts: [&[u8]; 4] = [b"log", &offset.to_le_bytes(), &head, content];
                self.0.verify(&parts, reserved)
            }
        };
        if authentic {
            *reserved = [0; RESERVED_LEN];
        }
        authentic
    }
}

fn split(page: &mut [u8; PAGE_LEN]) -> (&mut [u8], &mut [u8; RESERVED_LEN]) {
    page.split_last_chunk_mut()
        .expect("a page is longer than its digest")
}

/// A page that is not what was written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct PageFault(pub(in crate::storage) Spot);

impl std::fmt::Display for PageFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (offset, of) = match self.0 {
            Spot::Catalog { offset } => (offset, ""),
            Spot::Log { offset, .. } => (offset, " of its log"),
        };
        write!(f, "the page at byte {offset}{of} fails authentication")
    }
}

thread_local! {
    static FAULT: Cell<Option<PageFault>> = const { Cell::new(None) };
}

/// Remembers, for the error that `SQLite` gives this thread for it, which page it was.
pub(in crate::storage) fn set_fault(fault: PageFault) {
    FAULT.set(Some(fault));
}

/// The page that this thread was last refused.
pub(in crate::storage) fn take_fault() -> Option<PageFault> {
    FAULT.take()
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
