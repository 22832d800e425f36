//! Tests of the projection's file and of what it computes.

use super::*;

fn dim(count: usize) -> Dimension {
    Dimension::new(count).expect("valid")
}

/// Row k picks out feature k, times k + 1; the mean is 0.25 everywhere.
fn picking(dims: usize) -> Projection {
    let mut rows = vec![0.0; dims * FEATURES];
    let mut factor = 0.0;
    for (k, row) in rows.chunks_mut(FEATURES).enumerate() {
        factor += 1.0;
        row[k] = factor;
    }
    Projection::new(vec![0.25; FEATURES], rows)
}

#[test]
fn a_file_gives_back_what_was_written() {
    let projection = picking(64);
    let file = projection.file();
    assert_eq!(Projection::read(&file, dim(64)), Ok(projection));
    assert_eq!(
        Projection::read(&file, dim(32)),
        Ok(picking(32)),
        "fewer dimensions are a prefix"
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let file = picking(32).file();
    for at in (0..file.len()).step_by(file.len() / 200).chain(0..24) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        assert_eq!(
            Projection::read(&damaged, dim(32)),
            Err(ProjectionError::Damaged),
            "byte {at}"
        );
        assert_eq!(
            Projection::read(&file[..at], dim(32)),
            Err(ProjectionError::Damaged),
            "cut at {at}"
        );
    }
}

#[test]
fn a_file_of_other_features_is_refused_though_its_digest_holds() {
    let mut content = picking(32).file();
    content.truncate(content.len() - SHA256_OUTPUT_LEN);
    content[8] ^= 1;
    let mark = digest(&SHA256, &content);
    content.extend(mark.as_ref());
    assert_eq!(Projection::read(&content, dim(32)), Err(ProjectionError::Damaged));
}

#[test]
fn more_dimensions_than_there_are_is_an_error_that_names_both() {
    let refused = Projection::read(&picking(32).file(), dim(64));
    assert_eq!(refused, Err(ProjectionError::Dimension { asked: 64, most: 32 }));
}

#[test]
fn the_mean_is_taken_away_and_the_norm_is_one() {
    let mut features = vec![0.25; FEATURES];
    features[1] += 2.0;
    features[3] -= 1.5;
    let signature = picking(32).apply(&features);
    // 2 × 2.0 and 4 × -1.5, over the root of the sum of their squares.
    let norm = 52.0_f32.sqrt();
    assert!((signature[1] - 4.0 / norm).abs() < 1e-6, "{}", signature[1]);
    assert!((signature[3] + 6.0 / norm).abs() < 1e-6, "{}", signature[3]);
    assert_eq!(signature.iter().filter(|v| **v != 0.0).count(), 2);
}
