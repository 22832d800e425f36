//! Tests of spans: where each hangs, what it says, and that there is none where nobody asked for one.

use std::sync::Arc;

use opentelemetry::trace::{SpanId, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanProcessor};

use super::*;

/// Keeps the spans that have ended.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl Kept {
    fn traces(&self, share: f64) -> Traces {
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(self.clone())
            .build();
        Traces::new(provider.tracer("test"), share)
    }

    fn named(&self, name: &str) -> SpanData {
        let spans = self.0.lock();
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {spans:?}")).clone()
    }
}

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn request() -> http::Request<Body> {
    let mut request = http::Request::new(Body::empty());
    let method = GrpcMethod::new("thenar.match.v1.Match", "Search");
    request.extensions_mut().insert(method);
    request
}

fn headers(traceparent: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, HeaderValue::from_static(traceparent));
    headers
}

fn is_error(span: &SpanData) -> bool {
    span.status == Status::error("")
}

fn code_of(span: &SpanData) -> Option<String> {
    let mut attributes = span.attributes.iter();
    let code = attributes.find(|attribute| attribute.key.as_str() == "rpc.grpc.status_code");
    code.map(|code| code.value.to_string())
}

#[tokio::test]
async fn where_nobody_asked_for_traces_there_are_none() {
    let off = Traces::default();
    assert!(off.begin("s", "m").is_none());
    let sampled = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(off.join("s", "m", &sampled).is_none());
    assert!(current().is_none());
    let mut request = request();
    assert!(Span::ask(&mut request).is_none());
    assert!(request.headers().is_empty());
    took(Stage::Scan, Instant::now(), Duration::ZERO);
    lap(Stage::Admission);
    let outcome: Result<u8, u8> = staged(Stage::Commit, async { Ok(7) }).await;
    assert_eq!((outcome, carrying(|| 8)()), (Ok(7), 8));
}

#[test]
fn chance_picks_the_share_that_was_asked_for() {
    let picked = |share| {
        let traces = Kept::default().traces(share);
        (0..10_000).filter(|_| traces.begin("s", "m").is_some()).count()
    };
    assert_eq!((picked(0.0), picked(1.0)), (0, 10_000));
    // 500 are 16 spreads.
    assert!((700..1_300).contains(&picked(0.1)));
}

#[tokio::test]
async fn stages_hang_under_their_call_and_have_its_trace() {
    let kept = Kept::default();
    let traces = kept.traces(1.0);
    let span = traces.begin("thenar.v1.Identity", "Identify").expect("all are");
    let work = async {
        lap(Stage::Receive);
        caller(Some("acme"), "scanner");
        let began = Instant::now();
        let inner = async {
            carrying(|| took(Stage::Rescore, began, Duration::from_millis(5)))();
            Err::<(), ()>(())
        };
        staged(Stage::Recents, inner).await
    };
    let outcome = tokio::spawn(within(Some(&span), work)).await;
    assert!(outcome.expect("it ends").is_err());
    span.answered(Code::NotFound);

    let call = kept.named("thenar.v1.Identity/Identify");
    let recents = kept.named("recents");
    let rescore = kept.named("rescore");
    assert_eq!(kept.named("receive").parent_span_id, call.span_context.span_id());
    assert_eq!(recents.parent_span_id, call.span_context.span_id());
    assert_eq!(rescore.parent_span_id, recents.span_context.span_id());
    assert_eq!(call.parent_span_id, SpanId::INVALID);
    for span in kept.0.lock().iter() {
        assert_eq!(span.span_context.trace_id(), call.span_context.trace_id());
        assert!(span.span_context.is_sampled() && span.end_time >= span.start_time);
    }
    assert_eq!(rescore.end_time, rescore.start_time + Duration::from_millis(5));
    assert!(
        is_error(&recents) && !is_error(&call),
        "the caller's own fault is none of the server's"
    );
    let told: Vec<String> = call
        .attributes
        .iter()
        .map(|told| format!("{}={}", told.key, told.value))
        .collect();
    assert_eq!(
        told,
        [
            "rpc.system=grpc",
            "rpc.service=thenar.v1.Identity",
            "rpc.method=Identify",
            "thenar.tenant=acme",
            "thenar.role=scanner",
            "rpc.grpc.status_code=5"
        ]
    );
}

#[tokio::test]
async fn what_is_given_up_says_so_and_a_server_that_fails_is_at_fault() {
    let kept = Kept::default();
    let traces = kept.traces(1.0);
    drop(traces.begin("s", "given up"));
    let call = kept.named("s/given up");
    assert_eq!((code_of(&call), is_error(&call)), (Some("1".to_owned()), false));

    let span = traces.begin("s", "down").expect("all are");
    let given_up = within(Some(&span), async {
        let never = staged(Stage::Commit, std::future::pending::<Result<(), ()>>());
        tokio::select! {
            biased;
            _ = never => {}
            () = std::future::ready(()) => {}
        }
    });
    given_up.await;
    span.answered(Code::Unavailable);
    assert!(is_error(&kept.named("commit")));
    let call = kept.named("s/down");
    assert_eq!((code_of(&call), is_error(&call)), (Some("14".to_owned()), true));
}

#[tokio::test]
async fn a_call_to_another_server_is_a_part_there_too() {
    let (front, node) = (Kept::default(), Kept::default());
    let span = front.traces(1.0).begin("thenar.v1.Identity", "Identify");
    let mut request = request();
    request
        .headers_mut()
        .insert(TRACEPARENT, HeaderValue::from_static("of somebody else"));
    let asked = within(span.as_ref(), async { Span::ask(&mut request) }).await;
    // A node records what its front does, whatever its own share.
    let joined = node.traces(0.0).join("s", "Search", request.headers());
    joined.expect("it is recorded").answered(Code::Ok);
    asked
        .expect("the call at hand is recorded")
        .answered(Code::NotFound);
    let (asked, joined) = (
        front.named("thenar.match.v1.Match/Search"),
        node.named("s/Search"),
    );
    assert_eq!(asked.span_kind, SpanKind::Client);
    assert!(is_error(&asked), "whoever asks was not answered well");
    assert_eq!(joined.parent_span_id, asked.span_context.span_id());
    assert_eq!(joined.span_context.trace_id(), asked.span_context.trace_id());
    assert!(joined.parent_span_is_remote);
    assert!(!request.headers().contains_key("tracestate"));
}

#[test]
fn a_part_of_nothing_that_is_recorded_is_not_recorded() {
    let traces = Kept::default().traces(1.0);
    for odd in [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-01",
        "x",
    ] {
        assert!(traces.join("s", "m", &headers(odd)).is_none(), "{odd}");
    }
    assert!(traces.join("s", "m", &HeaderMap::new()).is_none());
    let mut sound = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    sound.insert("tracestate", HeaderValue::from_static("vendor=words"));
    let span = traces.join("s", "m", &sound).expect("recorded");
    let state = span.here.span.lock().span_context().trace_state().header();
    assert!(state.is_empty(), "{state}");
}
