//! Tests of the nearest subjects against a plain loop over everybody, on galleries that take every way through the search.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use half::f16;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::*;
use crate::engine::{SURVIVORS_MAX, canonical};
use crate::matcher::apply::exact_bytes;
use crate::matcher::fixture::*;
use crate::matcher::local::LocalNode;
use crate::matcher::node::{Enrollment, Erasure, ImportChunk, ImportHeader, NewReference, Node, SubjectRef};
use crate::model::id::SubjectId;
use crate::model::signature::{Dimension, Signature};
use crate::model::subject::Hand;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};
use crate::storage::place::RowId;

const SEED: u64 = 11;

type Row = (String, Vec<f32>);

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    for value in &mut values {
        *value /= norm;
    }
    values
}

fn random(rng: &mut ChaCha12Rng) -> Vec<f32> {
    unit(
        (0..DIM)
            .map(|_| (0..4).map(|_| rng.random_range(-1.0_f32..1.0)).sum())
            .collect(),
    )
}

fn near(center: &[f32], noise: f32, rng: &mut ChaCha12Rng) -> Vec<f32> {
    let other = random(rng);
    unit(center.iter().zip(other).map(|(c, o)| c + noise * o).collect())
}

fn parsed(values: &[f32]) -> Signature {
    Signature::new(values.to_vec(), Dimension::new(DIM).expect("a dimension")).expect("a unit vector")
}

fn question(probe: &[f32], candidates_max: usize) -> RankQuery {
    RankQuery {
        tenant: tenant(),
        transform: transform(7),
        probe: parsed(probe),
        candidates_max,
        deterministic: false,
        deadline: None,
    }
}

async fn import(node: &Arc<LocalNode>, request: &str, rows: &[Row]) {
    let header = ImportHeader {
        request_id: request.parse().expect("an id"),
        ..import_header(transform(7), rows.len() as u64)
    };
    let chunks: Vec<_> = rows
        .chunks(4_096)
        .map(|rows| {
            Ok(ImportChunk {
                values: rows
                    .iter()
                    .flat_map(|(_, row)| parsed(row).values().to_vec())
                    .collect(),
                subject_ids: rows.iter().map(|(id, _)| id.parse().expect("an id")).collect(),
            })
        })
        .collect();
    node.import(header, stream::iter(chunks).boxed())
        .await
        .expect("imported");
}

async fn enroll(node: &Arc<LocalNode>, subject: &str, rows: &[Vec<f32>]) {
    let references = rows.iter().map(|row| NewReference {
        signature: parsed(row),
        hand: Hand::Left,
        capture: capture(),
    });
    let enrollment = Enrollment {
        tenant: tenant(),
        transform: transform(7),
        request_id: format!("enrol-{subject}").parse().expect("an id"),
        request_digest: [5; 32],
        subject_id: subject.parse().expect("an id"),
        references: references.collect(),
        consent: consent(),
        links: Vec::new(),
        usage: UsageEvent {
            at: Timestamp(5),
            kind: UsageKind::Enroll,
            outcome: Outcome::Done,
            subject_id: Some(subject.parse().expect("an id")),
            site: None,
            principal: "desk".parse().expect("a name"),
            request_id: request(),
        },
    };
    node.enroll(enrollment).await.expect("enrolled");
}

async fn erase(node: &Arc<LocalNode>, subject: &str) {
    let erasure = Erasure {
        tenant: tenant(),
        request_id: format!("erase-{subject}").parse().expect("an id"),
        request_digest: [5; 32],
        subject: SubjectRef::Id(subject.parse().expect("an id")),
        only_if: None,
    };
    node.erase(erasure).await.expect("erased");
}

/// The answer of a loop over everybody: subject and score to the last bit.
fn exhaustive(rows: &[Row], probe: &[f32], count: usize) -> Vec<(String, u32)> {
    let probe = parsed(probe);
    let mut best: BTreeMap<&str, f32> = BTreeMap::new();
    for (subject, row) in rows {
        let bytes = exact_bytes(&parsed(row));
        let halves: Vec<f16> = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f16::from_le_bytes(*b))
            .collect();
        let score = canonical::score(probe.values(), &halves);
        let entry = best.entry(subject).or_insert(score);
        *entry = entry.max(score);
    }
    let mut ranked: Vec<(&str, f32)> = best.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    ranked.truncate(count);
    ranked
        .into_iter()
        .map(|(id, score)| (id.to_owned(), score.to_bits()))
        .collect()
}

