//! What is done to one tenant: sends, and writes the outcome into the model. Chooses nothing.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use thenar::client::api;
use thenar::model::checkpoint::SignedCheckpoint;
use tonic::{Code, Status};

use super::ledger::{Came, Enrolled, Ledger};
use super::report::Tally;
use super::verdict::{State, Wrong, judge_live, number_of, subject_id};
use crate::live::calls::{Badges, Desk};
use crate::live::palms::Palms;

/// How often an import that is kept out is asked for again, at most.
const KEPT_OUT_TRIES_MAX: usize = 100;
/// Rest before that.
const KEPT_OUT_REST: Duration = Duration::from_millis(50);

/// Once the disk has room again, a write has to be done within this time.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it is tried.
const ROOM_POLL: Duration = Duration::from_millis(2);

/// A tenant outside the server.
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Its palms.
    pub palms: Palms,
    /// Its callers.
    pub badges: Badges,
    /// What was acknowledged.
    ledger: Mutex<Ledger>,
    /// The last checkpoint of its history that was given out.
    checkpoint: Mutex<Option<SignedCheckpoint>>,
}

impl Tenant {
    /// With an empty gallery.
    pub fn new(name: &str, palms: Palms, badges: Badges) -> Self {
        Self {
            name: name.to_owned(),
            palms,
            badges,
            ledger: Mutex::new(Ledger::new(name)),
            checkpoint: Mutex::default(),
        }
    }

    /// The model.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while writing it")
    }

    /// The last checkpoint of its history that was given out.
    pub fn checkpoint(&self) -> MutexGuard<'_, Option<SignedCheckpoint>> {
        self.checkpoint.lock().expect("nobody panics while writing it")
    }
}

/// Somebody who works on a tenant. Clones share everything.
#[derive(Clone)]
pub struct Deeds {
    /// Whose.
    pub tenant: Arc<Tenant>,
    /// Over what.
    pub desk: Desk,
    /// Counts.
    pub tally: Arc<Tally>,
}

impl Deeds {
    /// Enrols a subject that was begun, or repeats that. Whether it was acknowledged.
    pub async fn enroll(&self, number: u64) -> bool {
        let (tenant, id) = (&self.tenant, self.id(number));
        let request = format!("{}-e-{number}", tenant.name);
        let palm = tenant.palms.reference(number);
        let answer = match self.desk.enroll(&request, &id, &palm).await {
            Ok(answer) => answer,
            Err(status) => return self.failed(&status, &id, "Enroll"),
        };
        let answer = Enrolled {
            references: answer.references,
            sequence: answer.sequence,
        };
        if answer.references.len() != 1 {
            self.broken(Wrong::Unexpected, &id, format!("Enroll was answered {answer:?}"));
        }
        let mut ledger = tenant.ledger();
        if let Came::Enrolled(Some(before)) = ledger.came(number) {
            if *before != answer {
                self.broken(
                    Wrong::Unexpected,
                    &id,
                    format!("Enroll {request} was answered {before:?}, then {answer:?}"),
                );
            }
            return true;
        }
        if !matches!(
            ledger.state(number),
            State::Enrolling | State::Absent | State::Present
        ) {
            self.broken(
                Wrong::Resurrected,
                &id,
                "Enroll was repeated after the erasure and done".to_owned(),
            );
        }
        ledger.enrolled(number, answer);
        ledger.answered(request, Some(number), true);
        self.tally.acknowledge(|counts| counts.enrolled += 1);
        true
    }

    /// A write that the full disk refused may be repeated as soon as there is room.
    pub async fn enroll_with_room_again(&self) {
        let lifted = Instant::now();
        let number = self.tenant.ledger().begin_enroll();
        while !self.enroll(number).await {
            if lifted.elapsed() > ROOM_WAIT_MAX {
                let text = "an enrolment is still refused though the disk has room again".to_owned();
                return self.broken(Wrong::Unexpected, &self.id(number), text);
            }
            tokio::time::sleep(ROOM_POLL).await;
        }
    }

    /// Imports subjects that were begun, or repeats that. Whether it was acknowledged.
    pub async fn import(&self, import: usize) -> bool {
        let tenant = &self.tenant;
        let request = format!("{}-m-{import}", tenant.name);
        let numbers = tenant.ledger().import(import).numbers.clone();
        let rows: Vec<_> = numbers
            .clone()
            .map(|number| (self.id(number), tenant.palms.reference(number)))
            .collect();
        let count = rows.len() as u64;
        let mut answer = self.desk.import(&request, rows.clone()).await;
        for _ in 0..KEPT_OUT_TRIES_MAX {
            // A rotation of the tenant's keys under way keeps imports out, also those that were done before.
            let Err(status) = &answer else { break };
            if status.code() != Code::ResourceExhausted
                || !status.message().starts_with("imports of one tenant")
            {
                break;
            }
            tokio::time::sleep(KEPT_OUT_REST).await;
            answer = self.desk.import(&request, rows.clone()).await;
        }
        match answer {
            Err(status) => self.failed(&status, &request, "Import"),
            Ok(answer) => {
                let mut ledger = tenant.ledger();
                let before = ledger.import(import).sequence;
                if answer.imported != count || before.is_some_and(|before| before != answer.sequence) {
                    self.broken(
                        Wrong::Unexpected,
                        &request,
                        format!("Import of {count} rows was answered {answer:?}; sequence before {before:?}"),
                    );
                }
                if before.is_none() {
                    self.tally.acknowledge(|counts| counts.imported += count);
                }
                ledger.imported(import, answer.sequence);
                true
            }
        }
    }

