//! Tests of the guard with a clock that the test moves, and of an attack on a front.

use governor::clock::FakeRelativeClock;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::front::command::Enroll;
use crate::front::fixture::*;
use crate::front::{Front, FrontConfig, error::FrontError, route::Routes};
use crate::matcher::node::Node;
use crate::model::decision::Decision;
use crate::model::policy::ThresholdRule;

const MAX: u32 = 5;

fn guard(near_misses_max: u32) -> (Guard<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let config = GuardConfig {
        near_misses_max,
        seconds: 100,
    };
    (Guard::with_clock(config, clock.clone()), clock)
}

fn scanner(name: &str) -> Principal {
    Principal::from_path(&format!("/tenant/acme/scanner/{name}")).expect("a principal")
}

#[test]
fn one_scanner_is_told_nothing_about_one_subject_for_a_while() {
    let (guard, clock) = guard(MAX);
    let look = |name, subject, near| guard.look(&scanner(name), &id(subject), near);
    for _ in 0..MAX {
        look("gate", "ada", true).expect("counted");
    }
    look("gate", "ada", false).expect("a match before the limit");
    let refusal = look("gate", "ada", true).expect_err("held up");
    let NodeError::Exhausted {
        limit,
        value,
        retry_after,
    } = refusal
    else {
        panic!("{refusal}");
    };
    assert_eq!((limit, value), ("guard.near_misses_max", u64::from(MAX)));
    assert_eq!(retry_after, Duration::from_secs(20));
    look("gate", "ada", false).expect_err("not even a match");
    for (name, subject) in [("gate", "bob"), ("other-gate", "ada")] {
        look(name, subject, true).expect("of others");
        look(name, subject, false).expect("of others");
    }
    clock.advance(Duration::from_secs(19));
    look("gate", "ada", false).expect_err("still");
    clock.advance(Duration::from_secs(2));
    look("gate", "ada", false).expect("told again");
    look("gate", "ada", true).expect("one more");
    look("gate", "ada", true).expect_err("held up again");
}

#[test]
fn that_it_is_told_nothing_tells_a_scanner_little() {
    let (guard, clock) = guard(MAX);
    let look = |near| guard.look(&scanner("gate"), &id("ada"), near);
    for _ in 0..MAX {
        look(true).expect("counted");
    }
    look(true).expect_err("held up");
    // From here on a refusal says that a probe is near.
    let mut learnt = 0;
    while guard.enter(&scanner("gate")).is_ok() {
        look(learnt % 2 == 0).expect_err("told nothing");
        learnt += 1;
    }
    assert_eq!(learnt, MAX);
    guard.enter(&scanner("other-gate")).expect("of others");
    clock.advance(Duration::from_secs(19));
    guard.enter(&scanner("gate")).expect_err("still");
    clock.advance(Duration::from_secs(2));
    guard.enter(&scanner("gate")).expect("heard again");
}

#[test]
fn a_scanner_that_does_not_stop_is_told_nothing_for_longer_each_time() {
    let (guard, clock) = guard(MAX);
    let mut locks = Vec::new();
    for _ in 0..5 {
        while guard.enter(&scanner("gate")).is_ok() {
            let _ = guard.look(&scanner("gate"), &id("ada"), true);
        }
        let mut seconds = 0;
        while guard.enter(&scanner("gate")).is_err() {
            clock.advance(Duration::from_secs(1));
            seconds += 1;
        }
        locks.push(seconds);
    }
    assert_eq!(
        locks,
        [20, 40, 80, 100, 100],
        "up to the time that near misses count"
    );
}

#[test]
fn who_sees_scores_is_not_counted_and_nobody_where_it_is_off() {
    let operator = Principal::from_path("/tenant/acme/operator/o").expect("a principal");
    let (on, _) = guard(MAX);
    let (off, _) = guard(0);
    for _ in 0..1_000 {
        on.look(&operator, &id("ada"), true).expect("not counted");
        off.look(&scanner("gate"), &id("ada"), true).expect("not counted");
    }
    on.enter(&operator).expect("not held");
    assert!(!on.watches(&operator) && !off.watches(&scanner("gate")));
}

/// Coordinates of `a` and a share of noise, as a unit vector.
fn noisy(a: &[f32], share: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let length = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
    let noise: Vec<f32> = (0..DIM).map(|_| StandardNormal.sample(rng)).collect();
    let scale = share / length(&noise);
    let mut mixed: Vec<f32> = a.iter().zip(noise).map(|(a, n)| a + n * scale).collect();
    let norm = length(&mixed);
    for value in &mut mixed {
        *value /= norm;
    }
    mixed
}

