//! Audits a restarted server against the model: settles what is in doubt, repeats requests, looks for the lost and the resurrected. Changes nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use super::chain;
use super::deeds::{Deeds, Tenant};
use super::ledger::Came;
use super::verdict::{Seen, State, Wrong, is_of, judge, number_of, subject_id};

/// Subjects looked at side by side.
const LOOKERS: usize = 8;
/// Requests repeated of those that were acknowledged, of each kind.
const REPEATS: usize = 4;
/// Palms of each other tenant that are tried.
const STRAYS: usize = 4;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that changed since, and so many of those that are there and of those that are not.
    Sample(usize),
    /// Everybody there ever was, and the whole history.
    Everything,
}

/// What an audit did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Audited {
    /// Subjects looked at.
    pub subjects: u64,
    /// Requests in doubt that it settled.
    pub settled: u64,
    /// Requests that it repeated.
    pub repeated: u64,
}

/// Audits one tenant; nobody else calls it meanwhile.
pub async fn audit(
    (deeds, data): (Deeds, PathBuf),
    others: Vec<Arc<Tenant>>,
    scope: Scope,
    mut rng: ChaCha8Rng,
) -> Audited {
    let touched = deeds.tenant.ledger().take_touched();
    let in_doubt = deeds.tenant.ledger().in_doubt(&touched);
    let repeated = settle(&deeds, &in_doubt, &mut rng).await + repeat(&deeds, &mut rng).await;
    let mut numbers = touched;
    numbers.extend(deeds.tenant.ledger().take_touched());
    {
        let ledger = deeds.tenant.ledger();
        match scope {
            Scope::Sample(count) => {
                for _ in 0..count {
                    numbers.extend(ledger.pick_present(&mut rng));
                    numbers.extend(ledger.pick_erased(&mut rng));
                }
            }
            Scope::Everything => numbers.extend(ledger.numbers()),
        }
    }
    let audited = Audited {
        subjects: numbers.len() as u64,
        settled: in_doubt.len() as u64,
        repeated,
    };
    look_at(&deeds, numbers.into_iter().collect()).await;
    // What was looked at was settled before; those entries are no change.
    deeds.tenant.ledger().take_touched();
    for other in others {
        strays(&deeds, &other, &mut rng).await;
    }
    figures(&deeds).await;
    history(&deeds, scope).await;
    chain::check(&deeds, &data).await;
    audited
}

/// Settles requests in doubt: some are repeated at once, the rest is looked at, and some of it repeated after that. How many were repeated.
async fn settle(deeds: &Deeds, in_doubt: &[u64], rng: &mut ChaCha8Rng) -> u64 {
    let mut repeats = BTreeSet::new();
    let mut looks = Vec::new();
    for number in in_doubt {
        if rng.random_bool(0.3) {
            repeats.insert(*number);
        } else {
            looks.push(*number);
            if rng.random_bool(0.5) {
                repeats.insert(*number);
            }
        }
    }
    let undone = |number: &u64| {
        let ledger = deeds.tenant.ledger();
        (ledger.state(*number), ledger.came(*number).clone())
    };
    let asked: BTreeMap<u64, (State, Came)> = in_doubt.iter().map(|n| (*n, undone(n))).collect();
    look_at(deeds, looks.clone()).await;
    halves(deeds, &looks, &asked);
    let mut imports = BTreeSet::new();
    for number in &repeats {
        let done = match asked.get(number) {
            Some((State::Erasing, _)) => deeds.erase(*number).await,
            Some((_, Came::Imported(import))) => !imports.insert(*import) || deeds.import(*import).await,
            _ => deeds.enroll(*number).await,
        };
        if !done {
            let id = deeds.id(*number);
            deeds.broken(
                Wrong::Unexpected,
                &id,
                "a repetition after the restart was not done".to_owned(),
            );
        }
    }
    repeats.len() as u64
}

/// Imports of which some subjects are there and some are not.
fn halves(deeds: &Deeds, looked: &[u64], asked: &BTreeMap<u64, (State, Came)>) {
    let mut seen: HashMap<usize, BTreeSet<bool>> = HashMap::new();
    let ledger = deeds.tenant.ledger();
    for number in looked {
        if let Some((State::Enrolling, Came::Imported(import))) = asked.get(number) {
            let there = ledger.state(*number) == State::Present;
            seen.entry(*import).or_default().insert(there);
        }
    }
    for (import, seen) in seen {
        if seen.len() > 1 {
            let request = format!("{}-m-{import}", deeds.tenant.name);
            deeds.broken(
                Wrong::Lost,
                &request,
                "some subjects of an import are there and some are not".to_owned(),
            );
        }
    }
}

/// Repeats requests that were acknowledged long ago; the answers have to be the same. How many.
async fn repeat(deeds: &Deeds, rng: &mut ChaCha8Rng) -> u64 {
    let (present, erased) = {
        let ledger = deeds.tenant.ledger();
        let present: Vec<u64> = (0..REPEATS).filter_map(|_| ledger.pick_present(rng)).collect();
        let erased: Vec<u64> = (0..REPEATS).filter_map(|_| ledger.pick_erased(rng)).collect();
        (present, erased)
    };
    let came = |number: u64| deeds.tenant.ledger().came(number).clone();
    for number in &present {
        let done = match came(*number) {
            Came::Enrolled(_) => deeds.enroll(*number).await,
            Came::Imported(import) => deeds.import(import).await,
        };
        if !done {
            let id = deeds.id(*number);
            deeds.broken(Wrong::Unexpected, &id, "a repetition was refused".to_owned());
        }
    }
    for number in &erased {
        if !deeds.erase(*number).await {
            let id = deeds.id(*number);
            deeds.broken(
                Wrong::Unexpected,
                &id,
                "a repeated erasure was refused".to_owned(),
            );
        }
        if matches!(came(*number), Came::Enrolled(_)) {
            deeds.enroll_erased(*number).await;
        }
    }
    (present.len() + erased.len()) as u64
}

