//! Whole files on their way into a store and out of it, piece by piece. What arrives is durable and of the right length; whether it is authentic is for who opens it.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use object_store::{Error as DriverError, MultipartUpload, ObjectStoreExt, PutMode, PutPayload};

use super::ObjectStore;
use super::error::ObjectError;
use super::key::ObjectKey;
use crate::storage::durable;
use crate::storage::error::StorageError;

/// The longest file that goes up in one request, which leaves nothing where it breaks off. It takes as much memory.
pub const PUT_LEN_MAX: u64 = 32 << 20;
/// Bytes of a piece of longer files, and of what comes down: what is sent again after a failure. S3 wants them to be of 5 MiB or more.
pub const PIECE_LEN: u64 = 8 << 20;

impl ObjectStore {
    /// Stores a file that is finished under a key that nothing else has. Durable when it returns. What is there under the key
    /// is never overwritten: where it is this very file, as after a try whose answer was lost, that is well, and otherwise an error.
    ///
    /// One request creates a file of up to [`PUT_LEN_MAX`] bytes or refuses. For several pieces no store offers that through its driver, so that it is looked first;
    /// that nobody comes between is due to the key, which is random.
    pub fn put(&self, key: &ObjectKey, file: &Path) -> Result<(), StorageError> {
        let source = Source::open(file)?;
        let object = key.to_string();
        let sent = if source.len <= PUT_LEN_MAX {
            self.create(&object, &source)
        } else if self.meta(&object)?.is_some() {
            Err(self.taken(&object))
        } else {
            self.upload(&object, &source)
        };
        match sent {
            Err(StorageError::Object(ObjectError::Taken { .. })) if self.is_same(key, &source)? => Ok(()),
            sent => sent,
        }
    }

    /// Brings an object of `len` bytes into a new file, durably: it has its name when all of it is there, and not before. A file of the name with
    /// `.tmp` behind it is destroyed first.
    pub fn fetch(&self, key: &ObjectKey, len: u64, to: &Path) -> Result<(), StorageError> {
        let partial = durable::beginning(to);
        durable::destroy_file(&partial)?;
        let fetched = self
            .receive(key, len, &partial)
            .and_then(|()| durable::rename(&partial, to));
        if fetched.is_err() {
            // Sealed as it is, it may be of somebody who is erased meanwhile. What can't be destroyed now is when it is next fetched or its directory is cleared.
            let _ = durable::destroy_file(&partial);
        }
        fetched
    }

    fn receive(&self, key: &ObjectKey, len: u64, to: &Path) -> Result<(), StorageError> {
        let mut file = durable::create_file(to)?;
        let failed = |e| StorageError::io("write", to, e);
        for piece in pieces(len) {
            let bytes = self.read(key, len, piece)?;
            file.write_all(&bytes).map_err(failed)?;
        }
        file.sync_all().map_err(failed)
    }

    /// Creates an object in one request.
    fn create(&self, object: &str, source: &Source) -> Result<(), StorageError> {
        let payload = PutPayload::from(source.piece(0..source.len)?);
        let created = self.ask(object, |driver, location| async move {
            let created = driver
                .put_opts(&location, payload.clone(), PutMode::Create.into())
                .await;
            match created {
                // The store has no such condition, or is said to have none.
                Err(DriverError::NotImplemented { .. } | DriverError::NotSupported { .. }) => {
                    match driver.head(&location).await {
                        Ok(_) => Err(DriverError::AlreadyExists {
                            path: location.to_string(),
                            source: "found before it was written".into(),
                        }),
                        Err(DriverError::NotFound { .. }) => driver.put(&location, payload).await,
                        Err(error) => Err(error),
                    }
                }
                created => created,
            }
        });
        created.map(drop)
    }

    /// Sends a file in pieces. What came of one that is not finished is discarded, or left to the bucket's rule for such.
    fn upload(&self, object: &str, source: &Source) -> Result<(), StorageError> {
        let mut upload = self.ask(object, |driver, location| async move {
            driver.put_multipart(&location).await
        })?;
        for range in pieces(source.len) {
            let sent = source
                .piece(range)
                .and_then(|piece| self.wait(object, upload.put_part(piece.into())));
            if let Err(error) = sent {
                self.abort(object, upload);
                return Err(error);
            }
        }
        // After that it is there or not; aborting could only lose what is there.
        self.wait(object, async move { upload.complete().await })?;
        let found = self.meta(object)?.map(|meta| meta.size);
        if found == Some(source.len) {
            return Ok(());
        }
        let found = found.unwrap_or_default();
        Err(self.damaged(
            object,
            format!("{} bytes were sent and {found} are there", source.len),
        ))
    }

    fn abort(&self, object: &str, mut upload: Box<dyn MultipartUpload>) {
        // The failure before this one is what is told.
        let _ = self.wait(object, async move { upload.abort().await });
    }

    /// Whether there is an object under this key that is this very file, by all of its bytes.
    pub fn holds(&self, key: &ObjectKey, file: &Path) -> Result<bool, StorageError> {
        self.is_same(key, &Source::open(file)?)
    }

    /// Whether the object is this very file.
    fn is_same(&self, key: &ObjectKey, source: &Source) -> Result<bool, StorageError> {
        if self.meta(&key.to_string())?.map(|meta| meta.size) != Some(source.len) {
            return Ok(false);
        }
        for range in pieces(source.len) {
            if self.read(key, source.len, range.clone())? != source.piece(range)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn taken(&self, object: &str) -> StorageError {
        StorageError::Object(ObjectError::Taken {
            store: self.to_string(),
            object: object.to_owned(),
        })
    }
}

/// A finished file that is read in pieces.
struct Source {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(|e| StorageError::io("open", path, e))?;
        let found = file
            .metadata()
            .map_err(|e| StorageError::io("examine", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            len: found.len(),
        })
    }

    fn piece(&self, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let len = usize::try_from(range.end - range.start).expect("a piece fits into memory");
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, range.start)
            .map_err(|e| StorageError::io("read", &self.path, e))?;
        Ok(bytes)
    }
}

/// A length in pieces; an empty one has none.
fn pieces(len: u64) -> impl Iterator<Item = Range<u64>> {
    (0..len.div_ceil(PIECE_LEN)).map(move |piece| {
        let from = piece * PIECE_LEN;
        from..len.min(from + PIECE_LEN)
    })
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
