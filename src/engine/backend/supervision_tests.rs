//! Tests of what happens between batches: recovery, backoff, several devices, moves. The clock is the test's.

use std::time::SystemTime;

use super::rig::DIM;
use super::*;
use crate::engine::backend::placement::SPLIT_ROWS_MIN;
use crate::engine::backend::tend::{CHANGES_PER_ROUND_MAX, REBALANCE_INTERVAL, ROWS_PER_ROUND_MAX};
use crate::engine::code::Codes;
use crate::engine::samples::{config, dim, gallery, rng, unit};
use crate::engine::{Engine, ScanRequest};

const SECOND: Duration = Duration::from_secs(1);

/// Two devices of one name.
fn two() -> (Bench, Remote, Remote) {
    let (a, b) = (Remote::default(), Remote::default());
    let bench = Bench::new([a.device(NAME, "01:00.0"), b.device(NAME, "02:00.0")]);
    (bench, a, b)
}

fn lose(bench: &mut Bench, remote: &Remote, id: GalleryId) {
    remote.with(|script| script.on_scan.push_back(lost));
    bench.scan(&[id]);
    bench.settle();
}

#[test]
fn a_lost_device_comes_back_with_all_galleries() {
    let (mut bench, remote) = one();
    let (a, b) = (bench.filled(3_000), bench.filled(70));
    lose(&mut bench, &remote, a);
    let status = bench.status(0);
    assert_eq!(
        (status.state, status.rows, status.attempts),
        (DeviceState::Failed, 0, 0)
    );
    assert!(status.reason.is_some_and(|reason| reason.contains("unplugged")));
    let c = bench.filled(50);
    bench.erase(a, 5..9);
    bench.backends.forget(b);
    bench.residency.close(b).expect("open");
    remote.calls();
    bench.wait(SECOND);
    assert_eq!(
        (remote.held(a), remote.held(b), remote.held(c)),
        (0..3_000, 0..0, 0..50)
    );
    assert_eq!(bench.scan(&[a, c]), NAME);
    let status = bench.status(0);
    assert_eq!((status.state, status.rows), (DeviceState::Ready, 3_050));
    assert_eq!(status.bytes, 3_050 * row_len(dim(DIM)));
}

