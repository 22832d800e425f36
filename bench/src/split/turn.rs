//! One turn of a loss: the traffic undisturbed, then with the node lost and back, and what its calls come to. Prints nothing.

use std::ops::Add;
use std::time::Duration;

use serde::Serialize;

use super::Bench;
use super::call::{self, Call, Outcome, Service, Tenant, ms};
use super::deployment::Loss;
use super::drain::UnderWay;
use super::traffic::Traffic;
use crate::Failure;
use crate::live::metrics;

/// Traffic before a loss and after a return.
const AROUND: Duration = Duration::from_secs(1);
/// Longest time from a return to the first answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often the front is looked at while a node is lost.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// Calls that come at once just before a drain.
const BURST: usize = 256;
/// Longest drain, well below what a server allows by default.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// The front as its machine and its metrics show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Front {
    /// Resident memory before the loss, in bytes.
    pub bytes_before: f64,
    /// Most of it while the node was lost.
    pub bytes_max: f64,
    /// Most calls that it had begun and not ended meanwhile.
    pub calls_max: f64,
}

/// What one turn came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Calls of the lost tenant that were due while its node was lost, by outcome.
    pub lost: Outcomes,
    /// The slowest outcome of these, from when it was due, in milliseconds.
    pub slowest_ms: f64,
    /// How late the callers themselves were at most, in milliseconds.
    pub callers_late_ms: f64,
    /// From the loss to the first refusal at once, in milliseconds; none where there was none.
    pub noticed_ms: Option<f64>,
    /// From the return to the first answer, in milliseconds.
    pub back_ms: f64,
    /// The other tenant, undisturbed.
    pub quiet: Service,
    /// The other tenant while the node was lost.
    pub disturbed: Service,
    /// The first front.
    pub front: Front,
    /// Calls that had no outcome yet when a drain began; those that the front had not sent on by then it refuses.
    pub in_flight: Option<Outcomes>,
    /// Outcomes that must not be, of any tenant at any time, in words.
    pub faults: Vec<String>,
}

/// Calls by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// Right answers.
    pub answered: usize,
    /// Refusals by the names of tenant and node.
    pub unavailable: usize,
    /// `DEADLINE_EXCEEDED` by the front.
    #[serde(rename = "deadline_exceeded")]
    pub late: usize,
    /// Calls whose deadline passed at the caller before the front said anything.
    pub untold: usize,
}

impl Add for Outcomes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            answered: self.answered + other.answered,
            unavailable: self.unavailable + other.unavailable,
            late: self.late + other.late,
            untold: self.untold + other.untold,
        }
    }
}

impl Outcomes {
    /// Counts them. What must not be is found by [`faults`].
    pub fn of(calls: &[&Call]) -> Self {
        let mut counted = Self::default();
        for call in calls {
            match call.outcome {
                Outcome::Answered => counted.answered += 1,
                Outcome::Unavailable { .. } => counted.unavailable += 1,
                Outcome::Late => counted.late += 1,
                Outcome::Untold => counted.untold += 1,
                Outcome::Wrong(_) | Outcome::Refused(_) => {}
            }
        }
        counted
    }
}

/// When things happened, since the traffic began.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// The node is about to be lost.
    pub losing: Duration,
    /// It is lost.
    pub lost: Duration,
    /// It is about to come back.
    pub returning: Duration,
    /// It is back.
    pub back: Duration,
}

/// What must not be among all calls of a disturbed turn: wrong answers to anybody; to the lost tenant also refusals of another kind, and answers while its node was
/// lost. A node that drains answers what it has until the front knows.
pub fn faults(loss: Loss, calls: &[Call], moments: &Moments) -> Vec<String> {
    let while_lost = call::due(calls, Tenant::Lost, moments.losing, moments.returning);
    let silent_from = match loss {
        Loss::Drained => call::first_at_once(&while_lost),
        _ => Some(moments.lost),
    };
    let silent = silent_from.unwrap_or(moments.returning)..moments.returning;
    let fault = |call: &Call| {
        let is_lost = call.tenant == Tenant::Lost;
        let what = match &call.outcome {
            Outcome::Wrong(what) => what,
            Outcome::Refused(what) if is_lost => what,
            Outcome::Answered if is_lost && silent.contains(&call.due) && call.ended < moments.returning => {
                "answered, though the node was lost"
            }
            _ => return None,
        };
        Some(format!(
            "{} at {:.0} ms: {what}",
            call.tenant.name(),
            ms(call.due)
        ))
    };
    calls.iter().filter_map(fault).collect()
}

impl Bench {
    /// Undisturbed, then disturbed.
    pub(super) fn turn(&mut self, loss: Loss) -> Result<Turn, Failure> {
        let (quiet, mut faults) = self.quiet()?;
        let mut disturbed = self.disturbed(loss, quiet)?;
        disturbed.faults.append(&mut faults);
        Ok(disturbed)
    }

    /// The other tenant while nothing happens, and what is wrong even then.
    fn quiet(&mut self) -> Result<(Service, Vec<String>), Failure> {
        let mut traffic = self.traffic();
        traffic.go_on(AROUND + self.plan.length);
        let calls = traffic.finish();
        let other = call::due(&calls, Tenant::Other, AROUND, Duration::MAX);
        let service = Service::of(&other).ok_or("nobody is answered, though nothing happens")?;
        let never = Moments {
            losing: Duration::MAX,
            lost: Duration::MAX,
            returning: Duration::MAX,
            back: Duration::MAX,
        };
        Ok((service, faults(Loss::Killed, &calls, &never)))
    }

