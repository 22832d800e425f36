//! What the settings must be, each and together. Changes none.

use std::num::NonZeroU16;
use std::path::Path;

use super::{Config, LimitError};
use crate::cluster::placement::REPLICAS_MAX;
use crate::front::quota::IDLE as QUOTA_IDLE;
use crate::matcher::parts::MERGE_SEGMENTS_MAX;
use crate::model::signature::DIM_MAX;
use crate::service::routes::CALLS_MAX;
use crate::storage::database::DatabaseConfig;

/// Longest drain, in seconds.
const DRAIN_SECONDS_MAX: u64 = 3_600;
/// Largest request that may be allowed, in bytes.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Longest scan that a share of galleries is reckoned by.
const SCAN_MS_MAX_MAX: u64 = 60_000;
/// Largest probability with which a scan may miss a reference.
const MISS_PROBABILITY_MAX: f64 = 0.1;
/// Smallest limit of a request: one probe of the largest dimension and what goes with it.
const MESSAGE_BYTES_MIN: usize = 64 << 10;

/// Smallest cache of an object store's segments, in bytes.
const CACHE_BYTES_MIN: u64 = 1 << 20;

fn within<T: PartialOrd + Copy + std::fmt::Display>(
    setting: &'static str,
    value: T,
    min: T,
    max: T,
) -> Result<(), LimitError> {
    if value < min || value > max {
        return Err(LimitError {
            setting,
            problem: format!("{value} is not from {min} to {max}"),
        });
    }
    Ok(())
}

fn limit(setting: &'static str, problem: String) -> Result<(), LimitError> {
    Err(LimitError { setting, problem })
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bracketed.map_or_else(
        || !host.is_empty() && !host.contains([':', '/']),
        |host| host.parse::<std::net::Ipv6Addr>().is_ok(),
    )
}

/// The scheme of `http://HOST:PORT` or `https://HOST:PORT`.
fn collector_scheme(endpoint: &str) -> Option<&str> {
    let (scheme, rest) = endpoint.split_once("://")?;
    let is_sound = matches!(scheme, "http" | "https") && is_address(rest.strip_suffix('/').unwrap_or(rest));
    is_sound.then_some(scheme)
}

/// A host and a port.
fn is_address(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<NonZeroU16>().is_ok() && is_host(host))
}

/// A trust domain is 1 to 255 of `a-z 0-9 . - _` (SPIFFE ID, section 2.1).
pub fn check_trust_domain(domain: &str) -> Result<(), LimitError> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_');
    if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(allowed) {
        return limit(
            "tls.trust_domain",
            format!("{domain:?} is not 1 to 255 of a-z 0-9 . - _"),
        );
    }
    Ok(())
}

impl Config {
    /// Checks ranges and relations.
    pub fn check(&self) -> Result<(), LimitError> {
        within("drain_seconds_max", self.drain_seconds_max, 1, DRAIN_SECONDS_MAX)?;
        self.check_listen()?;
        within("engine.batch_max", self.engine.batch_max, 1, 1_024)?;
        within("engine.queue_max", self.engine.queue_max, 1, 1_000_000)?;
        within("engine.wait_ms_max", self.engine.wait_ms_max, 1, 60_000)?;
        within("engine.threads", self.engine.threads, 0, 1_024)?;
        let p = self.engine.miss_probability;
        // A value that is not a number is in no range.
        if !(p > 0.0 && p <= MISS_PROBABILITY_MAX) {
            return limit(
                "engine.miss_probability",
                format!(
                    "{p} is not above 0 and up to {MISS_PROBABILITY_MAX}; for no misses at all set deterministic in a tenant's policy"
                ),
            );
        }
        within("matcher.flush_rows", self.matcher.flush_rows, 1, 65_536)?;
        within(
            "matcher.purge_seconds_max",
            self.matcher.purge_seconds_max,
            2,
            86_400,
        )?;
        if self.engine.queue_max < self.engine.batch_max {
            return limit(
                "engine.queue_max",
                format!(
                    "{} is less than engine.batch_max ({}), so that no batch could fill",
                    self.engine.queue_max, self.engine.batch_max
                ),
            );
        }
        self.check_catalog()?;
        self.check_objects()?;
        self.check_cluster()?;
        self.check_front()?;
        self.check_tls()?;
        self.check_traces()?;
        self.check_routes()
    }

