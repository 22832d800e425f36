//! Tests of recent matches, before a node in memory.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::front::command::{Enroll, Identified};
use crate::front::fake::FakeNode;
use crate::front::fixture::*;
use crate::front::{FrontConfig, route::Routes};
use crate::matcher::node::Node;
use crate::model::policy::ThresholdRule;

const SCANNER: &str = "/tenant/acme/scanner/gate-7";

/// A front that remembers, before the fixture's node.
fn remembering(fixture: &Fixture, per_site_max: usize) -> Arc<Front> {
    let node: Arc<dyn Node> = Arc::clone(&fixture.node) as _;
    let config = FrontConfig {
        recent: RecentConfig {
            per_site_max,
            ..RecentConfig::default()
        },
        ..config()
    };
    Front::new(config, Arc::clone(&fixture.keyring), Routes::single(node))
}

/// Asks under a request id of its own each time.
async fn ask(front: &Front, request: Identify) -> Identified {
    let id = ulid::Ulid::generate().to_string().parse().expect("an id");
    let request = Identify {
        request_id: id,
        ..request
    };
    front.identify(&caller(SCANNER), request).await.expect("answered")
}

fn matched(answer: &Identified) -> Option<&str> {
    match &answer.decision {
        Decision::Match { candidate, .. } => Some(candidate.subject_id.as_str()),
        _ => None,
    }
}

fn is_recent(answer: &Identified) -> bool {
    matches!(answer.certificate, Some(Certificate::RecentMatch { .. }))
}

/// Searches of the whole gallery, and questions about one subject.
fn searches(node: &FakeNode) -> (usize, usize) {
    (node.calls("search"), node.calls("search_one"))
}

#[tokio::test]
async fn a_regular_is_answered_without_a_scan_at_the_site_where_it_was_seen() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    fixture.enroll("acme", "bob", 2).await;
    let front = remembering(&fixture, 8);
    let first = ask(&front, identify("1", &palm(1))).await;
    assert!(!is_recent(&first));
    assert_eq!(searches(&fixture.node), (1, 0));
    let again = ask(&front, identify("2", &palm(1))).await;
    assert!(is_recent(&again));
    assert_eq!(again.decision, first.decision, "to the last bit of the score");
    assert_eq!(searches(&fixture.node), (1, 1));
    // Somebody else, another site, a stranger.
    assert_eq!(matched(&ask(&front, identify("3", &palm(2))).await), Some("bob"));
    let elsewhere = Identify {
        site: Some(id("other-gate")),
        ..identify("4", &palm(1))
    };
    assert!(!is_recent(&ask(&front, elsewhere).await));
    assert_eq!(
        ask(&front, identify("5", &palm(3))).await.decision,
        Decision::NoMatch
    );
    assert_eq!(searches(&fixture.node), (4, 1));
    assert_eq!(fixture.node.usage_of("acme").len(), 7, "all are in the history");
}

#[tokio::test]
async fn a_full_node_is_not_asked_to_search_and_still_asked_about_a_regular() {
    let full = || NodeError::Exhausted {
        limit: "engine.wait_ms_max",
        value: 100,
        retry_after: Duration::from_millis(200),
    };
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let (front, forgetful) = (remembering(&fixture, 8), remembering(&fixture, 0));
    ask(&front, identify("1", &palm(1))).await;
    fixture.node.fail("check_room", full());
    let request = identify("2", &palm(1));
    let refused = forgetful.identify(&caller(SCANNER), request).await;
    let refusal = refused.err().expect("refused").to_string();
    assert!(refusal.contains("engine.wait_ms_max"), "{refusal}");
    assert_eq!(searches(&fixture.node), (1, 0));
    fixture.node.fail("check_room", full());
    assert!(is_recent(&ask(&front, identify("3", &palm(1))).await));

    // Nor is its request read; but whoever may not ask is told that, and a front that remembers has to read it.
    let [scanner, enroller] = [SCANNER, "/tenant/acme/enroller/e"].map(caller);
    front.room_to_identify(&scanner, None).expect("read");
    forgetful.room_to_identify(&enroller, None).expect("read");
    let refused = forgetful.room_to_identify(&scanner, None);
    let refusal = refused.expect_err("refused").to_string();
    assert!(refusal.contains("engine.wait_ms_max"), "{refusal}");
    forgetful.room_to_identify(&scanner, None).expect("room again");
}

