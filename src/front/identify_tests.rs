//! Tests of the request path of Identify and Verify, before a node in memory.

use std::time::Instant;

use super::*;
use crate::front::fixture::*;
use crate::model::decision::Certificate;
use crate::model::link::LinkKind;
use crate::model::subject::PadVerdict;

const SCANNER: &str = "/tenant/acme/scanner/gate-7";
const OPERATOR: &str = "/tenant/acme/operator/o";

/// A palm between two, nearer to the first.
fn between(a: u32, b: u32, share: f32) -> Vec<f32> {
    let mixed: Vec<f32> = palm(a)
        .iter()
        .zip(palm(b))
        .map(|(a, b)| a * (1.0 - share) + b * share)
        .collect();
    let norm = mixed.iter().map(|v| v * v).sum::<f32>().sqrt();
    mixed.iter().map(|v| v / norm).collect()
}

fn subject(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Match { candidate, .. } => Some(candidate.subject_id.as_str()),
        _ => None,
    }
}

#[tokio::test]
async fn a_palm_is_found_and_a_stranger_is_nobody() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    fixture.enroll("acme", "bob", 2).await;
    let scanner = caller(SCANNER);
    let found = fixture
        .front
        .identify(&scanner, identify("1", &palm(2)))
        .await
        .expect("answered");
    assert_eq!(subject(&found.decision), Some("bob"));
    assert_eq!(found.certificate, Some(Certificate::Deterministic));
    assert!(
        found.candidates.is_empty() && found.backend.is_empty(),
        "for operators alone"
    );
    let stranger = fixture
        .front
        .identify(&scanner, identify("2", &palm(3)))
        .await
        .expect("answered");
    assert_eq!(stranger.decision, Decision::NoMatch);
}

#[tokio::test]
async fn the_node_never_sees_a_signature_in_the_clear_and_tenants_share_nothing() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    fixture.enroll("other", "eve", 1).await;
    {
        let state = fixture.node.0.lock();
        let row = |tenant: &str| state.tenants[&id(tenant)].rows[0].2.clone();
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        for (a, b) in [
            (row("acme"), palm(1)),
            (row("other"), palm(1)),
            (row("acme"), row("other")),
        ] {
            assert!(cosine(&a, &b).abs() < 0.6);
        }
    }
    let elsewhere = caller("/tenant/other/scanner/x");
    let found = fixture
        .front
        .identify(&elsewhere, identify("1", &palm(1)))
        .await
        .expect("answered");
    assert_eq!(subject(&found.decision), Some("eve"));
}

#[tokio::test]
async fn another_tenant_and_other_roles_are_refused() {
    let fixture = Fixture::new().await;
    let mut request = identify("1", &palm(1));
    request.tenant = Some(id("other"));
    let error = fixture.front.identify(&caller(SCANNER), request).await.err();
    assert!(matches!(error, Some(FrontError::TenantDenied(_))));
    for path in ["/tenant/acme/enroller/e", "/tenant/acme/admin/a", "/admin/root"] {
        let error = fixture
            .front
            .identify(&caller(path), identify("1", &palm(1)))
            .await
            .err();
        assert!(matches!(error, Some(FrontError::RoleDenied { .. })), "{path}");
    }
    assert_eq!(fixture.node.calls("search"), 0);
}

#[tokio::test]
async fn candidates_and_backend_are_for_operators() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let asked = |candidates_max| Identify {
        candidates_max,
        ..identify("1", &palm(1))
    };
    let error = fixture.front.identify(&caller(SCANNER), asked(1)).await.err();
    assert!(matches!(error, Some(FrontError::Rejected(r)) if r.field == "candidates_max"));
    let error = fixture
        .front
        .identify(&caller(OPERATOR), asked(1_001))
        .await
        .err();
    assert!(matches!(error, Some(FrontError::Rejected(r)) if r.problem.contains("up to 1000")));
    let found = fixture
        .front
        .identify(&caller(OPERATOR), asked(5))
        .await
        .expect("answered");
    assert_eq!(found.candidates.len(), 1);
    assert!(found.candidates[0].score > 0.999 && found.candidates[0].links.is_empty());
    assert_eq!(found.backend, "fake");
}

