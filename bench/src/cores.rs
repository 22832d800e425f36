//! Which cores the server has to itself, so that callers take nothing of its time. Starts nothing.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Keeps this thread, and all that it starts, off the first half of its cores. Gives the command that keeps another one on that half.
pub fn leave_half() -> Result<Vec<String>, Failure> {
    let all = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let (first, second) = halves(&cores).ok_or("there is one core alone, which can't be divided")?;
    let mut own = CpuSet::new();
    for core in second {
        own.set(*core);
    }
    sched_setaffinity(None, &own)?;
    let list: Vec<String> = first.iter().map(ToString::to_string).collect();
    Ok(["taskset", "--cpu-list", &list.join(",")]
        .map(str::to_owned)
        .into())
}

/// Cores in two parts, the first of which is not the smaller one.
fn halves(cores: &[usize]) -> Option<(&[usize], &[usize])> {
    (cores.len() > 1).then(|| cores.split_at(cores.len().div_ceil(2)))
}

#[cfg(test)]
#[path = "cores_tests.rs"]
mod tests;
