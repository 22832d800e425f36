//! Tests of the report: medians of turns, the ratio of their p99, the worst of all.

use super::*;

fn turn(ms: f64, cores: f64) -> Turn {
    let mut outcome = Outcome::default();
    outcome.answers.push(ms);
    outcome.newcomers.push(10.0 * ms);
    Turn {
        outcome,
        server_cores: cores,
        attackers_cores: cores,
    }
}

#[test]
fn medians_of_the_turns_are_compared_and_the_worst_is_told() {
    let mut medians = Medians::default();
    for (quiet, hostile) in [(1.0, 3.0), (2.0, 2.0), (9.0, 1.0)] {
        medians
            .add(&turn(quiet, 0.5), &turn(hostile, 1.5))
            .expect("timed");
        medians.memory.push(1.0);
        medians.log.push(0.0);
    }
    let figures = medians.figures("test", 1, None, BTreeMap::new()).expect("timed");
    assert!((figures.ratio - 1.0).abs() < 1e-9, "{figures:?}");
    assert!((figures.newcomer_hostile_ms - 20.0).abs() < 1e-9, "{figures:?}");
    assert!((figures.server_hostile_cores - 1.5).abs() < 1e-9, "{figures:?}");
    let better = Figures {
        ratio: 0.5,
        ..figures.clone()
    };
    assert!((Report::new(vec![better, figures]).worst - 1.0).abs() < 1e-9);
}

#[test]
fn an_attack_that_did_not_take_place_is_an_error() {
    let mask = Mask::new("", None).expect("no authority is needed to be refused");
    let field = Field::new(
        "127.0.0.1:1".parse().expect("an address"),
        Vec::new(),
        (mask.clone(), mask),
        Sources::new(1, 1),
    );
    let strength = Strength {
        idle: 10_000,
        broken: 1_000,
        flood: 1_000,
    };
    let nothing = Counters::default();
    for attack in Attack::ALL {
        let proof = attack.took_place(strength, &field, (&nothing, &nothing), Duration::from_secs(1));
        let refusal = proof.expect_err("nothing took place").to_string();
        assert!(refusal.contains(attack.name()), "{refusal}");
    }
}