fn told(answer: &SearchAnswer) -> Vec<(String, u32)> {
    let candidates = answer.candidates.iter();
    candidates
        .map(|c| (c.subject_id.to_string(), c.score.to_bits()))
        .collect()
}

async fn check(node: &Arc<LocalNode>, rows: &[Row], probe: &[f32], count: usize) {
    let answer = node.rank(question(probe, count)).await.expect("answered");
    let expected = exhaustive(rows, probe, count);
    let found = told(&answer);
    let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
    assert!(
        found == expected,
        "{count} of {}: {} told, first difference at {differs:?}: {:?}",
        rows.len(),
        found.len(),
        differs.map(|at| (&found[at], &expected[at]))
    );
    assert_eq!(answer.certificate, Certificate::Deterministic);
    assert_eq!(answer.searched, rows.len() as u64);
    assert!(answer.backend.starts_with("cpu/"), "{}", answer.backend);
    assert!(answer.candidates.iter().all(|c| c.links.is_empty()));
}

/// Random palms, clusters around some of them, copies of one, each under an id of its own in no order.
fn mixed(count: usize) -> Vec<Row> {
    let mut rng = ChaCha12Rng::seed_from_u64(SEED);
    let centers: Vec<Vec<f32>> = (0..8).map(|_| random(&mut rng)).collect();
    (0..count)
        .map(|n| {
            let center = centers.get(n % 8).expect("eight");
            let row = match n % 5 {
                0..=2 => random(&mut rng),
                3 => near(center, 0.5, &mut rng),
                _ if n % 100 == 4 => centers.first().expect("eight").clone(),
                _ => near(center, 2.0, &mut rng),
            };
            (format!("p-{:06x}", n * 2_654_435_761 % 16_777_216), row)
        })
        .collect()
}

#[tokio::test]
async fn a_gallery_whose_survivors_are_listed_is_ranked_as_by_a_loop() {
    let (node, _dir) = node().await;
    let rows = mixed(9_000);
    import(&node, "i", &rows).await;
    let mut rng = ChaCha12Rng::seed_from_u64(SEED + 1);
    let stored = rows.get(4).expect("there").1.clone();
    let probes = [random(&mut rng), near(&stored, 0.4, &mut rng), stored];
    for probe in &probes {
        for count in [1, 2, 10, 137, 1_000] {
            check(&node, &rows, probe, count).await;
        }
    }
    node.drain().await;
}

#[tokio::test]
async fn a_gallery_whose_survivors_are_too_many_is_ranked_as_by_a_loop() {
    let (node, _dir) = node().await;
    let rows = mixed(SURVIVORS_MAX + 14_000);
    import(&node, "i", &rows).await;
    let mut rng = ChaCha12Rng::seed_from_u64(SEED + 2);
    for count in [1, 10, 1_000] {
        check(&node, &rows, &random(&mut rng), count).await;
    }
    node.drain().await;
}

#[tokio::test]
async fn of_equal_palms_those_with_the_lesser_ids_are_told() {
    let (node, _dir) = node().await;
    let mut rng = ChaCha12Rng::seed_from_u64(SEED + 3);
    let palm = random(&mut rng);
    // Enrolled in falling order of their ids; more of them than are listed.
    let mut rows: Vec<Row> = (0..SURVIVORS_MAX + 1_000)
        .rev()
        .map(|n| (format!("twin-{n:05}"), palm.clone()))
        .collect();
    rows.push(("zoe".to_owned(), near(&palm, 0.2, &mut rng)));
    import(&node, "i", &rows).await;
    for count in [1, 10, 1_000] {
        check(&node, &rows, &palm, count).await;
        let zoe = rows.last().expect("there").1.clone();
        check(&node, &rows, &zoe, count).await;
    }
    node.drain().await;
}

