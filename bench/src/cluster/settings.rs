//! The configuration of each process of a cluster, as text. Starts nothing.

use std::path::Path;

use crate::live::child::UNLIMITED;

/// MiB that each node says it may hold: all the same, so that shares are equal.
const WEIGHT_MIB: u32 = 256;
/// Longest drain in seconds.
const DRAIN_SECONDS_MAX: u32 = 20;
/// How soon an erased row has to be out of all files, in seconds.
const PURGE_SECONDS_MAX: u32 = 10;

/// What all processes have in common.
#[derive(Debug, Clone)]
pub struct Common {
    /// Copies of each part.
    pub replicas: usize,
    /// The database.
    pub catalog: String,
    /// Lines below `[storage.objects]`.
    pub objects: String,
    /// Rows that make a segment.
    pub flush_rows: u32,
    /// Whether small segments are merged.
    pub merges: bool,
    /// Limit of a node's copies of segments, in MiB; its default where there is none.
    pub cache_mib: Option<u32>,
    /// Filter of the logs.
    pub log: String,
}

/// What one process has of its own.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Its data directory.
    pub data: &'a Path,
    /// The key of all.
    pub kek: &'a Path,
    /// The authority of all.
    pub ca: &'a Path,
    /// The folder of its certificates.
    pub tls: &'a Path,
    /// Where it listens, to callers or to fronts.
    pub address: &'a str,
    /// Where fronts reach it.
    pub advertised: &'a str,
    /// Where it tells how it is.
    pub metrics: &'a str,
}

impl Common {
    /// Of a match node of the cluster.
    pub fn of_node(&self, own: &Own<'_>) -> String {
        let (address, advertised) = (own.address, own.advertised);
        let merges = if self.merges { "" } else { "merge_segments = 0\n" };
        let cache = self.cache_mib.map_or_else(String::new, |mib| {
            format!("cache_bytes_max = {}\n", u64::from(mib) << 20)
        });
        format!(
            "{}[matching]\naddress = \"{address}\"\n[matcher]\nflush_rows = {}\npurge_seconds_max = {PURGE_SECONDS_MAX}\n\
             [cluster]\nenabled = true\nreplicas = {}\naddress = \"{advertised}\"\nweight_mib = {WEIGHT_MIB}\n{merges}\
             [storage.objects]\n{}{cache}",
            self.head(own),
            self.flush_rows,
            self.replicas,
            self.objects,
        )
    }

    /// Of a front of the cluster.
    pub fn of_front(&self, own: &Own<'_>) -> String {
        format!(
            "{}{UNLIMITED}[listen]\naddress = \"{}\"\n[cluster]\nenabled = true\nreplicas = {}\n[storage.objects]\n{}",
            self.head(own),
            own.address,
            self.replicas,
            self.objects,
        )
    }

    /// Of a match node without a cluster, over the same catalog and store.
    pub fn of_single_node(&self, own: &Own<'_>) -> String {
        format!(
            "{}[matching]\naddress = \"{}\"\n[matcher]\nflush_rows = {}\npurge_seconds_max = {PURGE_SECONDS_MAX}\n[storage.objects]\n{}",
            self.head(own),
            own.address,
            self.flush_rows,
            self.objects,
        )
    }

    /// Of the front of such a node, which is at `node`.
    pub fn of_single_front(&self, own: &Own<'_>, node: &str) -> String {
        format!(
            "{}{UNLIMITED}[listen]\naddress = \"{}\"\n[routes]\ndefault = \"node-1\"\n\
             [routes.nodes.node-1]\naddress = \"{node}\"\nserver_name = \"localhost\"\n",
            self.basics(own),
            own.address,
        )
    }

    /// What every process of a cluster is told.
    fn head(&self, own: &Own<'_>) -> String {
        format!("{}[catalog]\naddress = {:?}\n", self.basics(own), self.catalog)
    }

    /// What every process is told.
    fn basics(&self, own: &Own<'_>) -> String {
        let file = |name: &str| own.tls.join(name).display().to_string();
        format!(
            "data = {:?}\ndrain_seconds_max = {DRAIN_SECONDS_MAX}\nkek = {{ file = {:?} }}\n\
             [metrics]\naddress = \"{}\"\n[log]\nfilter = {:?}\n[engine]\nbackend = \"cpu\"\nlock_memory = \"off\"\n\
             [tls]\nca = {:?}\ncert = {:?}\nkey = {:?}\nnode_cert = {:?}\nnode_key = {:?}\n",
            own.data.display().to_string(),
            own.kek.display().to_string(),
            own.metrics,
            self.log,
            own.ca.display().to_string(),
            file("server.pem"),
            file("server.key"),
            file("node.pem"),
            file("node.key"),
        )
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
