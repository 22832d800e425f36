//! Labels of signatures: a file with one line a row. Knows no signature.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::cli::error::CliError;

use super::EvalError;

/// Longest label, in bytes.
const LABEL_LEN_MAX: usize = 256;

/// Reads the palm and the sample of each of `rows` rows. Lines are PALM or PALM,SAMPLE, all of one kind, with tabs in the place of commas or a
/// first line of these two words if they like; captures of a palm without samples are numbered in order.
pub fn read(path: &Path, rows: u64) -> Result<Vec<(String, String)>, CliError> {
    let file = File::open(path).map_err(|error| CliError::file(path, error))?;
    let mut labels: Vec<(String, String)> = Vec::new();
    let mut numbered = None;
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (line, text) in (1..).zip(BufReader::new(file).lines()) {
        let text = text.map_err(|error| CliError::file(path, error))?;
        let refuse = |problem: String| EvalError::Label {
            path: path.to_owned(),
            line,
            problem,
        };
        // What some programs begin UTF-8 with.
        let text = text
            .strip_prefix('\u{feff}')
            .filter(|_| line == 1)
            .unwrap_or(&text);
        let (palm, sample) = match text.trim_end().split_once([',', '\t']) {
            Some((palm, sample)) => (palm.trim(), Some(sample.trim())),
            None => (text.trim(), None),
        };
        if line == 1 && palm == "palm" && sample.is_none_or(|sample| sample == "sample") {
            continue;
        }
        for label in [Some(palm), sample].into_iter().flatten() {
            if label.is_empty() || label.len() > LABEL_LEN_MAX {
                let length = label.len();
                return Err(refuse(format!(
                    "a label of {length} bytes; 1 to {LABEL_LEN_MAX} are expected"
                ))
                .into());
            }
        }
        if *numbered.get_or_insert(sample.is_some()) != sample.is_some() {
            return Err(refuse("PALM and PALM,SAMPLE don't mix".to_owned()).into());
        }
        let count = counts.entry(palm.to_owned()).or_default();
        *count += 1;
        let sample = sample.map_or_else(|| count.to_string(), str::to_owned);
        labels.push((palm.to_owned(), sample));
        if labels.len() as u64 > rows {
            break;
        }
    }
    if labels.len() as u64 != rows {
        return Err(EvalError::LabelCount {
            path: path.to_owned(),
            labels: labels.len(),
            rows,
        }
        .into());
    }
    Ok(labels)
}

#[cfg(test)]
#[path = "labels_tests.rs"]
mod tests;
