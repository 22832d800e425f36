//! Where load goes: to the address that was told, and nowhere else. Connects to nobody.

use std::net::{IpAddr, SocketAddr};

use tonic::transport::Uri;

use crate::cli::error::CliError;

/// Name in the certificate of a server that is called by its loopback address.
const LOOPBACK_NAME: &str = "localhost";

/// A server, looked up once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As it was told: a name or an address.
    pub host: String,
    /// What that came to. All connections go there.
    pub address: SocketAddr,
    /// Name that its certificate must have.
    pub server_name: String,
}

impl Target {
    /// The server of a configuration, which must listen on loopback.
    pub fn configured(listens: SocketAddr, yes_aim_at: Option<&str>) -> Result<Self, CliError> {
        if !listens.ip().is_loopback() || listens.port() == 0 {
            return Err(CliError::Usage(format!(
                "the configuration listens on {listens}, which is no loopback address with a port; name the server with --server https://host:port"
            )));
        }
        Self::aim(&listens.ip().to_string(), &[listens], yes_aim_at)
    }

    /// The server at this URL, `https://host:port`. A name is looked up here, once.
    pub async fn told(url: &str, yes_aim_at: Option<&str>) -> Result<Self, CliError> {
        let (host, port) = split(url)?;
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let addresses: Vec<SocketAddr> = found
            .map_err(|error| CliError::Usage(format!("--server {url}: {error}")))?
            .collect();
        Self::aim(&host, &addresses, yes_aim_at)
    }

    /// The first of the addresses, if it is loopback or the host was named a second time.
    fn aim(host: &str, addresses: &[SocketAddr], yes_aim_at: Option<&str>) -> Result<Self, CliError> {
        let address = *addresses
            .first()
            .ok_or_else(|| CliError::Usage(format!("--server: {host} has no address")))?;
        match yes_aim_at {
            None if !address.ip().is_loopback() => {
                return Err(CliError::Usage(format!(
                    "{host} is {address}, which is not this machine; load can bring a server down: if that is what you are allowed to do, add --yes-aim-at {host}"
                )));
            }
            Some(named) if named != host => {
                return Err(CliError::Usage(format!(
                    "--yes-aim-at {named} is not the server's host, {host}"
                )));
            }
            _ => {}
        }
        // Certificates that `thenar init` makes have the loopback addresses and this name.
        let is_loopback_address = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        Ok(Self {
            host: host.to_owned(),
            address,
            server_name: if is_loopback_address { LOOPBACK_NAME } else { host }.to_owned(),
        })
    }

    /// `https://address:port`, without a name to look up.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

/// Host and port of `https://host:port`.
fn split(url: &str) -> Result<(String, u16), CliError> {
    let refused = || CliError::Usage(format!("--server {url}: https://host:port is expected"));
    let uri: Uri = url.parse().map_err(|_| refused())?;
    let is_plain = uri.scheme_str() == Some("https") && uri.path() == "/" && uri.query().is_none();
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'));
    match (is_plain, authority, uri.port_u16()) {
        (true, Some(authority), Some(port)) => {
            let host = authority.host().trim_matches(['[', ']']);
            Ok((host.to_owned(), port))
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
