//! Tests of nodes that are behind, or answer what is none: what they say ends no identification that others can answer, and is not asked for again and again.

use super::fixture::{Act, TOOK, World, rows, tenant};
use super::tests::{exhausted, pair, part_of, two_parts_of_one_call, unreachable};
use super::*;
use crate::cluster::placement::Part;
use crate::model::decision::Certificate;

#[tokio::test(start_paused = true)]
async fn what_one_node_says_of_the_tenant_or_of_its_load_is_the_answer_only_where_all_owners_say_so() {
    let verdicts = [
        NodeError::TransformStale { tenant: tenant() },
        NodeError::TenantUnknown(tenant()),
        exhausted(),
    ];
    for verdict in verdicts {
        let (world, first, second) = pair();
        world.script(first, [Act::Fail(verdict.clone())]);
        assert_eq!(world.search().await.expect("the other knows more"), world.whole());
        world.script(second, [Act::Fail(verdict.clone())]);
        let told = world.search().await.expect_err("both say so");
        assert_eq!(told.to_string(), verdict.to_string());
        // Who is out of reach, or is behind, might say something else.
        let others = [Act::Fail(unreachable()), Act::Lacks([Part::Fresh].into())];
        for other in others {
            for (one, two) in [(first, second), (second, first)] {
                world.script(one, [other.clone()]);
                world.script(two, [Act::Fail(verdict.clone())]);
                for _ in 0..2 {
                    let told = world.search().await.expect_err("nobody knows");
                    assert_eq!(part_of(&told).0, "fresh", "{other:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_say_different_things_of_the_tenant_are_no_answer() {
    let (world, first, second) = pair();
    world.script(first, [Act::Fail(NodeError::TransformStale { tenant: tenant() })]);
    world.script(second, [Act::Fail(NodeError::TenantUnknown(tenant()))]);
    let told = world.search().await.expect_err("nobody knows");
    assert_eq!(part_of(&told).0, "fresh");
}

#[tokio::test(start_paused = true)]
async fn a_slow_verdict_and_a_hedge_are_two_owners() {
    let (world, first, second) = pair();
    world.warm_up().await;
    world.script(first, [Act::Answer(TOOK * 3)]);
    world.script(second, [Act::Fail(NodeError::TenantUnknown(tenant()))]);
    assert_eq!(world.search().await.expect("the first knows more"), world.whole());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_all_that_is_behind_so_that_the_rest_is_asked_once() {
    let (world, first, parts) = two_parts_of_one_call();
    let asked_first: Vec<Part> = (0..4)
        .map(Part::Group)
        .chain([Part::Fresh])
        .filter(|part| world.owners(*part)[0] == first)
        .collect();
    world.script(first, [Act::Lacks(parts.into())]);
    assert_eq!(world.search().await.expect("the other has them"), world.whole());
    let scopes = world.nodes[first].parts_asked();
    let rest: usize = asked_first.len() - parts.len();
    let expected = if rest == 0 { 1 } else { 2 };
    assert_eq!(scopes.len(), expected, "once for all, and once for what it has");
    assert!(
        scopes[1..]
            .iter()
            .all(|scope| scope.len() == rest && scope.is_disjoint(&parts.into()))
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_no_node_can_give_is_asked_for_elsewhere_and_never_taken() {
    let spoils: [fn(&mut SearchAnswer); 3] = [
        |answer| answer.candidates[0].score = f32::NAN,
        |answer| answer.candidates.reverse(),
        |answer| {
            answer.certificate = Certificate::Probabilistic {
                miss_probability: f64::NAN,
            };
        },
    ];
    for spoil in spoils {
        let mut rows = rows(0);
        rows.push(super::fixture::Row {
            subject: 5,
            part: Part::Fresh,
            score: 0.7,
        });
        let world = World::new(2, 2, 0, rows);
        let owners = world.owners(Part::Fresh);
        world.script(owners[0], [Act::Spoilt(spoil)]);
        assert_eq!(world.search().await.expect("the other is sound"), world.whole());
        world.script(owners[1], [Act::Spoilt(spoil)]);
        let error = world.search().await.expect_err("neither is");
        assert!(part_of(&error).1.contains("defect"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_with_an_error_for_a_tenant_is_asked_last_for_that_tenant() {
    let (world, first, second) = pair();
    let damaged = NodeError::TenantUnavailable {
        tenant: tenant(),
        reason: "A.seg is damaged".to_owned(),
    };
    world.script(first, [Act::Fail(damaged)]);
    for _ in 0..50 {
        assert_eq!(world.search().await.expect("the other"), world.whole());
    }
    // 50 questions take less than a second.
    assert_eq!((world.calls()[first], world.calls()[second]), (1, 50));
    for _ in 0..600 {
        tokio::time::advance(Duration::from_secs(1)).await;
        world.search().await.expect("the other");
    }
    let calls = world.calls()[first];
    assert!(
        (8..20).contains(&calls),
        "{calls}: after 1, 2, 4 s and so on, then once in 64 s"
    );
    world.script(first, [Act::Answer(TOOK)]);
    tokio::time::advance(Duration::from_secs(64)).await;
    for _ in 0..20 {
        world.search().await.expect("both answer");
    }
    assert!(world.calls()[first] >= calls + 9, "it is asked again");
}
