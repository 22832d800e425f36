//! Tests of simulated people: palms survive the wire, ids go there and back, whoever asks has the right mate.

use super::*;

fn population() -> Population {
    Population::new(SEED, Dimension::new(256).expect("valid"))
}

#[test]
fn a_palm_is_heard_as_it_was_sent() {
    let population = population();
    let values = population.reference(3);
    let palm = Palm::enrolled(&population, 3);
    assert_eq!(palm.data.len(), 512);
    assert!((palm.score(&palm) - 1.0).abs() < 1e-5);
    let exact: f64 = values
        .iter()
        .zip(&palm.heard)
        .map(|(a, b)| f64::from(a * b))
        .sum();
    assert!((exact - 1.0).abs() < 1e-5, "{exact}");
}

#[test]
fn ids_go_there_and_back() {
    assert_eq!(subject_number(&subject_id(17)), Some(17));
    assert_eq!(subject_number("ada"), None);
    assert_eq!(subject_number("palm-x"), None);
}

#[test]
fn an_asker_has_the_score_of_its_own_palm() {
    let population = population();
    let question = Question::Mate {
        subject: 5,
        capture: 1,
    };
    let palm = question.palm(&population);
    let Asker::Mate { subject, score } = question.asker(&population, &palm) else {
        panic!("a mate asks");
    };
    assert_eq!(subject, 5);
    let others = palm.score(&Palm::enrolled(&population, 6));
    assert!(score > others + 0.2, "{score} and {others}");
    let stranger = Question::Stranger(5);
    let palm = stranger.palm(&population);
    assert_eq!(stranger.asker(&population, &palm), Asker::Stranger);
}
