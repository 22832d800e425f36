//! What the rotation keeps apart, and what it doesn't: the same 1,000 palms in two tenants, seen by somebody who has the rotated rows of both galleries in
//! the clear. `cargo test --test it unlinkable -- --nocapture` prints the figures of docs/threat-model.md.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Binomial, DiscreteCDF};
use thenar::keys::secret::SecretKey;
use thenar::keys::transform::Rotation;
use thenar::model::signature::Dimension;

use crate::harness::{DIM, dot, palm};

const PALMS: usize = 1_000;
/// A correct attack-free run exceeds the bound with this probability at most.
const ERROR: f64 = 1e-6;

type Rows = Vec<Vec<f32>>;

fn rotation(key: u8) -> Rotation {
    Rotation::derive(
        &SecretKey::from_bytes([key; 32]),
        1,
        Dimension::new(DIM).expect("valid"),
    )
}

fn rotated(rotation: &Rotation, palms: &[Vec<f32>]) -> Rows {
    let mut rows: Vec<f32> = palms.iter().flatten().copied().collect();
    rotation.protect_rows(&mut rows);
    rows.chunks(DIM).map(<[f32]>::to_vec).collect()
}

/// Palms whose directions are not all alike: coordinate i is scaled by (1 + i)^-1/2, as encoders' are.
fn uneven(seed: u64) -> Vec<f32> {
    let scaled: Vec<f32> = palm(seed)
        .iter()
        .zip(1..)
        .map(|(v, at)| v / (at as f32).sqrt())
        .collect();
    let norm = scaled.iter().map(|v| v * v).sum::<f32>().sqrt();
    scaled.iter().map(|v| v / norm).collect()
}

/// An order that the thief does not know: row i of the second gallery is palm `order[i]`.
fn shuffled(seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..PALMS).collect();
    for at in (1..PALMS).rev() {
        order.swap(at, (rng.next_u64() % (at as u64 + 1)) as usize);
    }
    order
}

/// Rows of `a` whose nearest row of `b` is the same palm.
fn linked(a: &Rows, b: &Rows, order: &[usize]) -> usize {
    let nearest = |row: &Vec<f32>| {
        let scores = b.iter().map(|other| dot(row, other));
        scores
            .enumerate()
            .max_by(|x, y| x.1.total_cmp(&y.1))
            .expect("rows")
            .0
    };
    a.iter()
        .enumerate()
        .filter(|(palm, row)| order[nearest(row)] == *palm)
        .count()
}

/// Most links that guessing gives, but for `ERROR`.
fn chance_max() -> usize {
    let guesses = Binomial::new(1.0 / PALMS as f64, PALMS as u64).expect("valid");
    (0..PALMS as u64)
        .find(|links| guesses.sf(*links) < ERROR)
        .expect("below one") as usize
}

/// What does not hang on the directions of the axes' names: the coordinates in order of size.
fn sorted(rows: &Rows) -> Rows {
    let sort = |row: &Vec<f32>| {
        let mut row = row.clone();
        row.sort_by(f32::total_cmp);
        centred(row)
    };
    rows.iter().map(sort).collect()
}

/// Sums of powers of the coordinates.
fn moments(rows: &Rows) -> Rows {
    let raw: Rows = rows
        .iter()
        .map(|row| {
            (3..9)
                .map(|power| row.iter().map(|v| (v.abs() * 8.0).powi(power)).sum())
                .collect()
        })
        .collect();
    // Each to mean 0 and spread 1, so that none drowns the others.
    let columns = raw[0].len();
    let stats: Vec<(f32, f32)> = (0..columns)
        .map(|c| {
            let mean = raw.iter().map(|row| row[c]).sum::<f32>() / raw.len() as f32;
            let spread = raw.iter().map(|row| (row[c] - mean).powi(2)).sum::<f32>() / raw.len() as f32;
            (mean, spread.sqrt())
        })
        .collect();
    raw.iter()
        .map(|row| {
            unit(
                row.iter()
                    .zip(&stats)
                    .map(|(v, (mean, spread))| (v - mean) / spread)
                    .collect(),
            )
        })
        .collect()
}

