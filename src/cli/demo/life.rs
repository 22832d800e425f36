//! The act on coming and going: an enrolment is found by the next call, an erased person by none, and the files get clean.

use std::time::{Duration, Instant};

use crate::client::api;
use crate::model::principal::Role;

use super::super::erase::purged;
use super::super::error::CliError;
use super::super::simulated::oracle::Answer;
use super::super::simulated::{self, subject_id};
use super::check;
use super::host::Host;
use super::plan::{LEAVER, Plan, arena};
use super::report::Check;
use super::scanner::Scanner;

/// How long the files may take to be clean.
const PURGE_MAX: Duration = Duration::from_mins(1);

/// Whether somebody was found before and after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) before: bool,
    pub(super) after: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Life {
    /// The person who was enrolled.
    pub(super) newcomer: Found,
    /// The person who was erased.
    pub(super) leaver: Found,
    /// How long the files took, or what is wrong.
    pub(super) purge: Result<Duration, String>,
}

/// Enrols the newcomer and erases the leaver.
pub(super) async fn run(host: &Host, plan: &Plan) -> Result<Life, CliError> {
    let client = host.member(arena(), Role::Enroller, "desk-1").await?;
    let scanner_client = host.member(arena(), Role::Scanner, "gate-2").await?;
    let mut scanner = Scanner::single(scanner_client, "gate-2");

    let newcomer = plan.enrolled(plan.newcomer());
    let before = Answer::of(&scanner.ask(&newcomer).await?) != Answer::NoMatch;
    let request = api::EnrollRequest {
        request_id: "enrol-newcomer".to_owned(),
        subject_id: subject_id(plan.newcomer()),
        signatures: vec![newcomer.message()],
        consent: Some(simulated::consent()),
        ..api::EnrollRequest::default()
    };
    client.enrollment().enroll(request).await?;
    let after = Answer::of(&scanner.ask(&newcomer).await?).names(plan.newcomer());
    let newcomer = Found { before, after };

    let leaver = plan.enrolled(LEAVER);
    let before = Answer::of(&scanner.ask(&leaver).await?).names(LEAVER);
    let request = api::EraseRequest {
        request_id: "erase-leaver".to_owned(),
        subject: Some(api::erase_request::Subject::SubjectId(subject_id(LEAVER))),
        ..api::EraseRequest::default()
    };
    let erased = client.enrollment().erase(request).await?.into_inner();
    let begin = Instant::now();
    let after = Answer::of(&scanner.ask(&leaver).await?) != Answer::NoMatch;
    let purge = match purged(&client, "", erased.erasure, PURGE_MAX).await {
        Ok(_) => Ok(begin.elapsed()),
        Err(CliError::TimedOut(text)) => Err(text),
        Err(error) => return Err(error),
    };
    Ok(Life {
        newcomer,
        leaver: Found { before, after },
        purge,
    })
}

impl Life {
    /// What must hold.
    pub(super) fn checks(&self) -> Vec<Check> {
        let words = |found: Found| {
            let word = |found| if found { "found" } else { "nobody" };
            format!("{}, then {}", word(found.before), word(found.after))
        };
        vec![
            check(
                "an enrolment is found by the next call",
                !self.newcomer.before && self.newcomer.after,
                words(self.newcomer),
            ),
            check(
                "an erased person is found by no call",
                self.leaver.before && !self.leaver.after,
                words(self.leaver),
            ),
            check(
                "no file holds a byte of the erased palm",
                self.purge.is_ok(),
                match &self.purge {
                    Ok(took) => format!("receipt says PURGED after {:.1} s", took.as_secs_f64()),
                    Err(text) => text.clone(),
                },
            ),
        ]
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
