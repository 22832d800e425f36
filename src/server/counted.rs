//! A connection that holds one of the allowed places until it ends, and ends when its caller is silent for too long, or steers it too much. Passes bytes on
//! unchanged, and no more of them in one turn than leave others theirs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::doors::Place;
use super::frames::Frames;
use crate::service::caller::Peer;

/// Bytes that are read before other connections have their turn: a caller that sends without end would hold a thread for as long as its bytes last, and frames that
/// cost nothing to send take up to a microsecond each.
const TURN_BYTES: usize = 16 << 10;

/// A stream with its place.
pub struct CountedStream<S> {
    stream: S,
    _place: Place,
    /// When the caller has been silent for too long, unless it said something since this was set.
    silent: Pin<Box<Sleep>>,
    heard: Option<Instant>,
    silence_max: Duration,
    frames: Frames,
    /// Bytes that were read in this turn.
    turn: usize,
}

impl<S> CountedStream<S> {
    /// `first_max`: longest wait for the first byte; `silence_max`: for any later one.
    pub(super) fn new(stream: S, place: Place, first_max: Duration, silence_max: Duration) -> Self {
        Self {
            stream,
            _place: place,
            silent: Box::pin(sleep(first_max)),
            heard: None,
            silence_max,
            frames: Frames::new(),
            turn: 0,
        }
    }

    /// An error once the caller was silent for too long. The timer is set anew only when it rings: most rings find that something was heard.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.silent.as_mut().poll(context));
            match self.heard.take() {
                Some(heard) => self.silent.as_mut().reset(heard + self.silence_max),
                None => return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the caller is silent")),
            }
        }
    }
}

impl Connected for CountedStream<TlsStream<TcpStream>> {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        let (_, session) = self.stream.get_ref();
        Peer::new(session.peer_certificates().unwrap_or_default().to_vec())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            self.heard = Some(Instant::now());
            let came = buf.filled().get(before..).unwrap_or_default();
            self.turn += came.len();
            let followed = self.frames.follow(came).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the caller sends more frames that steer its connection than anybody needs",
                )
            });
            return Poll::Ready(read.and(followed));
        }
        self.turn = 0;
        self.poll_silence(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[path = "counted_tests.rs"]
mod tests;
