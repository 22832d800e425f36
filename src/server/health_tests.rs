//! Tests of the GPUs' health as a caller of the health protocol sees it.

use std::sync::Arc;
use std::time::SystemTime;

use futures::future::pending;
use tokio::sync::watch;
use tonic::Code;

use super::*;

fn device(state: DeviceState) -> DeviceStatus {
    DeviceStatus {
        name: Arc::from("gpu/scripted"),
        id: Arc::from("0"),
        state,
        reason: None,
        since: SystemTime::UNIX_EPOCH,
        attempts: 0,
        rows: 0,
        bytes: 0,
    }
}

fn answering(health: &Health, stop: &CancellationToken) -> Answering {
    Answering {
        inner: tonic_health::server::HealthService::from_health_reporter(health.reporter.clone()),
        stop: stop.clone(),
        ends: Arc::new(|_| Ok(pending().boxed())),
    }
}

fn request(service: &str) -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest {
        service: service.to_owned(),
    })
}

#[tokio::test]
async fn whoever_watches_is_told_of_the_drain_and_let_go() {
    let health = Health::new(Mode::Serve).await;
    health.ready().await;
    let stop = CancellationToken::new();
    let watched = answering(&health, &stop).watch(request("")).await;
    let mut watched = watched.expect("known").into_inner();
    let serving = watched.next().await.expect("told").expect("sound");
    assert_eq!(serving.status, 1);
    assert!(watched.next().now_or_never().is_none(), "nothing changed");
    health.not_ready().await;
    stop.cancel();
    let draining = watched.next().await.expect("told").expect("sound");
    assert_eq!(draining.status, 2);
    assert!(watched.next().await.is_none(), "let go");
}

/// What a caller is told of a name.
async fn told(health: &Health, service: &str) -> Result<i32, Code> {
    let answer = answering(health, &CancellationToken::new())
        .check(request(service))
        .await;
    answer
        .map(|answer| answer.into_inner().status)
        .map_err(|status| status.code())
}

#[tokio::test]
async fn a_lost_gpu_is_told_and_the_whole_goes_on_serving() {
    let health = Health::new(Mode::Serve).await;
    health.ready().await;
    let (sender, devices) = watch::channel::<Arc<[DeviceStatus]>>(Arc::from([]));
    let following = tokio::spawn(health.clone().follow(devices));
    assert_eq!(told(&health, GPU).await, Err(Code::NotFound));
    for (states, expected) in [
        (vec![DeviceState::Ready, DeviceState::Ready], 1),
        (vec![DeviceState::Ready, DeviceState::Failed], 2),
        (vec![DeviceState::Full, DeviceState::Ready], 2),
        (vec![DeviceState::Ready], 1),
    ] {
        sender.send_replace(states.into_iter().map(device).collect());
        while told(&health, GPU).await != Ok(expected) {
            tokio::task::yield_now().await;
        }
        assert_eq!(told(&health, "").await, Ok(1), "the server serves");
    }
    drop(sender);
    following.await.expect("it ends with the engine");
}
