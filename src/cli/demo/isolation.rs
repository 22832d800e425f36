//! The act on separation: what one tenant knows is unknown to the other, and no caller gets there. Changes nothing.

use tonic::Code;

use crate::client::{api, code_name};
use crate::model::principal::Role;

use super::super::error::CliError;
use super::super::simulated::oracle::Answer;
use super::check;
use super::host::Host;
use super::plan::{Plan, arena, office};
use super::report::Check;
use super::scanner::Scanner;

/// Palms of one tenant that are shown to the other.
const SHOWN: u64 = 500;

/// What came of it.
#[derive(Debug)]
pub(super) struct Isolation {
    /// Palms shown.
    pub(super) shown: u64,
    /// Those that the other tenant took for anyone.
    pub(super) matches: u64,
    /// How a scanner fared that named the other tenant.
    pub(super) trespass: Result<(), Code>,
}

/// Shows enrolled palms to the other tenant.
pub(super) async fn run(host: &Host, plan: &Plan) -> Result<Isolation, CliError> {
    let client = host.member(office(), Role::Scanner, "door-1").await?;
    let mut scanner = Scanner::single(client, "door-1");
    let (mut shown, mut matches) = (0, 0);
    for subject in plan.sample(SHOWN) {
        let response = scanner.ask(&plan.enrolled(subject)).await?;
        shown += 1;
        matches += u64::from(Answer::of(&response) != Answer::NoMatch);
    }
    Ok(Isolation {
        shown,
        matches,
        trespass: trespass(host, plan).await?,
    })
}

async fn trespass(host: &Host, plan: &Plan) -> Result<Result<(), Code>, CliError> {
    let client = host.member(arena(), Role::Scanner, "trespasser").await?;
    let request = api::IdentifyRequest {
        tenant: office().to_string(),
        request_id: "trespass".to_owned(),
        probe: Some(plan.enrolled(plan.palms).message()),
        ..api::IdentifyRequest::default()
    };
    let answer = client.identity().identify(request).await;
    Ok(answer.map(|_| ()).map_err(|status| status.code()))
}

impl Isolation {
    /// What must hold.
    pub(super) fn checks(&self) -> Vec<Check> {
        let told = match self.trespass {
            Ok(()) => "answered",
            Err(code) => code_name(code),
        };
        vec![
            check(
                "palms are strangers in the other tenant",
                self.shown > 0 && self.matches == 0,
                format!("{} of {} found", self.matches, self.shown),
            ),
            check(
                "no caller reaches the other tenant",
                self.trespass == Err(Code::PermissionDenied),
                told,
            ),
        ]
    }
}

#[cfg(test)]
#[path = "isolation_tests.rs"]
mod tests;
