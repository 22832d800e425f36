//! What counts as ready.

use tokio::net::TcpListener;

use super::*;

/// The address of somebody who answers once, like this.
async fn answering(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody comes");
        let mut request = [0; 256];
        let _ = stream.read(&mut request).await;
        stream.write_all(text.as_bytes()).await.expect("told");
    });
    address
}

#[tokio::test]
async fn only_200_is_ready() {
    let ready = answering("HTTP/1.0 200 OK\r\n\r\nready\n").await;
    assert!(is_ready(&ready).await);
    let loading = answering("HTTP/1.0 503 Service Unavailable\r\n\r\nnot ready, 200 of 300\n").await;
    assert!(!is_ready(&loading).await);
    let other = answering("220 mail.example.org\r\n").await;
    assert!(!is_ready(&other).await);
}

#[tokio::test]
async fn nobody_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    assert!(!is_ready(&address).await);
}