/// Looks at subjects, several at a time, and settles those in doubt.
async fn look_at(deeds: &Deeds, numbers: Vec<u64>) {
    let queue = Arc::new(Mutex::new(numbers.into_iter()));
    let mut lookers = JoinSet::new();
    for _ in 0..LOOKERS {
        let (deeds, queue) = (deeds.clone(), Arc::clone(&queue));
        lookers.spawn(async move {
            loop {
                let next = queue.lock().expect("nobody panics while holding it").next();
                let Some(number) = next else { return };
                look(&deeds, number).await;
            }
        });
    }
    while let Some(ended) = lookers.join_next().await {
        ended.expect("a looker does not panic");
    }
}

async fn look(deeds: &Deeds, number: u64) {
    let id = deeds.id(number);
    let palm = deeds.tenant.palms.probe(number, 3);
    let found = deeds.identify(&palm).await;
    let (Some(found), Ok(references)) = (found, deeds.desk.references(&id).await) else {
        deeds.broken(Wrong::Unexpected, &id, "an audit got no answer".to_owned());
        return;
    };
    let seen = Seen { found, references };
    let mut ledger = deeds.tenant.ledger();
    let state = ledger.state(number);
    match judge(&deeds.tenant.name, number, state, &seen) {
        Ok(there) => ledger.settle(number, there),
        Err(wrong) => {
            let came = ledger.came(number);
            deeds.broken(
                wrong,
                &id,
                format!("it is {state:?} (came: {came:?}) and the audit saw {seen:?}"),
            );
        }
    }
}

/// Palms and names of another tenant must mean nothing here.
async fn strays(deeds: &Deeds, other: &Tenant, rng: &mut ChaCha8Rng) {
    let numbers: Vec<u64> = {
        let ledger = other.ledger();
        (0..STRAYS).filter_map(|_| ledger.pick_present(rng)).collect()
    };
    let own = &deeds.tenant.name;
    let palms = other.palms.sized(deeds.tenant.palms.dim);
    for number in numbers {
        let id = subject_id(&other.name, number);
        if let Some(Some(found)) = deeds.identify(&palms.reference(number)).await {
            let wrong = if is_of(own, &found) {
                Wrong::Unexpected
            } else {
                Wrong::Crossed
            };
            deeds.broken(wrong, &found, format!("Identify found it by the palm of {id}"));
        }
        match deeds.desk.references(&id).await {
            Ok(None) => {}
            Ok(Some(_)) => deeds.broken(Wrong::Crossed, &id, "GetSubject knows it".to_owned()),
            Err(status) => {
                let text = format!("GetSubject failed: {}", status.message());
                deeds.broken(Wrong::Unexpected, &id, text);
            }
        }
    }
}

/// The server counts as many subjects as the model.
async fn figures(deeds: &Deeds) {
    let living = deeds.tenant.ledger().living() as u64;
    match deeds.desk.stats().await {
        Ok(stats) if stats.subjects == living && stats.references == living => {}
        Ok(stats) => {
            let wrong = if stats.subjects < living {
                Wrong::Lost
            } else {
                Wrong::Resurrected
            };
            let text = format!(
                "the tenant has {} subjects and {} references; {living} are expected",
                stats.subjects, stats.references
            );
            deeds.broken(wrong, "all", text);
        }
        Err(status) => deeds.broken(
            Wrong::Unexpected,
            "all",
            format!("GetStats failed: {}", status.message()),
        ),
    }
}

/// Every answer that was given is in the history, and nobody who was erased.
async fn history(deeds: &Deeds, scope: Scope) {
    let tenant = &deeds.tenant;
    let mut owed: HashMap<String, Option<u64>> = tenant
        .ledger()
        .events(scope == Scope::Everything)
        .into_iter()
        .map(|event| (event.request, event.subject))
        .collect();
    let mut token = String::new();
    while !owed.is_empty() || scope == Scope::Everything {
        let page = match deeds.desk.usage(token).await {
            Ok(page) => page,
            Err(status) => {
                deeds.broken(
                    Wrong::Unexpected,
                    "history",
                    format!("ListUsage failed: {}", status.message()),
                );
                return;
            }
        };
        for event in page.events {
            let named = &event.subject_id;
            if !named.is_empty() && !is_of(&tenant.name, named) {
                deeds.broken(
                    Wrong::Crossed,
                    named,
                    format!("the history names it ({})", event.request_id),
                );
            } else if tenant.ledger().state_of(named) == Some(State::Erased) {
                deeds.broken(
                    Wrong::Resurrected,
                    named,
                    format!("the history names it ({})", event.request_id),
                );
            }
            if let Some(Some(subject)) = owed.remove(&event.request_id)
                && number_of(&tenant.name, named) != Some(subject)
            {
                let text = format!("{} is in the history as of {named:?}", event.request_id);
                deeds.broken(Wrong::Lost, &deeds.id(subject), text);
            }
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    for request in owed.keys() {
        deeds.broken(
            Wrong::Lost,
            request,
            "an answer that was given is not in the history".to_owned(),
        );
    }
    tenant.ledger().events_checked();
}
