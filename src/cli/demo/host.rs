//! The demo's server and the certificates of those who call it. Knows nothing of palms.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::client::{Client, Credentials, api};
use crate::engine::Kernel;
use crate::model::id::{PrincipalName, TenantId};
use crate::model::principal::{Principal, Role};
use crate::server::Server;

use super::super::error::CliError;
use super::super::local::{self, Authority, BackendOption, LocalError, TRUST_DOMAIN_DEFAULT};
use super::{Args, DemoError, plan};

/// Days that the demo's certificates hold.
const CERT_DAYS: u32 = 2;
/// Name in the server's certificate; the server is called by its address.
const SERVER_NAME: &str = "localhost";

/// A server in this process on a data directory of its own.
pub(super) struct Host {
    data: PathBuf,
    backend: BackendOption,
    kernel: Option<Kernel>,
    authority: Authority,
    server: Option<Server>,
    // Last, so that the server is gone before its directory.
    _temporary: Option<TempDir>,
}

impl Host {
    /// Makes the data directory and starts a server on it.
    pub(super) async fn start(args: &Args) -> Result<Self, CliError> {
        let (data, temporary) = if let Some(data) = &args.data {
            (data.clone(), None)
        } else {
            let temporary = tempfile::Builder::new()
                .prefix("thenar-demo-")
                .tempdir()
                .map_err(DemoError::Temporary)?;
            (temporary.path().join("data"), Some(temporary))
        };
        super::say(&format!("a server on {}", data.display()));
        local::init(&data, TRUST_DOMAIN_DEFAULT, &[], None)?;
        let authority = Authority::open(&data)?;
        let mut host = Self {
            data,
            backend: args.backend,
            kernel: args.kernel,
            authority,
            server: None,
            _temporary: temporary,
        };
        host.restart().await?;
        Ok(host)
    }

    /// Stops the server, if it runs, and starts one on the same data.
    pub(super) async fn restart(&mut self) -> Result<(), CliError> {
        self.stop().await?;
        self.server = Some(local::start_demo(&self.data, self.backend, self.kernel).await?);
        Ok(())
    }

    /// Stops the server.
    pub(super) async fn stop(&mut self) -> Result<(), CliError> {
        if let Some(server) = self.server.take() {
            server.stop().await.map_err(LocalError::Server)?;
        }
        Ok(())
    }

    /// Makes a certificate and connects with it.
    pub(super) async fn connect(&self, principal: &Principal) -> Result<Client, CliError> {
        let credentials: Credentials = self.authority.credentials(principal, CERT_DAYS)?;
        let address = self
            .server
            .as_ref()
            .ok_or_else(|| DemoError::Broken("the server does not run".to_owned()))?
            .address();
        let url = format!("https://{address}");
        Ok(Client::connect_with(&url, Some(SERVER_NAME), &credentials).await?)
    }

    /// Connects as somebody of a tenant.
    pub(super) async fn member(&self, tenant: TenantId, role: Role, name: &str) -> Result<Client, CliError> {
        let name: PrincipalName = name.parse()?;
        self.connect(&Principal::Member { tenant, role, name }).await
    }

    /// Connects as the administrator.
    pub(super) async fn admin(&self) -> Result<Client, CliError> {
        let name: PrincipalName = "demo".parse()?;
        self.connect(&Principal::Admin { name }).await
    }

    /// Who searches, as the server says.
    pub(super) async fn backend(&self) -> Result<String, CliError> {
        let request = api::GetStatsRequest {
            tenant: plan::arena().to_string(),
        };
        let client = self.admin().await?;
        Ok(client.admin().get_stats(request).await?.into_inner().backend)
    }
}
