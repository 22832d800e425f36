//! The ways to match nodes across the network, as a front has them: channels that show its certificate, made anew when that changes. Sends nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::ServerError;
use super::config::{Config, RemoteNode as RemoteNodeConfig};
use super::tls::material::ClientSide;
use crate::cluster::placement::NodeId;
use crate::front::route::Routes;
use crate::matcher::node::{Node, NodeError};
use crate::matcher::placed::register::{Dial, Link};
use crate::matcher::remote::RemoteNode;

/// Longest time to a connection with a match node.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How often a connection with a match node is tried, so that a node that went away is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long it may leave that unanswered.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The nodes that are configured, each with its tenants.
pub(super) fn routes(config: &Config, shown: &watch::Receiver<ClientSide>) -> Result<Routes, ServerError> {
    let mut nodes: BTreeMap<String, Arc<dyn Node>> = BTreeMap::new();
    for (name, to) in &config.routes.nodes {
        nodes.insert(name.clone(), Arc::new(way(name.clone(), to, shown)?));
    }
    Ok(Routes::table(
        config.routes.tenants.clone(),
        nodes,
        config.routes.default.clone(),
    )?)
}

/// The nodes that a register has, by the addresses that stand there.
pub(super) struct Dialler {
    shown: watch::Receiver<ClientSide>,
}

impl Dialler {
    /// Shows this certificate to them.
    pub(super) fn new(shown: watch::Receiver<ClientSide>) -> Self {
        Self { shown }
    }
}

impl Dial for Dialler {
    fn dial(&self, id: NodeId, address: &str) -> Result<Link, NodeError> {
        let to = RemoteNodeConfig {
            address: address.to_owned(),
            server_name: None,
        };
        let way = way(id.to_string(), &to, &self.shown);
        let refused = |error: ServerError| NodeError::NodeUnavailable {
            node: id.to_string(),
            reason: error.to_string(),
        };
        Ok(way.map_err(refused)?.into())
    }
}

/// Connects when it is first used.
fn way(
    name: String,
    to: &RemoteNodeConfig,
    shown: &watch::Receiver<ClientSide>,
) -> Result<RemoteNode, ServerError> {
    let node = RemoteNode::connect(name, channel(to, &shown.borrow())?);
    tokio::spawn(reconnect(node.clone(), to.clone(), shown.clone()));
    Ok(node)
}

/// Gives the node a new channel whenever there is another certificate to show or another list, as long as anybody else has it; calls under way end on the former one.
async fn reconnect(node: RemoteNode, remote: RemoteNodeConfig, mut shown: watch::Receiver<ClientSide>) {
    while shown.changed().await.is_ok() && !node.is_last() {
        let channel = channel(&remote, &shown.borrow_and_update());
        match channel {
            Ok(channel) => node.reconnect(channel),
            Err(error) => tracing::error!(%error, "the former channel to a match node stays"),
        }
    }
}

fn channel(remote: &RemoteNodeConfig, shown: &ClientSide) -> Result<Channel, ServerError> {
    let host = remote
        .address
        .rsplit_once(':')
        .map_or(remote.address.as_str(), |(host, _)| host)
        .trim_matches(['[', ']']);
    let tls = ClientTlsConfig::new()
        .identity(shown.identity.clone())
        // A node that stands still lets connections begin and says nothing then.
        .timeout(CONNECT_MAX)
        .domain_name(remote.server_name.as_deref().unwrap_or(host));
    let endpoint = Endpoint::from_shared(format!("https://{}", remote.address))
        .and_then(|endpoint| endpoint.tls_config_with_verifier(tls, Arc::clone(&shown.verifier)))
        .map_err(|error| ServerError::Transport(format!("{}: {error}", remote.address)))?;
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy())
}
