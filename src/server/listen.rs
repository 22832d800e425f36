//! The listener: TLS in front, gRPC services behind, until told to stop. Knows which services go together, not what they do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server as GrpcServer;

use super::build::{Served, Tiers, trust_domain};
use super::config::Config;
use super::health::Health;
use super::tls::rotation::Rotation;
use super::tls::{self, Limits};
use super::{ServerError, listen_error};
use crate::matcher::remote::reach::IN_FLIGHT_MAX;
use crate::service::matching::MatchRoom;
use crate::service::routes::{PublicLimits, SMALL_BYTES_MAX};
use crate::service::{Rooms, caller, routes};
use crate::telemetry::traces::Traces;

/// How often an idle connection is tried, so that one whose caller went away gives its place back.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a connection may leave that unanswered.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest list of headers of one request, in bytes as HTTP/2 counts them.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Streams that a caller may take back before anybody looked at them; one more ends its connection.
const RESETS_UNSEEN_MAX: usize = 20;
/// Streams of one connection that may be ended for a caller's faults; one more ends the connection.
const RESETS_FOR_FAULTS_MAX: usize = 128;

/// Limits of one connection. All calls of a front come on one, and whatever its callers give up while a node is held up comes there at once.
struct PerConnection {
    streams: u32,
    resets_unseen: usize,
}

impl PerConnection {
    fn of(config: &Config, served: &Served) -> Self {
        match served {
            Served::Front(_) => Self {
                streams: config.listen.streams_per_connection_max,
                resets_unseen: RESETS_UNSEEN_MAX,
            },
            Served::Match { .. } => Self {
                streams: u32::try_from(IN_FLIGHT_MAX).expect("some thousands"),
                resets_unseen: IN_FLIGHT_MAX,
            },
        }
    }
}

/// What the doors let in.
fn limits(config: &Config) -> Limits {
    Limits {
        connections_max: config.listen.connections_max,
        connections_per_caller_max: config.listen.connections_per_caller_max,
        handshakes_max: config.listen.handshakes_max,
        handshakes_per_address_max: config.listen.handshakes_per_address_max,
        handshake_max: Duration::from_secs(config.listen.handshake_seconds_max),
    }
}

/// Serves on a task of its own until `stop` is cancelled and requests in flight are answered.
pub(super) fn spawn(
    config: &Config,
    socket: TcpListener,
    tiers: &Tiers,
    health: &Health,
    shown: &Rotation<Arc<ServerConfig>>,
    traces: Traces,
    stop: &CancellationToken,
) -> Result<JoinHandle<Result<(), ServerError>>, ServerError> {
    let address = socket
        .local_addr()
        .map_err(|error| listen_error(config.listen.address, &error))?;
    let incoming = tls::accept(socket, shown.made(), limits(config), stop.clone());
    let trust_domain: Arc<str> = trust_domain(config)?.into();
    let revocations = shown.revocations();
    let (services, look, ends) = match &tiers.served {
        Served::Front(front) => {
            let rooms = Rooms {
                front: Arc::clone(front),
                trust_domain: Arc::clone(&trust_domain),
                revocations: revocations.clone(),
                draining: stop.clone(),
                started: Instant::now(),
                traces,
            };
            let look = routes::callers(rooms.clone());
            let limits = PublicLimits {
                message_bytes_max: config.listen.message_bytes_max,
                calls_per_caller_max: config.listen.calls_per_caller_max,
            };
            let ends = caller::ends(trust_domain, revocations);
            (routes::public(rooms, limits), look, ends)
        }
        Served::Match { node, holder } => {
            let look = routes::fronts(Arc::clone(&trust_domain), revocations.clone());
            let ends = caller::ends_of_fronts(Arc::clone(&trust_domain), revocations.clone());
            let room = match holder {
                Some(holder) => MatchRoom::with_parts(Arc::clone(node), Arc::clone(holder)),
                None => MatchRoom::new(Arc::clone(node)),
            };
            (
                routes::internal(room, trust_domain, revocations, traces),
                look,
                ends,
            )
        }
    };
    let reflection = routes::reflection().map_err(|error| ServerError::Transport(error.to_string()))?;
    let per_connection = PerConnection::of(config, &tiers.served);
    let router = GrpcServer::builder()
        .max_concurrent_streams(per_connection.streams)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(per_connection.resets_unseen))
        .http2_max_local_error_reset_streams(Some(RESETS_FOR_FAULTS_MAX))
        .add_routes(
            services
                .add_service(routes::small(
                    health
                        .service(stop.clone(), ends)
                        .max_decoding_message_size(SMALL_BYTES_MAX),
                    &look,
                ))
                .add_service(routes::small(
                    reflection.max_decoding_message_size(SMALL_BYTES_MAX),
                    &look,
                )),
        );
    let stopping = stop.clone().cancelled_owned();
    Ok(tokio::spawn(async move {
        router
            .serve_with_incoming_shutdown(incoming, stopping)
            .await
            .map_err(|error| ServerError::Transport(format!("{address}: {error}")))
    }))
}
