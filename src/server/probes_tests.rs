//! Tests of the plain listener: what it answers, and that whoever is slow keeps nobody out.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers and ends");
    answer
}

async fn listening() -> (SocketAddr, watch::Sender<bool>, CancellationToken) {
    let mut config = Config::default();
    config.metrics.address = SocketAddr::from(([127, 0, 0, 1], 0));
    let (is_ready, ready) = watch::channel(false);
    let stop = CancellationToken::new();
    let address = spawn(&config, ready, stop.clone()).await.expect("it listens");
    (address.expect("metrics are served"), is_ready, stop)
}

#[tokio::test]
async fn metrics_and_probes_are_answered() {
    let (address, is_ready, stop) = listening().await;
    metrics::counter!(telemetry::TLS_RELOADS, "outcome" => "loaded").increment(1);
    let answer = get(address, "/metrics").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(telemetry::TLS_RELOADS),
        "{answer}"
    );
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(
        get(address, "/readyz").await.starts_with("HTTP/1.1 503"),
        "nothing is loaded yet"
    );
    is_ready.send_replace(true);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/other").await.starts_with("HTTP/1.1 404"));
    stop.cancel();
}

#[tokio::test]
async fn whoever_is_slow_keeps_nobody_out_for_long() {
    let (address, _is_ready, _stop) = listening().await;
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET /metr").await.expect("sent");
        slow.push(stream);
    }
    let start = Instant::now();
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    // They have every place, each for its time.
    assert!(start.elapsed() < 2 * CONNECTION_MAX, "{:?}", start.elapsed());
}
