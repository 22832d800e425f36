//! Traces of calls, for whoever asks for them: which spans there are, and where the one of the call at hand is. A span has no text of anybody's but the name of a tenant;
//! keeps no call waiting.

mod export;
mod traced;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::future::Either;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, Span as SdkSpan};
use parking_lot::Mutex;
use tokio::task::futures::TaskLocalFuture;
use tokio::task_local;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, HeaderValue};
use tonic::{Code, GrpcMethod};

pub use export::{Exporter, Settings};
pub use traced::Traced;

/// The one header between servers (W3C Trace Context): the state of others' tracing that may go with it is not passed on.
const TRACEPARENT: &str = "traceparent";

task_local! {
    /// The span of the call that this task works for, where it is recorded.
    static CURRENT: Arc<Here>;
}

/// A stage of a call. There are no others, so that no span is named by what somebody sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the head of a call to its message.
    Receive,
    /// Until it is admitted: who asks, quotas, the capture, room.
    Admission,
    /// The look at a site's recent matches, and the question that follows from it.
    Recents,
    /// A probe's wait for its round of scans.
    Queue,
    /// The round of scans.
    Scan,
    /// Reading and scoring what survived.
    Rescore,
    /// A write from its coming until it is durable, its wait for others of the transaction included.
    Commit,
}

impl Stage {
    /// The name of its span.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Admission => "admission",
            Self::Recents => "recents",
            Self::Queue => "queue",
            Self::Scan => "scan",
            Self::Rescore => "rescore",
            Self::Commit => "commit",
        }
    }
}

/// Which calls are recorded. The default records none.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Source>>);

struct Source {
    tracer: SdkTracer,
    /// A call is recorded when 64 random bits are no more than this; `None` records none but those that another server began.
    drawn_max: Option<u64>,
}

impl Traces {
    /// Traces that go to `tracer`; `share` of the calls, 0 to 1.
    fn new(tracer: SdkTracer, share: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "from 0 to 2^64 - 1, where it is clipped"
        )]
        let drawn_max = (share > 0.0).then_some((share * u64::MAX as f64) as u64);
        Self(Some(Arc::new(Source { tracer, drawn_max })))
    }

    /// The span of a call from somebody whose word on traces counts for nothing, if chance picks it.
    pub fn begin(&self, service: &'static str, method: &'static str) -> Option<Span> {
        let source = self.0.as_ref()?;
        let drawn = u64::from_be_bytes(RandomIdGenerator::default().new_span_id().to_bytes());
        if drawn > source.drawn_max? {
            return None;
        }
        Some(Span::server(&source.tracer, service, method, &Context::new()))
    }

    /// The span of a call from a server that is trusted, if that records the call: as a part of its trace.
    pub fn join(&self, service: &'static str, method: &str, headers: &HeaderMap) -> Option<Span> {
        let source = self.0.as_ref()?;
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Parent(headers));
        if !parent.span().span_context().is_sampled() {
            return None;
        }
        Some(Span::server(&source.tracer, service, method, &parent))
    }
}

/// A span and where its children hang.
struct Here {
    tracer: SdkTracer,
    /// With the span's ids.
    context: Context,
    /// One moment on both clocks.
    anchor: (Instant, SystemTime),
    /// Where the last stage ended that was told by [`lap`].
    lap: Mutex<Instant>,
    span: Mutex<SdkSpan>,
}

impl Here {
    fn new(tracer: &SdkTracer, builder: SpanBuilder, parent: &Context) -> Arc<Self> {
        let anchor = (Instant::now(), SystemTime::now());
        let span = tracer.build_with_context(builder.with_start_time(anchor.1), parent);
        Arc::new(Self {
            tracer: tracer.clone(),
            context: Context::new().with_remote_span_context(span.span_context().clone()),
            anchor,
            lap: Mutex::new(anchor.0),
            span: Mutex::new(span),
        })
    }

    fn child(&self, builder: SpanBuilder) -> Arc<Self> {
        Self::new(&self.tracer, builder, &self.context)
    }

    fn at(&self, moment: Instant) -> SystemTime {
        match moment.checked_duration_since(self.anchor.0) {
            Some(after) => self.anchor.1 + after,
            None => self.anchor.1 - self.anchor.0.saturating_duration_since(moment),
        }
    }

    fn took(&self, stage: Stage, began: Instant, took: Duration) {
        let builder = SpanBuilder::from_name(stage.name()).with_start_time(self.at(began));
        let mut span = self.tracer.build_with_context(builder, &self.context);
        span.end_with_timestamp(self.at(began + took));
    }
}

/// A span under way: of a call, or of a stage within one. One that is dropped was given up, and is marked so.
pub struct Span {
    here: Arc<Here>,
    kind: SpanKind,
    has_ended: bool,
}

