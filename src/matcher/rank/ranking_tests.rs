//! Tests of the ranking: the best reference counts, those with the last score are all there, what is dropped can't have mattered.

use super::*;

fn id(subject: u64) -> RowId {
    RowId {
        reference: subject,
        subject,
    }
}

fn subjects(contenders: Option<Vec<(f32, RowId)>>) -> Option<Vec<u64>> {
    let mut subjects: Vec<u64> = contenders?.iter().map(|(_, id)| id.subject).collect();
    subjects.sort_unstable();
    Some(subjects)
}

#[test]
fn a_subject_counts_once_with_its_best_reference() {
    let mut ranking = Ranking::new(2);
    for score in [0.1, 0.7, 0.3] {
        ranking.add(id(1), score);
    }
    assert_eq!(ranking.last(), None, "one subject, two wanted");
    assert_eq!(ranking.contenders(0.0), None, "there may be others below");
    ranking.add(id(2), 0.2);
    assert_eq!(ranking.last(), Some(0.2));
    assert_eq!(ranking.contenders(0.3), None, "others may lie between");
    let contenders = ranking.contenders(0.2).expect("two reach it");
    assert!(contenders.contains(&(0.7, id(1))));
}

#[test]
fn everybody_with_the_last_score_is_a_contender() {
    let mut ranking = Ranking::new(3);
    for (subject, score) in [(1, 0.9), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.4)] {
        ranking.add(id(subject), score);
    }
    assert_eq!(
        subjects(ranking.contenders(f32::NEG_INFINITY)),
        Some(vec![1, 2, 3, 4])
    );
    ranking.remove(3);
    ranking.remove(1);
    assert_eq!(subjects(ranking.contenders(0.4)), Some(vec![2, 4, 5]));
}

#[test]
fn a_gallery_with_fewer_subjects_is_ranked_whole() {
    let mut ranking = Ranking::new(1_000);
    ranking.add(id(1), -0.5);
    ranking.add(id(2), 0.5);
    assert_eq!(subjects(ranking.contenders(f32::NEG_INFINITY)), Some(vec![1, 2]));
    assert_eq!(
        subjects(Ranking::new(1).contenders(f32::NEG_INFINITY)),
        Some(vec![])
    );
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
fn what_is_dropped_leaves_a_reserve_and_is_not_taken_for_complete() {
    let mut ranking = Ranking::new(10);
    let count = 100_000_u64;
    // Best first, so that all who come after the first pruning are below the floor; then a late reference of the worst.
    for subject in 0..count {
        ranking.add(id(subject), 1.0 - subject as f32 / count as f32);
    }
    assert!(ranking.best.len() < 20 + SLACK, "{}", ranking.best.len());
    ranking.add(id(count - 1), 2.0);
    let expected: Vec<u64> = (0..9).chain([count - 1]).collect();
    assert_eq!(subjects(ranking.contenders(f32::NEG_INFINITY)), Some(expected));
    for subject in 0..9 {
        ranking.remove(subject);
    }
    assert!(ranking.contenders(f32::NEG_INFINITY).is_some(), "the reserve");
    for subject in 9..30_000 {
        ranking.remove(subject);
    }
    assert_eq!(
        ranking.contenders(f32::NEG_INFINITY),
        None,
        "somebody was dropped who is wanted now"
    );
}

#[test]
fn very_many_with_one_score_are_all_kept_in_little_time() {
    let mut ranking = Ranking::new(1);
    for subject in 0..200_000 {
        ranking.add(id(subject), 0.5);
    }
    let contenders = ranking.contenders(f32::NEG_INFINITY).expect("one is enough");
    assert_eq!(contenders.len(), 200_000);
}