/// What an attacker with a scanner's certificate and a bad copy of `ada`'s palm arrives at.
async fn attack(front: &Front) -> Result<usize, NodeError> {
    const TRIES: usize = 20_000;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let scanner = caller("/tenant/strict/scanner/gate");
    let copy = loop {
        let copy = noisy(&palm(1), 0.68, &mut rng);
        let score: f32 = copy.iter().zip(palm(1)).map(|(a, b)| a * b).sum();
        if (0.826..0.83).contains(&score) {
            break copy;
        }
    };
    for number in 0..TRIES {
        let probe = noisy(&copy, 0.1, &mut rng);
        match front
            .identify(&scanner, identify(&format!("a-{number}"), &probe))
            .await
        {
            Ok(answer) if matches!(answer.decision, Decision::Match { .. }) => return Ok(number),
            Ok(_) => {}
            Err(FrontError::Node(refusal)) => return Err(refusal),
            Err(error) => panic!("{error}"),
        }
    }
    Ok(TRIES)
}

/// A front that holds a scanner up after so many near misses.
fn guarded(fixture: &Fixture, near_misses_max: u32) -> Arc<Front> {
    let node: Arc<dyn Node> = Arc::clone(&fixture.node) as _;
    let guard = GuardConfig {
        near_misses_max,
        ..GuardConfig::default()
    };
    let config = FrontConfig { guard, ..config() };
    Front::new(config, Arc::clone(&fixture.keyring), Routes::single(node))
}

/// The tenant `strict`, whose threshold leaves room for near misses.
async fn create_strict(front: &Front) {
    let mut strict = create("strict");
    strict.policy.threshold = ThresholdRule::Score(0.85);
    let made = front.create_tenant(&caller("/admin/root"), strict).await;
    made.expect("made");
}

#[tokio::test]
async fn a_near_miss_that_is_asked_again_under_its_request_id_is_one_try() {
    let fixture = Fixture::new().await;
    let front = guarded(&fixture, 10);
    create_strict(&front).await;
    let ada = Enroll {
        subject_id: Some(id("ada")),
        ..enroll(1)
    };
    let enrolled = front.enroll(&caller("/tenant/strict/enroller/e"), ada).await;
    enrolled.expect("enrolled");
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let near = loop {
        let near = noisy(&palm(1), 0.65, &mut rng);
        let score: f32 = near.iter().zip(palm(1)).map(|(a, b)| a * b).sum();
        if (0.84..0.845).contains(&score) {
            break near;
        }
    };
    let scanner = caller("/tenant/strict/scanner/gate");
    let ask = async |request_id: &str| front.verify(&scanner, verify(request_id, "ada", &near)).await;
    for _ in 0..50 {
        let answer = ask("same").await.expect("not held up");
        assert_eq!(answer.decision, Decision::NoMatch);
    }
    for number in 1..10 {
        ask(&format!("try-{number}")).await.expect("not yet");
    }
    assert!(ask("try-10").await.is_err(), "held up");
}

#[tokio::test]
async fn a_climber_arrives_without_the_guard_and_is_held_up_with_it() {
    let fixture = Fixture::new().await;
    let (with, without) = (guarded(&fixture, 10), guarded(&fixture, 0));
    create_strict(&with).await;
    for (subject, number) in [("ada", 1), ("bob", 2)] {
        let request = Enroll {
            request_id: id(&format!("e-{subject}")),
            subject_id: Some(id(subject)),
            ..enroll(number)
        };
        let enrolled = with.enroll(&caller("/tenant/strict/enroller/e"), request).await;
        enrolled.expect("enrolled");
    }
    let arrived = attack(&without).await.expect("told all the time");
    assert!((10..20_000).contains(&arrived), "{arrived}");
    let held = attack(&with).await.expect_err("held up");
    assert!(held.to_string().contains("guard.near_misses_max"), "{held}");
    // One that goes on as if a refusal were an answer soon gets the same to whatever it asks.
    let strange = palm(9);
    let nothing = async |number: u32| {
        let request = identify(&format!("o-{number}"), &strange);
        with.identify(&caller("/tenant/strict/scanner/oracle"), request)
            .await
    };
    nothing(0).await.expect("nobody");
    let oracle = Principal::from_path("/tenant/strict/scanner/oracle").expect("a principal");
    let mut tries = 0;
    while nothing(tries + 1).await.is_ok() {
        let _ = with.guard.look(&oracle, &id("ada"), true);
        tries += 1;
    }
    assert_eq!(tries, 10 + 1 + 10);
    // The person herself waits at this gate, not at another, and others don't.
    let at = |gate: &str| caller(&format!("/tenant/strict/scanner/{gate}"));
    let ada = with.identify(&at("gate"), identify("ada", &palm(1))).await;
    assert!(matches!(ada, Err(FrontError::Node(NodeError::Exhausted { .. }))));
    for (gate, number) in [("other-gate", 1), ("gate", 2)] {
        let answer = with.identify(&at(gate), identify("own", &palm(number))).await;
        let decision = answer.expect("answered").decision;
        assert!(matches!(decision, Decision::Match { .. }), "{decision:?}");
    }
}
