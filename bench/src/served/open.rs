//! Arrivals that wait for nobody, by `thenar load`: what is answered beyond the peak, and what one tenant leaves to another.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::{Bench, NEIGHBOUR, TENANT};
use crate::{Failure, progress};

/// Scanners of a tenant.
const SCANNERS: u32 = 64;
/// Part of its share of the peak that a tenant asks for.
const MODEST: f64 = 0.8;
/// How often its share the other tenant asks for.
const GREEDY: f64 = 10.0;
/// How often the peak is asked for.
const OVERLOADS: [f64; 2] = [2.0, 5.0];

/// What `thenar load` says of a tenant, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
pub struct Figures {
    /// People who came, in a second.
    pub due_per_s: f64,
    /// Answers within the deadline, in a second.
    pub answered_per_s: f64,
    /// Of a hundred answers the slowest but one, from when somebody was due.
    pub p99_ms: f64,
    /// Wrong answers.
    pub wrong: u64,
}

#[derive(Debug, Deserialize)]
struct TenantFigures {
    tenant: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Deserialize)]
struct Report {
    late_p99_ms: f64,
    late: bool,
    tenants: Vec<TenantFigures>,
}

/// How the server is asked.
pub struct Open<'a> {
    /// The server.
    pub bench: &'a Bench,
    /// The program.
    pub thenar: &'a Path,
    /// How long.
    pub length: Duration,
    /// How long each waits.
    pub deadline: Duration,
    /// Answers a second at saturation.
    pub peak: f64,
}

impl Open<'_> {
    /// Prints what is answered at several times the peak.
    pub fn overload(&self) -> Result<(), Failure> {
        for times in OVERLOADS {
            progress(format!("{times} times the peak"));
            let report = self.load(&[(TENANT, times * self.peak)])?;
            let figures = report.of(TENANT)?;
            println!(
                "overload x{times}   {:>8.0} came, {:.0} answered a second within {} ms, {:.3} of the peak; p99 of those {:.1} ms{}",
                figures.due_per_s,
                figures.answered_per_s,
                self.deadline.as_millis(),
                figures.answered_per_s / self.peak,
                figures.p99_ms,
                report.lateness()
            );
        }
        Ok(())
    }

    /// Prints what a tenant gets alone, and beside one that asks for far more than its share.
    pub fn fairness(&self) -> Result<(), Failure> {
        self.bench.fill(NEIGHBOUR)?;
        let share = self.peak / 2.0;
        progress("a tenant alone");
        let modest = (TENANT, MODEST * share);
        let report = self.load(&[modest])?;
        let alone = report.of(TENANT)?.clone();
        progress("the same beside a greedy one");
        let report = self.load(&[modest, (NEIGHBOUR, GREEDY * share)])?;
        let (beside, greedy) = (report.of(TENANT)?, report.of(NEIGHBOUR)?);
        println!(
            "fairness      alone {:.0} of {:.0} answered a second, p99 {:.1} ms; beside a tenant with {:.0} a second {:.0}, {:.3} of that, p99 {:.1} ms; the other {:.0}{}",
            alone.answered_per_s,
            alone.due_per_s,
            alone.p99_ms,
            greedy.due_per_s,
            beside.answered_per_s,
            beside.answered_per_s / alone.answered_per_s,
            beside.p99_ms,
            greedy.answered_per_s,
            report.lateness()
        );
        Ok(())
    }

    fn load(&self, tenants: &[(&str, f64)]) -> Result<Report, Failure> {
        let mut command = Command::new(self.thenar);
        command
            .arg("load")
            .args([Path::new("--data"), self.bench.site().data()]);
        command.args(["--server", &format!("https://{}", self.bench.address())]);
        command.args(["--seconds", &self.length.as_secs().to_string()]);
        command.args(["--deadline-ms", &self.deadline.as_millis().to_string()]);
        command.args(["--scanners", &SCANNERS.to_string(), "--json"]);
        for (tenant, rate) in tenants {
            command.args(["--tenant", &format!("{tenant}={rate:.1}")]);
        }
        let output = command.stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8(output.stdout)?;
        if !output.status.success() {
            return Err(format!("thenar load ended with {}\n{text}", output.status).into());
        }
        Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
    }
}

impl Report {
    fn of(&self, tenant: &str) -> Result<&Figures, Failure> {
        let mut all = self.tenants.iter();
        let found = all.find(|one| one.tenant == tenant);
        Ok(&found.ok_or("thenar load tells nothing of a tenant")?.figures)
    }

    fn lateness(&self) -> String {
        if self.late {
            format!("; the generator was {:.1} ms late itself (p99)", self.late_p99_ms)
        } else {
            String::new()
        }
    }
}