#[tokio::test]
async fn who_wants_proof_or_candidates_or_names_no_site_gets_a_full_search() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let front = remembering(&fixture, 8);
    ask(&front, identify("1", &palm(1))).await;
    let nowhere = Identify {
        site: None,
        ..identify("2", &palm(1))
    };
    assert!(!is_recent(&ask(&front, nowhere).await));
    let candidates = Identify {
        candidates_max: 5,
        ..identify("3", &palm(1))
    };
    let operator = caller("/tenant/acme/operator/o");
    let answer = front.identify(&operator, candidates).await.expect("answered");
    assert!(!is_recent(&answer) && answer.candidates.len() == 1);

    let mut strict = create("strict");
    strict.policy.deterministic = true;
    front
        .create_tenant(&caller("/admin/root"), strict)
        .await
        .expect("made");
    fixture.enroll("strict", "ada", 1).await;
    let scanner = caller("/tenant/strict/scanner/s");
    for request in ["4", "5"] {
        let answer = front.identify(&scanner, identify(request, &palm(1))).await;
        assert_eq!(
            answer.expect("answered").certificate,
            Some(Certificate::Deterministic)
        );
    }
}

#[tokio::test]
async fn the_erased_are_found_by_nobody_and_not_kept_wherever_they_were_erased() {
    let fixture = Fixture::new().await;
    let fronts = [remembering(&fixture, 8), remembering(&fixture, 8)];
    fixture.enroll("acme", "ada", 1).await;
    for front in &fronts {
        assert_eq!(matched(&ask(front, identify("1", &palm(1))).await), Some("ada"));
        assert_eq!(kept(front).await, 1);
    }
    let ada = crate::front::command::SubjectSelector::Id(id("ada"));
    let enroller = caller("/tenant/acme/enroller/e");
    let erased = fronts[0].erase(&enroller, None, id("erase"), ada).await;
    erased.expect("erased");
    assert_eq!(kept(&fronts[0]).await, 0);
    for front in &fronts {
        let answer = ask(front, identify("2", &palm(1))).await;
        assert_eq!(answer.decision, Decision::NoMatch);
        assert_eq!(kept(front).await, 0);
    }
}

/// Subjects that a front remembers of `acme` at the gate.
async fn kept(front: &Front) -> usize {
    let tenant = front.known(&id("acme")).await.expect("known");
    let seen = front.tenants.recents.sites.get(&Place::new(&tenant, &id("gate")));
    seen.map_or(0, |seen| seen.lock().len())
}

#[tokio::test]
async fn an_answer_that_an_erasure_overtakes_is_not_remembered() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let front = remembering(&fixture, 8);
    let tenant = front.known(&id("acme")).await.expect("known");
    let rotation = front.rotation(&tenant).await.expect("derived");
    let probe = Signature::new(palm(1), tenant.spec.dimension).expect("a unit vector");
    let probe = rotation.protect(&probe);
    let recents = &front.tenants.recents;
    let before = tenant.epoch();
    front.tenants.outdate_answers(&tenant);
    recents.remember(&tenant, before, &id("gate"), &id("ada"), probe.clone());
    assert_eq!(kept(&front).await, 0);
    recents.remember(&tenant, tenant.epoch(), &id("gate"), &id("ada"), probe);
    assert_eq!(kept(&front).await, 1);
}

#[tokio::test]
async fn another_policy_forgets_everybody() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let front = remembering(&fixture, 8);
    ask(&front, identify("1", &palm(1))).await;
    let before = front.known(&id("acme")).await.expect("known");
    let mut spec = before.spec.clone();
    spec.policy.threshold = ThresholdRule::Score(0.9);
    front.tenants.insert(spec).expect("taken in");
    front.tenants.recents.sites.run_pending_tasks();
    assert_eq!(front.tenants.recents.sites.entry_count(), 0, "wiped");
    assert_eq!(kept(&front).await, 0);
}