    fn check_listen(&self) -> Result<(), LimitError> {
        let listen = &self.listen;
        for (setting, value) in [
            ("listen.connections_max", listen.connections_max),
            (
                "listen.connections_per_caller_max",
                listen.connections_per_caller_max,
            ),
            ("listen.handshakes_max", listen.handshakes_max),
            (
                "listen.handshakes_per_address_max",
                listen.handshakes_per_address_max,
            ),
        ] {
            within(setting, value, 1, 1_000_000)?;
        }
        within(
            "listen.message_bytes_max",
            listen.message_bytes_max,
            MESSAGE_BYTES_MIN,
            MESSAGE_BYTES_MAX,
        )?;
        within(
            "listen.handshake_seconds_max",
            listen.handshake_seconds_max,
            1,
            300,
        )?;
        within(
            "listen.streams_per_connection_max",
            listen.streams_per_connection_max,
            1,
            65_536,
        )?;
        within(
            "listen.calls_per_caller_max",
            listen.calls_per_caller_max,
            1,
            CALLS_MAX,
        )?;
        Ok(())
    }

    fn check_front(&self) -> Result<(), LimitError> {
        within("front.answers_max", self.front.answers_max, 0, 100_000_000)?;
        within(
            "front.answers_seconds_max",
            self.front.answers_seconds_max,
            1,
            86_400,
        )?;
        within("guard.near_misses_max", self.guard.near_misses_max, 0, 1_000_000)?;
        within("guard.seconds", self.guard.seconds, 1, 86_400)?;
        let sealed = &self.sealed_probes;
        within("sealed_probes.age_seconds_max", sealed.age_seconds_max, 1, 3_600)?;
        within("sealed_probes.ahead_seconds_max", sealed.ahead_seconds_max, 0, 60)?;
        within(
            "sealed_probes.remembered_max",
            sealed.remembered_max,
            1,
            100_000_000,
        )?;
        within(
            "sealed_probes.remembered_per_scanner_max",
            sealed.remembered_per_scanner_max,
            1,
            100_000_000,
        )?;
        let named = self.quotas.tenants.values();
        for quota in [&self.quotas.scanner, &self.quotas.tenant]
            .into_iter()
            .chain(named)
        {
            // Whoever pauses for so long that its use is forgotten has all of it back by then.
            let burst_max = u64::from(quota.per_second) * QUOTA_IDLE.as_secs();
            if u64::from(quota.burst) > burst_max {
                return limit(
                    "quotas",
                    format!(
                        "burst is {}; with per_second {} up to {burst_max} are allowed",
                        quota.burst, quota.per_second
                    ),
                );
            }
        }
        let recent = &self.recent_matches;
        within("recent_matches.per_site_max", recent.per_site_max, 0, 1_024)?;
        // Otherwise no site would fit, and nobody be remembered without a word.
        let site_max = (recent.per_site_max * DIM_MAX * size_of::<f32>()) as u64;
        if recent.bytes_max < site_max {
            return limit(
                "recent_matches.bytes_max",
                format!(
                    "{} is less than {site_max}, what recent_matches.per_site_max ({}) probes of the largest dimension take",
                    recent.bytes_max, recent.per_site_max
                ),
            );
        }
        within("recent_matches.seconds_max", recent.seconds_max, 1, 604_800)?;
        within("front.retention_seconds", self.front.retention_seconds, 1, 86_400)?;
        Ok(())
    }

    fn check_catalog(&self) -> Result<(), LimitError> {
        let catalog = &self.catalog;
        within("catalog.connections_max", catalog.connections_max, 2, 1_000)?;
        within("catalog.connect_seconds_max", catalog.connect_seconds_max, 1, 300)?;
        within("catalog.wait_seconds_max", catalog.wait_seconds_max, 1, 300)?;
        within(
            "catalog.statement_seconds_max",
            catalog.statement_seconds_max,
            1,
            86_400,
        )?;
        if let Some(address) = &catalog.address {
            return DatabaseConfig::check_address(address)
                .or_else(|problem| limit("catalog.address", problem.to_owned()));
        }
        for (setting, is_set) in [
            ("catalog.password", catalog.password.is_some()),
            ("catalog.root_certificates", catalog.root_certificates.is_some()),
        ] {
            if is_set {
                return limit(setting, "is set and catalog.address is not".to_owned());
            }
        }
        Ok(())
    }

