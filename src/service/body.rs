//! The body of a request, which has to come within a time, and of an answer, which holds its caller's share to its end. Looks at nothing in them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use super::shares::Share;

/// A body that fails with `DEADLINE_EXCEEDED` where it is not there in time.
pub(super) struct Timed {
    body: Body,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Timed {
    /// All of `body` has to come within `limit`.
    pub(super) fn wrap(body: Body, limit: Duration) -> Body {
        Body::new(Self {
            body,
            limit,
            timer: Box::pin(sleep(limit)),
        })
    }
}

/// The refusal of what did not come within `limit`, as the library would have it; [`super::status::of_library`] adds the rest.
pub(super) fn late(what: &str, limit: Duration) -> Status {
    Status::deadline_exceeded(format!("{what} did not come within {limit:?}"))
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Some(Err(late("the request", self.limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body whose caller has one place fewer for as long as it is there.
pub(super) struct Sharing {
    body: Body,
    _share: Share<String>,
}

impl Sharing {
    pub(super) fn wrap(body: Body, share: Share<String>) -> Body {
        Body::new(Self { body, _share: share })
    }
}

impl HttpBody for Sharing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
