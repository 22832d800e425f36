//! Tests of sealed probes: bound to whom they are from, fresh, taken once and never forgotten too early; repetitions still get their answer.

use std::sync::Arc;

use super::*;
use crate::front::FrontConfig;
use crate::front::command::{Identify, UpdatePolicy, Verify};
use crate::front::fixture::*;
use crate::front::route::Routes;
use crate::keys::keyring::Renewable;
use crate::keys::probe::seal;
use crate::matcher::node::Node;
use crate::model::decision::Decision;
use crate::model::policy::Policy;
use crate::model::principal::Principal;
use crate::model::reject::Rejected;

const SCANNER: &str = "/tenant/acme/scanner/gate-7";

fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().0 / 1_000).expect("after 1970")
}

/// A front that takes sealed probes from its start on, before the fixture's node.
async fn fixture() -> (Fixture, Arc<Front>) {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let front = front_with(
        &fixture,
        SealedConfig {
            ahead_seconds_max: 0,
            ..SealedConfig::default()
        },
    );
    (fixture, front)
}

fn front_with(fixture: &Fixture, sealed: SealedConfig) -> Arc<Front> {
    let node: Arc<dyn Node> = Arc::clone(&fixture.node) as _;
    let config = FrontConfig { sealed, ..config() };
    Front::new(config, Arc::clone(&fixture.keyring), Routes::single(node))
}

/// What is in the tests' sealed probes: the coordinates alone.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a reader")]
fn read(plain: Bytes, captured_at: Timestamp) -> Result<RawSignature, Rejected> {
    let mut probe = raw(&palm(1));
    (probe.data, probe.capture.captured_at) = (plain, captured_at);
    Ok(probe)
}

fn sealed_for(key: &ProbePublicKey, request_id: &str, values: &[f32], captured_ms: u64) -> Probe {
    let scanner = Principal::from_path(SCANNER).expect("valid");
    let binding = ProbeBinding {
        tenant: &id("acme"),
        scanner: &scanner,
        request_id: &id(request_id),
    };
    Probe::Sealed {
        probe: seal(key, &binding, captured_ms, &bytes(values)).expect("sealed"),
        read,
    }
}

/// Gives `acme` the policy that it began with, changed so.
async fn change_policy(front: &Front, change: impl FnOnce(&mut Policy)) {
    let mut policy = create("acme").policy;
    change(&mut policy);
    let request = UpdatePolicy {
        tenant: id("acme"),
        request_id: id("policy"),
        policy,
    };
    let answer = front.update_policy(&caller("/admin/root"), request).await;
    answer.expect("changed");
}

async fn key(front: &Front) -> ProbePublicKey {
    front.probe_key(&caller(SCANNER), None).await.expect("a key").1
}

/// A request with a sealed probe of this palm.
async fn sealed_identify(front: &Front, request_id: &str, number: u32) -> Identify {
    let probe = sealed_for(&key(front).await, request_id, &palm(number), now_ms());
    Identify {
        probe,
        ..identify(request_id, &palm(number))
    }
}

fn again(request: &Identify) -> Identify {
    Identify {
        tenant: request.tenant.clone(),
        request_id: request.request_id.clone(),
        probe: request.probe.clone(),
        site: request.site.clone(),
        ..*request
    }
}

async fn ask(front: &Front, request: Identify) -> Result<Decision, FrontError> {
    let answer = front.identify(&caller(SCANNER), request).await;
    answer.map(|answer| answer.decision)
}

fn refusal<T>(answer: Result<T, FrontError>) -> SealedError {
    match answer.err().expect("refused") {
        FrontError::Sealed(refusal) => refusal,
        other => panic!("{other}"),
    }
}

