//! What a contest came to, as one line of JSON and as a table. Measures nothing.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::differ::Difference;
use crate::machine::Machine;
use crate::peers::{EXACT, NAMES};
use crate::timing::Summary;

/// Differences that are written out.
const DIFFERENCES_LISTED_MAX: usize = 20;
/// Width of a column of the table.
const COLUMN: usize = 16;

/// One run of the command.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Rows of the gallery.
    pub rows: usize,
    /// Dimension.
    pub dim: usize,
    /// Backend of thenar, for instance `cpu/avx512`.
    pub kernel: String,
    /// Threads of everybody.
    pub threads: usize,
    /// Score from which on a row counts.
    pub threshold: f32,
    /// Whether rows may be dismissed only by a proof.
    pub deterministic: bool,
    /// Whether thenar keeps its signs a second time.
    pub sign_plane: bool,
    /// Seed of rows and probes.
    pub seed: u64,
    /// What it was measured on.
    pub machine: Machine,
    /// Bytes of codes in host memory a row.
    pub resident_bytes_per_row: f64,
    /// Versions of the peers and the instruction sets they use.
    pub peer_facts: BTreeMap<String, String>,
    /// Peers that were asked for and not measured, and why.
    pub peers_missing: BTreeMap<String, String>,
    /// One a batch size.
    pub results: Vec<Batch>,
}

/// thenar at one batch size.
#[derive(Debug, Clone, Serialize)]
pub struct Thenar {
    /// Times with whatever the caches hold.
    pub summary: Option<Summary>,
    /// Times with empty caches; a lone probe's alone.
    pub cold: Option<Summary>,
    /// Rows scored exactly, a probe.
    pub survivors_mean: f64,
    /// The most of one probe.
    pub survivors_max: usize,
    /// Probes with a mate above the threshold.
    pub mates: usize,
    /// Those that found their mate.
    pub mates_found: usize,
    /// What the answers prove.
    pub certificate: String,
}

/// One peer at one batch size.
#[derive(Debug, Clone, Serialize)]
pub struct PeerResult {
    /// Its times.
    #[serde(flatten)]
    pub summary: Option<Summary>,
    /// Share of the mated probes for which it has the row that the exact reference has.
    pub finds: Option<f64>,
    /// Why it has no times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One batch size. Times are those of a whole batch, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Batch {
    /// Probes of a batch.
    pub batch: usize,
    /// Median of thenar.
    pub thenar_ms: Option<f64>,
    /// Its best.
    pub thenar_min_ms: Option<f64>,
    /// Its median with empty caches.
    pub thenar_cold_ms: Option<f64>,
    /// The same with its companions.
    pub thenar: Thenar,
    /// The peers by name.
    pub peers: BTreeMap<String, PeerResult>,
    /// Median of the best exact peer over that of thenar.
    pub ratio_exact: Option<f64>,
    /// The same of the smallest times: on a machine that others use it is the steadier one.
    pub ratio_exact_min: Option<f64>,
    /// Median of the best peer of all, approximate ones included, over that of thenar.
    pub ratio_any: Option<f64>,
    /// Whether the answers are the exact reference's, rounding apart; none where it was not measured.
    pub identical: Option<bool>,
    /// Answers that were compared.
    pub compared: usize,
    /// Answers that differ, the unexplained ones first; a few of them.
    pub differences: Vec<Difference>,
}

impl Batch {
    /// Puts the sides together. `differences` are none where there was nothing to compare with.
    pub fn new(
        batch: usize,
        thenar: Thenar,
        peers: BTreeMap<String, PeerResult>,
        compared: usize,
        differences: Option<Vec<Difference>>,
    ) -> Self {
        let median = |summary: Summary| summary.ms;
        let smallest = |summary: Summary| summary.min_ms;
        let ratio = |of: fn(Summary) -> f64, names: &[&str]| {
            let counted = peers.iter().filter(|(name, _)| names.contains(&name.as_str()));
            let best = counted
                .filter_map(|(_, result)| result.summary.map(of))
                .min_by(f64::total_cmp);
            Some(best? / thenar.summary.map(of)?)
        };
        let (ratio_exact, ratio_exact_min) = (ratio(median, &EXACT), ratio(smallest, &EXACT));
        let ratio_any = ratio(median, &NAMES);
        let identical = differences
            .as_ref()
            .map(|all| all.iter().all(|difference| difference.explained));
        let mut differences = differences.unwrap_or_default();
        differences.sort_by_key(|difference| difference.explained);
        differences.truncate(DIFFERENCES_LISTED_MAX);
        Self {
            batch,
            thenar_ms: thenar.summary.map(median),
            thenar_min_ms: thenar.summary.map(smallest),
            thenar_cold_ms: thenar.cold.map(|cold| cold.ms),
            thenar,
            peers,
            ratio_exact,
            ratio_exact_min,
            ratio_any,
            identical,
            compared,
            differences,
        }
    }
}

