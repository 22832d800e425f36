//! Plain HTTP for Prometheus and for probes: `/metrics`, `/healthz`, `/readyz`. Few connections at once, short ones, one answer each; knows no caller.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::{ServerError, listen_error};
use crate::telemetry;

/// Connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 32;
/// Longest time of a connection, from its beginning to the end of its answer.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a request, so that those who send none don't keep the others out.
const HEAD_MAX: Duration = Duration::from_secs(1);
/// Most bytes of a request; it has no body.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How often the recorder drops what histograms no longer need.
const UPKEEP: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// From a tenth of a millisecond to ten seconds.
const SECONDS_BUCKETS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Of things that go together, such as the probes of a batch.
const COUNT_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

/// Listens from now on, before anything is loaded, until `stop` is cancelled. `ready` says what `/readyz` answers. Gives the address, if metrics are served.
pub(super) async fn spawn(
    config: &Config,
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<Option<SocketAddr>, ServerError> {
    let address = config.metrics.address;
    if !config.metrics.enabled {
        return Ok(None);
    }
    let handle = recorder(address)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| listen_error(address, &error))?;
    let bound = listener
        .local_addr()
        .map_err(|error| listen_error(address, &error))?;
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept(listener, handle, ready) => {}
        }
    });
    Ok(Some(bound))
}

/// The recorder of this process, made by its first server.
fn recorder(address: SocketAddr) -> Result<PrometheusHandle, ServerError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(&COUNT_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        })
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| ServerError::Listen {
            address,
            reason: error.to_string(),
        })?;
    telemetry::describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(HANDLE.get_or_init(|| handle).clone())
}

async fn accept(listener: TcpListener, handle: PrometheusHandle, ready: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (handle, ready) = (handle.clone(), ready.clone());
        tokio::spawn(async move {
            // Whoever is slow, sends what is no HTTP or hangs up gets no answer; that is theirs to notice.
            let _ = tokio::time::timeout(CONNECTION_MAX, serve(stream, handle, ready)).await;
            drop(place);
        });
    }
}

async fn serve(
    stream: TcpStream,
    handle: PrometheusHandle,
    ready: watch::Receiver<bool>,
) -> Result<(), hyper::Error> {
    let answer = service_fn(move |request| {
        let answer = answer(&request, &handle, *ready.borrow());
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

fn answer(request: &Request<Incoming>, handle: &PrometheusHandle, ready: bool) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, handle.render()),
        (&Method::GET, "/healthz") => (StatusCode::OK, "alive\n".to_owned()),
        (&Method::GET, "/readyz") if ready => (StatusCode::OK, "ready\n".to_owned()),
        (&Method::GET, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
        _ => (
            StatusCode::NOT_FOUND,
            "GET /metrics, /healthz or /readyz\n".to_owned(),
        ),
    };
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

#[cfg(test)]
#[path = "probes_tests.rs"]
mod tests;
