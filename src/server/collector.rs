//! The way to the collector of traces, where one is configured. Sends nothing itself.

use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::config::{Config, LimitError};
use super::{Mode, ServerError};
use crate::telemetry::traces::{Exporter, Settings, Traces};

/// Longest time to a connection with the collector.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How often it is asked whether it is still there while it owes an answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What records calls, and the task that hands over what was recorded. Without a collector nothing is recorded.
pub(super) fn start(config: &Config, mode: Mode) -> Result<(Traces, Option<Exporter>), ServerError> {
    let traces = &config.traces;
    let Some(endpoint) = &traces.endpoint else {
        return Ok((Traces::default(), None));
    };
    let settings = Settings {
        service: match mode {
            Mode::Serve => "thenar-serve",
            Mode::Front => "thenar-front",
            Mode::Match => "thenar-match",
        },
        share: traces.share,
        queue_max: traces.queue_max,
        answer_max: Duration::from_secs(traces.answer_seconds_max),
    };
    let (traces, exporter) = Exporter::start(channel(endpoint, config)?, settings);
    Ok((traces, Some(exporter)))
}

fn channel(endpoint: &str, config: &Config) -> Result<Channel, LimitError> {
    let unfit = |error: tonic::transport::Error| LimitError {
        setting: "traces.endpoint",
        problem: format!("{endpoint:?}: {error}"),
    };
    let mut collector = Endpoint::from_shared(endpoint.to_owned()).map_err(unfit)?;
    if collector.uri().scheme_str() == Some("https") {
        let tls = ClientTlsConfig::new().timeout(CONNECT_MAX);
        let tls = match &config.traces.ca {
            None => tls.with_native_roots(),
            Some(path) => {
                tls.ca_certificate(Certificate::from_pem(std::fs::read(path).map_err(|error| {
                    LimitError {
                        setting: "traces.ca",
                        problem: format!("can't read {}: {error}", path.display()),
                    }
                })?))
            }
        };
        collector = collector.tls_config(tls).map_err(unfit)?;
    }
    Ok(collector
        .connect_timeout(CONNECT_MAX)
        // A collector that vanished without a word is left for its successor.
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(CONNECT_MAX)
        .connect_lazy())
}
