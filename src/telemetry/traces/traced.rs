//! A service whose calls are recorded, on either side of the network. Changes no call but for the header that tells of the trace.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, Either};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::{Span, within};

/// A service with what begins the spans of its calls. Where none begins a call costs nothing.
#[derive(Clone)]
pub struct Traced<S, B> {
    service: S,
    begin: B,
}

impl<S, B: FnMut(&mut http::Request<Body>) -> Option<Span>> Traced<S, B> {
    /// Records the calls of `service` for which `begin` begins a span.
    pub fn new(service: S, begin: B) -> Self {
        Self { service, begin }
    }
}

impl<S: NamedService, B> NamedService for Traced<S, B> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<Body>> for Traced<S, B>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: FnMut(&mut http::Request<Body>) -> Option<Span>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let Some(span) = (self.begin)(&mut request) else {
            return Either::Left(self.service.call(request));
        };
        let answer = self.service.call(request);
        let recorded = async move {
            let answer = within(Some(&span), answer).await;
            span.answered(match &answer {
                // What is answered well has its code behind its message.
                Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code()),
                Err(_) => Code::Unavailable,
            });
            answer
        };
        Either::Right(recorded.boxed())
    }
}