#[tokio::test]
async fn a_site_remembers_as_many_as_it_may_and_not_for_ever() {
    let fixture = Fixture::new().await;
    for number in 1..=3 {
        fixture.enroll("acme", &format!("palm-{number}"), number).await;
    }
    let front = remembering(&fixture, 2);
    for number in [1, 2, 1, 3] {
        ask(&front, identify("1", &palm(number))).await;
    }
    // Asked again, but searched for before the others.
    assert!(!is_recent(&ask(&front, identify("1", &palm(1))).await));
    ask(&front, identify("1", &palm(3))).await;
    assert_eq!(kept(&front).await, 2);
    assert!(
        !is_recent(&ask(&front, identify("1", &palm(2))).await),
        "searched for before the others"
    );
    let tenant = front.known(&id("acme")).await.expect("known");
    let seen = front
        .tenants
        .recents
        .sites
        .get(&Place::new(&tenant, &id("gate")))
        .expect("kept");
    for seen in seen.lock().iter_mut() {
        seen.at -= Duration::from_hours(1);
    }
    assert!(!is_recent(&ask(&front, identify("1", &palm(2))).await));
    assert_eq!(kept(&front).await, 1, "the old ones are gone");
    let seen = front.tenants.recents.sites.get(&Place::new(&tenant, &id("gate")));
    for seen in seen.expect("kept").lock().iter_mut() {
        seen.at -= Duration::from_hours(1);
    }
    front.retain(crate::model::timestamp::Timestamp::now()).await;
    assert_eq!(kept(&front).await, 0, "without anybody asking");
}

/// A unit vector whose scores with others are those of the model: isotropic in a third of the dimensions.
fn modelled(rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut values: Vec<f32> = (0..DIM)
        .map(|at| {
            if at < DIM / 3 + 1 {
                StandardNormal.sample(rng)
            } else {
                0.0
            }
        })
        .collect();
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    for value in &mut values {
        *value /= norm;
    }
    values
}

/// At a threshold so low that errors are frequent: nobody is let in whom a search would not have found, and those who are taken for a regular are
/// no more than is stated.
#[tokio::test]
async fn false_matches_stay_within_the_stated_bound() {
    const SEEN: usize = 16;
    const OTHERS: u32 = 3_000;
    let fixture = Fixture::new().await;
    let (front, full) = (remembering(&fixture, SEEN), remembering(&fixture, 0));
    let mut request = create("crowd");
    request.policy.threshold = ThresholdRule::Score(0.35);
    request.policy.margin = 0.0;
    let made = front.create_tenant(&caller("/admin/root"), request).await;
    made.expect("made");
    let scanner = caller("/tenant/crowd/scanner/s");
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for number in 0..SEEN {
        // As many references as a palm may have, each as good as another person's.
        let palms: Vec<Vec<f32>> = (0..REFERENCES_PER_PALM_MAX).map(|_| modelled(&mut rng)).collect();
        let enrolled = Enroll {
            request_id: id(&format!("e-{number}")),
            subject_id: Some(id(&format!("regular-{number}"))),
            signatures: palms.iter().map(|palm| raw(palm)).collect(),
            ..enroll(0)
        };
        let enroller = caller("/tenant/crowd/enroller/e");
        front.enroll(&enroller, enrolled).await.expect("enrolled");
        let request = identify(&format!("s-{number}"), palms.first().expect("some"));
        front.identify(&scanner, request).await.expect("answered");
    }
    let (mut by_memory, mut by_search, mut bound) = (0_u32, 0_u32, 0.0);
    for number in 0..OTHERS {
        let palm = modelled(&mut rng);
        let asked = |name: &str| identify(&format!("{name}-{number}"), &palm);
        let answer = front.identify(&scanner, asked("p")).await.expect("answered");
        let without = full.identify(&scanner, asked("f")).await.expect("answered");
        by_search += u32::from(without.decision != Decision::NoMatch);
        if let Some(Certificate::RecentMatch {
            false_match_probability,
        }) = answer.certificate
        {
            by_memory += 1;
            bound = false_match_probability;
            assert_ne!(without.decision, Decision::NoMatch);
        }
    }
    let share = |count: u32| f64::from(count) / f64::from(OTHERS);
    let spread = (bound * (1.0 - bound) / f64::from(OTHERS)).sqrt();
    assert!(
        share(by_search) > 10.0 * bound,
        "{by_search}: errors are rare, nothing is tested"
    );
    assert!(
        by_memory > 0 && share(by_memory) <= bound + 3.0 * spread,
        "{by_memory}, bound {bound}"
    );
}