    fn disturbed(&mut self, loss: Loss, quiet: Service) -> Result<Turn, Failure> {
        let mut traffic = self.traffic();
        let ended_before = self.front_ended()?;
        traffic.go_on(AROUND);
        let drain = match loss {
            Loss::Drained => Some(self.something_to_finish(&mut traffic)?),
            _ => None,
        };
        let bytes_before = self.deployment.front_bytes()?;
        let losing = traffic.now();
        self.deployment.lose(loss)?;
        let lost = traffic.now();
        self.deployment.verify_lost(loss)?;
        let front = self.watch(loss, &mut traffic, bytes_before, ended_before)?;
        self.deployment.verify_lost(loss)?;
        let returning = traffic.now();
        if let Some(drain) = drain {
            self.runtime.block_on(drain.finish())?;
        }
        self.runtime.block_on(self.deployment.bring_back(loss))?;
        let back = traffic.now();
        let is_back =
            |call: &Call| call.tenant == Tenant::Lost && call.is_answered() && call.due >= returning;
        traffic.until(PATIENCE, is_back)?;
        traffic.go_on(AROUND);
        let moments = Moments {
            losing,
            lost,
            returning,
            back,
        };
        judged(loss, &traffic.finish(), &moments, quiet, front)
    }

    fn traffic(&mut self) -> Traffic {
        self.turns += 1;
        Traffic::begin(self.runtime.handle(), &self.crowds, self.plan.rhythm, self.turns)
    }

    /// An import under way at the node, and identifications of which the first has just been answered.
    fn something_to_finish(&mut self, traffic: &mut Traffic) -> Result<UnderWay, Failure> {
        let [lost, _] = &*self.crowds;
        let operator = self.operators.first().and_then(|operators| operators.at.first());
        let operator = operator.ok_or("there is an operator")?;
        let under_way = UnderWay::begin(operator, &lost.population, self.next_palm);
        let under_way = self.runtime.block_on(under_way)?;
        self.next_palm += super::drain::PALMS;
        let from = traffic.now();
        traffic.burst(Tenant::Lost, BURST);
        traffic.until(PATIENCE, |call| call.tenant == Tenant::Lost && call.due >= from)?;
        Ok(under_way)
    }

    /// Lets the traffic go on for the length of the loss and looks at the front meanwhile.
    fn watch(
        &self,
        loss: Loss,
        traffic: &mut Traffic,
        bytes_before: f64,
        ended_before: f64,
    ) -> Result<Front, Failure> {
        let length = match loss {
            Loss::Drained => self.plan.length.min(DRAIN_MAX),
            _ => self.plan.length,
        };
        let end = traffic.now() + length;
        let mut front = Front {
            bytes_before,
            bytes_max: bytes_before,
            calls_max: 0.0,
        };
        while traffic.now() < end {
            traffic.go_on(SAMPLE_EVERY);
            let made = traffic.made();
            let ended = self.front_ended()? - ended_before;
            front.bytes_max = front.bytes_max.max(self.deployment.front_bytes()?);
            #[expect(clippy::cast_precision_loss, reason = "calls of one turn")]
            let under_way = made as f64 - ended;
            front.calls_max = front.calls_max.max(under_way);
        }
        Ok(front)
    }

    /// Identifications that the first front has ended, however.
    fn front_ended(&self) -> Result<f64, Failure> {
        let text = self.deployment.metrics()?;
        Ok(metrics::sum(&text, "thenar_requests_total", "method", "Identify"))
    }
}

/// What the calls of a disturbed turn come to.
fn judged(
    loss: Loss,
    calls: &[Call],
    moments: &Moments,
    quiet: Service,
    front: Front,
) -> Result<Turn, Failure> {
    let Moments {
        losing,
        returning,
        back,
        ..
    } = *moments;
    let lost = call::due(calls, Tenant::Lost, losing, returning);
    let after = call::due(calls, Tenant::Lost, returning, Duration::MAX);
    let first_answer = call::first_answer(&after).ok_or("nobody was answered after the return")?;
    let other = call::due(calls, Tenant::Other, losing, returning);
    let slowest = lost.iter().map(|call| call.latency_ms()).reduce(f64::max);
    let before = call::due(calls, Tenant::Lost, Duration::ZERO, losing);
    let in_flight = call::under_way(&before, losing);
    Ok(Turn {
        lost: Outcomes::of(&lost),
        slowest_ms: slowest.ok_or("nobody came while the node was lost")?,
        callers_late_ms: calls.iter().map(Call::late_ms).fold(0.0, f64::max),
        noticed_ms: call::first_at_once(&lost).map(|at| ms(at.saturating_sub(losing))),
        back_ms: ms(first_answer.saturating_sub(back)),
        quiet,
        disturbed: Service::of(&other).ok_or("nobody of the other tenant was answered")?,
        front,
        in_flight: (loss == Loss::Drained).then(|| Outcomes::of(&in_flight)),
        faults: faults(loss, calls, moments),
    })
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