#[tokio::test]
async fn fewer_subjects_than_wanted_are_all_told() {
    let (node, _dir) = node().await;
    let mut rng = ChaCha12Rng::seed_from_u64(SEED + 4);
    let probe = random(&mut rng);
    let nobody = node.rank(question(&probe, 1_000)).await.expect("answered");
    assert_eq!((nobody.candidates.len(), nobody.searched), (0, 0));
    let mut rows: Vec<Row> = (0..300).map(|n| (format!("p-{n}"), random(&mut rng))).collect();
    import(&node, "i", &rows).await;
    check(&node, &rows, &probe, 1_000).await;
    let all = node.rank(question(&probe, 1_000)).await.expect("answered");
    assert_eq!(all.candidates.len(), 300, "those with negative scores too");
    erase(&node, "p-7").await;
    rows.retain(|(subject, _)| subject != "p-7");
    check(&node, &rows, &probe, 1_000).await;
    node.drain().await;
}

#[tokio::test]
async fn several_references_of_a_subject_count_once_with_the_best() {
    let (node, _dir) = node().await;
    let mut rng = ChaCha12Rng::seed_from_u64(SEED + 5);
    let mut rows = mixed(3_000);
    import(&node, "i", &rows).await;
    let palm = random(&mut rng);
    for n in 0..20 {
        let references: Vec<Vec<f32>> = [0.1, 0.3, 0.5].map(|noise| near(&palm, noise, &mut rng)).to_vec();
        let subject = format!("many-{n}");
        enroll(&node, &subject, &references).await;
        rows.extend(references.into_iter().map(|row| (subject.clone(), row)));
    }
    for count in [1, 10, 20, 21, 1_000] {
        check(&node, &rows, &palm, count).await;
    }
    node.drain().await;
}

#[tokio::test]
async fn the_erased_are_never_told() {
    let (node, _dir) = node().await;
    let mut rows = mixed(9_000);
    import(&node, "i", &rows).await;
    let probe = rows.get(4).expect("there").1.clone();
    for _ in 0..5 {
        let answer = node.rank(question(&probe, 10)).await.expect("answered");
        let first = answer.candidates.first().expect("ten").subject_id.to_string();
        erase(&node, &first).await;
        rows.retain(|(subject, _)| *subject != first);
        check(&node, &rows, &probe, 10).await;
    }
    node.drain().await;
}

#[tokio::test]
async fn who_was_erased_after_the_scan_makes_room_for_the_next() {
    let (node, _dir) = node().await;
    for n in 1..=4 {
        enroll(&node, &format!("s-{n}"), &[signature(DIM).values().to_vec()]).await;
    }
    let held = node.live_tenants().first().cloned().expect("one tenant");
    let id = |subject| RowId {
        reference: subject,
        subject,
    };
    let seen = || {
        let mut ranking = Ranking::new(2);
        for (subject, score) in [(1, 0.5), (2, 0.4), (3, 0.3), (99, 0.9)] {
            ranking.add(id(subject), score);
        }
        ranking
    };
    let found = settle(held.as_ref(), &mut seen(), None, 0.35)
        .expect("read")
        .expect("two");
    let names: Vec<SubjectId> = found.into_iter().map(|c| c.subject_id).collect();
    assert_eq!(names, ["s-1", "s-2"].map(|id| id.parse().expect("an id")));
    let mut ranking = seen();
    let found = settle(held.as_ref(), &mut ranking, None, 0.45).expect("read");
    assert!(
        found.is_none(),
        "somebody between 0.4 and 0.45 may not have been scored"
    );
    assert_eq!(ranking.last(), Some(0.4), "the erased one is out");
    node.drain().await;
}

#[tokio::test]
async fn a_passed_deadline_and_another_dimension_are_refused() {
    let (node, _dir) = node().await;
    let rows = mixed(3_000);
    import(&node, "i", &rows).await;
    let probe = rows.first().expect("there").1.clone();
    for count in [1, 1_000] {
        let late = RankQuery {
            deadline: Instant::now().checked_sub(Duration::from_millis(1)),
            ..question(&probe, count)
        };
        let error = node.rank(late).await.expect_err("late");
        assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
    }
    let odd = RankQuery {
        probe: signature(2 * DIM),
        ..question(&probe, 1)
    };
    let error = node.rank(odd).await.expect_err("another dimension");
    assert!(
        matches!(&error, NodeError::Rejected(refusal) if refusal.field == "probe"),
        "{error:?}"
    );
    node.drain().await;
}
