//! A tenant as its callers reach it, through every front: questions with one retry, writes that are repeated until they are acknowledged. Judges no answer.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use thenar::client::{api, code_name};
use tokio::pin;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::verdict::subject_id;
use crate::Failure;
use crate::live::calls::{Answer, Badges, Desk, Fate, fate};
use crate::live::palms::Palms;

/// First and longest rest before a write is repeated.
const REST: Duration = Duration::from_millis(20);
const REST_MAX: Duration = Duration::from_secs(1);

/// A tenant and the ways to it.
pub struct Gallery {
    /// Its name.
    pub name: &'static str,
    /// Its palms.
    pub palms: Palms,
    /// One a front.
    desks: Vec<Desk>,
    requests: AtomicU64,
}

/// How a write ended that was repeated as long as nobody knew.
#[derive(Debug)]
pub enum Written<T> {
    /// Acknowledged.
    Done(T),
    /// Refused in a way that a repetition does not change.
    Refused(Status),
    /// Nobody knows, within the time that was allowed; the last error.
    InDoubt(Status),
}

impl Gallery {
    /// Connects to all fronts.
    pub async fn connect(
        name: &'static str,
        palms: Palms,
        badges: &Badges,
        fronts: &[String],
    ) -> Result<Self, Failure> {
        let mut desks = Vec::new();
        for front in fronts {
            desks.push(Desk::connect(front, badges).await?);
        }
        Ok(Self {
            name,
            palms,
            desks,
            requests: AtomicU64::new(0),
        })
    }

    /// How many fronts there are.
    pub fn fronts(&self) -> usize {
        self.desks.len()
    }

    /// Who has this palm: asks one front, and another one once that fails or half of the deadline is over. Whoever answers first counts.
    pub async fn identify(
        &self,
        front: usize,
        palm: &[f32],
        deadline: Duration,
    ) -> Answer<api::IdentifyResponse> {
        let request = format!(
            "{}-i-{}",
            self.name,
            self.requests.fetch_add(1, Ordering::Relaxed)
        );
        let one = self.desk(front).identify_within(&request, palm, deadline);
        let other = |left| self.desk(front + 1).identify_within(&request, palm, left);
        retried(one, other, deadline / 2, deadline).await
    }

    /// Waits until every front answers: who was just made is nowhere for a moment.
    pub async fn settled(&self, patience: Duration) -> Result<(), Failure> {
        let (begun, palm) = (tokio::time::Instant::now(), self.palms.reference(0));
        for desk in &self.desks {
            loop {
                let request = format!(
                    "{}-s-{}",
                    self.name,
                    self.requests.fetch_add(1, Ordering::Relaxed)
                );
                let Err(status) = desk.identify_within(&request, &palm, patience).await else {
                    break;
                };
                if begun.elapsed() > patience || fate(&status) != Fate::Unknown {
                    return Err(format!("tenant {} is not served: {status}", self.name).into());
                }
                tokio::time::sleep(REST).await;
            }
        }
        Ok(())
    }

    /// Enrols a subject, through one front after the other, until that is acknowledged.
    pub async fn enroll(
        &self,
        number: u64,
        front: usize,
        patience: Duration,
    ) -> Written<api::EnrollResponse> {
        let (request, id) = (format!("{}-e-{number}", self.name), subject_id(self.name, number));
        let palm = self.palms.reference(number);
        let enroll = |front: usize| self.desk(front).enroll(&request, &id, &palm);
        repeated(front, patience, enroll).await
    }

    /// Imports subjects, all of them or none. Once.
    pub async fn import(&self, numbers: Range<u64>) -> Answer<api::ImportResponse> {
        let request = format!("{}-m-{}", self.name, numbers.start);
        let row = |number| (subject_id(self.name, number), self.palms.reference(number));
        self.desk(0).import(&request, numbers.map(row).collect()).await
    }

    /// Erases a subject, through one front after the other, until that is acknowledged.
    pub async fn erase(&self, number: u64, front: usize, patience: Duration) -> Written<api::EraseResponse> {
        let (request, id) = (format!("{}-x-{number}", self.name), subject_id(self.name, number));
        let erase = |front: usize| self.desk(front).erase(&request, &id);
        repeated(front, patience, erase).await
    }

    fn desk(&self, front: usize) -> &Desk {
        let number = front % self.desks.len();
        self.desks.get(number).expect("below the length")
    }
}

/// An error in a few words that many calls have in common: addresses and numbers are taken out.
pub fn words(status: &Status) -> String {
    let mut words = String::new();
    for letter in status.message().chars().take(400) {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        if letter != '#' || !words.ends_with('#') {
            words.push(letter);
        }
    }
    format!("{}: {words}", code_name(status.code()))
}

/// The first answer of two calls, of which the second is made once the first one fails or `half` is over. A refusal that a retry does not change is an answer.
async fn retried<T, F: Future<Output = Answer<T>>>(
    one: impl Future<Output = Answer<T>>,
    other: impl FnOnce(Duration) -> F,
    half: Duration,
    deadline: Duration,
) -> Answer<T> {
    let begun = tokio::time::Instant::now();
    pin!(one);
    match timeout(half, &mut one).await {
        Ok(Err(status)) if fate(&status) == Fate::Unknown => {
            return other(deadline.saturating_sub(begun.elapsed())).await;
        }
        Ok(answer) => return answer,
        Err(_) => {}
    }
    let other = other(deadline.saturating_sub(begun.elapsed()));
    pin!(other);
    // Whoever fails waits for the other one.
    match select(one, other).await {
        Either::Left((Err(_), other)) => other.await,
        Either::Right((Err(status), one)) => one.await.map_err(|_| status),
        Either::Left((answer, _)) | Either::Right((answer, _)) => answer,
    }
}

/// Makes a call again, by the next front each time, as long as nobody knows how it ended.
async fn repeated<T, F: Future<Output = Answer<T>>>(
    first: usize,
    patience: Duration,
    mut call: impl FnMut(usize) -> F,
) -> Written<T> {
    let begun = tokio::time::Instant::now();
    let mut rest = REST;
    for front in first.. {
        let status = match call(front).await {
            Ok(answer) => return Written::Done(answer),
            Err(status) => status,
        };
        if fate(&status) != Fate::Unknown {
            return Written::Refused(status);
        }
        if begun.elapsed() > patience {
            return Written::InDoubt(status);
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(REST_MAX);
    }
    unreachable!("fronts are counted on for ever")
}

/// Whether an erasure was refused since nobody is known by that name.
pub fn is_unknown(status: &Status) -> bool {
    status.code() == Code::NotFound
}

#[cfg(test)]
#[path = "gallery_tests.rs"]
mod tests;
