//! Tests of the pool of connections that read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::storage::store::CATALOG_FILE;
use crate::storage::testing::{House, key};

fn readers(house: &House) -> Readers {
    Readers::new(house.path().join(CATALOG_FILE), Arc::new(PageSeal::new(&key(1))))
}

#[test]
fn readers_are_bounded_and_come_back() {
    let house = House::new();
    let readers = readers(&house);
    let running = AtomicUsize::new(0);
    let most = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 * READERS_MAX {
            scope.spawn(|| {
                readers
                    .with(|_| {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(5));
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    })
                    .expect("read");
            });
        }
    });
    assert!((1..=READERS_MAX).contains(&most.load(Ordering::SeqCst)));
    let pool = readers.pool.lock();
    assert_eq!(pool.idle.len(), pool.open);
}

#[test]
fn readers_can_not_write() {
    let house = House::new();
    let refused = readers(&house).with(|conn| Ok(conn.execute("DELETE FROM state", [])?));
    assert!(refused.is_err());
}
