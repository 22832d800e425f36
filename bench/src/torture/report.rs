//! What is counted while a server is tortured, and how it is told. Judges nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;
use tonic::Status;

use super::faults;
use super::layout::Kind;
use super::power::Lost;
use super::verdict::Wrong;
use crate::live::calls::{Fate, blames_disk, fate};
use crate::machine::Machine;

/// Broken promises that are told one by one; all are counted.
const VIOLATIONS_TOLD_MAX: usize = 50;

/// A broken promise, for a person to read.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    /// Which.
    pub wrong: Wrong,
    /// Whose.
    pub tenant: String,
    /// The subject or request concerned.
    pub subject: String,
    /// What was asked, and what came.
    pub operation: String,
    /// Seconds after the beginning.
    pub at_s: f64,
    /// Kills before it.
    pub kills: u64,
}

/// Counts acknowledged operations by their name.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Acknowledged {
    /// Enrolments.
    pub enrolled: u64,
    /// Subjects of imports.
    pub imported: u64,
    /// Erasures.
    pub erased: u64,
    /// Answers to Identify and Verify, each with an entry in the history.
    pub answered: u64,
    /// Tenants made and dropped.
    pub tenants: u64,
    /// Keys rotated.
    pub rotated: u64,
}

impl Acknowledged {
    fn all(&self) -> u64 {
        self.enrolled + self.imported + self.erased + self.answered + self.tenants + self.rotated
    }
}

/// What happened so far. Shared by everybody who asks the server something.
pub struct Tally {
    begun: Instant,
    /// SIGKILLs, those by torn writes included.
    pub kills: AtomicU64,
    /// Whether the server that runs has met no fault, and nobody has asked it to end: then nothing of the disk is an excuse.
    pub is_sound: AtomicBool,
    acknowledged: Mutex<Acknowledged>,
    violations: Mutex<Violations>,
}

#[derive(Default)]
struct Violations {
    counts: BTreeMap<Wrong, u64>,
    told: Vec<Violation>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            kills: AtomicU64::new(0),
            is_sound: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            violations: Mutex::default(),
        }
    }
}

impl Tally {
    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Something was acknowledged.
    pub fn acknowledge(&self, count: impl FnOnce(&mut Acknowledged)) {
        count(&mut self.acknowledged.lock().expect("nobody panics while counting"));
    }

    /// Whether an error may come at any time: the connection broke, a limit was reached; or the server's disk failed, where it has an excuse.
    pub fn is_excused(&self, status: &Status) -> bool {
        fate(status) == Fate::Unknown && !(blames_disk(status) && self.is_sound.load(Ordering::Acquire))
    }

    /// A promise was broken.
    pub fn broken(
        &self,
        wrong: Wrong,
        tenant: &str,
        subject: impl Into<String>,
        operation: impl Into<String>,
    ) {
        let violation = Violation {
            wrong,
            tenant: tenant.to_owned(),
            subject: subject.into(),
            operation: operation.into(),
            at_s: (self.seconds() * 1e3).round() / 1e3,
            kills: self.kills.load(Ordering::Relaxed),
        };
        let mut violations = self.violations.lock().expect("nobody panics while counting");
        *violations.counts.entry(wrong).or_default() += 1;
        if violations.told.len() < VIOLATIONS_TOLD_MAX {
            eprintln!("{}", line(&violation));
            violations.told.push(violation);
        }
    }

    /// Broken promises so far.
    pub fn violations(&self) -> u64 {
        let violations = self.violations.lock().expect("nobody panics while counting");
        violations.counts.values().sum()
    }

    /// Everything, at the end.
    pub fn report(&self, driven: Driven) -> Report {
        let acknowledged = self
            .acknowledged
            .lock()
            .expect("nobody panics while counting")
            .clone();
        let violations = self.violations.lock().expect("nobody panics while counting");
        let count = |wrong| violations.counts.get(&wrong).copied().unwrap_or(0);
        Report {
            kills: self.kills.load(Ordering::Relaxed),
            faults: driven.faults.values().sum(),
            acknowledged: acknowledged.all(),
            lost: count(Wrong::Lost),
            resurrected: count(Wrong::Resurrected),
            crossed: count(Wrong::Crossed),
            unexpected: count(Wrong::Unexpected),
            acknowledged_by_kind: acknowledged,
            driven,
            seconds: self.seconds().round(),
            violations: violations.told.clone(),
            machine: Machine::this(),
        }
    }
}

