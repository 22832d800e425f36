//! Tests of outcomes and of what calls come to: names, codes and own timers told apart; moments and shares by hand.

use super::*;

/// A call that was made a millisecond late.
pub fn call(tenant: Tenant, due: u64, ended: u64, outcome: Outcome) -> Call {
    Call {
        tenant,
        due: Duration::from_millis(due),
        made: Duration::from_millis(due + 1),
        ended: Duration::from_millis(ended),
        outcome,
    }
}

fn answer(decision: api::Decision, subject_id: &str) -> api::IdentifyResponse {
    api::IdentifyResponse {
        decision: decision.into(),
        subject_id: subject_id.to_owned(),
        ..Default::default()
    }
}

/// A status that the library made of its own timer.
fn own_timer() -> Status {
    let error: Box<dyn Error + Send + Sync> = Box::new(tonic::TimeoutExpired(()));
    Status::from_error(error)
}

#[test]
fn no_match_for_somebody_who_is_enrolled_is_wrong() {
    let mate = Asker::Mate {
        subject: 7,
        score: 0.9,
    };
    let of = |answer: &_| Outcome::of_answer(mate, answer, 0.5);
    assert_eq!(of(&answer(api::Decision::Match, "palm-7")), Outcome::Answered);
    assert!(matches!(
        of(&answer(api::Decision::NoMatch, "")),
        Outcome::Wrong(_)
    ));
    let none = answer(api::Decision::NoMatch, "");
    assert_eq!(Outcome::of_answer(Asker::Stranger, &none, 0.5), Outcome::Answered);
}

#[test]
fn a_refusal_has_to_name_tenant_and_node() {
    let refusal = |words: &str| Outcome::of_refusal(Tenant::Lost, &Status::unavailable(words));
    let named = |at_once| Outcome::Unavailable { at_once };
    assert_eq!(
        refusal("match node match-1: tenant acme is out of reach: no answer within 1.0 s"),
        named(false)
    );
    assert_eq!(
        refusal(
            "match node match-1: tenant acme is out of reach: 3 calls in a row did not reach it; it is tried"
        ),
        named(true)
    );
    for words in [
        "match node match-1: gone",
        "tenant acme: gone",
        "match node match-2: tenant beta",
    ] {
        assert!(matches!(refusal(words), Outcome::Refused(_)), "{words}");
    }
}

#[test]
fn a_deadline_is_told_or_passes_at_the_caller() {
    let of = |status: &Status| Outcome::of_refusal(Tenant::Lost, status);
    assert_eq!(of(&Status::deadline_exceeded("")), Outcome::Late);
    assert_eq!(of(&own_timer()), Outcome::Untold);
    assert!(matches!(of(&Status::cancelled("")), Outcome::Refused(_)));
    assert!(matches!(of(&Status::resource_exhausted("")), Outcome::Refused(_)));
}

#[test]
fn moments_are_of_the_tenants_calls_in_time() {
    let at_once = || Outcome::Unavailable { at_once: true };
    let calls = [
        call(Tenant::Lost, 0, 5, Outcome::Answered),
        call(Tenant::Other, 10, 11, at_once()),
        call(Tenant::Lost, 20, 90, Outcome::Late),
        call(Tenant::Lost, 30, 60, at_once()),
        call(Tenant::Lost, 40, 50, at_once()),
        call(Tenant::Lost, 70, 80, Outcome::Answered),
    ];
    let time = Duration::from_millis;
    let lost = due(&calls, Tenant::Lost, time(10), time(70));
    assert_eq!(lost.len(), 3);
    assert_eq!(first_at_once(&lost), Some(time(50)));
    assert_eq!(first_answer(&lost), None);
    let all = due(&calls, Tenant::Lost, time(6), time(71));
    assert_eq!(first_answer(&all), Some(time(80)));
    assert_eq!(under_way(&lost, time(30)).len(), 2);
    assert_eq!(under_way(&lost, time(60)).len(), 1);
    assert_eq!(under_way(&lost, time(90)).len(), 0);
}

#[test]
fn service_is_of_the_answers_and_its_share_of_all() {
    let mut calls: Vec<Call> = (0..100)
        .map(|n| call(Tenant::Other, n, 2 * n + 1, Outcome::Answered))
        .collect();
    calls.push(call(Tenant::Other, 0, 900, Outcome::Late));
    let all: Vec<&Call> = calls.iter().collect();
    let service = Service::of(&all).expect("answers");
    assert!((service.p50_ms - 50.0).abs() < 1e-9);
    assert!((service.p99_ms - 99.0).abs() < 1e-9);
    assert_eq!((service.answered, service.due), (100, 101));
    let late: Vec<&Call> = calls.iter().skip(100).collect();
    assert_eq!(Service::of(&late), None);
}