fn centred(row: Vec<f32>) -> Vec<f32> {
    let mean = row.iter().sum::<f32>() / row.len() as f32;
    unit(row.into_iter().map(|v| v - mean).collect())
}

fn unit(row: Vec<f32>) -> Vec<f32> {
    let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
    row.into_iter().map(|v| v / norm).collect()
}

/// The linear map that takes rows of `a` nearest to rows of `b` (ridge regression), row-major.
fn ridge(a: &[&Vec<f32>], b: &[&Vec<f32>]) -> Vec<Vec<f64>> {
    let gram = |x: &[&Vec<f32>], y: &[&Vec<f32>]| -> Vec<Vec<f64>> {
        let mut sum = vec![vec![0.0; DIM]; DIM];
        for (x, y) in x.iter().zip(y) {
            for (row, x) in sum.iter_mut().zip(x.iter()) {
                for (cell, y) in row.iter_mut().zip(y.iter()) {
                    *cell += f64::from(*x) * f64::from(*y);
                }
            }
        }
        sum
    };
    let mut left = gram(a, a);
    for (at, row) in left.iter_mut().enumerate() {
        row[at] += 1e-6;
    }
    solve(left, gram(a, b))
}

/// X with left · X = right, by elimination with pivots.
fn solve(mut left: Vec<Vec<f64>>, mut right: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for at in 0..DIM {
        let pivot = (at..DIM)
            .max_by(|x, y| left[*x][at].abs().total_cmp(&left[*y][at].abs()))
            .expect("rows");
        left.swap(at, pivot);
        right.swap(at, pivot);
        for other in (0..DIM).filter(|other| *other != at) {
            let factor = left[other][at] / left[at][at];
            for column in 0..DIM {
                left[other][column] -= factor * left[at][column];
                right[other][column] -= factor * right[at][column];
            }
        }
    }
    for at in 0..DIM {
        let by = left[at][at];
        right[at].iter_mut().for_each(|v| *v /= by);
    }
    right
}

fn mapped(rows: &Rows, map: &[Vec<f64>]) -> Rows {
    let apply = |row: &Vec<f32>| {
        let sum = |c: usize| {
            row.iter()
                .zip(map)
                .map(|(v, row)| f64::from(*v) * row[c])
                .sum::<f64>() as f32
        };
        (0..DIM).map(sum).collect()
    };
    rows.iter().map(apply).collect()
}

/// Rows along the axes of their own covariance, each pointed to where its third moment is positive: what a rotation of the whole gallery leaves as it was.
fn along_own_axes(rows: &Rows) -> Rows {
    let mut covariance = vec![vec![0.0; DIM]; DIM];
    for row in rows {
        for (line, x) in covariance.iter_mut().zip(row) {
            for (cell, y) in line.iter_mut().zip(row) {
                *cell += f64::from(*x) * f64::from(*y);
            }
        }
    }
    let mut axes = eigenvectors(covariance);
    for axis in &mut axes {
        let along = |row: &Vec<f32>| axis.iter().zip(row).map(|(a, v)| a * f64::from(*v)).sum::<f64>();
        if rows.iter().map(|row| along(row).powi(3)).sum::<f64>() < 0.0 {
            for v in axis {
                *v = -*v;
            }
        }
    }
    let onto = |row: &Vec<f32>| {
        axes.iter()
            .map(|axis| axis.iter().zip(row).map(|(a, v)| a * f64::from(*v)).sum::<f64>() as f32)
            .collect()
    };
    rows.iter().map(onto).collect()
}

