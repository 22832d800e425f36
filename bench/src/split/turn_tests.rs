//! Tests of what must not be: wrong answers to anybody, and to the lost tenant other refusals and answers out of nowhere.

use super::*;
use crate::split::call::tests::call;

/// Lost from 100 ms on, verified at 110, back from 200 on, in full at 220.
fn moments() -> Moments {
    let time = Duration::from_millis;
    Moments {
        losing: time(100),
        lost: time(110),
        returning: time(200),
        back: time(220),
    }
}

fn count(loss: Loss, calls: &[Call]) -> usize {
    faults(loss, calls, &moments()).len()
}

#[test]
fn what_is_wrong_is_so_for_anybody_at_any_time() {
    for tenant in Tenant::ALL {
        for due in [0, 150, 300] {
            let calls = [call(tenant, due, due + 1, Outcome::Wrong("no match".to_owned()))];
            assert_eq!(count(Loss::Paused, &calls), 1, "{tenant:?} {due}");
        }
    }
}

#[test]
fn a_refusal_without_names_is_a_fault_of_the_lost_tenant_alone() {
    let refused = || Outcome::Refused("INTERNAL".to_owned());
    assert_eq!(count(Loss::Killed, &[call(Tenant::Lost, 150, 151, refused())]), 1);
    assert_eq!(
        count(Loss::Killed, &[call(Tenant::Other, 150, 151, refused())]),
        0
    );
    let fine = [
        call(Tenant::Lost, 150, 151, Outcome::Late),
        call(Tenant::Lost, 151, 152, Outcome::Untold),
        call(Tenant::Lost, 152, 153, Outcome::Unavailable { at_once: false }),
    ];
    assert_eq!(count(Loss::Killed, &fine), 0);
}

#[test]
fn nobody_is_answered_by_a_node_that_is_lost() {
    let answered = |due, ended| call(Tenant::Lost, due, ended, Outcome::Answered);
    assert_eq!(count(Loss::Killed, &[answered(150, 160)]), 1);
    // Before it was lost, while it went, and once it is back, for those as well who have waited.
    for (due, ended) in [(90, 105), (105, 108), (190, 230), (205, 210)] {
        assert_eq!(count(Loss::Killed, &[answered(due, ended)]), 0, "{due}");
    }
}

#[test]
fn a_node_that_drains_answers_until_the_front_knows() {
    let answered = |due| call(Tenant::Lost, due, due + 1, Outcome::Answered);
    let knows = || call(Tenant::Lost, 130, 131, Outcome::Unavailable { at_once: true });
    assert_eq!(count(Loss::Drained, &[answered(120), knows()]), 0);
    assert_eq!(count(Loss::Drained, &[knows(), answered(140)]), 1);
}

#[test]
fn figures_are_of_the_calls_that_were_due_meanwhile() {
    let answered = || Outcome::Answered;
    let calls = [
        call(Tenant::Lost, 90, 101, answered()),
        call(Tenant::Lost, 95, 99, answered()),
        call(Tenant::Lost, 98, 120, Outcome::Unavailable { at_once: false }),
        call(Tenant::Lost, 120, 170, Outcome::Late),
        call(Tenant::Lost, 130, 140, Outcome::Unavailable { at_once: true }),
        call(Tenant::Lost, 205, 230, answered()),
        call(Tenant::Other, 90, 99, answered()),
        call(Tenant::Other, 150, 153, answered()),
        call(Tenant::Other, 160, 161, Outcome::Late),
    ];
    let front = Front {
        bytes_before: 1.0,
        bytes_max: 2.0,
        calls_max: 3.0,
    };
    let all: Vec<&Call> = calls.iter().filter(|call| call.is_answered()).collect();
    let quiet = Service::of(&all).expect("answers");
    let turn = judged(Loss::Drained, &calls, &moments(), quiet, front).expect("a turn");
    assert_eq!(
        turn.lost,
        Outcomes {
            unavailable: 1,
            late: 1,
            ..Outcomes::default()
        }
    );
    assert!((turn.slowest_ms - 50.0).abs() < 1e-9);
    assert!((turn.noticed_ms.expect("noticed") - 40.0).abs() < 1e-9);
    assert!((turn.back_ms - 10.0).abs() < 1e-9);
    assert!((turn.callers_late_ms - 1.0).abs() < 1e-9);
    assert_eq!((turn.disturbed.answered, turn.disturbed.due), (1, 2));
    let in_flight = Outcomes {
        answered: 1,
        unavailable: 1,
        ..Outcomes::default()
    };
    assert_eq!(turn.in_flight, Some(in_flight));
    assert_eq!(turn.faults, Vec::<String>::new());
    let killed = judged(Loss::Killed, &calls, &moments(), quiet, front).expect("a turn");
    assert_eq!(killed.in_flight, None);
    let without: Vec<Call> = calls
        .into_iter()
        .filter(|call| call.due < moments().returning)
        .collect();
    assert!(judged(Loss::Killed, &without, &moments(), quiet, front).is_err());
}
