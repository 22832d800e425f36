//! The last act: after a restart on the same data everybody is there but the one who was erased. Changes nothing.

use tokio::task::JoinSet;

use crate::model::principal::Role;

use super::super::error::CliError;
use super::super::simulated::oracle::Answer;
use super::host::Host;
use super::plan::{LEAVER, Plan, arena};
use super::report::Check;
use super::scanner::Scanner;
use super::{DemoError, check};

/// People who are asked for.
const SAMPLED: u64 = 2_000;
/// Scanners that share the work.
const SCANNERS: usize = 16;

/// What came of it.
#[derive(Debug)]
pub(super) struct Restart {
    /// People asked for.
    pub(super) asked: u64,
    /// Those who were not found.
    pub(super) lost: u64,
    /// Whether the erased person came back.
    pub(super) erased_found: bool,
}

/// Asks for a sample of everybody, with the palms as they were enrolled.
pub(super) async fn run(host: &Host, plan: &Plan) -> Result<Restart, CliError> {
    let mut subjects: Vec<u64> = plan.sample(SAMPLED).filter(|s| *s != LEAVER).collect();
    subjects.push(plan.newcomer());
    let mut tasks = JoinSet::new();
    for (number, part) in subjects.chunks(subjects.len().div_ceil(SCANNERS)).enumerate() {
        let name = format!("returning-{number}");
        let scanner = Scanner::single(host.member(arena(), Role::Scanner, &name).await?, &name);
        tasks.spawn(lost(plan.clone(), scanner, part.to_vec()));
    }
    let mut all = 0;
    while let Some(part) = tasks.join_next().await {
        all += part.map_err(|error| DemoError::Broken(error.to_string()))??;
    }
    let client = host.member(arena(), Role::Scanner, "returning-leaver").await?;
    let mut scanner = Scanner::single(client, "returning-leaver");
    let answer = Answer::of(&scanner.ask(&plan.enrolled(LEAVER)).await?);
    Ok(Restart {
        asked: subjects.len() as u64,
        lost: all,
        erased_found: answer != Answer::NoMatch,
    })
}

async fn lost(plan: Plan, mut scanner: Scanner, subjects: Vec<u64>) -> Result<u64, CliError> {
    let mut lost = 0;
    for subject in subjects {
        let response = scanner.ask(&plan.enrolled(subject)).await?;
        lost += u64::from(!Answer::of(&response).names(subject));
    }
    Ok(lost)
}

impl Restart {
    /// What must hold.
    pub(super) fn checks(&self) -> Vec<Check> {
        vec![
            check(
                "everybody else is there after a restart",
                self.asked > 0 && self.lost == 0,
                format!("{} of {} lost", self.lost, self.asked),
            ),
            check(
                "the erased person stays away",
                !self.erased_found,
                if self.erased_found { "found" } else { "nobody" },
            ),
        ]
    }
}

#[cfg(test)]
#[path = "restart_tests.rs"]
mod tests;
