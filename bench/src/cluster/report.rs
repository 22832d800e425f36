//! What a run came to: the object that scripts read, and the table for people. Measures nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::availability::{Availability, Unanswered};
use super::standing::RULE;
use super::tally::{Acknowledged, Counts, Violation};
use super::verdict::Wrong;
use crate::machine::Machine;

/// Share of the calls that count that has to be answered.
pub const AVAILABILITY_MIN: f64 = 0.999;

/// What was run.
#[derive(Debug, Clone, Serialize)]
pub struct Configuration {
    /// Match nodes.
    pub nodes: usize,
    /// Fronts.
    pub fronts: usize,
    /// Copies of each part.
    pub replicas: usize,
    /// Where segments are.
    pub store: &'static str,
    /// Rows that make a segment.
    pub flush_rows: u32,
    /// Limit of a node's copies of segments, in MiB.
    pub cache_mib: Option<u32>,
    /// Coordinates of a palm.
    pub dim: usize,
    /// Who change galleries.
    pub workers: usize,
    /// Questions a second beside theirs.
    pub rate: u32,
    /// How long a caller waits, in milliseconds.
    pub deadline_ms: u64,
    /// Whether each node has a network of its own.
    pub namespaces: bool,
    /// Whether more nodes may be away than parts can do without.
    pub all_faults: bool,
    /// Faults that happened; all where there are none.
    pub only: Vec<String>,
    /// Of palms and chance.
    pub seed: u64,
    /// How long faults went on, in seconds.
    pub seconds: u64,
}

/// Segments of all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Segments {
    /// Made by flushes and merges.
    pub made: u64,
    /// Left at the end; the others' rows are in these.
    pub left: u64,
}

/// The object that scripts read.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What happened to parts.
    pub faults: u64,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// Acknowledged subjects that are not found at the end.
    pub lost: u64,
    /// Erased subjects that were found.
    pub resurrected: u64,
    /// Answers that name a subject of another tenant.
    pub crossed: u64,
    /// First answers after a write's acknowledgement that don't know of it.
    pub stale_answers: u64,
    /// "No match" for somebody enrolled.
    pub wrong_no_match: u64,
    /// Share of the identifications that were answered, of those that count.
    pub availability: Option<f64>,
    /// Anything else that must not be.
    pub unexpected: u64,
    /// Which calls count.
    pub rule: &'static str,
    /// More of that.
    pub service: Availability,
    /// Operations by their kind.
    pub operations: Acknowledged,
    /// Faults by their kind.
    pub faults_by_kind: BTreeMap<&'static str, u64>,
    /// How often a process was started by the other one of two programs, where there are two.
    pub exchanged: Option<u64>,
    /// What became of the galleries' segments; `None` where it was not asked.
    pub segments: Option<Segments>,
    /// The first broken promises.
    pub violations: Vec<Violation>,
    /// What was run.
    pub configuration: Configuration,
    /// On what.
    pub machine: Machine,
}

impl Report {
    /// Of these counts.
    pub fn new(
        counts: Counts,
        service: Availability,
        configuration: Configuration,
        machine: Machine,
    ) -> Self {
        let wrong = |wrong: Wrong| counts.wrongs.get(&wrong).copied().unwrap_or_default();
        Self {
            faults: counts.faults.values().sum(),
            acknowledged: counts.acknowledged.all(),
            lost: wrong(Wrong::Lost),
            resurrected: wrong(Wrong::Resurrected),
            crossed: wrong(Wrong::Crossed),
            stale_answers: wrong(Wrong::Stale),
            wrong_no_match: wrong(Wrong::NoMatch),
            availability: service.share,
            unexpected: wrong(Wrong::Unexpected),
            rule: RULE,
            service,
            operations: counts.acknowledged,
            faults_by_kind: counts.faults,
            exchanged: None,
            segments: None,
            violations: counts.violations,
            configuration,
            machine,
        }
    }

    /// Promises by their names, and how often they were broken.
    fn broken(&self) -> [(&'static str, u64); 6] {
        [
            ("lost", self.lost),
            ("resurrected", self.resurrected),
            ("crossed", self.crossed),
            ("stale answers", self.stale_answers),
            ("wrong no-match", self.wrong_no_match),
            ("unexpected", self.unexpected),
        ]
    }

    /// Why the run fails; `None` where it does not.
    pub fn fault(&self) -> Option<String> {
        let broken: u64 = self.broken().iter().map(|(_, count)| count).sum();
        if broken > 0 {
            return Some(format!(
                "{broken} promises were broken; the lines that begin with VIOLATION say which"
            ));
        }
        if self.faults == 0 {
            return Some(
                "nothing happened to any part: the time is too short, or --only names no fault".to_owned(),
            );
        }
        match self.availability {
            None => Some("no call counts for the availability: the time is too short".to_owned()),
            Some(share) if share < AVAILABILITY_MIN => Some(format!(
                "availability is {:.3} %, below {:.1} %",
                share * 100.0,
                AVAILABILITY_MIN * 100.0
            )),
            Some(_) => None,
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let (of, service) = (&self.configuration, &self.service);
        let mut text = format!(
            "thenar {}; {}, {} cores\n{} nodes, {} fronts, R = {}, {}, {} s, seed {}\n",
            self.machine.commit,
            self.machine.cpu,
            self.machine.cores,
            of.nodes,
            of.fronts,
            of.replicas,
            of.store,
            of.seconds,
            of.seed
        );
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<16} {value}").expect("writing to a string");
        };
        let kinds = self
            .faults_by_kind
            .iter()
            .map(|(name, count)| format!("{name} {count}"));
        let kinds: Vec<String> = kinds.collect();
        line("faults", format!("{} ({})", self.faults, kinds.join(", ")));
        let done = &self.operations;
        line(
            "acknowledged",
            format!(
                "{} ({} enrolled, {} erased, {} identified, {} of these at the end)",
                self.acknowledged, done.enrolled, done.erased, done.identified, done.audited
            ),
        );
        if let Some(exchanged) = self.exchanged {
            line("exchanged", format!("{exchanged} starts by the other version"));
        }
        if let Some(Segments { made, left }) = self.segments {
            line("segments", format!("{made} made, {left} left"));
        }
        for (name, count) in self.broken() {
            line(name, count.to_string());
        }
        line(
            "availability",
            format!(
                "{}: {} of {} calls unanswered; of all {}, {} calls in {} s don't count",
                percent(self.availability),
                service.unanswered,
                service.counted,
                percent(service.share_of_all),
                service.excluded,
                service.excluded_seconds
            ),
        );
        line("", format!("({RULE})"));
        let ms = |time: Option<f64>| time.map_or_else(|| "none".to_owned(), |ms| format!("{ms:.1} ms"));
        line(
            "answers after",
            format!(
                "p50 {}, p99 {}, max {}",
                ms(service.p50_ms),
                ms(service.p99_ms),
                ms(service.max_ms)
            ),
        );
        for (words, calls) in &service.refusals {
            line("unanswered", format!("{}: {words}", when(calls)));
        }
        for (names, calls) in &service.refused_during {
            let names = if names.is_empty() { "nothing" } else { names };
            line("meanwhile", format!("{}: {names}", when(calls)));
        }
        text
    }
}

fn when(calls: &Unanswered) -> String {
    let (count, first_s, last_s) = (calls.count, calls.first_s, calls.last_s);
    format!("{count} from {first_s:.1} to {last_s:.1} s")
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "none".to_owned(), |share| format!("{:.3} %", share * 100.0))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