/// Eigenvectors of a symmetric matrix, largest eigenvalue first (Jacobi's method).
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut vectors: Vec<Vec<f64>> = (0..DIM)
        .map(|i| (0..DIM).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..20 {
        for p in 0..DIM {
            for q in p + 1..DIM {
                if matrix[p][q].abs() < 1e-14 {
                    continue;
                }
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in &mut matrix {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for k in 0..DIM {
                    let (x, y) = (matrix[p][k], matrix[q][k]);
                    (matrix[p][k], matrix[q][k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (vectors[p][k], vectors[q][k]);
                    (vectors[p][k], vectors[q][k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..DIM).collect();
    order.sort_by(|x, y| matrix[*y][*y].total_cmp(&matrix[*x][*x]));
    order.into_iter().map(|at| vectors[at].clone()).collect()
}

struct Galleries {
    a: Rows,
    b: Rows,
    order: Vec<usize>,
}

/// The first tenant has palms 0 to 999, the second as many from `first` on, each under its own rotation.
fn galleries(of: fn(u64) -> Vec<f32>, first: u64) -> Galleries {
    let palms = |from: u64| (from..from + PALMS as u64).map(of).collect::<Rows>();
    let order = shuffled(7);
    let second = palms(first);
    let second: Rows = order.iter().map(|palm| second[*palm].clone()).collect();
    Galleries {
        a: rotated(&rotation(1), &palms(0)),
        b: rotated(&rotation(2), &second),
        // As numbers of the first gallery; what it does not have gets one that none has.
        order: order.iter().map(|palm| palm + first as usize).collect(),
    }
}

#[test]
fn rows_of_two_tenants_are_linked_by_no_look_at_single_rows() {
    let most = chance_max();
    println!(
        "{PALMS} palms in two tenants, {DIM} dimensions; guessing links 1, and more than {most} with a probability below {ERROR:e}"
    );
    for (population, of) in [("even", palm as fn(u64) -> Vec<f32>), ("uneven", uneven)] {
        let Galleries { a, b, order } = galleries(of, 0);
        // Somebody who takes the rows as they lie for pairs: the first half to learn from, the others to link.
        let half = PALMS / 2;
        let guessed = ridge(
            &a.iter().take(half).collect::<Vec<_>>(),
            &b.iter().take(half).collect::<Vec<_>>(),
        );
        for (attack, links) in [
            ("nearest by score", linked(&a, &b, &order)),
            (
                "nearest by sorted coordinates",
                linked(&sorted(&a), &sorted(&b), &order),
            ),
            (
                "nearest by moments of coordinates",
                linked(&moments(&a), &moments(&b), &order),
            ),
            (
                "ridge regression on guessed pairs",
                linked(&mapped(&a, &guessed), &b, &order),
            ),
        ] {
            println!("{population} palms, {attack}: {links}");
            assert!(
                links <= most,
                "{population}, {attack}: {links} links; chance gives at most {most}"
            );
        }
    }
}

#[test]
fn known_pairs_and_whole_galleries_give_everything_away() {
    for (population, of) in [("even", palm as fn(u64) -> Vec<f32>), ("uneven", uneven)] {
        let Galleries { a, b, order } = galleries(of, 0);
        for pairs in [DIM / 4, DIM / 2, DIM] {
            let known: Vec<usize> = (0..pairs).collect();
            let theirs: Vec<&Vec<f32>> = known.iter().map(|row| &b[*row]).collect();
            let ours: Vec<&Vec<f32>> = known.iter().map(|row| &a[order[*row]]).collect();
            let links = linked(&mapped(&a, &ridge(&ours, &theirs)), &b, &order);
            println!("{population} palms, {pairs} known pairs: {links} of {PALMS} linked");
            assert!(
                pairs < DIM || links == PALMS,
                "as many pairs as dimensions solve for the map: {links}"
            );
        }
        let links = linked(&along_own_axes(&a), &along_own_axes(&b), &order);
        println!(
            "{population} palms, no known pair, both galleries whole and of the same persons, axes of their covariance: {links} of {PALMS} linked"
        );
        assert!(
            links > PALMS * 9 / 10,
            "a rotation keeps what a whole gallery looks like: {links}"
        );
        let Galleries { a, b, order } = galleries(of, PALMS as u64 / 2);
        let links = linked(&along_own_axes(&a), &along_own_axes(&b), &order);
        println!(
            "{population} palms, the same with half of the persons in common: {links} of {} linked",
            PALMS / 2
        );
    }
}
