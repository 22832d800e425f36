//! Promise: whoever has a scanner's certificate and a bad copy of a palm does not come nearer to it try by try.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thenar::proto::v1::Decision;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Caller, DIM, World, dot, palm, policy};

const THRESHOLD: f32 = 0.85;
/// A climber who has not arrived by then is far from anything.
const TRIES: usize = 2_000;
/// Near misses that are let pass.
const NEAR_MISSES_MAX: u32 = 10;

/// A unit vector of `a` and a share of noise.
fn noisy(a: &[f32], share: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let noise: Vec<f64> = (0..DIM)
        .map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5)
        .collect();
    let length = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let scale = share / length(&noise);
    let mixed: Vec<f64> = a
        .iter()
        .zip(noise)
        .map(|(a, n)| f64::from(*a) + n * scale)
        .collect();
    let norm = length(&mixed);
    mixed.iter().map(|value| (value / norm) as f32).collect()
}

/// A copy of palm 1 that is just not good enough.
fn copy(rng: &mut ChaCha8Rng) -> Vec<f32> {
    loop {
        let copy = noisy(&palm(1), 0.65, rng);
        if (0.835..0.845).contains(&dot(&copy, &palm(1))) {
            return copy;
        }
    }
}

/// A tenant with two subjects on a server that lets so many near misses pass; 0 counts none.
async fn world(near_misses_max: u32) -> World {
    let world = World::prepare();
    let world = world
        .boot_with(|config| config.guard.near_misses_max = near_misses_max)
        .await;
    world.create_tenant_with("acme", policy(THRESHOLD)).await;
    let mut operator = world.operator("acme").await;
    for (subject, number) in [("ada", 1), ("bob", 2)] {
        operator.enroll(subject, &palm(number)).await.expect("enrolled");
    }
    world
}

/// Shows changes of a copy until one matches or something else is said. The tries that it took, or the refusal.
async fn climb(scanner: &mut Caller) -> Result<usize, Status> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let copy = copy(&mut rng);
    for number in 0..TRIES {
        let answer = scanner.identify(&noisy(&copy, 0.1, &mut rng)).await?;
        assert!(answer.candidates.is_empty(), "a scanner is told no scores");
        if answer.decision() == Decision::Match {
            assert_eq!(answer.subject_id, "ada");
            return Ok(number);
        }
    }
    Ok(TRIES)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_climber_arrives_at_a_server_without_the_guard() {
    let world = world(0).await;
    let mut scanner = world.caller("acme", "scanner", "gate").await;
    let tries = climb(&mut scanner).await.expect("told all the time");
    // It takes more near misses than the guard lets pass.
    assert!((NEAR_MISSES_MAX as usize + 1..TRIES).contains(&tries), "{tries}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_climber_is_held_up_and_nobody_else_is() {
    let world = world(NEAR_MISSES_MAX).await;
    let mut scanner = world.caller("acme", "scanner", "gate").await;
    let held = climb(&mut scanner).await.expect_err("held up");
    let info = held.get_details_error_info().expect("every refusal has it");
    assert_eq!(
        (held.code(), info.metadata.get("limit").map(String::as_str)),
        (Code::ResourceExhausted, Some("guard.near_misses_max"))
    );
    assert!(held.get_details_retry_info().is_some(), "{held:?}");
    // Ada waits at this gate. She goes through another one, and others go through this one.
    let refused = scanner.identify(&palm(1)).await.expect_err("still held up");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let mut elsewhere = world.caller("acme", "scanner", "other-gate").await;
    let ada = elsewhere.identify(&palm(1)).await.expect("answered");
    let bob = scanner.identify(&palm(2)).await.expect("answered");
    assert_eq!((ada.subject_id.as_str(), bob.subject_id.as_str()), ("ada", "bob"));
    world.stop().await;
}
