//! Tests of the choice of an adapter and of what happens when a device fails.

use super::*;
use crate::engine::gpu::tests::device as open;

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
fn a_long_wait_ends_too() {
    let device = open();
    let usage = BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let size = 64 << 20;
    let (from, to) = (
        device.buffer("from", size, usage).expect("memory"),
        device.buffer("to", size, usage).expect("memory"),
    );
    let read = BufferUsages::COPY_DST | BufferUsages::MAP_READ;
    let read = device.buffer("read", 4, read).expect("memory");
    device.write(&from, 0, &[7, 0, 0, 0]);
    let mut encoder = device.encoder();
    for _ in 0..4 {
        encoder.copy_buffer_to_buffer(&from, 0, &to, 0, size);
        encoder.copy_buffer_to_buffer(&to, 0, &from, 0, size);
    }
    encoder.copy_buffer_to_buffer(&from, 0, &read, 0, 4);
    device.submit(encoder);
    assert_eq!(device.read(&read, 4).expect("longer than a wait spins"), [7]);
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