    fn check_objects(&self) -> Result<(), LimitError> {
        let objects = &self.storage.objects;
        within(
            "storage.objects.cache_bytes_max",
            objects.cache_bytes_max,
            CACHE_BYTES_MIN,
            u64::MAX,
        )?;
        within("storage.objects.fetches_max", objects.fetches_max, 1, 256)?;
        if let Some(url) = &objects.url {
            let cache = objects.cache.clone().unwrap_or_else(|| self.data.join("cache"));
            let dir = url.strip_prefix("file://").map(Path::new);
            if dir.is_some_and(|dir| dir.starts_with(&cache) || cache.starts_with(dir)) {
                return limit(
                    "storage.objects.url",
                    format!("is in storage.objects.cache ({}), or that in it", cache.display()),
                );
            }
            if self.catalog.address.is_none() {
                return limit(
                    "storage.objects.url",
                    "is set and catalog.address is not: where catalogs are files, segments are beside them"
                        .to_owned(),
                );
            }
            return Ok(());
        }
        for (setting, is_set) in [
            ("storage.objects.region", objects.region.is_some()),
            ("storage.objects.endpoint", objects.endpoint.is_some()),
            ("storage.objects.allow_http", objects.allow_http),
            ("storage.objects.cache", objects.cache.is_some()),
        ] {
            if is_set {
                return limit(setting, "is set and storage.objects.url is not".to_owned());
            }
        }
        Ok(())
    }

    fn check_cluster(&self) -> Result<(), LimitError> {
        let cluster = &self.cluster;
        within("cluster.replicas", cluster.replicas, 1, REPLICAS_MAX)?;
        within("cluster.scan_ms_max", cluster.scan_ms_max, 1, SCAN_MS_MAX_MAX)?;
        if !matches!(cluster.merge_segments, 0 | 2..=MERGE_SEGMENTS_MAX) {
            return limit(
                "cluster.merge_segments",
                format!(
                    "{} is neither 0 nor from 2 to {MERGE_SEGMENTS_MAX}",
                    cluster.merge_segments
                ),
            );
        }
        if !cluster.enabled {
            return Ok(());
        }
        if self.storage.objects.url.is_none() {
            return limit(
                "cluster.enabled",
                "needs catalog.address and storage.objects.url, where its servers find what they share"
                    .to_owned(),
            );
        }
        if self.storage.journal.is_some() {
            return limit(
                "storage.journal",
                "is set and cluster.enabled too: the erasure journal of a cluster is in its bucket"
                    .to_owned(),
            );
        }
        if !self.routes.nodes.is_empty() {
            return limit(
                "routes.nodes",
                "is set and cluster.enabled too: the fronts of a cluster find its nodes in the catalog"
                    .to_owned(),
            );
        }
        if cluster.next_catalog_kek.is_some() && cluster.catalog_kek.is_none() {
            return limit(
                "cluster.next_catalog_kek",
                "is set and cluster.catalog_kek is not: without that cluster.next_kek is the next key of both keyrings".to_owned(),
            );
        }
        if let Some(address) = cluster.address.as_ref().filter(|address| !is_address(address)) {
            return limit(
                "cluster.address",
                format!("is {address:?}; HOST:PORT is expected"),
            );
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), LimitError> {
        let tls = &self.tls;
        if let Some(domain) = &tls.trust_domain {
            check_trust_domain(domain)?;
        }
        if tls.cert.is_some() != tls.key.is_some() {
            return limit("tls.cert", "tls.cert and tls.key must be set together".to_owned());
        }
        if tls.node_cert.is_some() != tls.node_key.is_some() {
            return limit(
                "tls.node_cert",
                "tls.node_cert and tls.node_key must be set together".to_owned(),
            );
        }
        Ok(())
    }

    fn check_traces(&self) -> Result<(), LimitError> {
        let traces = &self.traces;
        // A value that is not a number is in no range.
        if !(0.0..=1.0).contains(&traces.share) {
            return limit("traces.share", format!("{} is not from 0 to 1", traces.share));
        }
        within("traces.queue_max", traces.queue_max, 1, 1_000_000)?;
        within("traces.answer_seconds_max", traces.answer_seconds_max, 1, 60)?;
        let Some(endpoint) = &traces.endpoint else {
            return Ok(());
        };
        let scheme = collector_scheme(endpoint);
        if scheme.is_none() {
            return limit(
                "traces.endpoint",
                format!("{endpoint:?} is neither http://HOST:PORT nor https://HOST:PORT"),
            );
        }
        if traces.ca.is_some() && scheme != Some("https") {
            return limit(
                "traces.ca",
                format!("goes with an https:// endpoint; traces.endpoint is {endpoint:?}"),
            );
        }
        Ok(())
    }

    fn check_routes(&self) -> Result<(), LimitError> {
        for (name, node) in &self.routes.nodes {
            if !is_address(&node.address) {
                return limit(
                    "routes.nodes",
                    format!("address of {name} is {:?}; HOST:PORT is expected", node.address),
                );
            }
        }
        let named = self.routes.tenants.values().chain(&self.routes.default);
        for node in named {
            if !self.routes.nodes.contains_key(node) {
                return limit("routes", format!("{node:?} is not among routes.nodes"));
            }
        }
        Ok(())
    }
}
