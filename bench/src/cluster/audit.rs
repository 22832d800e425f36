//! After the load: everybody who was acknowledged is looked for through every front, and so is everybody who was erased. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;

use super::load::{Question, Worker};
use super::tally::Tally;
use super::verdict::{State, When, Wrong, subject_id};

/// Questions at once.
const AT_ONCE: usize = 16;
/// How long one is waited for, and how often it is asked.
const DEADLINE: Duration = Duration::from_secs(10);
const TRIES: usize = 6;
/// Rest before the next try.
const REST: Duration = Duration::from_secs(1);

/// Asks about all subjects of these workers.
pub async fn audit(workers: &[Arc<Worker>], tally: &Tally) {
    let mut asked = Vec::new();
    for worker in workers {
        let (present, erased) = {
            let ledger = worker.ledger();
            (ledger.all(State::Present), ledger.all(State::Erased))
        };
        for number in present.into_iter().chain(erased) {
            asked.push((Arc::clone(worker), number));
        }
    }
    let all = stream::iter(asked.into_iter().enumerate());
    all.for_each_concurrent(AT_ONCE, async |(turn, (worker, number))| {
        for front in 0..worker.gallery.fronts() {
            ask(&worker, number, turn + front, tally).await;
        }
    })
    .await;
}

async fn ask(worker: &Arc<Worker>, number: u64, front: usize, tally: &Tally) {
    let question = Question {
        worker: Arc::clone(worker),
        number: Some(number),
        when: When::AtTheEnd,
        front,
    };
    for _ in 0..TRIES {
        if question.ask(tally, DEADLINE).await {
            return;
        }
        tokio::time::sleep(REST).await;
    }
    let subject = subject_id(worker.gallery.name, number);
    let text = format!("Identify is not answered in {TRIES} tries though everybody serves");
    tally.broken(Wrong::Unexpected, subject, text);
}
