//! Tests of the scanning threads: each on a core of its own where there are as many.
#![cfg(target_os = "linux")]

use rustix::thread::{CpuSet, sched_getaffinity};

use super::*;

/// The cores that this thread may run on.
fn own() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("told");
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// The cores that each of the threads of a backend may run on, in order.
fn of_threads(threads: usize) -> Vec<Vec<usize>> {
    let backend = CpuBackend::new(Kernel::Portable, threads).expect("threads");
    let mut cores = backend.pool.broadcast(|_| own());
    cores.sort();
    cores
}

#[test]
fn scanning_threads_have_a_core_each_where_there_are_as_many() {
    let cores = own();
    let each: Vec<Vec<usize>> = cores.iter().map(|core| vec![*core]).collect();
    assert_eq!(of_threads(cores.len()), each);
}

#[test]
fn more_or_fewer_of_them_run_on_all_cores() {
    let cores = own();
    let fewer = (cores.len() > 1).then(|| cores.len() - 1);
    for threads in fewer.into_iter().chain([cores.len() + 1]) {
        assert_eq!(of_threads(threads), vec![cores.clone(); threads]);
    }
}