impl Span {
    fn server(tracer: &SdkTracer, service: &'static str, method: &str, parent: &Context) -> Self {
        let here = Here::new(tracer, call(SpanKind::Server, service, method), parent);
        Self::under_way(here, SpanKind::Server)
    }

    fn under_way(here: Arc<Here>, kind: SpanKind) -> Self {
        Self {
            here,
            kind,
            has_ended: false,
        }
    }

    /// The span of a request to another server, which it tells of, where the call at hand is recorded.
    pub fn ask(request: &mut http::Request<Body>) -> Option<Self> {
        let current = current()?;
        let method = request.extensions().get::<GrpcMethod<'static>>()?;
        let here = current.child(call(SpanKind::Client, method.service(), method.method()));
        let headers = &mut Child(request.headers_mut());
        TraceContextPropagator::new().inject_context(&here.context, headers);
        Some(Self::under_way(here, SpanKind::Client))
    }

    /// A call was answered.
    pub fn answered(mut self, code: Code) {
        self.end_call(code);
    }

    fn end_call(&mut self, code: Code) {
        // As the semantic conventions have it: a caller's own fault is none of the server's.
        let is_error = match self.kind {
            SpanKind::Server => matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ),
            _ => code != Code::Ok,
        };
        let number = i64::from(i32::from(code));
        let mut span = self.here.span.lock();
        span.set_attribute(KeyValue::new("rpc.grpc.status_code", number));
        drop(span);
        self.end(is_error);
    }

    fn end(&mut self, is_error: bool) {
        let mut span = self.here.span.lock();
        if is_error {
            // No words: they may be about somebody.
            span.set_status(Status::error(""));
        }
        // By the clock of its children.
        span.end_with_timestamp(self.here.at(Instant::now()));
        self.has_ended = true;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        match self.kind {
            _ if self.has_ended => {}
            SpanKind::Internal => self.end(true),
            _ => self.end_call(Code::Cancelled),
        }
    }
}

fn call(kind: SpanKind, service: &str, method: &str) -> SpanBuilder {
    SpanBuilder::from_name(format!("{service}/{method}"))
        .with_kind(kind)
        .with_attributes([
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service.to_owned()),
            KeyValue::new("rpc.method", method.to_owned()),
        ])
}

fn current() -> Option<Arc<Here>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Work for the call that a span is of.
pub fn within<F: Future>(span: Option<&Span>, work: F) -> impl Future<Output = F::Output> + use<F> {
    under(span.map(|span| Arc::clone(&span.here)), work)
}

/// The same work on another task, for the call at hand.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    under(current(), work)
}

fn under<F: Future>(here: Option<Arc<Here>>, work: F) -> Either<F, TaskLocalFuture<Arc<Here>, F>> {
    match here {
        None => Either::Left(work),
        Some(here) => Either::Right(CURRENT.scope(here, work)),
    }
}

/// The same work on another thread, for the call at hand.
pub fn carrying<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let here = current();
    move || match here {
        None => work(),
        Some(here) => CURRENT.sync_scope(here, work),
    }
}

/// Work that is a stage of the call at hand. It failed where it gives an error.
pub async fn staged<T, E>(stage: Stage, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let span = current().map(|here| {
        let child = here.child(SpanBuilder::from_name(stage.name()));
        Span::under_way(child, SpanKind::Internal)
    });
    let outcome = within(span.as_ref(), work).await;
    if let Some(mut span) = span {
        span.end(outcome.is_err());
    }
    outcome
}

/// A stage of the call at hand that was timed already.
pub fn took(stage: Stage, began: Instant, took: Duration) {
    // An error: the call is not recorded.
    let _ = CURRENT.try_with(|here| here.took(stage, began, took));
}

/// A stage of the call at hand that ends now and began with the call, or where the last one ended that was told so.
pub fn lap(stage: Stage) {
    let _ = CURRENT.try_with(|here| {
        let now = Instant::now();
        let began = std::mem::replace(&mut *here.lap.lock(), now);
        here.took(stage, began, now.saturating_duration_since(began));
    });
}

/// Who makes the call at hand, as far as a span may tell.
pub fn caller(tenant: Option<&str>, role: &'static str) {
    let _ = CURRENT.try_with(|here| {
        let mut span = here.span.lock();
        if let Some(tenant) = tenant {
            span.set_attribute(KeyValue::new("thenar.tenant", tenant.to_owned()));
        }
        span.set_attribute(KeyValue::new("thenar.role", role));
    });
}

/// Whose part a call is, as its head says.
struct Parent<'a>(&'a HeaderMap);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = (key == TRACEPARENT).then(|| self.0.get(TRACEPARENT)).flatten();
        value.and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// The head of a call that is to be a part.
struct Child<'a>(&'a mut HeaderMap);

impl Injector for Child<'_> {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT
            && let Ok(value) = HeaderValue::try_from(value)
        {
            self.0.insert(TRACEPARENT, value);
        }
    }
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
