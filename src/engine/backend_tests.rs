//! Tests of the supervision with scripted devices: whatever they do, a scan is answered, and exactly so.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use rig::{Act, Bench, CPU, NAME, Remote, Script, full, lost, panics};

#[path = "backend/rig_tests.rs"]
mod rig;
#[path = "backend/supervision_tests.rs"]
mod supervision;

fn one() -> (Bench, Remote) {
    let remote = Remote::default();
    (Bench::new([remote.device(NAME, "0")]), remote)
}

#[test]
fn a_healthy_gpu_answers() {
    let (mut bench, remote) = one();
    let id = bench.filled(30);
    assert_eq!(bench.scan(&[id]), NAME);
    bench.append(id, 20);
    bench.append(id, 3_000);
    assert_eq!(bench.scan(&[id]), NAME);
    assert_eq!(remote.held(id), 0..3_050, "on the device when the append returns");
    assert_eq!(remote.calls(), ["update", "scan", "update", "update", "scan"]);
    assert_eq!(&*bench.backends.name(), NAME);
}

#[test]
fn an_empty_gallery_is_no_devices_affair() {
    let (mut bench, remote) = one();
    let id = bench.open();
    assert_eq!(bench.scan(&[id]), CPU);
    bench
        .backends
        .update(bench.residency.view(id).expect("open"), &[]);
    bench.backends.forget(id);
    assert!(remote.calls().is_empty());
}

#[test]
fn without_a_gpu_the_cpu_answers_and_nothing_is_to_be_tended() {
    let mut bench = Bench::new(None);
    let id = bench.filled(30);
    assert_eq!(bench.scan(&[id]), CPU);
    assert_eq!(bench.tend(), None);
    assert!(bench.backends.devices().borrow().is_empty());
}

#[test]
fn a_gpu_whose_library_panics_is_a_lost_one() {
    let (mut bench, remote) = one();
    let id = bench.filled(30);
    remote.with(|script| script.on_scan.push_back(panics));
    for _ in 0..2 {
        assert_eq!(bench.scan(&[id]), CPU);
    }
    assert_eq!(remote.calls(), ["update", "scan"], "asked once");
    assert_eq!(remote.with(|script| script.dropped), 1, "let go of");
}

#[test]
fn whatever_a_gpu_is_lost_at_no_request_fails() {
    type Acts = fn(&mut Script) -> &mut VecDeque<Act>;
    let losses: [(&str, Acts); 3] = [
        ("update", |script| &mut script.on_update),
        ("forget", |script| &mut script.on_forget),
        ("scan", |script| &mut script.on_scan),
    ];
    for (what, acts) in losses {
        for act in [lost as Act, panics as Act] {
            let (mut bench, remote) = one();
            let (id, other) = (bench.filled(3_000), bench.filled(50));
            remote.with(|script| acts(script).push_back(act));
            match what {
                "update" => bench.append(id, 10),
                "forget" => bench.backends.forget(other),
                _ => {}
            }
            assert_eq!(bench.scan(&[id]), CPU, "{what}");
            assert_eq!(&*bench.backends.name(), CPU, "{what}");
            remote.calls();
            bench.erase(id, 3..9);
            bench.scan(&[id]);
            assert!(remote.calls().is_empty(), "{what}: it is not asked any more");
        }
    }
}

#[test]
fn a_gpu_that_leaves_probes_unanswered_is_a_lost_one() {
    let (mut bench, remote) = one();
    let (a, b) = (bench.filled(30), bench.filled(40));
    remote.with(|script| script.is_short = true);
    assert_eq!(bench.scan(&[a, b]), CPU);
    bench.settle();
    assert_eq!(bench.status(0).state, DeviceState::Failed);
}

#[test]
fn an_erased_row_is_gone_from_the_device_or_the_device_is() {
    let (mut bench, remote) = one();
    let id = bench.filled(3_000);
    remote.with(|script| script.given.clear());
    bench.erase(id, 1_500..1_510);
    assert_eq!(
        remote.with(|script| std::mem::take(&mut script.given)),
        [1_500..1_510]
    );
    // It has no memory to follow: the gallery leaves it.
    remote.with(|script| script.on_update.push_back(full));
    bench.erase(id, 20..30);
    assert_eq!(remote.held(id), 0..0);
    assert_eq!(bench.scan(&[id]), CPU);
    // It can't even forget: it is dropped.
    let other = bench.filled(40);
    assert_eq!(remote.held(other), 0..0, "no room is known to be left");
    bench.wait(Duration::from_secs(1));
    assert_eq!((remote.held(id), remote.held(other)), (0..3_000, 0..40));
    remote.with(|script| {
        script.on_update.push_back(full);
        script.on_forget.push_back(full);
    });
    bench.erase(other, 0..1);
    assert_eq!(bench.scan(&[id, other]), CPU);
    assert_eq!(remote.with(|script| (script.dropped, script.holds.len())), (1, 0));
}

#[test]
fn a_gallery_too_large_for_the_gpu_leaves_it_to_the_others() {
    let (mut bench, remote) = one();
    let small = bench.filled(700);
    remote.with(|script| script.room = Some(2_000));
    let large = bench.filled(3_000);
    assert_eq!(remote.held(large), 0..0);
    assert_eq!(remote.calls(), ["update", "update", "forget"]);
    assert_eq!(bench.scan(&[large]), CPU);
    assert_eq!(bench.scan(&[small]), NAME);
    assert_eq!(bench.scan(&[small, large]), format!("{NAME} + {CPU}"));
}

#[test]
fn a_gallery_that_outgrows_the_gpu_is_scanned_by_both() {
    let (mut bench, remote) = one();
    remote.with(|script| script.room = Some(2_500));
    let id = bench.filled(2_300);
    bench.append(id, 1_000);
    bench.append(id, 1_000);
    assert_eq!(remote.held(id), 0..2_300, "it keeps what it has");
    assert_eq!(bench.scan(&[id]), format!("{NAME} + {CPU}"));
    bench.erase(id, 2_200..2_400);
    assert_eq!(bench.scan(&[id]), format!("{NAME} + {CPU}"));
    // The device is lost in the middle of it: its part is done by the CPU in the same call.
    remote.with(|script| script.on_scan.push_back(lost));
    assert_eq!(bench.scan(&[id]), CPU);
}

#[test]
fn a_scan_without_room_for_its_results_is_done_by_the_cpu() {
    let (mut bench, remote) = one();
    let (a, b) = (bench.filled(3_000), bench.filled(30));
    remote.with(|script| script.on_scan.push_back(full));
    assert_eq!(bench.scan(&[a]), CPU);
    assert_eq!(bench.scan(&[b]), NAME, "the others stay");
    assert_eq!((remote.held(a), remote.held(b)), (0..0, 0..30));
}

#[test]
fn survivors_are_sorted_and_bounded() {
    assert_eq!(survivors(vec![3, 1, 2], 3), Survivors::Rows(vec![1, 2, 3]));
    assert_eq!(survivors(vec![1], SURVIVORS_MAX + 1), Survivors::All);
}
