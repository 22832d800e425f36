//! Which match node has a tenant: a fixed table. Opens no connection and moves nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::matcher::node::{Node, NodeError};
use crate::model::id::TenantId;

/// Why a table of routes does not stand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteError {
    /// A route to a node that is not there.
    #[error("tenant {tenant} is routed to node {node:?}, which is not among the nodes ({known})")]
    NodeUnknown {
        /// The tenant, or `(default)`.
        tenant: String,
        /// The node that was named.
        node: String,
        /// The nodes that there are.
        known: String,
    },
    /// No node at all.
    #[error("no match node is configured; at least one is needed")]
    NoNode,
}

/// The way to each tenant's node.
pub struct Routes {
    nodes: BTreeMap<String, Arc<dyn Node>>,
    table: BTreeMap<TenantId, String>,
    default: Option<String>,
}

impl Routes {
    /// One node has all tenants.
    pub fn single(node: Arc<dyn Node>) -> Self {
        let name = "local".to_owned();
        Self {
            nodes: BTreeMap::from([(name.clone(), node)]),
            table: BTreeMap::new(),
            default: Some(name),
        }
    }

    /// Each tenant at the node that the table names, all others at the default one, if there is one.
    pub fn table(
        table: BTreeMap<TenantId, String>,
        nodes: BTreeMap<String, Arc<dyn Node>>,
        default: Option<String>,
    ) -> Result<Self, RouteError> {
        if nodes.is_empty() {
            return Err(RouteError::NoNode);
        }
        let named = table.iter().map(|(tenant, node)| (tenant.to_string(), node));
        let fallback = default.iter().map(|node| ("(default)".to_owned(), node));
        for (tenant, node) in named.chain(fallback) {
            if !nodes.contains_key(node) {
                return Err(RouteError::NodeUnknown {
                    tenant,
                    node: node.clone(),
                    known: nodes.keys().cloned().collect::<Vec<_>>().join(", "),
                });
            }
        }
        Ok(Self {
            nodes,
            table,
            default,
        })
    }

    /// The tenant's node.
    pub fn node(&self, tenant: &TenantId) -> Result<&Arc<dyn Node>, NodeError> {
        self.table
            .get(tenant)
            .or(self.default.as_ref())
            .and_then(|name| self.nodes.get(name))
            .ok_or_else(|| NodeError::TenantUnavailable {
                tenant: tenant.clone(),
                reason: "no route leads to it and there is no default node; add it to the routing table"
                    .to_owned(),
            })
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<dyn Node>> {
        self.nodes.values()
    }

    /// Whether this node is where the tenant is looked for.
    pub(super) fn leads_to(&self, tenant: &TenantId, node: &Arc<dyn Node>) -> bool {
        self.node(tenant).is_ok_and(|found| Arc::ptr_eq(found, node))
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
