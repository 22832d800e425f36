//! Tests of the choice of an adapter and of what happens when a device fails.

use super::*;

fn open() -> Device {
    Device::open(true)
        .unwrap_or_else(|reason| panic!("no Vulkan adapter: install mesa-vulkan-drivers ({reason})"))
}

#[test]
fn software_adapters_are_chosen_only_where_allowed() {
    assert_eq!(rank(DeviceType::Cpu, false), None);
    assert_eq!(rank(DeviceType::Other, false), None);
    assert!(rank(DeviceType::DiscreteGpu, true) < rank(DeviceType::Cpu, true));
    assert!(rank(DeviceType::DiscreteGpu, false) < rank(DeviceType::IntegratedGpu, false));
}

#[test]
fn words_are_written_and_read_back() {
    let device = open();
    let usage = BufferUsages::COPY_DST | BufferUsages::MAP_READ;
    let buffer = device.buffer("test", 16, usage).expect("memory");
    device.write(&buffer, 4, &[1, 0, 0, 0, 2, 0, 0, 0]);
    device.finish().expect("done");
    assert_eq!(device.read(&buffer, 12).expect("read"), [0, 1, 2]);
}

#[test]
fn a_destroyed_device_is_reported() {
    let device = open();
    device.raw().destroy();
    let _ = device.finish();
    assert!(matches!(device.check(), Err(BackendError::Lost(_))));
}

#[test]
fn a_misuse_is_kept_as_the_first_failure() {
    let device = open();
    let buffer = device.buffer("test", 16, BufferUsages::COPY_DST).expect("memory");
    device.write(&buffer, 12, &[0; 8]);
    let error = device.check().expect_err("out of bounds").to_string();
    assert!(error.starts_with("the device failed"), "{error}");
}

#[test]
fn a_pending_future_is_waited_for() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        sender.send(5)
    });
    assert_eq!(block_on(receiver), Ok(5));
    thread.join().expect("no panic").expect("received");
}
