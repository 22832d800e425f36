//! What a backup is made of: named entries of known length, one behind the other. Seals nothing: that is done by the stream beneath (`keys::stream`).
//!
//! An entry is the length of its name (u16), the name, the length of its content (u64) and the content. A name of no bytes ends the archive.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use ulid::Ulid;
use zeroize::Zeroizing;

use super::error::StorageError;
use super::files::SEGMENTS_DIR;
use super::segment::format::{file_name, ulid_of};
use super::store::CATALOG_FILE;
use crate::model::id::TenantId;

/// Longest name.
const NAME_LEN_MAX: usize = 255;
/// Bytes copied at a time.
const COPY_LEN: usize = 256 << 10;

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryName {
    /// All keys, wrapped.
    Keyring,
    /// A file of the certificates' directory.
    Tls(String),
    /// A segment's file. One that the catalog of its tenant does not name is of no use.
    Segment(TenantId, Ulid),
    /// A tenant's catalog; all of its segments came before.
    Catalog(TenantId),
    /// What the backup holds, in JSON; the last entry.
    Manifest,
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("keyring"),
            Self::Tls(file) => write!(f, "tls/{file}"),
            Self::Segment(tenant, ulid) => {
                write!(f, "tenants/{tenant}/{SEGMENTS_DIR}/{}", file_name(*ulid))
            }
            Self::Catalog(tenant) => write!(f, "tenants/{tenant}/{CATALOG_FILE}"),
            Self::Manifest => f.write_str("manifest.json"),
        }
    }
}

impl FromStr for EntryName {
    type Err = ();

    /// Takes the names that [`EntryName`] prints and no others, so that no name leads out of the directory it belongs to.
    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('/').collect();
        let name = match *parts.as_slice() {
            ["keyring"] => Self::Keyring,
            ["manifest.json"] => Self::Manifest,
            ["tls", file] if is_plain(file) => Self::Tls(file.to_owned()),
            ["tenants", tenant, CATALOG_FILE] => Self::Catalog(tenant.parse().map_err(drop)?),
            ["tenants", tenant, SEGMENTS_DIR, file] => {
                Self::Segment(tenant.parse().map_err(drop)?, ulid_of(file).ok_or(())?)
            }
            _ => return Err(()),
        };
        Ok(name)
    }
}

/// Whether a name is one that a backup takes for a file.
pub fn is_plain(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.bytes().all(allowed)
}

/// Writes an archive.
pub struct ArchiveWriter<'a> {
    to: &'a mut dyn Write,
    /// What is missing of the present entry.
    left: u64,
    written: u64,
}

impl<'a> ArchiveWriter<'a> {
    /// Begins an archive.
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self {
            to,
            left: 0,
            written: 0,
        }
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Begins an entry of so many bytes.
    pub fn begin(&mut self, name: &EntryName, len: u64) -> Result<(), StorageError> {
        assert_eq!(self.left, 0, "the entry before is whole");
        let name = name.to_string();
        let name_len = u16::try_from(name.len()).expect("names are short");
        for part in [&name_len.to_le_bytes()[..], name.as_bytes(), &len.to_le_bytes()] {
            self.send(part)?;
        }
        self.left = len;
        Ok(())
    }

    /// Appends to the entry that was begun.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .expect("an entry has as many bytes as it was begun with");
        self.send(bytes)
    }

    /// Fills up an entry that can't be finished and that nobody will use.
    pub fn fill(&mut self) -> Result<(), StorageError> {
        let zeros = vec![0; COPY_LEN];
        while self.left > 0 {
            let len = usize::try_from(self.left).map_or(COPY_LEN, |left| left.min(COPY_LEN));
            self.push(zeros.get(..len).expect("at most the piece"))?;
        }
        Ok(())
    }

    /// Writes a whole entry.
    pub fn put(&mut self, name: &EntryName, content: &[u8]) -> Result<(), StorageError> {
        self.begin(name, content.len() as u64)?;
        self.push(content)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<u64, StorageError> {
        assert_eq!(self.left, 0, "the last entry is whole");
        self.send(&0_u16.to_le_bytes())?;
        Ok(self.written)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.written += bytes.len() as u64;
        self.to.write_all(bytes).map_err(write_failed)
    }
}

/// Reads an archive.
pub struct ArchiveReader<'a> {
    from: &'a mut dyn Read,
    /// What was not read of the present entry.
    left: u64,
}

impl<'a> ArchiveReader<'a> {
    /// Begins to read.
    pub fn new(from: &'a mut dyn Read) -> Self {
        Self { from, left: 0 }
    }

    /// The next entry, whose content is read from here on; what was not read of the one before is passed over. `None` at the end, behind which
    /// nothing may stand.
    pub fn next_entry(&mut self) -> Result<Option<EntryName>, StorageError> {
        let mut rest = Vec::new();
        while self.left > 0 {
            rest.resize(COPY_LEN, 0);
            self.read(&mut rest).map_err(read_failed)?;
        }
        let len = usize::from(u16::from_le_bytes(self.exact()?));
        if len == 0 {
            let more = self.from.read(&mut [0]).map_err(read_failed)?;
            return if more == 0 {
                Ok(None)
            } else {
                Err(odd("something stands behind its end"))
            };
        }
        let mut name = vec![0; len];
        self.from.read_exact(&mut name).map_err(read_failed)?;
        self.left = u64::from_le_bytes(self.exact()?);
        let parsed = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok());
        match parsed.filter(|_| len <= NAME_LEN_MAX) {
            Some(name) => Ok(Some(name)),
            None => Err(odd("it has an entry that this release does not know")),
        }
    }

    /// The content of the present entry, which must be a small one.
    pub fn content(&mut self, len_max: u64) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        if self.left > len_max {
            return Err(odd("an entry is longer than it may be"));
        }
        // Keys may be in it: nothing is left of a buffer that was outgrown.
        let len = usize::try_from(self.left).expect("an entry that may be held has few bytes");
        let mut content = Zeroizing::new(Vec::with_capacity(len + 1));
        self.read_to_end(&mut content).map_err(read_failed)?;
        Ok(content)
    }

    /// Hands the content of the present entry on, piece by piece.
    pub fn pieces(
        &mut self,
        mut to: impl FnMut(&[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut piece = vec![0; COPY_LEN];
        loop {
            let len = self.read(&mut piece).map_err(read_failed)?;
            if len == 0 {
                return Ok(());
            }
            to(piece.get(..len).expect("no more was read"))?;
        }
    }

    fn exact<const N: usize>(&mut self) -> Result<[u8; N], StorageError> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(read_failed)?;
        Ok(bytes)
    }
}

impl Read for ArchiveReader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).map_or(to.len(), |left| left.min(to.len()));
        let read = self.from.read(to.get_mut(..len).unwrap_or_default())?;
        if read == 0 && len > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The backup can't be written.
pub fn write_failed(error: io::Error) -> StorageError {
    StorageError::io("write", Path::new("the backup"), error)
}

/// The backup can't be read.
pub fn read_failed(error: io::Error) -> StorageError {
    StorageError::io("read", Path::new("the backup"), error)
}

/// The backup is authentic and still not what this release makes.
pub fn odd(fault: &str) -> StorageError {
    read_failed(io::Error::new(io::ErrorKind::InvalidData, fault))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
