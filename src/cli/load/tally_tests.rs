//! Tests of the tally: what counts as wrong, latency from when somebody was due, time slots, sums.

use super::*;

const THRESHOLD: f64 = 0.5;
const STRANGER: Asker = Asker::Stranger;

fn mate(score: f64) -> Asker {
    Asker::Mate { subject: 7, score }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn answers_are_judged() {
    let cases = [
        (mate(0.8), Answer::Match(Some(7)), Finding::Found),
        (mate(0.8), Answer::Match(Some(8)), Finding::Wrong),
        (mate(0.8), Answer::Match(None), Finding::Wrong),
        (mate(0.8), Answer::NoMatch, Finding::Wrong),
        (mate(0.8), Answer::Ambiguous, Finding::Ambiguous),
        (mate(0.8), Answer::Other, Finding::Wrong),
        (mate(0.3), Answer::NoMatch, Finding::Missed),
        (mate(0.3), Answer::Match(Some(7)), Finding::Wrong),
        (STRANGER, Answer::NoMatch, Finding::Nobody),
        (STRANGER, Answer::Match(Some(7)), Finding::Wrong),
        (STRANGER, Answer::Ambiguous, Finding::Wrong),
        (STRANGER, Answer::Other, Finding::Wrong),
    ];
    for (asker, answer, finding) in cases {
        assert_eq!(
            Finding::of(asker, answer, THRESHOLD),
            finding,
            "{asker:?} {answer:?}"
        );
    }
}

#[test]
fn latency_counts_from_when_somebody_was_due_and_of_answers_alone() {
    let mut tally = Tally::new(seconds(10.0));
    for due in [1.0, 1.5] {
        tally.arrived(seconds(due));
    }
    // Sent half a second late: the person at the gate has waited for it all the same.
    tally.began(seconds(0.5));
    tally.ended(seconds(1.0), seconds(2.0), &Ok(Finding::Found));
    tally.ended(seconds(1.5), seconds(3.5), &Err(too_late()));
    assert_eq!(tally.answered(), 1);
    assert!(
        (999_000..=1_001_000).contains(&tally.latency_us.max()),
        "{}",
        tally.latency_us.max()
    );
    assert!((499_000..=501_000).contains(&tally.late_us.max()));
    assert_eq!(tally.refused, BTreeMap::from([("DEADLINE_EXCEEDED", 1)]));
    assert!(
        tally
            .refusal
            .as_deref()
            .is_some_and(|text| text.contains("--deadline-ms"))
    );
    assert_eq!(tally.last_answer, seconds(2.0));
}

#[test]
fn arrivals_are_counted_when_due_and_ends_when_they_end() {
    let mut tally = Tally::new(seconds(3.0));
    tally.arrived(seconds(0.5));
    tally.ended(seconds(0.5), seconds(2.5), &Ok(Finding::Nobody));
    tally.arrived(seconds(2.9));
    tally.ended(
        seconds(2.9),
        seconds(99.0),
        &Err(Status::resource_exhausted("full")),
    );
    let due: Vec<u64> = tally.slots.iter().map(|slot| slot.due).collect();
    let nobody: Vec<u64> = tally.slots.iter().map(|slot| slot.findings.nobody).collect();
    assert_eq!((due, nobody), (vec![1, 0, 1, 0], vec![0, 0, 1, 0]));
    assert_eq!(
        tally.slots[3].refused,
        BTreeMap::from([("RESOURCE_EXHAUSTED", 1)])
    );
}

#[test]
fn a_long_run_has_longer_slots_not_more() {
    let day = Tally::new(seconds(86_400.0));
    assert_eq!((day.slot, day.slots.len()), (seconds(360.0), 241));
}

#[test]
fn tenants_add_up() {
    let mut one = Tally::new(seconds(2.0));
    one.arrived(seconds(0.0));
    one.ended(seconds(0.0), seconds(1.0), &Ok(Finding::Wrong));
    one.not_sent();
    one.held_back();
    let mut other = Tally::new(seconds(2.0));
    other.arrived(seconds(1.0));
    other.ended(seconds(1.0), seconds(1.5), &Err(Status::unavailable("gone")));
    one.add(&other);
    assert_eq!(
        (
            one.due,
            one.answered(),
            one.unsent,
            one.held_back,
            one.findings.wrong
        ),
        (2, 1, 1, 1, 1)
    );
    assert_eq!(one.refused, BTreeMap::from([("UNAVAILABLE", 1)]));
    assert_eq!((one.slots[0].due, one.slots[1].due), (1, 1));
    assert_eq!(one.slots[1].findings.wrong, 1);
    assert_eq!(one.last_answer, seconds(1.0));
}
