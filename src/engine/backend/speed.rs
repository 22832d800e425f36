//! How fast devices scan, measured as they do: rows · probes a second by size of batch. Keeps no clock.

use std::time::Duration;

/// Classes of batches: the largest number of probes of each but the last. A lone probe is bound by memory, a large batch by arithmetic, so
/// that devices compare differently.
const CLASS_PROBES_MAX: [usize; 3] = [1, 8, 64];
const CLASSES: usize = CLASS_PROBES_MAX.len() + 1;
/// Weight of a new measurement in the average.
const NEW_WEIGHT: f64 = 0.1;
/// Scans of fewer rows tell how long it takes to begin, not how fast it goes.
const MEASURED_ROWS_MIN: u64 = 65_536;
/// How many times as fast as a CPU a GPU is taken to be while one of the two has not been measured.
const GPU_SPEED_ASSUMED: f64 = 20.0;
/// What is left of the time spent on a class with each review.
const SPENT_KEPT: f64 = 0.5;

/// Size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(usize);

impl Class {
    pub(super) fn of(probes: usize) -> Self {
        Self(CLASS_PROBES_MAX.iter().filter(|max| probes > **max).count())
    }
}

/// What one device did in one scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) rows: u64,
    /// Rows · probes.
    pub(super) products: u64,
    pub(super) took: Duration,
}

impl Measured {
    #[expect(clippy::cast_possible_truncation, reason = "probes of a batch have 10 bits")]
    fn class(&self) -> Class {
        Class::of((self.products / self.rows.max(1)) as usize)
    }
}

/// Speed of one device.
#[derive(Debug, Default)]
pub(super) struct Speed([Option<f64>; CLASSES]);

impl Speed {
    /// Takes a scan into the average.
    pub(super) fn observe(&mut self, scan: Measured) {
        if scan.rows < MEASURED_ROWS_MIN || scan.took.is_zero() {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a speed needs no more digits")]
        let speed = scan.products as f64 / scan.took.as_secs_f64();
        if let Some(average) = self.0.get_mut(scan.class().0) {
            *average = Some(average.map_or(speed, |old| old + NEW_WEIGHT * (speed - old)));
        }
    }

    pub(super) fn of(&self, class: Class) -> Option<f64> {
        self.0.get(class.0).copied().flatten()
    }
}

/// Seconds spent on each class, older ones counting less.
#[derive(Debug, Default)]
pub(super) struct Spent([f64; CLASSES]);

impl Spent {
    pub(super) fn add(&mut self, scan: Measured) {
        if let Some(seconds) = self.0.get_mut(scan.class().0) {
            *seconds += scan.took.as_secs_f64();
        }
    }

    /// The class that takes the most time: rows are divided to its measure.
    pub(super) fn review(&mut self) -> Class {
        let busiest = (0..CLASSES)
            .max_by(|a, b| {
                let spent = |class: &usize| self.0.get(*class).copied().unwrap_or_default();
                spent(a).total_cmp(&spent(b))
            })
            .expect("there are classes");
        for seconds in &mut self.0 {
            *seconds *= SPENT_KEPT;
        }
        Class(busiest)
    }
}

/// Speeds to decide by: those measured; for a GPU that has not scanned the mean of the others; for the rest a guess.
pub(super) fn complete(cpu: Option<f64>, gpus: &[Option<f64>]) -> (f64, Vec<f64>) {
    let known: Vec<f64> = gpus.iter().copied().flatten().collect();
    let mean = u32::try_from(known.len())
        .ok()
        .filter(|count| *count > 0)
        .map(|count| known.iter().sum::<f64>() / f64::from(count));
    let gpu = mean.unwrap_or_else(|| cpu.unwrap_or(1.0) * GPU_SPEED_ASSUMED);
    let cpu = cpu.unwrap_or(gpu / GPU_SPEED_ASSUMED);
    (cpu, gpus.iter().map(|speed| speed.unwrap_or(gpu)).collect())
}

#[cfg(test)]
#[path = "speed_tests.rs"]
mod tests;
