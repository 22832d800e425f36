//! Which object store, how it is reached and how long is waited for it. Credentials come from where the provider's own tools put them and pass through here unseen.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore as Driver, RetryConfig};

use super::error::ObjectError;
use super::versions::VersionRemover;
use crate::storage::durable;
use crate::storage::error::StorageError;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a single try of a request may take, its body of at most [`PUT_LEN_MAX`](super::transfer::PUT_LEN_MAX) bytes included.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is repeated that failed in a way which may pass.
const RETRIES_MAX: usize = 4;
/// After how long a request that failed is not repeated.
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// Which store, and what is known of it.
///
/// Credentials are taken from the environment, as the provider's tools name them (`AWS_ACCESS_KEY_ID`, `AWS_WEB_IDENTITY_TOKEN_FILE`,
/// `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` and their like), from the files that these name, or from the machine's own identity.
#[derive(Clone)]
pub struct ObjectStoreConfig {
    /// `file:///directory`, `s3://bucket/prefix`, `gs://bucket/prefix`, or `az://container/prefix` (`abfs://` as well).
    pub url: String,
    /// The region of an S3 bucket, where the environment does not say it.
    pub region: Option<String>,
    /// The service's address, where it is not the provider's.
    pub endpoint: Option<String>,
    /// Whether an endpoint without TLS is taken. What is kept is sealed; credentials and names are not.
    pub allow_http: bool,
    /// For how many days the bucket keeps what was deleted, where it does: versions that a rule removes, soft deletion, copies.
    pub remnants_days: Option<u16>,
    /// Further settings by the names that the driver and the environment have for them, over those of the environment. Values may be secrets and are never shown.
    pub settings: BTreeMap<String, String>,
    /// How long is waited, and how often is tried.
    pub patience: Patience,
}

/// How long is waited for a store, and how often is tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For one try of a request.
    pub one_try: Duration,
    /// Repetitions of a request.
    pub retries_max: usize,
    /// For a request in which no further try begins after that.
    pub retry: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            one_try: TRY_TIMEOUT,
            retries_max: RETRIES_MAX,
            retry: RETRY_TIMEOUT,
        }
    }
}

impl ObjectStoreConfig {
    /// Of a URL, with everything else as it is usual.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            region: None,
            endpoint: None,
            allow_http: false,
            remnants_days: None,
            settings: BTreeMap::new(),
            patience: Patience::default(),
        }
    }

    /// The longest that a request may take: its last try may begin when no further one would.
    pub(super) fn request_max(&self) -> Duration {
        self.patience.retry + self.patience.one_try
    }

    /// The further settings, with the driver's type for their names.
    fn settings<K: FromStr>(&self) -> Result<Vec<(K, &str)>, StorageError> {
        let known = |name: &String| {
            // How it is connected is said by the fields of this struct alone.
            let is_connection = ClientConfigKey::from_str(name).is_ok();
            let parsed = if is_connection {
                None
            } else {
                K::from_str(name).ok()
            };
            parsed.ok_or_else(|| self.wrong(format!("setting {name} is not known for it")))
        };
        let settings = self.settings.iter();
        settings
            .map(|(name, value)| Ok((known(name)?, value.as_str())))
            .collect()
    }

    fn wrong(&self, problem: impl Into<String>) -> StorageError {
        StorageError::Object(ObjectError::Settings {
            store: self.shown(),
            problem: problem.into(),
        })
    }

    /// The driver's message may hold the value of a setting, so that it is not repeated.
    fn incomplete(&self) -> StorageError {
        self.wrong("the driver does not take these settings: look at region, endpoint and the credentials in the environment")
    }

    /// The URL as messages may show it: without what stands before an `@` or behind a `?`, where some put secrets.
    fn shown(&self) -> String {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        match url.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()),
            None => url.rsplit('@').next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Debug for ObjectStoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreConfig")
            .field("url", &self.shown())
            .field("region", &self.region)
            .field("allow_http", &self.allow_http)
            .field("remnants_days", &self.remnants_days)
            .field("settings", &self.settings.keys())
            .finish_non_exhaustive()
    }
}

/// What a store is made of.
pub(super) struct Built {
    pub(super) name: String,
    pub(super) driver: Arc<dyn Driver>,
    pub(super) prefix: Location,
    pub(super) dir: Option<PathBuf>,
    pub(super) remover: Option<VersionRemover>,
}