#[tokio::test]
async fn low_quality_and_attacks_are_captured_again_without_a_search() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    for (quality, pad, reason) in [
        (10, PadVerdict::BonaFide, RetakeReason::LowQuality),
        (90, PadVerdict::Attack, RetakeReason::PadFailed),
        (90, PadVerdict::NotPerformed, RetakeReason::PadFailed),
    ] {
        let mut request = identify("1", &palm(1));
        let capture = &mut plain(&mut request.probe).capture;
        (capture.quality, capture.pad) = (quality, pad);
        let answer = fixture
            .front
            .identify(&caller(SCANNER), request)
            .await
            .expect("answered");
        assert_eq!(answer.decision, Decision::Retake(reason));
        assert_eq!(answer.certificate, None);
        let event = fixture.node.usage_of("acme").pop().expect("recorded");
        assert_eq!(event.outcome, Outcome::Retake(reason));
    }
    assert_eq!(fixture.node.calls("search"), 0);
}

#[tokio::test]
async fn two_who_are_too_near_to_each_other_are_ambiguous() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    fixture.enroll("acme", "bob", 2).await;
    let probe = identify("1", &between(1, 2, 0.5));
    let answer = fixture
        .front
        .identify(&caller(SCANNER), probe)
        .await
        .expect("answered");
    assert_eq!(answer.decision, Decision::Retake(RetakeReason::Ambiguous));
    let probe = identify("2", &between(1, 2, 0.35));
    let answer = fixture
        .front
        .identify(&caller(SCANNER), probe)
        .await
        .expect("answered");
    assert_eq!(subject(&answer.decision), Some("ada"));
}

#[tokio::test]
async fn bad_input_is_refused_and_not_recorded() {
    let fixture = Fixture::new().await;
    let mut encoder = identify("1", &palm(1));
    plain(&mut encoder.probe).encoder.name = "other".to_owned();
    let mut late = identify("1", &palm(1));
    late.deadline = Some(Instant::now());
    let mut values = palm(1);
    values[9] = f32::NAN;
    for (request, words) in [
        (encoder, "probe.encoder: is other/1"),
        (identify("1", &values), "coordinate 9 is not a finite number"),
        (identify("1", &palm(1)[..32]), "takes 256"),
        (late, "the deadline has passed"),
    ] {
        let error = fixture
            .front
            .identify(&caller(SCANNER), request)
            .await
            .err()
            .expect(words);
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(fixture.node.usage_of("acme").is_empty());
}

#[tokio::test]
async fn a_failing_node_is_an_error_and_never_no_match() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let down = || NodeError::NodeUnavailable {
        node: "n".to_owned(),
        reason: "gone".to_owned(),
    };
    for method in ["search", "record_usage"] {
        fixture.node.fail(method, down());
        let error = fixture
            .front
            .identify(&caller(SCANNER), identify("1", &palm(1)))
            .await
            .err();
        assert!(
            matches!(error, Some(FrontError::Node(NodeError::NodeUnavailable { .. }))),
            "{method}"
        );
    }
    // Nothing of the failures was remembered.
    let found = fixture
        .front
        .identify(&caller(SCANNER), identify("1", &palm(1)))
        .await
        .expect("answered");
    assert_eq!(subject(&found.decision), Some("ada"));
}

#[tokio::test]
async fn every_use_is_recorded_with_who_where_and_what_came_out() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    for (request, palm_number) in [("1", 1), ("2", 9)] {
        let asked = identify(request, &palm(palm_number));
        fixture
            .front
            .identify(&caller(SCANNER), asked)
            .await
            .expect("answered");
    }
    let usage = fixture.node.usage_of("acme");
    let [_enrolled, found, nobody] = usage.as_slice() else {
        panic!("{} events", usage.len());
    };
    assert_eq!((found.kind, found.outcome), (UsageKind::Identify, Outcome::Match));
    assert_eq!(found.subject_id, Some(id("ada")));
    assert_eq!(found.principal, id("gate-7"));
    assert_eq!(found.site, Some(id("gate")));
    assert_eq!(found.request_id, id("1"));
    assert_eq!((nobody.outcome, &nobody.subject_id), (Outcome::NoMatch, &None));
}