#[test]
fn tries_are_spaced_and_told() {
    let remote = Remote::default();
    let opener = |_: &Remote| Err("no answer".to_owned());
    let device = remote.device_that_opens(NAME, "0", Err("self-test: row 3".into()), opener);
    let mut bench = Bench::new([device]);
    assert_eq!(bench.status(0).reason.as_deref(), Some("self-test: row 3"));
    let mut waits = Vec::new();
    for attempts in 1..11 {
        bench.settle();
        let wait = bench.tend().expect("it wants to be called");
        bench.wait(wait.checked_sub(Duration::from_millis(1)).expect("seconds"));
        assert_eq!(bench.status(0).attempts, attempts - 1, "not before its time");
        bench.clock.advance(Duration::from_millis(1));
        bench.tend();
        // The second round takes what the first one's thread has brought.
        bench.tend();
        waits.push(wait.as_secs());
        let status = bench.status(0);
        assert_eq!((status.attempts, status.state), (attempts, DeviceState::Failed));
        assert_eq!(status.reason.as_deref(), Some("no answer"));
        assert_eq!(status.since, SystemTime::UNIX_EPOCH, "since the start");
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
}

#[test]
fn a_device_that_fails_its_first_test_is_used_once_it_passes() {
    let remote = Remote::default();
    let device = remote.device_that_opens(NAME, "0", Err("self-test: row 3".into()), |remote| {
        Ok(remote.open())
    });
    let mut bench = Bench::new([device]);
    let id = bench.filled(30);
    assert_eq!(
        (&*bench.backends.name(), bench.status(0).state),
        (CPU, DeviceState::Failed)
    );
    bench.wait(SECOND);
    assert_eq!(bench.scan(&[id]), NAME);
    assert_eq!(
        (&*bench.backends.name(), bench.status(0).state),
        (NAME, DeviceState::Ready)
    );
}

#[test]
fn an_opener_that_panics_is_a_failed_try() {
    let remote = Remote::default();
    let device = remote.device_that_opens(NAME, "0", Err("none".into()), |_| panic!("the driver gave up"));
    let mut bench = Bench::new([device]);
    bench.wait(SECOND);
    assert_eq!(bench.status(0).attempts, 1);
    assert_eq!(
        bench.status(0).reason.as_deref(),
        Some("the driver's library gave up")
    );
}

#[test]
fn a_driver_that_hangs_holds_up_nothing() {
    let (mut bench, remote) = one();
    let id = bench.filled(3_000);
    bench.clock.hold(true);
    lose(&mut bench, &remote, id);
    bench.wait(SECOND);
    for _ in 0..100 {
        assert!(bench.tend().is_some_and(|wait| wait < SECOND && !wait.is_zero()));
        bench.clock.advance(60 * SECOND);
        assert_eq!(bench.scan(&[id]), CPU);
    }
    assert_eq!(bench.status(0).attempts, 1, "one try at a time");
    bench.clock.hold(false);
    bench.settle();
    assert_eq!(bench.scan(&[id]), NAME);
}

#[test]
fn a_device_that_is_lost_again_and_again_waits_longer() {
    let (mut bench, remote) = one();
    let id = bench.filled(30);
    let mut waits = Vec::new();
    for _ in 0..4 {
        lose(&mut bench, &remote, id);
        let wait = bench.tend().expect("it wants to be called");
        waits.push(wait.as_secs());
        bench.wait(wait);
        assert_eq!(bench.scan(&[id]), NAME);
    }
    assert_eq!(waits, [1, 2, 4, 8]);
    // It works for a while: then it has recovered.
    bench.wait(301 * SECOND);
    lose(&mut bench, &remote, id);
    assert_eq!(bench.tend(), Some(SECOND));
}

#[test]
fn galleries_come_to_a_device_in_slices_and_what_is_there_is_scanned_there() {
    let (mut bench, remote) = one();
    let rows = ROWS_PER_ROUND_MAX * 2 + 100;
    let id = bench.filled(rows as usize);
    lose(&mut bench, &remote, id);
    bench.clock.advance(SECOND);
    bench.tend();
    let mut held = Vec::new();
    while bench.tend() == Some(Duration::ZERO) {
        held.push(remote.held(id).end);
        assert_eq!(bench.scan(&[id]), format!("{NAME} + {CPU}"));
        // Changes meanwhile: erasures of what is there and what is not, and rows at the end.
        let erased = if held.len() == 1 { 50_000 } else { 100_000 };
        bench.erase(id, erased..erased + 31_000);
        bench.append(id, 5);
    }
    assert_eq!(held, [ROWS_PER_ROUND_MAX, 2 * ROWS_PER_ROUND_MAX]);
    assert_eq!(remote.held(id), 0..rows + 10);
    assert_eq!(bench.scan(&[id]), NAME);
}

#[test]
fn many_small_galleries_come_a_few_a_round() {
    let (mut bench, remote) = one();
    let ids: Vec<GalleryId> = (0..50).map(|_| bench.filled(3)).collect();
    lose(&mut bench, &remote, ids[0]);
    remote.calls();
    bench.clock.advance(SECOND);
    bench.tend();
    bench.tend();
    assert_eq!(remote.calls().len(), CHANGES_PER_ROUND_MAX);
    bench.settle();
    assert!(ids.iter().all(|id| remote.held(*id) == (0..3)));
}

#[test]
fn a_device_that_was_full_is_given_more_later() {
    let (mut bench, remote) = one();
    remote.with(|script| script.room = Some(2_500));
    let id = bench.filled(2_048);
    bench.append(id, 1_000);
    bench.settle();
    let status = bench.status(0);
    assert_eq!((status.state, status.attempts), (DeviceState::Full, 0));
    assert!(status.reason.is_some_and(|reason| reason.contains("7 bytes")));
    bench.wait(SECOND);
    let status = bench.status(0);
    assert_eq!(
        (status.state, status.attempts),
        (DeviceState::Full, 1),
        "it still is"
    );
    remote.with(|script| script.room = None);
    bench.wait(SECOND);
    assert_eq!(bench.status(0).state, DeviceState::Full, "not before its time");
    bench.wait(SECOND);
    assert_eq!(
        (bench.status(0).state, remote.held(id)),
        (DeviceState::Ready, 0..3_048)
    );
    assert_eq!(bench.scan(&[id]), NAME);
}

#[test]
fn devices_of_one_name_are_told_apart() {
    let (mut bench, a, b) = two();
    assert_eq!(&*bench.status(0).name, "gpu/scripted at 01:00.0");
    assert_eq!(&*bench.status(1).name, "gpu/scripted at 02:00.0");
    let (x, y) = (bench.filled(1_000), bench.filled(900));
    assert_eq!(
        (a.held(x), b.held(y)),
        (0..1_000, 0..900),
        "small ones are spread"
    );
    assert_eq!(
        bench.scan(&[x, y]),
        "gpu/scripted at 01:00.0 + gpu/scripted at 02:00.0"
    );
    b.with(|script| script.on_scan.push_back(lost));
    assert_eq!(bench.scan(&[x, y]), format!("gpu/scripted at 01:00.0 + {CPU}"));
    bench.settle();
    assert_eq!(bench.status(0).state, DeviceState::Ready);
    assert_eq!(bench.status(1).state, DeviceState::Failed);
    assert_eq!(a.held(y), 0..900, "the other takes it over");
    let different = Bench::new([a.device("gpu/a", "0"), b.device("gpu/b", "1")]);
    assert_eq!(&*different.status(0).name, "gpu/a");
}

#[test]
fn a_large_gallery_is_divided_and_moved_by_measured_speed() {
    let (mut bench, a, b) = two();
    let rows = SPLIT_ROWS_MIN;
    let id = bench.filled(rows as usize);
    assert_eq!((a.held(id), b.held(id)), (0..rows / 2, rows / 2..rows));
    let name = "gpu/scripted at 01:00.0 + gpu/scripted at 02:00.0";
    assert_eq!(bench.scan(&[id]), name);
    // One turns out to be three times as fast.
    let measured = |bench: &mut Bench, at: usize, millis: u64| {
        bench.backends.gpus[at].speed = Speed::default();
        let scan = speed::Measured {
            rows: 1 << 20,
            products: 1 << 20,
            took: Duration::from_millis(millis),
        };
        bench.backends.gpus[at].speed.observe(scan);
        bench.backends.spent.add(scan);
    };
    measured(&mut bench, 0, 10);
    measured(&mut bench, 1, 30);
    bench.wait(REBALANCE_INTERVAL / 2);
    assert_eq!(a.held(id), 0..rows / 2, "not so soon");
    bench.wait(REBALANCE_INTERVAL / 2);
    assert_eq!((a.held(id), b.held(id)), (0..rows / 4 * 3, rows / 4 * 3..rows));
    assert_eq!(bench.scan(&[id]), name);
    // A little slower is not worth a move; much slower is.
    measured(&mut bench, 0, 12);
    measured(&mut bench, 1, 30);
    bench.wait(REBALANCE_INTERVAL);
    assert_eq!(a.held(id), 0..rows / 4 * 3);
    measured(&mut bench, 0, 90);
    measured(&mut bench, 1, 30);
    bench.wait(REBALANCE_INTERVAL);
    assert_eq!((a.held(id), b.held(id)), (0..rows / 4, rows / 4..rows));
    assert_eq!(bench.scan(&[id]), name);
    // One is lost: its part goes to the CPU in the same call, then to the other device.
    a.with(|script| script.on_scan.push_back(panics));
    assert_eq!(bench.scan(&[id]), format!("gpu/scripted at 02:00.0 + {CPU}"));
    bench.settle();
    assert_eq!(b.held(id), 0..rows);
    assert_eq!(bench.scan(&[id]), "gpu/scripted at 02:00.0");
}

#[test]
fn watchers_are_told_once_for_each_change() {
    let (mut bench, remote) = one();
    let mut watch = bench.backends.devices();
    let id = bench.filled(30);
    bench.settle();
    assert!(watch.has_changed().expect("the engine lives"));
    assert_eq!(watch.borrow_and_update()[0].rows, 30);
    bench.scan(&[id]);
    bench.settle();
    assert!(
        !watch.has_changed().expect("the engine lives"),
        "a scan is no news"
    );
    lose(&mut bench, &remote, id);
    assert_eq!(watch.borrow_and_update()[0].state, DeviceState::Failed);
    drop(bench);
    assert!(
        watch.has_changed().is_err(),
        "they learn that the engine has ended"
    );
}

#[tokio::test]
async fn the_engine_that_nobody_asks_anything_takes_a_device_back() {
    let (bench, remote) = one();
    let (clock, backends) = (Arc::clone(&bench.clock), bench.backends);
    let engine = Engine::with_backends(config(), move || Ok(backends)).expect("started");
    let id = engine.open_gallery(dim(DIM)).expect("opened");
    let codes = Codes::encode(dim(DIM), &gallery("random", DIM, 3_000, 1));
    engine.append(id, codes).expect("memory");
    let request = ScanRequest {
        gallery: id,
        probe: Arc::from(unit(DIM, &mut rng(1))),
        threshold: 0.5,
        deterministic: true,
        deadline: None,
    };
    remote.with(|script| script.on_scan.push_back(panics));
    assert_eq!(
        &*engine.scan(request.clone()).await.expect("answered").backend,
        CPU
    );
    let mut devices = engine.watch_devices();
    let state = |devices: &Arc<[DeviceStatus]>| devices[0].state;
    devices
        .wait_for(|devices| state(devices) == DeviceState::Failed)
        .await
        .expect("told");
    assert_eq!(engine.devices()[0].rows, 0);
    assert_eq!(engine.backend(), CPU);
    clock.advance(SECOND);
    let back =
        |devices: &Arc<[DeviceStatus]>| state(devices) == DeviceState::Ready && devices[0].rows == 3_000;
    devices.wait_for(back).await.expect("told");
    assert_eq!(&*engine.scan(request).await.expect("answered").backend, NAME);
    assert_eq!(engine.backend(), NAME);
}
