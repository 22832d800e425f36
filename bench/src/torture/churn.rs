//! Tenants that come and go: made and dropped while the server is tortured, and audited like subjects; and new keys for those that stay. Reaches into no gallery.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use thenar::client::{Client, api};
use tonic::Code;

use super::journal::Journal;
use super::ledger::{Enrolled, Ledger};
use super::report::Tally;
use super::verdict::{State, Wrong, number_of, subject_id};
use crate::live::calls;
use crate::live::palms::policy;

/// What their names begin with.
const PREFIX: &str = "churn";
/// Their dimension: the smallest, so that they are made quickly.
const DIM: u32 = 32;
/// So many are there at once, about.
const LIVING_MAX: usize = 4;
/// How many of the changes are rotations of keys.
const ROTATIONS_SHARE: f64 = 0.1;
/// Rest between two changes.
const REST: Duration = Duration::from_millis(30);

/// The model of these tenants, and who makes them. Clones share everything.
#[derive(Clone)]
pub struct Churn {
    ledger: Arc<Mutex<Ledger>>,
    tally: Arc<Tally>,
    /// Tenants that stay.
    staying: Arc<[&'static str]>,
}

impl Churn {
    /// None is there.
    pub fn new(tally: Arc<Tally>, staying: &[&'static str]) -> Self {
        Self {
            ledger: Arc::new(Mutex::new(Ledger::new(PREFIX))),
            tally,
            staying: staying.into(),
        }
    }

    /// Whether the journal has all tenants that were acknowledged as dropped.
    pub fn check(&self, journal: &Journal) {
        journal.check_dropped(&self.ledger(), &self.tally);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while writing it")
    }

    fn broken(&self, wrong: Wrong, number: u64, operation: String) {
        let name = subject_id(PREFIX, number);
        self.tally.broken(wrong, &name, "the tenant", operation);
    }

    /// Makes and drops tenants until it is told to stop.
    pub async fn work(self, admin: Client, stop: Arc<AtomicBool>, mut rng: ChaCha8Rng) {
        while !stop.load(Ordering::Acquire) {
            tokio::time::sleep(REST).await;
            if rng.random_bool(ROTATIONS_SHARE) {
                self.rotate(&admin, &mut rng).await;
                continue;
            }
            let chosen = {
                let mut ledger = self.ledger();
                if ledger.living() < LIVING_MAX || rng.random_bool(0.3) {
                    None
                } else {
                    ledger.begin_erase(&mut rng)
                }
            };
            if let Some(number) = chosen {
                self.drop_tenant(&admin, number).await;
            } else {
                let number = self.ledger().begin_enroll();
                self.create(&admin, number).await;
            }
        }
    }

    /// One that is cut off is begun again by the next start, or the next one like it.
    async fn rotate(&self, admin: &Client, rng: &mut ChaCha8Rng) {
        let Some(tenant) = self.staying.get(rng.random_range(0..self.staying.len())) else {
            return;
        };
        let purpose = [api::KeyPurpose::Data, api::KeyPurpose::Transform][usize::from(rng.random_bool(0.5))];
        let request = self.ledger().fresh_request("rotate");
        match calls::rotate_key(admin, request, tenant, purpose).await {
            Ok(()) => self.tally.acknowledge(|counts| counts.rotated += 1),
            Err(status) if self.tally.is_excused(&status) => {}
            Err(status) => {
                let text = format!("RotateKey failed: {:?}: {}", status.code(), status.message());
                self.tally.broken(Wrong::Unexpected, tenant, "its keys", text);
            }
        }
    }

    async fn create(&self, admin: &Client, number: u64) -> bool {
        let name = subject_id(PREFIX, number);
        match calls::create_tenant(admin, &name, DIM, policy(false)).await {
            Ok(_) => {
                let mut ledger = self.ledger();
                if ledger.state(number) != State::Present {
                    ledger.enrolled(
                        number,
                        Enrolled {
                            references: Vec::new(),
                            sequence: 0,
                        },
                    );
                    self.tally.acknowledge(|counts| counts.tenants += 1);
                }
                true
            }
            Err(status) => {
                if !self.tally.is_excused(&status) {
                    let text = format!("CreateTenant failed: {:?}: {}", status.code(), status.message());
                    self.broken(Wrong::Unexpected, number, text);
                }
                false
            }
        }
    }

    async fn drop_tenant(&self, admin: &Client, number: u64) -> bool {
        let name = subject_id(PREFIX, number);
        match calls::drop_tenant(admin, &name).await {
            Ok(()) => {
                self.ledger().erased(number, number);
                self.tally.acknowledge(|counts| counts.tenants += 1);
                true
            }
            Err(status) if status.code() == Code::NotFound => {
                self.broken(Wrong::Lost, number, format!("DropTenant: {}", status.message()));
                false
            }
            Err(status) => {
                if !self.tally.is_excused(&status) {
                    let text = format!("DropTenant failed: {:?}: {}", status.code(), status.message());
                    self.broken(Wrong::Unexpected, number, text);
                }
                false
            }
        }
    }

    /// Settles what is in doubt, repeats some of it, and compares all that are there. How many were in doubt. Without a restart before it
    /// one whose making failed stays in doubt: its directory may be there for the next start.
    pub async fn audit(&self, admin: &Client, beside: &[&str], restarted: bool, mut rng: ChaCha8Rng) -> u64 {
        let touched = self.ledger().take_touched();
        let in_doubt = self.ledger().in_doubt(&touched);
        let Some(there) = self.list(admin, beside).await else {
            return 0;
        };
        for number in &in_doubt {
            let state = self.ledger().state(*number);
            // One that was half dropped answers nobody until that is repeated, or the server starts anew.
            let half_dropped = there.get(number) == Some(&false);
            let half_made = !restarted && state == State::Enrolling && !there.contains_key(number);
            if half_made {
                self.ledger().touch(*number);
            } else if !half_dropped {
                self.ledger().settle(*number, there.contains_key(number));
            }
            if !half_dropped && rng.random_bool(0.5) {
                continue;
            }
            let done = match state {
                State::Enrolling => self.create(admin, *number).await,
                _ if there.contains_key(number) => self.drop_tenant(admin, *number).await,
                _ => true,
            };
            if !done {
                let text = "a repetition after the restart was not done".to_owned();
                self.broken(Wrong::Unexpected, *number, text);
            }
        }
        let Some(there) = self.list(admin, beside).await else {
            return 0;
        };
        let ledger = self.ledger();
        for number in ledger.numbers() {
            match (ledger.state(number), there.contains_key(&number)) {
                (State::Present, false) => {
                    self.broken(Wrong::Lost, number, "it is not among the tenants".to_owned());
                }
                (State::Erased | State::Absent, true) => {
                    self.broken(Wrong::Resurrected, number, "it is among the tenants".to_owned());
                }
                _ => {}
            }
        }
        in_doubt.len() as u64
    }

    /// Those that the server lists, and whether they are ready. All have to be, but those whose drop failed; and all have to be known
    /// here or be `beside`.
    async fn list(&self, admin: &Client, beside: &[&str]) -> Option<BTreeMap<u64, bool>> {
        let tenants = match calls::tenants(admin).await {
            Ok(tenants) => tenants,
            Err(status) => {
                let text = format!("ListTenants failed: {}", status.message());
                self.tally.broken(Wrong::Unexpected, "-", "all tenants", text);
                return None;
            }
        };
        let mut there = BTreeMap::new();
        for tenant in tenants {
            let ready = tenant.state() == api::TenantState::Ready;
            let in_doubt = self.ledger().state_of(&tenant.tenant) == Some(State::Erasing);
            if !ready && !in_doubt {
                let text = format!("it is not ready: {}", tenant.reason);
                self.tally
                    .broken(Wrong::Unexpected, &tenant.tenant, "the tenant", text);
            }
            match number_of(PREFIX, &tenant.tenant) {
                Some(number) if self.ledger().numbers().contains(&number) => {
                    there.insert(number, ready);
                }
                _ if beside.contains(&tenant.tenant.as_str()) => {}
                _ => {
                    let text = "nobody made it".to_owned();
                    self.tally
                        .broken(Wrong::Unexpected, &tenant.tenant, "the tenant", text);
                }
            }
        }
        Some(there)
    }
}
