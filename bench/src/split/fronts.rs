//! Whether fronts side by side give the same answers to the same questions. Measures no time.

use std::time::{Duration, Instant};

use thenar::client::{Client, api};
use tonic::{Code, Request};

use super::call::Tenant;
use super::deployment::Deployment;
use super::traffic::Crowd;
use crate::Failure;

/// Questions about each tenant.
const QUESTIONS: usize = 32;
/// Candidates with scores that an operator asks for.
const CANDIDATES: u32 = 10;
/// Longest time until a front that was not asked meanwhile reaches a node that is back.
const PATIENCE: Duration = Duration::from_mins(1);
/// How soon it is asked again.
const AGAIN: Duration = Duration::from_millis(20);
/// How long each question may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Operators of one tenant, one at each front.
pub struct Operators {
    /// Whose.
    pub tenant: Tenant,
    /// At each front.
    pub at: Vec<Client>,
}

impl Operators {
    /// Connects one at each front.
    pub async fn connect(deployment: &Deployment, tenant: Tenant) -> Result<Self, Failure> {
        let path = format!("/tenant/{}/operator/bench", tenant.name());
        let mut at = Vec::new();
        for front in 0..deployment.fronts() {
            at.push(deployment.connect(front, &path).await?);
        }
        Ok(Self { tenant, at })
    }
}

/// Asks each front the same: how many questions that were. Any difference, in a score's last bit too, is an error.
pub async fn same(operators: &Operators, crowd: &Crowd, round: usize) -> Result<usize, Failure> {
    for number in 0..QUESTIONS {
        let mut answers = Vec::new();
        for operator in &operators.at {
            answers.push(ask(operator, crowd, round, number).await?);
        }
        let mut others = answers.iter().skip(1);
        if others.any(|answer| Some(answer) != answers.first()) {
            let tenant = operators.tenant.name();
            return Err(format!("the fronts answer question {number} to {tenant} in different ways").into());
        }
    }
    Ok(QUESTIONS)
}

async fn ask(
    operator: &Client,
    crowd: &Crowd,
    round: usize,
    number: usize,
) -> Result<api::IdentifyResponse, Failure> {
    let start = Instant::now();
    loop {
        let (palm, _) = crowd.captures.get(number);
        let mut request = Request::new(api::IdentifyRequest {
            request_id: format!("same-{round}-{number}"),
            probe: Some(palm.message()),
            candidates_max: CANDIDATES,
            ..Default::default()
        });
        request.set_timeout(DEADLINE);
        match operator.identity().identify(request).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(refusal) if refusal.code() == Code::Unavailable && start.elapsed() < PATIENCE => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
}
