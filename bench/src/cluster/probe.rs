//! What a process says of itself by plain HTTP, asked without patience: one that stands still accepts connections and answers none. Interprets no answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Failure;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process at this address says that it is ready.
pub async fn is_ready(address: &str) -> bool {
    let answer = get(address, "/readyz").await;
    answer.is_ok_and(|answer| is_ok(&answer))
}

/// An answer with its head.
pub async fn get(address: &str, path: &str) -> Result<String, Failure> {
    Ok(timeout(PATIENCE, ask(address, path)).await??)
}

async fn ask(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn is_ok(answer: &str) -> bool {
    let mut words = answer.split(' ');
    words.next().is_some_and(|version| version.starts_with("HTTP/1.")) && words.next() == Some("200")
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
