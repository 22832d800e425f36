//! What happened between two readings: rates, shares and quantiles. Prints nothing.

use super::reading::Reading;

/// The time between two readings of one server.
#[derive(Debug, Clone)]
pub struct Since {
    before: Reading,
    /// The later reading.
    pub now: Reading,
    /// Between them, above 0.
    pub seconds: f64,
    /// Whether the server began anew meanwhile, so that all that it counts was since then.
    pub began_anew: bool,
}

impl Since {
    /// From `before` to `now`.
    pub fn new(before: Reading, now: Reading, seconds: f64) -> Self {
        let began_anew = now.began_anew(&before);
        let before = if began_anew { Reading::default() } else { before };
        Self {
            before,
            now,
            seconds,
            began_anew,
        }
    }

    /// What the series of this name with these labels grew by, a second.
    pub fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        (self.now.sum(name, labels) - self.before.sum(name, labels)) / self.seconds
    }

    /// The same by the value of a label, in the order of the values; also those that did not grow.
    pub fn rates_by<'a>(&'a self, name: &str, label: &str) -> Vec<(&'a str, f64)> {
        let before = self.before.by(name, label);
        let now = self.now.by(name, label).into_iter();
        now.map(|(value, count)| {
            let grown = count - before.get(value).unwrap_or(&0.0);
            (value, grown / self.seconds)
        })
        .collect()
    }

    /// What a histogram took in.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        let part = |end: &str| {
            let name = format!("{name}{end}");
            self.now.sum(&name, labels) - self.before.sum(&name, labels)
        };
        let name = format!("{name}_bucket");
        let mut up_to: Vec<(f64, f64)> = Vec::new();
        for series in self.now.of(&name, labels) {
            let le = series.labels.get("le").map_or("", String::as_str);
            let Ok(limit) = le.parse() else { continue };
            let mut wanted = labels.to_vec();
            wanted.push(("le", le));
            let count = series.value - self.before.sum(&name, &wanted);
            match up_to
                .iter_mut()
                .find(|(at, _)| f64::total_cmp(at, &limit).is_eq())
            {
                Some((_, sum)) => *sum += count,
                None => up_to.push((limit, count)),
            }
        }
        up_to.sort_by(|a, b| a.0.total_cmp(&b.0));
        Histogram {
            up_to,
            sum: part("_sum"),
            count: part("_count"),
        }
    }
}

/// Values by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Limits, ascending, the last one infinite, with the number of values up to each.
    up_to: Vec<(f64, f64)>,
    sum: f64,
    /// How many.
    pub count: f64,
}

/// Where a quantile lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// About here: within its bucket values are taken to be spread evenly.
    About(f64),
    /// Above the last limit.
    Above(f64),
}

impl Histogram {
    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    /// The value that a share `q` of all is not above; `None` of nothing.
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        let all = self.up_to.last().map(|(_, count)| *count)?;
        if all <= 0.0 {
            return None;
        }
        let wanted = q * all;
        let (mut from, mut below) = (0.0, 0.0);
        for &(limit, count) in &self.up_to {
            if count >= wanted && count > below {
                if limit.is_infinite() {
                    break;
                }
                return Some(Quantile::About(
                    from + (limit - from) * (wanted - below) / (count - below),
                ));
            }
            (from, below) = (limit, count);
        }
        Some(Quantile::Above(from))
    }
}

#[cfg(test)]
#[path = "since_tests.rs"]
mod tests;
