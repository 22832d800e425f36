//! Loads the configuration: defaults, then a file, then the environment become one checked `Config`. Unknown keys are refused; nothing is started.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use thiserror::Error;

use crate::server::config::{Config, LimitError};

/// Prefix of environment variables; levels are joined by two underscores: `THENAR_ENGINE__BACKEND=cpu`.
pub const ENV_PREFIX: &str = "THENAR_";
/// Variables with this prefix that are not settings of the server.
const ENV_OTHERS: [&str; 3] = ["CLIENT_", "KERNEL", "LOG"];
/// Settings that say where a key or a password comes from.
const KEY_SOURCES: [&str; 6] = [
    "kek",
    "backup_kek",
    "catalog.password",
    "cluster.catalog_kek",
    "cluster.next_kek",
    "cluster.next_catalog_kek",
];
/// The setting that somebody may put a password into.
const ADDRESS: &str = "catalog.address";

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An unknown key, a value of the wrong type, bad TOML.
    #[error("configuration: {0}")]
    Value(String),
    /// A value out of its range, or two that don't go together.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Reads defaults, then the file, then the environment, and checks the result. Flags are set on the
/// result by the caller; the server checks once more as it starts.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let mut sources = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = path {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        sources = sources.merge(Toml::string(&text));
    }
    let env = Env::prefixed(ENV_PREFIX)
        .filter(|key| {
            let key = key.as_str().to_ascii_uppercase();
            !ENV_OTHERS.iter().any(|other| key.starts_with(other))
        })
        .split("__");
    let config: Config = sources
        .merge(env)
        .extract()
        .map_err(|error| ConfigError::Value(told(&error)))?;
    config.check()?;
    Ok(config)
}

/// What is wrong, in words. Where it is the source of a key, what was found stays unsaid: it may be the key itself.
fn told(error: &figment::Error) -> String {
    let path = error.path.join(".");
    if path == ADDRESS {
        return format!(
            "{ADDRESS} is no text; what was found is not shown, since it may have a password in it"
        );
    }
    let is_of = |key: &&&str| path == **key || path.starts_with(&format!("{key}."));
    let Some(key) = KEY_SOURCES.iter().find(is_of) else {
        return error.to_string();
    };
    format!(
        "{key} is none of {{ file = PATH }}, {{ env = NAME }} and {{ command = [PROGRAM, ARGUMENT] }}; what was found is not shown, since it may be a \
         key or a password. A variable that holds one must not begin with {ENV_PREFIX}"
    )
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