    /// Erases a subject whose erasure was begun, or repeats that. Whether it was acknowledged.
    pub async fn erase(&self, number: u64) -> bool {
        let id = self.id(number);
        let request = format!("{}-x-{number}", self.tenant.name);
        let answer = match self.desk.erase(&request, &id).await {
            Ok(answer) => answer,
            Err(status) if status.code() == Code::NotFound => {
                self.broken(Wrong::Lost, &id, format!("Erase {request}: {}", status.message()));
                return false;
            }
            Err(status) => return self.failed(&status, &id, "Erase"),
        };
        let mut ledger = self.tenant.ledger();
        match ledger.erasure(number) {
            Some(before) if before != answer.erasure => self.broken(
                Wrong::Unexpected,
                &id,
                format!("Erase {request} was answered {before}, then {}", answer.erasure),
            ),
            Some(_) => {}
            None => self.tally.acknowledge(|counts| counts.erased += 1),
        }
        ledger.erased(number, answer.erasure);
        true
    }

    /// Repeats the enrolment of somebody who was erased since, which must bring nobody back.
    pub async fn enroll_erased(&self, number: u64) {
        let id = self.id(number);
        let request = format!("{}-e-{number}", self.tenant.name);
        let palm = self.tenant.palms.reference(number);
        match self.desk.enroll(&request, &id, &palm).await {
            Ok(answer) => self.broken(
                Wrong::Resurrected,
                &id,
                format!("Enroll {request} was repeated after the erasure and answered {answer:?}"),
            ),
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => {
                self.failed(&status, &id, "Enroll after Erase");
            }
        }
    }

    /// Who has this palm. `None` when there was no answer; else it is in the history from now on.
    pub async fn identify(&self, palm: &[f32]) -> Option<Option<String>> {
        let request = self.tenant.ledger().fresh_request("i");
        let answer = match self.desk.identify(&request, palm).await {
            Ok(answer) => answer,
            Err(status) => {
                self.failed(&status, &request, "Identify");
                return None;
            }
        };
        let found = match answer.decision() {
            api::Decision::Match => Some(answer.subject_id),
            api::Decision::NoMatch => None,
            other => {
                self.broken(
                    Wrong::Unexpected,
                    &request,
                    format!("Identify was answered {other:?}"),
                );
                return None;
            }
        };
        let subject = found
            .as_deref()
            .and_then(|found| number_of(&self.tenant.name, found));
        self.tenant.ledger().answered(request, subject, false);
        self.tally.acknowledge(|counts| counts.answered += 1);
        Some(found)
    }

    /// Identifies a subject while others change the gallery.
    pub async fn identify_live(&self, number: u64, capture: u64) -> bool {
        let before = self.tenant.ledger().state(number);
        let palm = self.tenant.palms.probe(number, capture);
        let Some(found) = self.identify(&palm).await else {
            return false;
        };
        let after = self.tenant.ledger().state(number);
        let states = (before, after);
        if let Some(wrong) = judge_live(&self.tenant.name, number, states, found.as_deref()) {
            self.broken(
                wrong,
                &self.id(number),
                format!("Identify found {found:?}; it was {before:?} when asked, {after:?} when answered"),
            );
        }
        true
    }

    /// Verifies a subject while others change the gallery.
    pub async fn verify_live(&self, number: u64, capture: u64) -> bool {
        let id = self.id(number);
        let (before, request) = {
            let mut ledger = self.tenant.ledger();
            (ledger.state(number), ledger.fresh_request("v"))
        };
        let palm = self.tenant.palms.probe(number, capture);
        let answer = self.desk.verify(&request, &id, &palm).await;
        let mut ledger = self.tenant.ledger();
        let states = (before, ledger.state(number));
        let wrong = match (&answer, states) {
            (Ok(answer), (State::Present, State::Present)) if answer.decision() != api::Decision::Match => {
                Some(Wrong::Lost)
            }
            (Err(status), (State::Present, State::Present)) if status.code() == Code::NotFound => {
                Some(Wrong::Lost)
            }
            (Ok(_), (State::Erased, State::Erased)) => Some(Wrong::Resurrected),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.broken(
                wrong,
                &id,
                format!("Verify was answered {answer:?}; it was {states:?}"),
            );
        }
        match answer {
            Ok(_) => {
                ledger.answered(request, Some(number), false);
                self.tally.acknowledge(|counts| counts.answered += 1);
                true
            }
            Err(status) if status.code() == Code::NotFound => true,
            Err(status) => self.failed(&status, &id, "Verify"),
        }
    }

    /// Name of a subject.
    pub fn id(&self, number: u64) -> String {
        subject_id(&self.tenant.name, number)
    }

    /// Counts a broken promise.
    pub fn broken(&self, wrong: Wrong, subject: &str, operation: String) {
        self.tally.broken(wrong, &self.tenant.name, subject, operation);
    }

    /// No answer: that's in doubt, unless the error is one that must not be.
    fn failed(&self, status: &Status, subject: &str, method: &str) -> bool {
        if !self.tally.is_excused(status) {
            self.broken(
                Wrong::Unexpected,
                subject,
                format!("{method} failed: {:?}: {}", status.code(), status.message()),
            );
        }
        false
    }
}