#[tokio::test]
async fn a_repeated_question_gets_the_same_answer_and_one_entry() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let recorded = || fixture.node.usage_of("acme").len();
    let ask = async |path: &str, request: Identify| {
        let answer = fixture
            .front
            .identify(&caller(path), request)
            .await
            .expect("answered");
        subject(&answer.decision).map(str::to_owned)
    };
    let before = recorded();
    for _ in 0..3 {
        assert_eq!(
            ask(SCANNER, identify("1", &palm(1))).await.as_deref(),
            Some("ada")
        );
    }
    assert_eq!((fixture.node.calls("search"), recorded()), (1, before + 1));
    // Another palm, another caller and another id are other questions.
    assert_eq!(ask(SCANNER, identify("1", &palm(2))).await, None);
    ask("/tenant/acme/scanner/gate-8", identify("1", &palm(1))).await;
    ask(SCANNER, identify("2", &palm(1))).await;
    assert_eq!((fixture.node.calls("search"), recorded()), (4, before + 4));
}

#[tokio::test]
async fn after_an_erasure_no_remembered_answer_names_the_person() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    fixture.enroll("acme", "bob", 2).await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    for front in [&fixture.front, &elsewhere] {
        let found = front
            .identify(&caller(SCANNER), identify("1", &palm(1)))
            .await
            .expect("answered");
        assert_eq!(subject(&found.decision), Some("ada"));
        let claimed = front
            .verify(&caller(SCANNER), verify("1", "ada", &palm(1)))
            .await
            .expect("answered");
        assert_eq!(subject(&claimed.decision), Some("ada"));
    }
    let selector = crate::front::command::SubjectSelector::Id(id("ada"));
    fixture
        .front
        .erase(&caller("/tenant/acme/enroller/e"), None, id("e"), selector)
        .await
        .expect("erased");
    // Also at the front that did not erase.
    for front in [&fixture.front, &elsewhere] {
        let answer = front
            .identify(&caller(SCANNER), identify("1", &palm(1)))
            .await
            .expect("answered");
        assert_eq!(answer.decision, Decision::NoMatch);
        let error = front
            .verify(&caller(SCANNER), verify("1", "ada", &palm(1)))
            .await
            .err();
        assert!(matches!(
            error,
            Some(FrontError::Node(NodeError::SubjectUnknown(_)))
        ));
    }
}

#[tokio::test]
async fn an_answer_that_an_erasure_overtakes_is_not_remembered() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let (found, go) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    fixture.node.0.lock().gate = Some((Arc::clone(&found), Arc::clone(&go)));
    let front = Arc::clone(&fixture.front);
    let asked = tokio::spawn(async move { front.identify(&caller(SCANNER), identify("1", &palm(1))).await });
    found.notified().await;
    // Found, not yet answered: now the person is erased, and enrolled anew under the same id with another palm.
    let selector = crate::front::command::SubjectSelector::Id(id("ada"));
    let enroller = caller("/tenant/acme/enroller/e");
    fixture
        .front
        .erase(&enroller, None, id("e"), selector)
        .await
        .expect("erased");
    let anew = crate::front::command::Enroll {
        subject_id: Some(id("ada")),
        ..enroll(2)
    };
    fixture.front.enroll(&enroller, anew).await.expect("enrolled");
    go.notify_one();
    asked.await.expect("ran").expect("answered");
    let answer = fixture
        .front
        .identify(&caller(SCANNER), identify("1", &palm(1)))
        .await
        .expect("answered");
    assert_eq!(answer.decision, Decision::NoMatch);
}

#[tokio::test]
async fn links_are_opened_as_the_policy_says() {
    let fixture = Fixture::new().await;
    let link = |kind, value: &str| Link::new(kind, value.to_owned()).expect("valid");
    let mut request = enroll(1);
    request.links = vec![
        link(LinkKind::PaymentToken, "tok"),
        link(LinkKind::PhoneNumber, "+43"),
        link(LinkKind::AccountId, "acc"),
    ];
    fixture
        .front
        .enroll(&caller("/tenant/acme/enroller/e"), request)
        .await
        .expect("enrolled");
    for (path, expected) in [(SCANNER, &["tok"][..]), (OPERATOR, &["tok", "acc"])] {
        let found = fixture
            .front
            .identify(&caller(path), identify("1", &palm(1)))
            .await
            .expect("answered");
        let values: Vec<&str> = found.links.iter().map(Link::value).collect();
        assert_eq!(values, expected, "{path}");
        let Decision::Match { candidate, .. } = found.decision else {
            panic!("not found");
        };
        assert!(candidate.links.is_empty());
    }
}

