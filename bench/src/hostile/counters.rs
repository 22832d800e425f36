//! What a server has counted, from its metrics, and what processors did. Judges nothing.

use std::time::Duration;

use rustix::param::clock_ticks_per_second;

use crate::Failure;
use crate::live::metrics;

/// One reading of a server's metrics.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    text: String,
}

impl Counters {
    /// Reads them.
    pub fn read(address: &str) -> Result<Self, Failure> {
        Ok(Self {
            text: metrics::read(address)?,
        })
    }

    /// The sum of all lines of a metric that have this among their labels; an empty text is among all of them.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix(name));
        let of_name = lines.filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label));
        of_name
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

/// Processor time, in seconds, of all threads of this process whose name is `name`.
pub fn cpu_of_threads(name: &str) -> Result<f64, Failure> {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        // A thread may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else {
            continue;
        };
        if let Some((head, fields)) = stat.rsplit_once(')')
            && head.split_once('(').is_some_and(|(_, comm)| comm == name)
        {
            // proc_pid_stat(5): utime and stime are the 12th and 13th field after the name.
            for field in fields.split_ascii_whitespace().skip(11).take(2) {
                ticks += field.parse::<u64>()?;
            }
        }
    }
    let time = Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second())?;
    Ok(time.as_secs_f64())
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
