//! Where scanning threads run. Starts none.

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this thread may run on, where they are as many as `threads`.
#[cfg(target_os = "linux")]
pub(super) fn a_core_each(threads: usize) -> Option<Vec<usize>> {
    let set = sched_getaffinity(None).ok()?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
    (cores.len() == threads).then_some(cores)
}

/// Has this thread run on one core alone. A scan is shared between threads that wake at one moment: left alone the system now and then puts two of them on the core that was
/// idle just before, and the scan takes twice as long.
#[cfg(target_os = "linux")]
pub(super) fn keep_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::debug!(core, %error, "a scanning thread can't be kept on its core");
    }
}

/// Unknown on other systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn a_core_each(_threads: usize) -> Option<Vec<usize>> {
    None
}

/// Nothing on other systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn keep_on(_core: usize) {}