#[tokio::test]
async fn verification_takes_the_claimed_subject_alone() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    fixture.enroll("acme", "bob", 2).await;
    let scanner = caller(SCANNER);
    let right = fixture
        .front
        .verify(&scanner, verify("1", "ada", &palm(1)))
        .await
        .expect("answered");
    assert_eq!((subject(&right.decision), right.score), (Some("ada"), None));
    let wrong = fixture
        .front
        .verify(&scanner, verify("2", "ada", &palm(2)))
        .await
        .expect("answered");
    assert_eq!(wrong.decision, Decision::NoMatch);
    let event = fixture.node.usage_of("acme").pop().expect("recorded");
    assert_eq!((event.kind, event.outcome), (UsageKind::Verify, Outcome::NoMatch));
    assert_eq!(event.subject_id, Some(id("ada")), "who was claimed in vain");
    let scored = fixture
        .front
        .verify(&caller(OPERATOR), verify("3", "ada", &palm(1)))
        .await
        .expect("answered");
    assert!(scored.score.expect("for operators") > 0.999);
    let unknown = fixture
        .front
        .verify(&scanner, verify("4", "nobody", &palm(1)))
        .await
        .err();
    assert!(matches!(
        unknown,
        Some(FrontError::Node(NodeError::SubjectUnknown(_)))
    ));
    let mut attack = verify("5", "ada", &palm(1));
    plain(&mut attack.probe).capture.pad = PadVerdict::Attack;
    let attack = fixture.front.verify(&scanner, attack).await.expect("answered");
    assert_eq!(attack.decision, Decision::Retake(RetakeReason::PadFailed));
}

#[tokio::test]
async fn a_remembered_match_is_not_repeated_for_another_palm_under_the_same_id() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let scanner = caller("/tenant/acme/scanner/gate");
    let ask = async || {
        let found = fixture.front.identify(&scanner, identify("same", &palm(1))).await;
        let claimed = fixture
            .front
            .verify(&scanner, verify("same", "ada", &palm(1)))
            .await;
        [
            found.expect("answered").decision,
            claimed.expect("answered").decision,
        ]
    };
    for _ in 0..2 {
        for decision in ask().await {
            assert!(matches!(decision, Decision::Match { .. }), "{decision:?}");
        }
    }
    assert_eq!(
        fixture.node.usage_of("acme").len(),
        3,
        "the enrolment and one use of each kind"
    );
    // At another front she is erased, and somebody else gets her id.
    let elsewhere = front(&fixture.keyring, &fixture.node);
    erase_ada(&elsewhere).await;
    enroll_ada_with_another(&elsewhere).await;
    assert_eq!(ask().await, [Decision::NoMatch, Decision::NoMatch]);
}

#[tokio::test]
async fn a_remembered_no_is_not_repeated_once_the_claimed_subject_is_another_or_gone() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let scanner = caller(SCANNER);
    let ask = async || {
        let question = verify("same", "ada", &palm(2));
        fixture.front.verify(&scanner, question).await
    };
    for _ in 0..2 {
        assert_eq!(ask().await.expect("answered").decision, Decision::NoMatch);
    }
    assert_eq!(
        fixture.node.usage_of("acme").len(),
        2,
        "the enrolment and one use"
    );
    // At another front she gets the palm that was shown, and then she is erased.
    let elsewhere = front(&fixture.keyring, &fixture.node);
    enroll_ada_with_another(&elsewhere).await;
    let now = ask().await.expect("answered").decision;
    assert_eq!(subject(&now), Some("ada"));
    erase_ada(&elsewhere).await;
    let gone = ask().await.err();
    assert!(
        matches!(gone, Some(FrontError::Node(NodeError::SubjectUnknown(_)))),
        "{gone:?}"
    );
}