fn subject(decision: &Decision) -> &str {
    match decision {
        Decision::Match { candidate, .. } => candidate.subject_id.as_str(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sealed_probe_is_searched_as_a_plain_one_and_repeated_from_memory() {
    let (fixture, front) = fixture().await;
    let request = sealed_identify(&front, "1", 1).await;
    let first = ask(&front, again(&request)).await.expect("answered");
    assert_eq!(subject(&first), "ada");
    assert_eq!(ask(&front, again(&request)).await.expect("repeated"), first);
    // The same capture sealed anew is the same question, sealed or not.
    let Probe::Sealed { probe, .. } = &request.probe else {
        panic!("sealed")
    };
    let anew = sealed_for(&key(&front).await, "1", &palm(1), probe.captured_ms());
    let anew = Identify {
        probe: anew,
        ..again(&request)
    };
    assert_eq!(ask(&front, anew).await.expect("repeated"), first);
    assert_eq!(fixture.node.calls("search"), 1);
    assert_eq!(
        fixture.node.usage_of("acme").len(),
        2,
        "the enrolment and one use"
    );
}

#[tokio::test]
async fn what_was_taken_is_never_searched_again_though_its_answer_is_forgotten() {
    let (fixture, front) = fixture().await;
    let request = sealed_identify(&front, "1", 1).await;
    ask(&front, again(&request)).await.expect("answered");
    // An erasure outdates the answers.
    let acme = front.tenants.get(&id("acme")).expect("known");
    front.tenants.outdate_answers(&acme);
    assert_eq!(refusal(ask(&front, request).await), SealedError::Replayed);
    // Not even where the first came to nothing.
    let failed = sealed_identify(&front, "2", 1).await;
    fixture.node.fail("record_usage", NodeError::DeadlineExceeded);
    ask(&front, again(&failed)).await.expect_err("not recorded");
    assert_eq!(refusal(ask(&front, failed).await), SealedError::Replayed);
    assert_eq!(fixture.node.calls("search"), 2);
    assert_eq!(fixture.node.usage_of("acme").len(), 2);
}

#[tokio::test]
async fn a_bad_capture_is_taken_once_too_and_a_full_node_leaves_it_untaken() {
    let (fixture, front) = fixture().await;
    change_policy(&front, |policy| policy.quality_min = 90).await;
    let low = sealed_identify(&front, "1", 1).await;
    let answer = ask(&front, again(&low)).await.expect("answered");
    assert!(matches!(answer, Decision::Retake(_)));
    let acme = front.tenants.get(&id("acme")).expect("known");
    front.tenants.outdate_answers(&acme);
    assert_eq!(refusal(ask(&front, low).await), SealedError::Replayed);

    change_policy(&front, |_| {}).await;
    let request = sealed_identify(&front, "2", 1).await;
    fixture.node.fail("check_room", NodeError::DeadlineExceeded);
    ask(&front, again(&request)).await.expect_err("no room");
    assert_eq!(subject(&ask(&front, request).await.expect("answered")), "ada");
}

#[tokio::test]
async fn the_second_try_after_a_rotation_is_no_repetition() {
    let (fixture, front) = fixture().await;
    let request = sealed_identify(&front, "1", 1).await;
    fixture
        .node
        .fail("search", NodeError::TransformStale { tenant: id("acme") });
    assert_eq!(subject(&ask(&front, request).await.expect("answered")), "ada");
}

#[tokio::test]
async fn a_seal_opens_for_its_caller_and_request_alone() {
    let (fixture, front) = fixture().await;
    let request = sealed_identify(&front, "1", 1).await;
    let gate_8 = caller("/tenant/acme/scanner/gate-8");
    let stolen = front.identify(&gate_8, again(&request)).await;
    assert_eq!(refusal(stolen), SealedError::NotOpened);
    let renamed = Identify {
        request_id: id("2"),
        ..again(&request)
    };
    assert_eq!(refusal(ask(&front, renamed).await), SealedError::NotOpened);
    let elsewhere = caller("/tenant/other/scanner/gate-7");
    let elsewhere = front.identify(&elsewhere, again(&request)).await;
    assert!(matches!(refusal(elsewhere), SealedError::KeyUnknown(_)));
    assert_eq!(fixture.node.calls("search"), 0);
    assert_eq!(subject(&ask(&front, request).await.expect("untaken")), "ada");
}

#[tokio::test]
async fn the_key_stays_through_rotations_and_goes_with_the_tenant() {
    let (fixture, front) = fixture().await;
    let root = caller("/admin/root");
    let first = key(&front).await;
    let rotated = front
        .rotate_key(&root, id("r"), id("acme"), Renewable::Transform)
        .await;
    rotated.expect("rotated");
    assert_eq!(key(&front).await, first);
    assert_eq!(key(&front_with(&fixture, SealedConfig::default())).await, first);
    let request = sealed_identify(&front, "1", 1).await;
    front
        .drop_tenant(&root, id("d"), id("acme"))
        .await
        .expect("dropped");
    front
        .create_tenant(&root, create("acme"))
        .await
        .expect("made anew");
    assert_ne!(key(&front).await, first);
    let former = refusal(ask(&front, request).await);
    assert_eq!(former, SealedError::KeyUnknown(first.id));
}

#[tokio::test]
async fn plain_probes_are_refused_where_the_policy_says_so() {
    let (fixture, front) = fixture().await;
    change_policy(&front, |policy| policy.sealed_probes = true).await;
    let required = SealedError::Required(id("acme"));
    assert_eq!(refusal(ask(&front, identify("1", &palm(1))).await), required);
    let claimed = front.verify(&caller(SCANNER), verify("2", "ada", &palm(1))).await;
    assert_eq!(refusal(claimed), required);
    assert_eq!(fixture.node.calls("search") + fixture.node.calls("compare"), 0);
    let request = sealed_identify(&front, "3", 1).await;
    assert_eq!(subject(&ask(&front, request).await.expect("answered")), "ada");
}

#[tokio::test]
async fn a_sealed_verification_is_taken_once_and_its_repetition_is_as_true_as_a_plain_one() {
    let (fixture, front) = fixture().await;
    let probe = sealed_for(&key(&front).await, "1", &palm(1), now_ms());
    let request = || Verify {
        probe: probe.clone(),
        ..verify("1", "ada", &palm(1))
    };
    let scanner = caller(SCANNER);
    let first = front.verify(&scanner, request()).await.expect("answered");
    assert_eq!(subject(&first.decision), "ada");
    let second = front.verify(&scanner, request()).await.expect("repeated");
    assert_eq!(second.decision, first.decision);
    // The claimed subject has another palm by now: another answer would be one more use.
    fixture
        .node
        .0
        .lock()
        .tenants
        .get_mut(&id("acme"))
        .expect("there")
        .rows[0]
        .2
        .fill(0.125);
    assert_eq!(
        refusal(front.verify(&scanner, request()).await),
        SealedError::Replayed
    );
    assert_eq!(fixture.node.usage_of("acme").len(), 2);
}

/// A seal that nobody opens: the memory looks at its mark and its time alone.
fn probe_at(captured_ms: u64, mark: u8) -> SealedProbe {
    SealedProbe::new(id("k"), &[mark; 32], &[mark; 17], captured_ms).expect("of the right sizes")
}

fn at(ms: u64) -> Timestamp {
    Timestamp(i64::try_from(ms).expect("small") * 1_000)
}

const START: u64 = 1_000_000;

fn scanner(path: &str) -> Principal {
    Principal::from_path(path).expect("valid")
}

fn taken(remembered_max: usize) -> Taken {
    let config = SealedConfig {
        age_seconds_max: 60,
        ahead_seconds_max: 5,
        remembered_max,
        ..SealedConfig::default()
    };
    Taken::new(config, at(START))
}

#[test]
fn a_probe_is_taken_while_it_is_fresh() {
    let taken = taken(100);
    let now = START + 100_000;
    let take = |captured_ms, mark| {
        taken.take(
            &id("acme"),
            &scanner(SCANNER),
            &probe_at(captured_ms, mark),
            at(now),
        )
    };
    take(now - 60_000, 1).expect("just not too old");
    take(now + 5_000, 2).expect("just not too far ahead");
    for captured_ms in [now - 60_001, now + 5_001, 0] {
        let refused = refusal(take(captured_ms, 3));
        let expected = SealedError::Stale {
            captured_at: at(captured_ms),
            from: at(now - 60_000),
            to: at(now + 5_000),
        };
        assert_eq!(refused, expected);
    }
}

#[test]
fn what_may_have_been_taken_before_the_start_is_refused() {
    let taken = taken(100);
    let take =
        |captured_ms, now| taken.take(&id("acme"), &scanner(SCANNER), &probe_at(captured_ms, 1), at(now));
    for now in [START, START + 4_999] {
        assert!(matches!(refusal(take(now, now)), SealedError::Stale { .. }));
    }
    take(START + 5_000, START + 5_000).expect("captured when no process before took any");
}

#[test]
fn a_probe_is_taken_once_as_long_as_it_could_be_taken() {
    let taken = taken(100);
    let captured_ms = START + 10_000;
    let take = |now| taken.take(&id("acme"), &scanner(SCANNER), &probe_at(captured_ms, 1), at(now));
    take(captured_ms).expect("fresh");
    for now in [captured_ms - 5_000, captured_ms, captured_ms + 60_000] {
        assert_eq!(refusal(take(now)), SealedError::Replayed, "{now}");
    }
    let too_late = refusal(take(captured_ms + 60_001));
    assert!(matches!(too_late, SealedError::Stale { .. }));
    assert!(taken.memory.lock().probes.is_empty(), "forgotten by then");
    // The clock is set back: what was forgotten stays refused, what is newer is taken.
    assert!(matches!(refusal(take(captured_ms)), SealedError::Stale { .. }));
    let newer = probe_at(captured_ms + 1, 2);
    taken
        .take(&id("acme"), &scanner(SCANNER), &newer, at(captured_ms + 1))
        .expect("newer");
}

/// The limit that refused, its value and when to try again.
fn limit(answer: Result<(), FrontError>) -> (&'static str, u64, Duration) {
    match answer.expect_err("refused") {
        FrontError::Node(NodeError::Exhausted {
            limit,
            value,
            retry_after,
        }) => (limit, value, retry_after),
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_is_forgotten_to_make_room_and_no_tenant_has_all_places() {
    let taken = taken(9);
    let now = START + 10_000;
    let take = |tenant, mark, now| taken.take(&id(tenant), &scanner(SCANNER), &probe_at(now, mark), at(now));
    for mark in 0..8 {
        take("acme", mark, now).expect("room");
    }
    let expected = |seconds| ("sealed_probes.remembered_max", 9, Duration::from_secs(seconds));
    assert_eq!(limit(take("acme", 100, now)), expected(60));
    take("other", 101, now).expect("the ninth place");
    assert_eq!(limit(take("other", 102, now + 20_000)), expected(40));
    assert_eq!(refusal(take("acme", 3, now)), SealedError::Replayed);
    take("acme", 103, now + 60_001).expect("all of them are too old by now");
    let memory = taken.memory.lock();
    assert_eq!((memory.tenants.len(), memory.scanners.len()), (1, 1));
}

#[test]
fn no_scanner_has_all_places_of_its_tenant() {
    let mut taken = taken(9);
    taken.config.remembered_per_scanner_max = 3;
    let now = START + 10_000;
    let take = |path: &str, mark, captured, now| {
        taken.take(&id("acme"), &scanner(path), &probe_at(captured, mark), at(now))
    };
    let gate_8 = "/tenant/acme/scanner/gate-8";
    take(gate_8, 0, now - 1_000, now).expect("room");
    for mark in 1..4 {
        let captured = now + u64::from(mark) * 1_000;
        take(SCANNER, mark, captured, now).expect("room");
    }
    let expected = |seconds| {
        (
            "sealed_probes.remembered_per_scanner_max",
            3,
            Duration::from_secs(seconds),
        )
    };
    assert_eq!(
        limit(take(SCANNER, 4, now, now)),
        expected(61),
        "when its own first one goes"
    );
    take(gate_8, 5, now, now).expect("the other's places");
    // Where one has gone the next one goes at that time at the earliest.
    take(SCANNER, 6, now + 61_001, now + 61_001).expect("one has gone");
    let (_, _, again) = limit(take(SCANNER, 7, now + 61_001, now + 61_001));
    assert_eq!(again, RETRY_AFTER_MIN);
}

#[test]
fn many_that_are_too_old_are_forgotten_by_and_by() {
    let taken = taken(1_000);
    let now = START + 10_000;
    let take = |mark: u8, captured, now| {
        let path = format!("/tenant/acme/scanner/gate-{mark}");
        taken.take(&id("acme"), &scanner(&path), &probe_at(captured, mark), at(now))
    };
    for mark in 0..200 {
        take(mark, now, now).expect("room");
    }
    let later = now + 60_001;
    for (mark, left) in (200..).zip([137, 74, 11, 4, 5]) {
        take(mark, later, later).expect("room");
        assert_eq!(taken.memory.lock().probes.len(), left);
    }
    // The clock is set back while some are not forgotten yet, and afterwards.
    assert!(matches!(refusal(take(3, now, now)), SealedError::Stale { .. }));
}
