//! Tests of the bound on calls: one too many is refused and the next finds a place again.

use futures::future::pending;
use metrics_exporter_prometheus::PrometheusBuilder;
use tonic::{Code, Status};

use super::*;

const IDENTIFY_PATH: &str = "/thenar.v1.Identity/Identify";

/// Answers at once, or never.
#[derive(Clone)]
struct Room {
    answers: bool,
}

impl Service<http::Request<Body>> for Room {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        if self.answers {
            ready(Ok(http::Response::new(Body::empty()))).boxed()
        } else {
            pending().boxed()
        }
    }
}

/// Begins an answer that never ends.
#[derive(Clone)]
struct Streams;

impl Service<http::Request<Body>> for Streams {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        let parts = futures::stream::pending::<Result<hyper::body::Frame<_>, Status>>();
        let body = Body::new(http_body_util::StreamBody::new(parts));
        ready(Ok(http::Response::new(body))).boxed()
    }
}

async fn code(service: &mut Bounded<Room>) -> Code {
    asked(service, "/").await
}

async fn asked(service: &mut Bounded<Room>, path: &str) -> Code {
    let request = http::Request::post(path).body(Body::empty()).expect("valid");
    let answer = service.call(request).await.expect("infallible");
    Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code())
}

#[tokio::test]
async fn whoever_waits_until_its_deadline_is_told_and_leaves_its_place() {
    let places = places(1, 1, || Ok("ada"));
    let mut waits = places.bound(Room { answers: false });
    let request = http::Request::post(IDENTIFY_PATH).header("grpc-timeout", "20m");
    let request = request.body(Body::empty()).expect("valid");
    let answer = waits.call(request).await.expect("infallible");
    let status = Status::from_header_map(answer.headers()).expect("refused");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let mut answers = places.bound(Room { answers: true });
    assert_eq!(code(&mut answers).await, Code::Ok, "its place is free again");
}

#[test]
fn calls_that_nobody_answered_are_counted_under_their_method_s_name() {
    for (path, name) in [
        (IDENTIFY_PATH, "Identify"),
        (STREAM_PATH, "IdentifyStream"),
        ("/thenar.v1.Admin/GetStats", "GetStats"),
        ("/thenar.v1.Identity/Guess", "other"),
    ] {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || drop(Call::new(path)));
        let told = recorder.handle().render();
        let line = format!("thenar_requests_total{{method=\"{name}\",code=\"CANCELLED\"}} 1");
        assert!(told.contains(&line), "{path}: {told}");
    }
}

fn places(
    calls: usize,
    each: usize,
    look: impl Fn() -> Result<&'static str, Status> + Send + Sync + 'static,
) -> Places {
    Places {
        limit: ("calls", calls),
        calls: Arc::new(Semaphore::new(calls)),
        of_one: "calls of one caller",
        of_callers: Shares::new(each),
        look: Arc::new(move |_| look().map(str::to_owned)),
    }
}

/// The same places as another caller finds them.
fn seen_by(places: &Places, who: &'static str) -> Places {
    Places {
        look: Arc::new(move |_| Ok(who.to_owned())),
        ..places.clone()
    }
}

#[tokio::test]
async fn whoever_has_its_share_is_refused_unread_and_another_is_served() {
    let places = places(8, 2, || Ok("greedy"));
    let mut waits = places.bound(Room { answers: false });
    let mut answers = places.bound(Room { answers: true });
    let held: Vec<_> = (0..2)
        .map(|_| waits.call(http::Request::new(Body::empty())))
        .collect();
    let refusal = answers.call(http::Request::new(Body::empty())).await;
    let refusal = Status::from_header_map(refusal.expect("infallible").headers()).expect("refused");
    assert_eq!(refusal.code(), Code::ResourceExhausted);
    assert!(
        refusal.message().contains("calls of one caller") && refusal.message().contains('2'),
        "{refusal:?}"
    );
    let mut others = seen_by(&places, "ada").bound(Room { answers: true });
    assert_eq!(code(&mut others).await, Code::Ok);
    drop(held);
    assert_eq!(code(&mut answers).await, Code::Ok);
}

#[tokio::test]
async fn an_answer_that_goes_on_takes_of_its_callers_share_and_of_nobody_elses() {
    let places = places(1, 1, || Ok("greedy"));
    let mut streams = places.bound(Streams);
    let answer = streams.call(http::Request::new(Body::empty())).await;
    let answer = answer.expect("infallible");
    assert_eq!(
        Status::from_header_map(
            streams
                .call(http::Request::new(Body::empty()))
                .await
                .expect("infallible")
                .headers()
        )
        .map(|status| status.code()),
        Some(Code::ResourceExhausted)
    );
    let mut others = seen_by(&places, "ada").bound(Room { answers: true });
    assert_eq!(code(&mut others).await, Code::Ok);
    drop(answer);
    let again = streams.call(http::Request::new(Body::empty())).await;
    assert!(Status::from_header_map(again.expect("infallible").headers()).is_none());
}

#[tokio::test]
async fn who_is_refused_at_sight_takes_no_place() {
    let places = places(1, 1, || Err(Status::permission_denied("not you")));
    let mut room = places.bound(Room { answers: true });
    for _ in 0..2 {
        assert_eq!(
            asked(&mut room, "/thenar.v1.Enrollment/Erase").await,
            Code::PermissionDenied
        );
    }
}

#[tokio::test]
async fn one_call_too_many_is_refused_and_a_place_that_is_free_again_is_given() {
    let places = places(2, 2, || Ok("ada"));
    let mut waits = places.bound(Room { answers: false });
    let mut answers = places.bound(Room { answers: true });
    let first = waits.call(http::Request::new(Body::empty()));
    let second = waits.call(http::Request::new(Body::empty()));
    assert_eq!(code(&mut answers).await, Code::ResourceExhausted);
    drop(second);
    assert_eq!(code(&mut answers).await, Code::Ok);
    assert_eq!(
        code(&mut answers).await,
        Code::Ok,
        "an answer gives its place back"
    );
    drop(first);
}

#[test]
fn the_paths_that_are_told_apart_are_methods() {
    use prost::Message;
    let files = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("it is ours");
    for (path, streaming) in [
        (IMPORT_PATH, true),
        (STREAM_PATH, true),
        (IDENTIFY_PATH, false),
        (USAGE_PATH, false),
        (TENANTS_PATH, false),
    ] {
        let found = files.file.iter().any(|file| {
            file.service.iter().any(|service| {
                service.method.iter().any(|method| {
                    let name = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    name == path && method.client_streaming() == streaming
                })
            })
        });
        assert!(found, "{path}");
    }
}
