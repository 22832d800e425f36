//! Tests of plots: values lie where they should, what is missing is left out, areas add up.

use super::*;

fn series(values: &[Option<f64>]) -> Series {
    Series {
        name: "a<b".to_owned(),
        color: "#123456",
        values: values.to_vec(),
    }
}

fn labels(count: u32) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn a_line_goes_from_corner_to_corner() {
    let svg = lines(&labels(3), "s", &[series(&[Some(0.0), None, Some(10.0)])]);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
    assert!(svg.contains("points=\"60.0,236.0 876.0,26.0\""), "{svg}");
    assert!(svg.contains("a&lt;b") && svg.contains("2 s"), "{svg}");
}

#[test]
fn areas_lie_on_top_of_each_other() {
    let one = series(&[Some(5.0), Some(5.0)]);
    let svg = stacked(&labels(2), "s", &[one.clone(), one]);
    // The lower one from 0 to 5, the upper one from 5 to 10, of a scale to 10.
    assert!(
        svg.contains("\"60.0,131.0 876.0,131.0 876.0,236.0 60.0,236.0\""),
        "{svg}"
    );
    assert!(
        svg.contains("\"60.0,26.0 876.0,26.0 876.0,131.0 60.0,131.0\""),
        "{svg}"
    );
}

#[test]
fn scales_end_at_round_numbers() {
    for (largest, top) in [
        (0.0, 1.0),
        (0.3, 0.5),
        (1.0, 1.0),
        (1.1, 2.0),
        (23.0, 25.0),
        (960.0, 1_000.0),
    ] {
        assert!(
            (round_up(largest) - top).abs() < 1e-9,
            "{largest}: {}",
            round_up(largest)
        );
    }
}

#[test]
fn long_runs_have_few_labels() {
    let svg = lines(&labels(241), "s", &[series(&[Some(1.0); 241])]);
    assert!(svg.matches(" s</text>").count() <= LABELS_MAX, "{svg}");
}
