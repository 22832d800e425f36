//! How many probes a server scans together, from its metrics. Asks nothing else of them.

use std::fmt;

use crate::Failure;
use crate::live::metrics;

/// The metric, as the server names it.
const NAME: &str = "thenar_batch_probes";

/// Batches so far, or within some time.
#[derive(Debug, Clone, PartialEq)]
pub struct Batches {
    /// Batches of at most so many probes, with the number of such batches; the last one has no limit.
    up_to: Vec<(f64, f64)>,
    probes: f64,
    count: f64,
}

impl Batches {
    /// Reads them from a server's metrics.
    pub fn read(address: &str) -> Result<Self, Failure> {
        Ok(Self::parse(&metrics::read(address)?))
    }

    /// None were made where the text does not name them.
    fn parse(text: &str) -> Self {
        let mut found = Self {
            up_to: Vec::new(),
            probes: 0.0,
            count: 0.0,
        };
        for line in text.lines() {
            let Some((name, value)) = line.strip_prefix(NAME).and_then(|rest| rest.rsplit_once(' ')) else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            match name {
                "_sum" => found.probes = value,
                "_count" => found.count = value,
                bucket => {
                    let limit = bucket
                        .strip_prefix("_bucket{le=\"")
                        .and_then(|rest| rest.strip_suffix("\"}"));
                    if let Some(limit) = limit.and_then(|limit| limit.parse().ok()) {
                        found.up_to.push((limit, value));
                    }
                }
            }
        }
        found
    }

    /// Those since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |limit: f64| {
            let same = before.up_to.iter().find(|(at, _)| at.total_cmp(&limit).is_eq());
            same.map_or(0.0, |(_, count)| *count)
        };
        Self {
            up_to: self
                .up_to
                .iter()
                .map(|(limit, count)| (*limit, count - earlier(*limit)))
                .collect(),
            probes: self.probes - before.probes,
            count: self.count - before.count,
        }
    }

    /// Probes of a batch.
    pub fn mean(&self) -> Result<f64, Failure> {
        if self.count < 1.0 {
            return Err(format!("the server counted no {NAME}").into());
        }
        Ok(self.probes / self.count)
    }
}

impl fmt::Display for Batches {
    /// The mean, and the batches of each size that there were.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} on average (", self.probes / self.count.max(1.0))?;
        let mut below = 0.0;
        let mut separator = "";
        for (limit, count) in &self.up_to {
            if *count > below {
                write!(f, "{separator}to {limit}: {:.0}", count - below)?;
                separator = ", ";
            }
            below = *count;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
#[path = "batches_tests.rs"]
mod tests;
