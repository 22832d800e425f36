//! Which cores the server has to itself, so that callers take nothing of its time. Starts nothing.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Keeps this thread, and all that it starts, off the first half of its cores. Gives that half.
pub fn leave_half() -> Result<CpuSet, Failure> {
    let all = sched_getaffinity(None)?;
    let (first, second) = halves(&all).ok_or("there is one core alone, which can't be divided")?;
    sched_setaffinity(None, &second)?;
    Ok(first)
}

/// Does something with this thread on these cores, which a process that it starts keeps.
pub fn on<T>(cores: Option<&CpuSet>, work: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    let Some(cores) = cores else {
        return work();
    };
    let own = sched_getaffinity(None)?;
    sched_setaffinity(None, cores)?;
    let done = work();
    sched_setaffinity(None, &own)?;
    done
}

/// The cores of a set in two parts, the first of which is not the smaller one.
fn halves(all: &CpuSet) -> Option<(CpuSet, CpuSet)> {
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    if cores.len() < 2 {
        return None;
    }
    let (first, second) = cores.split_at(cores.len().div_ceil(2));
    Some((set(first), set(second)))
}

fn set(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    set
}

#[cfg(test)]
#[path = "cores_tests.rs"]
mod tests;
