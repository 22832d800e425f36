//! Options of every command that calls a server: where it is and which certificate asks. Options win over the environment, and that over the data directory.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::client::{Client, ClientConfig};

use super::error::CliError;
use super::local;

/// Where a server on this machine listens by default.
pub const SERVER_DEFAULT: &str = "https://localhost:7443";

/// Where the server is and who asks.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Server, <https://host:port> [env: `THENAR_CLIENT_SERVER`] [default: <https://localhost:7443>]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Name the server's certificate carries, where it is not the host [env: `THENAR_CLIENT_SERVER_NAME`]
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// Authority that signed the server's certificate, PEM [env: `THENAR_CLIENT_CA`] [default: of --data]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Your certificate, PEM [env: `THENAR_CLIENT_CERT`] [default: the administrator's of --data]
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Your key, PEM [env: `THENAR_CLIENT_KEY`] [default: the administrator's of --data]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Data directory whose certificates are the defaults [env: `THENAR_CLIENT_DATA`] [default: thenar-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Connection {
    /// Connects.
    pub async fn connect(&self) -> Result<Client, CliError> {
        Ok(Client::connect(&self.resolve(|name| std::env::var_os(name))).await?)
    }

    /// Fills in what was not given from `environment` and the data directory.
    pub fn resolve(&self, environment: impl Fn(&str) -> Option<OsString>) -> ClientConfig {
        let text = |given: &Option<String>, name: &str| {
            given
                .clone()
                .or_else(|| environment(name).and_then(|value| value.into_string().ok()))
        };
        let path = |given: &Option<PathBuf>, name: &str| {
            given.clone().or_else(|| environment(name).map(PathBuf::from))
        };
        let tls = path(&self.data, "THENAR_CLIENT_DATA")
            .unwrap_or_else(|| PathBuf::from(local::DATA_DEFAULT))
            .join(local::TLS_DIR);
        ClientConfig {
            server: text(&self.server, "THENAR_CLIENT_SERVER").unwrap_or_else(|| SERVER_DEFAULT.to_owned()),
            server_name: text(&self.server_name, "THENAR_CLIENT_SERVER_NAME"),
            ca: path(&self.ca, "THENAR_CLIENT_CA").unwrap_or_else(|| tls.join(local::CA_FILE)),
            cert: path(&self.cert, "THENAR_CLIENT_CERT").unwrap_or_else(|| tls.join(local::ADMIN_CERT_FILE)),
            key: path(&self.key, "THENAR_CLIENT_KEY").unwrap_or_else(|| tls.join(local::ADMIN_KEY_FILE)),
        }
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
