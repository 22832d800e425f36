//! Arrivals that wait for nobody, by `thenar load`: what is answered beyond the peak, and what one tenant leaves to another.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::{Bench, TENANT};
use crate::{Failure, progress};

/// Scanners of all tenants together.
const SCANNERS: usize = 64;
/// Tenants of the same size, one of whom is greedy.
const TENANTS: usize = 10;
/// Part of its share of the peak that each of the others asks for.
const MODEST: f64 = 0.8;
/// How often its share the greedy one asks for.
const GREEDY: f64 = 10.0;
/// How often the peak is asked for.
const OVERLOADS: [f64; 3] = [1.0, 2.0, 5.0];

/// What scanners make of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    /// They go on as before.
    Heedless,
    /// They hold calls back meanwhile, as well-made clients do.
    Throttled,
}

impl Callers {
    const ALL: [Self; 2] = [Self::Heedless, Self::Throttled];

    fn name(self) -> &'static str {
        match self {
            Self::Heedless => "heedless",
            Self::Throttled => "throttled",
        }
    }
}

/// What `thenar load` says of a tenant, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
pub struct Figures {
    /// People who came, in a second.
    pub due_per_s: f64,
    /// Those whose call their scanner held back.
    pub held_back: u64,
    /// Answers within the deadline, in a second.
    pub answered_per_s: f64,
    /// Of a hundred answers the slowest but one, from when somebody was due.
    pub p99_ms: f64,
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
    /// Processor time of the server for each of those, in milliseconds.
    pub cpu_ms: f64,
}

impl Open<'_> {
    /// Prints what is answered at several times the peak.
    pub fn overload(&self) -> Result<(), Failure> {
        let mut answered = Vec::new();
        for times in OVERLOADS {
            for callers in Callers::ALL {
                let name = format!("x{times}, {}", callers.name());
                progress(format!("the peak {name}"));
                answered.push((self.overloaded(&name, times, callers)?, name));
            }
        }
        // Callers who wait for answers share wakings; these come alone. So their own peak is told too.
        let most = answered.iter().map(|(per_s, _)| *per_s).fold(0.0, f64::max);
        let shares = answered
            .iter()
            .map(|(per_s, name)| format!("{:.3} at {name}", per_s / most));
        println!(
            "goodput       of the most at any of these, {most:.0} a second: {}",
            shares.collect::<Vec<_>>().join("; ")
        );
        Ok(())
    }

    /// Answers a second at so many times the peak; prints them.
    fn overloaded(&self, name: &str, times: f64, callers: Callers) -> Result<f64, Failure> {
        let before = self.bench.server().cpu()?;
        let report = self.load(callers, &[(TENANT.to_owned(), times * self.peak)])?;
        let cpu = self.bench.server().cpu()? - before;
        let figures = report.of(TENANT)?;
        // All the server did is counted as done for those whom it answered.
        let cpu_ms = cpu * 1e3 / (figures.answered_per_s * self.length.as_secs_f64());
        println!(
            "overload {name:<13} {:>8.0} came, {} held back, {:.0} answered a second within {} ms, {:.3} of the peak, \
             {:.3} for the same processor time of the server; p99 of those {:.1} ms{}",
            figures.due_per_s,
            figures.held_back,
            figures.answered_per_s,
            self.deadline.as_millis(),
            figures.answered_per_s / self.peak,
            self.cpu_ms / cpu_ms,
            figures.p99_ms,
            report.lateness()
        );
        Ok(figures.answered_per_s)
    }

    /// Prints what tenants get without a greedy one, and beside it. All have `palms` palms.
    pub fn fairness(&self, palms: u64) -> Result<(), Failure> {
        let tenants: Vec<String> = (0..TENANTS).map(|number| format!("share-{number}")).collect();
        let mut threshold = 0.0;
        for tenant in &tenants {
            // The same for all of them.
            threshold = self.bench.fill(tenant, palms)?;
        }
        progress("all tenants alike");
        let peak = self.bench.peak(&tenants, palms, threshold)?;
        let share = peak / f64::from(u32::try_from(TENANTS)?);
        let (greedy, others) = tenants.split_first().ok_or("there are tenants")?;
        let modest = || others.iter().map(|tenant| (tenant.clone(), MODEST * share));
        progress("without the greedy one");
        let alone = self.load(Callers::Heedless, &modest().collect::<Vec<_>>())?;
        let (due, before, p99_before) = alone.all_but(greedy);
        println!(
            "fairness      {TENANTS} tenants, {palms} palms each, {peak:.0} a second at saturation; {} ask for {due:.0} a second: {before:.0} answered, p99 \
             {p99_before:.1} ms{}",
            TENANTS - 1,
            alone.lateness()
        );
        let mut asked: Vec<_> = modest().collect();
        asked.push((greedy.clone(), GREEDY * share));
        for callers in Callers::ALL {
            let name = callers.name();
            progress(format!("beside it, {name}"));
            let beside = self.load(callers, &asked)?;
            let (_, after, p99_after) = beside.all_but(greedy);
            let one = beside.of(greedy)?;
            println!(
                "  {name:<9}   beside one that asks for {:.0}: {after:.0}, {:.3} of that, p99 {p99_after:.1} ms; the one {:.0}{}",
                one.due_per_s,
                after / before,
                one.answered_per_s,
                beside.lateness()
            );
        }
        Ok(())
    }

    fn load(&self, callers: Callers, tenants: &[(String, f64)]) -> Result<Report, Failure> {
        let mut command = Command::new(self.thenar);
        command
            .arg("load")
            .args([Path::new("--data"), self.bench.site().data()]);
        command.args(["--server", &format!("https://{}", self.bench.address())]);
        command.args(["--seconds", &self.length.as_secs().to_string()]);
        command.args(["--deadline-ms", &self.deadline.as_millis().to_string()]);
        let scanners = (SCANNERS / tenants.len()).max(1);
        command.args(["--scanners", &scanners.to_string(), "--json"]);
        if callers == Callers::Throttled {
            command.arg("--throttle");
        }
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

    /// Due and answered a second of all but one, and the worst p99 of them.
    fn all_but(&self, one: &str) -> (f64, f64, f64) {
        let others = self.tenants.iter().filter(|other| other.tenant != one);
        others.fold(
            (0.0, 0.0, 0.0_f64),
            |(due, answered, p99), TenantFigures { figures, .. }| {
                (
                    due + figures.due_per_s,
                    answered + figures.answered_per_s,
                    p99.max(figures.p99_ms),
                )
            },
        )
    }

    fn lateness(&self) -> String {
        if self.late {
            format!("; the generator was {:.1} ms late itself (p99)", self.late_p99_ms)
        } else {
            String::new()
        }
    }
}