impl Report {
    /// For a person to read.
    pub fn table(&self) -> String {
        let mut out = self.head();
        let mut names: Vec<&str> = NAMES.into_iter().collect();
        names.retain(|name| self.results.iter().any(|batch| batch.peers.contains_key(*name)));
        let columns = ["batch", "thenar ms", "(min)", "(cold)"]
            .into_iter()
            .chain(names.iter().copied());
        line(
            &mut out,
            columns
                .chain(["x best exact", "x best of all", "survivors", "identical"])
                .map(str::to_owned),
        );
        for batch in &self.results {
            let ours = [
                Some(batch.batch.to_string()),
                ms(batch.thenar_ms),
                ms(batch.thenar_min_ms),
                ms(batch.thenar_cold_ms),
            ];
            let theirs = names.iter().map(|name| batch.peers.get(*name).map(cell));
            let identical = batch
                .identical
                .map(|same| format!("{same} of {}", batch.compared));
            let rest = [
                batch.ratio_exact.map(|ratio| format!("{ratio:.1}")),
                batch.ratio_any.map(|ratio| format!("{ratio:.1}")),
                Some(format!("{:.1}", batch.thenar.survivors_mean)),
                identical,
            ];
            let cells = ours.into_iter().chain(theirs).chain(rest);
            line(&mut out, cells.map(|cell| cell.unwrap_or_else(|| "-".to_owned())));
        }
        self.tail(&mut out);
        out
    }

    fn head(&self) -> String {
        let Machine {
            cpu,
            cores,
            memory_gib,
            commit,
            flags,
            ..
        } = &self.machine;
        let mut out = format!(
            "thenar {commit}, {}, {} threads; {cpu}, {cores} cores, {memory_gib} GiB, {}\n{} rows of {} dimensions, \
             {:.1} resident bytes a row, threshold {:.3}\n",
            self.kernel,
            self.threads,
            flags.join(" "),
            self.rows,
            self.dim,
            self.resident_bytes_per_row,
            self.threshold,
        );
        let facts: Vec<String> = self
            .peer_facts
            .iter()
            .map(|(name, fact)| format!("{name} {fact}"))
            .collect();
        if !facts.is_empty() {
            let _ = writeln!(out, "peers: {}", facts.join(", "));
        }
        out.push_str("ms a batch, medians; in brackets how many of the mates a peer finds\n\n");
        out
    }

    fn tail(&self, out: &mut String) {
        // Writing to a string does not fail.
        for (name, reason) in &self.peers_missing {
            let _ = writeln!(out, "not measured: {name}: {reason}");
        }
        for batch in &self.results {
            let Thenar {
                mates,
                mates_found,
                certificate,
                survivors_max,
                ..
            } = &batch.thenar;
            let _ = writeln!(
                out,
                "batch {}: {mates_found} of {mates} mates found, at most {survivors_max} survivors a probe, {certificate}",
                batch.batch
            );
            for Difference {
                probe,
                thenar,
                peer,
                explained,
            } in &batch.differences
            {
                let thenar =
                    thenar.map_or("nobody".to_owned(), |(row, score)| format!("row {row} ({score})"));
                let (row, canonical, score) = peer;
                let verdict = if *explained {
                    "a tie within rounding"
                } else {
                    "NOT EXPLAINED"
                };
                let _ = writeln!(
                    out,
                    "  probe {probe}: thenar {thenar}, flat row {row} ({canonical}, by its own sum {score}): {verdict}"
                );
            }
        }
    }
}

fn ms(value: Option<f64>) -> Option<String> {
    value.map(|ms| format!("{ms:.3}"))
}

fn cell(result: &PeerResult) -> String {
    let found = |finds: f64| format!(" ({:.1}%)", finds * 100.0);
    match (&result.summary, &result.error) {
        (Some(summary), _) => format!("{:.2}{}", summary.ms, result.finds.map_or(String::new(), found)),
        (None, _) => "failed".to_owned(),
    }
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for cell in cells {
        let _ = write!(out, "{cell:>COLUMN$} ");
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
