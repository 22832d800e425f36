//! A wire between two processes that can be cut, slowed down, and made to spoil what an object store answers. Knows of HTTP how requests and answers begin; knows no process.
//!
//! It carries bytes between sockets of this machine, either of which may be in a network of its own. What differs from a network that is cut: who connects seems to be connected, and hears nothing.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::namespace::Namespace;

/// Bytes that are carried at once.
const PIECE_LEN: usize = 64 << 10;
/// Of answers one in so many is spoiled.
const SPOILED: usize = 3;
/// Answers with an object that are shorter than their head may be are not spoiled.
const OBJECT_LEN_MIN: usize = 1 << 10;
/// A store that is busy.
const BUSY: &[u8] = b"HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: 42\r\nconnection: close\r\n\r\n<Error><Code>SlowDown</Code></Error>      ";

/// How a wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// What is sent arrives.
    Open,
    /// Nothing arrives and nobody is told. It does once the wire is open, whether or not who sent it is still there.
    Cut,
    /// Each piece takes so long, one after the other.
    Slow(Duration),
    /// Connections end at their next request; of new ones every second is told that the store is busy.
    Busy,
    /// Answers end in their middle, and their connections with them.
    Broken,
    /// In the content of objects bits change on their way.
    Wrong,
}

/// Where a wire leads.
#[derive(Debug, Clone)]
pub enum End {
    /// Host and port.
    Tcp(String),
    /// The same, in another network.
    Within(Arc<Namespace>, SocketAddr),
    /// A socket's file.
    Unix(PathBuf),
}

/// A wire. Dropped, it and all its connections end.
pub struct Wire {
    condition: watch::Sender<Condition>,
    _listener: AbortOnDropHandle<()>,
}

impl Wire {
    /// From a free port of loopback, whose address comes beside it.
    pub async fn tcp(end: impl Fn() -> End + Send + Sync + 'static) -> Result<(Self, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        Ok((Self::start(Listener::Tcp(listener), end), address))
    }

    /// From a free port of loopback in a network of its own.
    pub fn from_within(
        namespace: &Namespace,
        end: impl Fn() -> End + Send + Sync + 'static,
    ) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::from_std(namespace.bind()?)?;
        let address = listener.local_addr()?;
        Ok((Self::start(Listener::Tcp(listener), end), address))
    }

    /// From a new socket of this path.
    pub fn unix(path: &Path, end: impl Fn() -> End + Send + Sync + 'static) -> Result<Self> {
        Ok(Self::start(Listener::Unix(UnixListener::bind(path)?), end))
    }

    /// From now on it is like this, for connections that there are as well.
    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }

    fn start(listener: Listener, end: impl Fn() -> End + Send + Sync + 'static) -> Self {
        let (condition, seen) = watch::channel(Condition::Open);
        let turns = Arc::new(AtomicUsize::new(0));
        let listen = async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                // One that is gone before it was taken is nobody's.
                let Ok(near) = listener.accept().await else {
                    continue;
                };
                while connections.try_join_next().is_some() {}
                let connection = Connection {
                    seen: seen.clone(),
                    turns: Arc::clone(&turns),
                    wants_object: Arc::new(AtomicBool::new(false)),
                };
                let end = end();
                // Who loses a connection notices.
                connections.spawn(async move { connection.join(near, end).await.unwrap_or_default() });
            }
        };
        Self {
            condition,
            _listener: AbortOnDropHandle::new(tokio::spawn(listen)),
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> Result<Stream> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}
type Stream = Box<dyn Both>;

impl End {
    async fn connect(&self) -> Result<Stream> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Within(namespace, address) => {
                let stream = namespace.socket()?.connect(*address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }
}

/// One connection over a wire.
struct Connection {
    seen: watch::Receiver<Condition>,
    turns: Arc<AtomicUsize>,
    /// Whether the last request asks for an object's content.
    wants_object: Arc<AtomicBool>,
}

impl Connection {
    async fn join(self, near: Stream, end: End) -> Result<()> {
        let mut seen = self.seen.clone();
        if passable(&mut seen).await? == Condition::Busy && self.turn().is_multiple_of(2) {
            return refuse(near).await;
        }
        let far = end.connect().await?;
        let ((near_from, near_to), (far_from, far_to)) = (split(near), split(far));
        tokio::try_join!(
            self.carry(near_from, far_to, false),
            self.carry(far_from, near_to, true)
        )?;
        Ok(())
    }

    async fn carry(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        is_answer: bool,
    ) -> Result<()> {
        let mut seen = self.seen.clone();
        let mut piece = vec![0; PIECE_LEN];
        loop {
            let len = from.read(&mut piece).await?;
            let condition = passable(&mut seen).await?;
            if len == 0 {
                return to.shutdown().await;
            }
            let sent = piece.get_mut(..len).expect("so much was read");
            if !is_answer && let Some(wants_object) = wants_object(sent) {
                self.wants_object.store(wants_object, Ordering::Release);
            }
            match condition {
                Condition::Slow(time) => tokio::time::sleep(time).await,
                Condition::Busy if !is_answer => return Err(ErrorKind::ConnectionReset.into()),
                Condition::Broken if is_answer && self.turn().is_multiple_of(SPOILED) => {
                    let (half, _) = sent.split_at(len / 2);
                    to.write_all(half).await?;
                    return Err(ErrorKind::ConnectionReset.into());
                }
                Condition::Wrong
                    if is_answer
                        && len >= OBJECT_LEN_MIN
                        && self.wants_object.load(Ordering::Acquire)
                        && self.turn().is_multiple_of(SPOILED) =>
                {
                    // The end of a piece is content.
                    if let Some(byte) = sent.get_mut(len - len / 8) {
                        *byte ^= 1;
                    }
                }
                _ => {}
            }
            to.write_all(sent).await?;
        }
    }

    fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}

/// Waits until a wire is not cut. How it is then.
async fn passable(seen: &mut watch::Receiver<Condition>) -> Result<Condition> {
    let condition = seen.wait_for(|condition| *condition != Condition::Cut).await;
    condition.map(|condition| *condition).map_err(Error::other)
}

/// Whether what begins a request asks for an object's content; `None` where it begins none.
fn wants_object(sent: &[u8]) -> Option<bool> {
    let line = sent.split(|byte| *byte == b'\r').next()?;
    let is_request = line.ends_with(b" HTTP/1.1");
    is_request.then(|| line.starts_with(b"GET ") && !line.contains(&b'?'))
}

/// Answers a request that the store is busy, once all of it is there: what is not read when a connection ends may take the answer with it.
async fn refuse(mut near: Stream) -> Result<()> {
    let mut request = Vec::new();
    loop {
        if near.read_buf(&mut request).await? == 0 || is_whole(&request) {
            break;
        }
    }
    near.write_all(BUSY).await?;
    near.shutdown().await
}

/// Whether a request is there with as much content as it says.
fn is_whole(request: &[u8]) -> bool {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = request.windows(END.len()).position(|window| window == END) else {
        return false;
    };
    let text = String::from_utf8_lossy(request.get(..head).unwrap_or_default()).to_ascii_lowercase();
    let len = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    request.len() >= head + END.len() + len.unwrap_or(0)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