/// Builds a driver by the URL's scheme.
pub(super) fn build(config: &ObjectStoreConfig) -> Result<Built, StorageError> {
    let (scheme, rest) = config
        .url
        .split_once("://")
        .ok_or_else(|| config.wrong("its URL has no scheme; file, s3, gs, az and abfs are known"))?;
    if rest.contains(['?', '#', '@']) {
        return Err(config
            .wrong("its URL has more than a bucket and a prefix; credentials come from the environment"));
    }
    let plain = |address: &String| address.starts_with("http://");
    if config.endpoint.as_ref().is_some_and(plain) && !config.allow_http {
        return Err(config.wrong("its endpoint is without TLS, which has to be allowed (allow_http)"));
    }
    if scheme == "file" {
        return directory(config, rest);
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(config.wrong("its URL names no bucket"));
    }
    let prefix = Location::parse(prefix).map_err(|_| config.wrong("its prefix is no path of names"))?;
    let (driver, remover): (Arc<dyn Driver>, _) = match scheme {
        "s3" => s3(config, bucket).map(|(driver, remover)| (driver, Some(remover)))?,
        "gs" => (google(config, bucket)?, None),
        "az" | "abfs" => (azure(config, bucket)?, None),
        _ => return Err(config.wrong("its scheme is not known; file, s3, gs, az and abfs are")),
    };
    Ok(Built {
        name: config.shown(),
        driver,
        prefix,
        dir: None,
        remover,
    })
}

fn directory(config: &ObjectStoreConfig, rest: &str) -> Result<Built, StorageError> {
    let dir = Path::new(rest);
    if !dir.is_absolute() || rest.contains('%') {
        return Err(config.wrong("a directory is named by its whole path (file:///path), without escapes"));
    }
    durable::create_dir(dir)?;
    let dir = dir
        .canonicalize()
        .map_err(|e| StorageError::io("examine", dir, e))?;
    let driver = LocalFileSystem::new_with_prefix(&dir)
        .map_err(|_| config.wrong("it is no directory that can be used"))?
        .with_fsync(true);
    Ok(Built {
        name: config.shown(),
        driver: Arc::new(driver),
        prefix: Location::default(),
        dir: Some(dir),
        remover: None,
    })
}

fn s3(config: &ObjectStoreConfig, bucket: &str) -> Result<(Arc<dyn Driver>, VersionRemover), StorageError> {
    let client = client(config);
    let mut builder = AmazonS3Builder::from_env();
    for (key, value) in config.settings()? {
        builder = builder.with_config(key, value);
    }
    builder = builder
        .with_bucket_name(bucket)
        // Every store that speaks S3 has this, and not all have the other.
        .with_disable_bulk_delete(true)
        .with_client_options(client.clone())
        .with_allow_http(config.allow_http)
        .with_retry(retry(config));
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let driver = Arc::new(builder.build().map_err(|_| config.incomplete())?);
    let remover = VersionRemover::new(Arc::clone(&driver), &client).map_err(|_| config.incomplete())?;
    Ok((driver, remover))
}

fn google(config: &ObjectStoreConfig, bucket: &str) -> Result<Arc<dyn Driver>, StorageError> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    for (key, value) in config.settings()? {
        builder = builder.with_config(key, value);
    }
    builder = builder
        .with_bucket_name(bucket)
        .with_client_options(client(config))
        .with_retry(retry(config));
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    Ok(Arc::new(builder.build().map_err(|_| config.incomplete())?))
}

fn azure(config: &ObjectStoreConfig, container: &str) -> Result<Arc<dyn Driver>, StorageError> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (key, value) in config.settings()? {
        builder = builder.with_config(key, value);
    }
    builder = builder
        .with_container_name(container)
        .with_client_options(client(config))
        .with_allow_http(config.allow_http)
        .with_retry(retry(config));
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    Ok(Arc::new(builder.build().map_err(|_| config.incomplete())?))
}

fn client(config: &ObjectStoreConfig) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(config.allow_http)
        .with_connect_timeout(config.patience.connect)
        .with_timeout(config.patience.one_try)
}

fn retry(config: &ObjectStoreConfig) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: config.patience.retries_max,
        retry_timeout: config.patience.retry,
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
