//! What is counted while a cluster is used and hit. Judges nothing and asks nobody.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::availability::{Call, Refusal};
use super::faults::Fault;
use super::standing::{Part, Standing, Window};
use super::verdict::Wrong;

/// Broken promises that are told one by one; all are counted.
const VIOLATIONS_TOLD_MAX: usize = 50;

/// A broken promise, for a person to read.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    /// Which.
    pub wrong: Wrong,
    /// The subject or request concerned.
    pub subject: String,
    /// What was asked, and what came.
    pub operation: String,
    /// Seconds after the beginning.
    pub at_s: f64,
    /// What had happened last.
    pub after: Option<String>,
}

/// Acknowledged operations.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// Enrolments.
    pub enrolled: u64,
    /// Erasures.
    pub erased: u64,
    /// Identifications that were answered.
    pub identified: u64,
    /// Of these, those at the end, when all was calm.
    pub audited: u64,
}

impl Acknowledged {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.enrolled + self.erased + self.identified
    }
}

/// A copy of what was counted so far.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// What was acknowledged.
    pub acknowledged: Acknowledged,
    /// Broken promises, by their kind.
    pub wrongs: BTreeMap<Wrong, u64>,
    /// The first of them.
    pub violations: Vec<Violation>,
    /// What happened, by its name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Identifications, with how they ended.
    pub calls: Vec<Call>,
    /// What happens now.
    pub under_way: Vec<Fault>,
    /// What happened last.
    pub last_fault: Option<String>,
}

/// Shared by everybody who asks or hits.
pub struct Tally {
    begun: Instant,
    counts: Mutex<Counts>,
    standing: Mutex<Standing>,
}

impl Tally {
    /// From now on, with everything there.
    pub fn new(standing: Standing) -> Self {
        Self {
            begun: Instant::now(),
            counts: Mutex::default(),
            standing: Mutex::new(standing),
        }
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Something was acknowledged.
    pub fn acknowledge(&self, count: impl FnOnce(&mut Acknowledged)) {
        self.change(|counts| count(&mut counts.acknowledged));
    }

    /// An identification ended. `refusal` says why it has no answer.
    pub fn called(&self, from: Duration, refusal: Option<&str>) {
        let to = self.now();
        self.change(|counts| {
            let names = counts.under_way.iter().map(|fault| fault.name());
            let refusal = refusal.map(|words| Refusal {
                words: words.to_owned(),
                during: names.collect::<Vec<_>>().join(", "),
            });
            counts.calls.push(Call { from, to, refusal });
        });
    }

    /// A promise was broken.
    pub fn broken(&self, wrong: Wrong, subject: impl Into<String>, operation: impl Into<String>) {
        let at_s = (self.now().as_secs_f64() * 1e3).round() / 1e3;
        let (subject, operation) = (subject.into(), operation.into());
        self.change(|counts| {
            *counts.wrongs.entry(wrong).or_default() += 1;
            if counts.violations.len() < VIOLATIONS_TOLD_MAX {
                let after = counts.last_fault.clone();
                eprintln!(
                    "VIOLATION {wrong:?} at {at_s} s, {subject}: {operation} (last fault: {})",
                    after.as_deref().unwrap_or("none")
                );
                counts.violations.push(Violation {
                    wrong,
                    subject,
                    operation,
                    at_s,
                    after,
                });
            }
        });
    }

    /// Something happens to somebody.
    pub fn struck(&self, fault: Fault) {
        let at_s = self.now().as_secs_f64();
        self.change(|counts| {
            *counts.faults.entry(fault.name()).or_default() += 1;
            counts.last_fault = Some(format!("{fault:?} at {at_s:.1} s"));
            counts.under_way.push(fault);
        });
    }

    /// It is repaired.
    pub fn mended(&self, fault: Fault) {
        self.change(|counts| counts.under_way.retain(|other| *other != fault));
    }

    /// From now on a part is there, or not.
    pub fn set(&self, part: Part, is_there: bool) {
        let now = self.now();
        let mut standing = self.standing.lock().expect("nobody panics while noting");
        standing.set(part, is_there, now);
    }

    /// Whether a part is there.
    pub fn is_there(&self, part: Part) -> bool {
        let standing = self.standing.lock().expect("nobody panics while noting");
        standing.is_there(part)
    }

    /// Times in which nobody could be answered.
    pub fn windows(&self) -> Vec<Window> {
        let standing = self.standing.lock().expect("nobody panics while noting");
        standing.windows(self.now())
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts.lock().expect("nobody panics while counting").clone()
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().expect("nobody panics while counting"));
    }
}
