//! A line between callers and a server, which can be cut. Looks at nothing that passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where the line begins, and how much has passed it from callers.
pub struct Line {
    pub port: u16,
    passed: Arc<AtomicU64>,
}

impl Line {
    /// A line to `server` that is cut once `cut_after` bytes of callers have passed, and whole for those who call again.
    pub async fn to(server: String, cut_after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let passed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&passed);
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                let left = cut_after.saturating_sub(counter.load(Ordering::Acquire));
                let left = if left == 0 { u64::MAX } else { left };
                tokio::spawn(join(caller, server, left, Arc::clone(&counter)));
            }
        });
        Self { port, passed }
    }

    /// Bytes that callers have sent.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }
}

/// Passes on what comes until one side ends or the caller has sent so many bytes.
async fn join(caller: TcpStream, server: TcpStream, mut left: u64, passed: Arc<AtomicU64>) {
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        while left > 0 {
            let Ok(count @ 1..) = from_caller.read(&mut buffer).await else {
                return;
            };
            passed.fetch_add(count as u64, Ordering::AcqRel);
            left = left.saturating_sub(count as u64);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = tokio::io::copy(&mut from_server, &mut to_caller);
    tokio::select! {
        () = up => {}
        _ = down => {}
    }
}
