//! One reading of a server's metrics, from Prometheus' text format. Knows the format, not what the metrics mean.

use std::collections::BTreeMap;

use thiserror::Error;

/// A line that is not of the format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} is no metric: {text:?}")]
pub struct NotAMetric {
    /// Its number, from 1 on.
    line: usize,
    /// Its beginning.
    text: String,
}

/// Most characters of a line that an error shows.
const SHOWN_MAX: usize = 80;

/// The name of a series and its labels as they stand in the text, with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name of the metric.
    pub name: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

impl Series {
    /// Whether it never falls while a server runs: a counter, or a part of a histogram.
    fn only_grows(&self) -> bool {
        ["_total", "_bucket", "_count"]
            .iter()
            .any(|end| self.name.ends_with(end))
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        let mut wanted = labels.iter();
        wanted.all(|(name, value)| self.labels.get(*name).is_some_and(|has| has == value))
    }
}

/// All series at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    series: Vec<Series>,
}

impl Reading {
    /// Reads the text of `/metrics`.
    pub fn parse(text: &str) -> Result<Self, NotAMetric> {
        let lines = text.lines().enumerate();
        let told = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let series = told.map(|(at, line)| {
            series(line.trim()).ok_or_else(|| NotAMetric {
                line: at + 1,
                text: line.chars().take(SHOWN_MAX).collect(),
            })
        });
        Ok(Self {
            series: series.collect::<Result<_, _>>()?,
        })
    }

    /// The series of this name that have these labels, and maybe others.
    pub fn of<'a>(&'a self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &'a Series> {
        self.series
            .iter()
            .filter(move |series| series.name == name && series.has(labels))
    }

    /// Their sum.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // Not `sum`, which gives -0 for none.
        self.of(name, labels).fold(0.0, |sum, series| sum + series.value)
    }

    /// Sums of the series of this name by the value of a label.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for series in self.of(name, &[]) {
            if let Some(value) = series.labels.get(label) {
                *sums.entry(value.as_str()).or_insert(0.0) += series.value;
            }
        }
        sums
    }

    /// Whether the server began anew since `before`: something fell that only grows, or is gone.
    pub fn began_anew(&self, before: &Self) -> bool {
        let now: BTreeMap<_, _> = self
            .series
            .iter()
            .map(|series| ((&series.name, &series.labels), series.value))
            .collect();
        let mut grown = before.series.iter().filter(|series| series.only_grows());
        grown.any(|series| {
            let value = now.get(&(&series.name, &series.labels));
            value.is_none_or(|value| *value < series.value)
        })
    }
}

/// `name{label="value",...} value [time]`.
fn series(line: &str) -> Option<Series> {
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at_checked(name_end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    let fits = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
    fits.then(|| Series {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Labels up to the closing brace, and what comes after it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(name.trim().to_owned(), value);
        rest = after;
    }
}

/// A value up to its closing quotation mark, without its escapes, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
