//! Tests of signature parsing: every refusal the API promises, and that nothing biometric shows in text.

use super::*;

fn dim() -> Dimension {
    Dimension::new(32).expect("valid")
}

fn unit() -> Vec<f32> {
    vec![(1.0_f32 / 32.0).sqrt(); 32]
}

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn dimensions_are_multiples_of_32() {
    for good in [32, 256, 512, 2048] {
        assert_eq!(Dimension::new(good).expect("valid").get(), good);
    }
    for bad in [0, 31, 33, 100, 2080] {
        assert!(Dimension::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn both_element_types_are_read() {
    let single = Signature::parse(&le(&unit()), ElementType::F32, dim()).expect("unit");
    let halves: Vec<u8> = unit()
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect();
    let half = Signature::parse(&halves, ElementType::F16, dim()).expect("unit");
    for (a, b) in single.values().iter().zip(half.values()) {
        assert!((a - b).abs() < 1e-3);
    }
}

#[test]
fn a_norm_within_tolerance_is_scaled_away() {
    let values: Vec<f32> = unit().iter().map(|v| v * 1.004).collect();
    let signature = Signature::new(values, dim()).expect("within tolerance");
    let norm: f64 = signature.values().iter().map(|v| f64::from(*v).powi(2)).sum();
    assert!((norm - 1.0).abs() < 1e-6, "{norm}");
}

#[test]
fn bad_vectors_are_refused_by_name() {
    let check = |change: fn(&mut Vec<f32>), words: &str| {
        let mut values = unit();
        change(&mut values);
        let refusal = Signature::parse(&le(&values), ElementType::F32, dim()).expect_err(words);
        assert_eq!(refusal.field, "data");
        assert!(refusal.problem.contains(words), "{refusal}");
    };
    check(|v| v[7] = f32::NAN, "coordinate 7 is not a finite number");
    check(|v| v[0] = f32::INFINITY, "coordinate 0");
    check(|v| v[31] = f32::NEG_INFINITY, "coordinate 31");
    check(|v| v.fill(0.0), "has norm 0.0000");
    check(|v| v.iter_mut().for_each(|x| *x *= 1.1), "has norm 1.1000");
    check(
        |v| v.push(0.0),
        "is 132 bytes long; the tenant's dimension 32 takes 128",
    );
    check(|v| v.truncate(31), "is 124 bytes long");
    check(|v| v[3] = f32::MAX, "has norm");
}

#[test]
fn debug_text_holds_no_coordinate() {
    let signature = Signature::new(unit(), dim()).expect("unit");
    assert_eq!(format!("{signature:?}"), "Signature(32 coordinates)");
}

#[test]
fn encoders_are_checked() {
    assert_eq!(Encoder::new("palm", "1").expect("valid").to_string(), "palm/1");
    assert_eq!(Encoder::new("", "1").expect_err("empty").field, "encoder.name");
    assert_eq!(
        Encoder::new("palm", "a b").expect_err("space").field,
        "encoder.version"
    );
}