/// What the driver did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Driven {
    /// Seed of palms and chance. Which system call a chance hits still differs from run to run.
    pub seed: u64,
    /// Kills in the middle of a start.
    pub kills_while_starting: u64,
    /// Kills while a SIGTERM was obeyed.
    pub kills_while_stopping: u64,
    /// Kills that a loss of power went with.
    pub power_losses: u64,
    /// Sectors that they took back.
    pub sectors_lost: u64,
    /// Clean stops.
    pub stops: u64,
    /// Strikes by kind.
    #[serde(rename = "faults_by_kind")]
    pub faults: BTreeMap<&'static str, u64>,
    /// Rounds in which a kind struck, those that struck a start included.
    pub faulty_rounds: BTreeMap<&'static str, u64>,
    /// Requests in doubt that a restart settled.
    pub in_doubt: u64,
    /// Requests repeated with their id.
    pub repeated: u64,
    /// Subjects looked at by audits.
    pub audited: u64,
    /// Longest time from the start of the process until it was ready.
    pub ready_ms_max: u64,
}

impl Driven {
    /// Counts a loss of power.
    pub fn power_lost(&mut self, lost: Lost) {
        self.power_losses += 1;
        self.sectors_lost += lost.sectors;
    }

    /// Counts the strikes of a round.
    pub fn struck(&mut self, kind: Kind, strikes: u64) {
        if strikes > 0 {
            *self.faults.entry(faults::name(kind)).or_default() += strikes;
            *self.faulty_rounds.entry(faults::name(kind)).or_default() += 1;
        }
    }
}

/// The result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// SIGKILLs.
    pub kills: u64,
    /// Calls that were made to fail.
    pub faults: u64,
    /// Operations that the server acknowledged, a subject of an import counted as one.
    pub acknowledged: u64,
    /// Acknowledged and gone: subjects, or entries of the history.
    pub lost: u64,
    /// Erased, or never enrolled, and there.
    pub resurrected: u64,
    /// Answers that name a subject of another tenant.
    pub crossed: u64,
    /// Whatever else must not be.
    pub unexpected: u64,
    /// The same by kind.
    pub acknowledged_by_kind: Acknowledged,
    /// What was done to the server.
    #[serde(flatten)]
    pub driven: Driven,
    /// Length of the run, the last audits included.
    pub seconds: f64,
    /// The first of them.
    pub violations: Vec<Violation>,
    /// On what.
    pub machine: Machine,
}

impl Report {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.lost + self.resurrected + self.crossed + self.unexpected == 0
    }

    /// For a person to read.
    pub fn table(&self) -> String {
        let driven = &self.driven;
        let mut out = format!("thenar {}, seed {}\n\n", self.machine.commit, driven.seed);
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<28}{value:>12}");
        };
        row("seconds", format!("{:.0}", self.seconds));
        row("kills", self.kills.to_string());
        row(
            "  in the middle of a start",
            driven.kills_while_starting.to_string(),
        );
        row(
            "  in the middle of a stop",
            driven.kills_while_stopping.to_string(),
        );
        row("  with a loss of power", driven.power_losses.to_string());
        row("sectors lost by those", driven.sectors_lost.to_string());
        row("clean stops", driven.stops.to_string());
        row("faults", self.faults.to_string());
        for (kind, strikes) in &driven.faults {
            let rounds = driven.faulty_rounds.get(kind).copied().unwrap_or(0);
            row(&format!("  {kind}"), format!("{strikes} in {rounds}"));
        }
        row("acknowledged", self.acknowledged.to_string());
        let by = &self.acknowledged_by_kind;
        row("  enrolments", by.enrolled.to_string());
        row("  imported subjects", by.imported.to_string());
        row("  erasures", by.erased.to_string());
        row("  answers", by.answered.to_string());
        row("  tenants made and dropped", by.tenants.to_string());
        row("  keys rotated", by.rotated.to_string());
        row("settled by a restart", driven.in_doubt.to_string());
        row("repeated with their id", driven.repeated.to_string());
        row("subjects audited", driven.audited.to_string());
        row("slowest start, ms", driven.ready_ms_max.to_string());
        row("lost", self.lost.to_string());
        row("resurrected", self.resurrected.to_string());
        row("crossed", self.crossed.to_string());
        row("unexpected", self.unexpected.to_string());
        out
    }
}

fn line(violation: &Violation) -> String {
    let Violation {
        wrong,
        tenant,
        subject,
        operation,
        at_s,
        kills,
    } = violation;
    format!("VIOLATION {wrong:?}: tenant {tenant}, {subject}: {operation} (at {at_s} s, after {kills} kills)")
}
