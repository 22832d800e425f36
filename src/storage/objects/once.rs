//! Objects that are created once and are never another one: small, whole, and the same for whoever creates them again. Knows nothing of what they say.

use object_store::{Error as DriverError, ObjectStoreExt, PutMode, PutPayload};

use super::ObjectStore;
use super::error::ObjectError;
use super::present;
use super::versions::IDENTITY;
use crate::storage::error::StorageError;

/// What is under a name after somebody tried to create it.
#[derive(Debug)]
pub(in crate::storage) enum Once {
    /// What was to be there, whoever put it.
    There,
    /// Something else, from before.
    Other,
    /// Nothing: the store did not do it, or somebody deleted it since.
    Nothing(StorageError),
}

impl ObjectStore {
    /// Creates an object where there is none. Where no answer comes, or one that tells nothing, what is there says whether it was done.
    pub(in crate::storage) fn put_once(&self, object: &str, content: &[u8]) -> Result<Once, StorageError> {
        let payload = PutPayload::from(content.to_vec());
        let put = self.ask(object, |driver, location| async move {
            let put = driver.put_opts(&location, payload, PutMode::Create.into());
            match put.await {
                Err(DriverError::NotImplemented { .. } | DriverError::NotSupported { .. }) => Ok(false),
                put => put.map(|_| true),
            }
        });
        let error = match put {
            Ok(true) => return Ok(Once::There),
            Ok(false) => {
                return Err(StorageError::Object(ObjectError::Settings {
                    store: self.to_string(),
                    problem: "it does not put only where nothing is (If-None-Match), by which machines agree on what is there".to_owned(),
                }));
            }
            Err(error) => error,
        };
        match self.get_small(object) {
            Ok(Some(there)) if there == content => Ok(Once::There),
            Ok(Some(_)) => Ok(Once::Other),
            Ok(None) => Ok(Once::Nothing(error)),
            Err(_) => Err(error),
        }
    }

    /// Refuses a store that is another one than was probed, as an empty directory is whose medium is not mounted: what is put there is nowhere.
    pub(in crate::storage) fn check_identity(&self) -> Result<(), StorageError> {
        match self.get_small(IDENTITY)? {
            Some(_) => Ok(()),
            None => Err(StorageError::Object(ObjectError::Unreachable {
                store: self.to_string(),
                object: IDENTITY.to_owned(),
                problem: "it is not there, so that this is not the store that it was; is it mounted?"
                    .to_owned(),
            })),
        }
    }

    /// All bytes of an object that is known to be small; `None` where there is none.
    pub(in crate::storage) fn get_small(&self, object: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let got = self.ask(object, |driver, location| async move {
            driver.get(&location).await?.bytes().await
        });
        Ok(present(got)?.map(Into::into))
    }
}
