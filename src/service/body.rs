//! The body of a request, which has to come within a time, and of an answer, which holds its caller's share to its end. Looks at nothing in them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::shares::Share;
use crate::matcher::remote::error::{DOMAIN, Reason};

/// How long may be waited for a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// For all of it.
    Whole(Duration),
    /// For each next part of it, from when it is asked for.
    Part(Duration),
}

/// A body that fails with `DEADLINE_EXCEEDED` where it does not come.
pub(super) struct Timed {
    body: Body,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
    /// The timer runs since somebody asked and nothing was there.
    asked: bool,
}

impl Timed {
    pub(super) fn wrap(body: Body, patience: Patience) -> Body {
        let (Patience::Whole(limit) | Patience::Part(limit)) = patience;
        Body::new(Self {
            body,
            patience,
            timer: Box::pin(sleep(limit)),
            asked: false,
        })
    }

    fn late(&self) -> Status {
        let (what, limit) = match self.patience {
            Patience::Whole(limit) => ("the request", limit),
            Patience::Part(limit) => ("the next part of the request", limit),
        };
        let details = ErrorDetails::with_error_info(Reason::DeadlineExceeded.as_str(), DOMAIN, []);
        let text = format!("{what} did not come within {limit:?}");
        Status::with_error_details(Code::DeadlineExceeded, text, details)
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.asked = false;
            return Poll::Ready(frame);
        }
        if let (Patience::Part(limit), false) = (self.patience, self.asked) {
            self.timer.as_mut().reset(Instant::now() + limit);
            self.asked = true;
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Some(Err(self.late())))
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
