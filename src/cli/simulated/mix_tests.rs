//! Tests of the mix: everybody comes as often as their share says.

use rand_chacha::rand_core::SeedableRng;

use super::*;

const DRAWN: u64 = 10_000;

fn counts(mix: Mix, palms: u64) -> (usize, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let drawn: Vec<Question> = (0..DRAWN).map(|n| mix.draw(&mut rng, palms, n)).collect();
    let strangers = drawn.iter().filter(|q| matches!(q, Question::Stranger(_)));
    let regulars = drawn
        .iter()
        .filter(|q| matches!(q, Question::Mate { subject, .. } if *subject < mix.circle));
    (strangers.count(), regulars.count())
}

#[test]
fn shares_are_kept() {
    let mix = Mix {
        strangers: 0.1,
        regulars: 0.5,
        circle: 20,
    };
    let (strangers, regulars) = counts(mix, 1_000_000);
    assert!((900..1_100).contains(&strangers), "{strangers}");
    assert!((4_800..5_200).contains(&regulars), "{regulars}");
}

#[test]
fn a_circle_larger_than_the_gallery_is_the_gallery() {
    let mix = Mix {
        strangers: 0.0,
        regulars: 1.0,
        circle: 1_000,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for number in 0..1_000 {
        let question = mix.draw(&mut rng, 3, number);
        assert!(
            matches!(question, Question::Mate { subject: 0..3, .. }),
            "{question:?}"
        );
    }
}

#[test]
fn nobody_is_captured_twice_alike() {
    let mix = Mix {
        strangers: 0.5,
        regulars: 0.5,
        circle: 1,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let first = mix.draw(&mut rng, 1, 1);
    assert!((2..100).all(|number| mix.draw(&mut rng, 1, number) != first));
}
