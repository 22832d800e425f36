//! Tests of the whole: what moves, what nodes hold, and where it stops.

use super::*;
use crate::placement::placed::weight;
use crate::placement::stops::Whose;

const SEGMENT: u64 = SEGMENT_ROWS_MAX as u64;

/// One tenant of 30,000 segments, each of them placed alone, on two nodes.
fn plan() -> Plan {
    Plan {
        nodes: 2,
        weights: Weights::Equal,
        node_gib: 4,
        palms: 30_000 * SEGMENT,
        tenants: 1,
        skew: 0.0,
        dim: Dimension::new(256).expect("a multiple of 32"),
        group_segments: NonZeroU32::MIN,
        replicas: 1,
        joins: 1,
        leaves: 0,
        corrections: 0,
    }
}

fn report(plan: &Plan) -> Report {
    let traffic = Traffic {
        fronts: 2,
        identifications: 100.0,
        head_ms: 1.0,
    };
    run(plan, traffic).expect("there are nodes")
}

#[test]
fn a_third_node_takes_a_third_and_no_more() {
    for replicas in [1, 2] {
        let plan = Plan { replicas, ..plan() };
        let join = report(&plan).join.expect("one comes");
        assert!((join.moved - 1.0 / 3.0).abs() < 0.01, "{join:?}");
        assert!((join.fair - 1.0 / 3.0).abs() < 1e-12, "{join:?}");
        // Equal to the last bit: they are the same rows.
        assert_eq!(join.moved.to_bits(), join.needed.to_bits());
        let rows = join.bytes.codes / 140;
        assert_eq!(
            join.bytes,
            plan.bytes(Held {
                rows,
                segments: rows / SEGMENT
            })
        );
    }
}

#[test]
fn who_goes_leaves_what_it_had_and_no_more() {
    let plan = Plan {
        nodes: 10,
        weights: Weights::OneTwoFour,
        replicas: 2,
        joins: 0,
        leaves: 2,
        ..plan()
    };
    let report = report(&plan);
    assert_eq!(report.join, None);
    let leave = report.leave.expect("two go");
    assert_eq!(leave.moved.to_bits(), leave.needed.to_bits());
    // Of 1 + 2 + 4 + … + 1 = 22; a part's two owners differ, which takes from the large and gives to the small.
    assert!((leave.fair - 3.0 / 22.0).abs() < 1e-12, "{leave:?}");
    assert!((leave.moved - leave.fair).abs() < 0.02, "{leave:?}");
}

#[test]
fn somebody_has_to_stay() {
    let plan = Plan { leaves: 2, ..plan() };
    let traffic = Traffic {
        fronts: 1,
        identifications: 1.0,
        head_ms: 1.0,
    };
    let refused = run(&plan, traffic).expect_err("nobody would stay");
    assert_eq!(refused.to_string(), "of 2 nodes 2 can't go: one has to stay");
}

#[test]
fn corrections_lower_the_load_of_the_fullest() {
    let plan = Plan {
        nodes: 100,
        weights: Weights::OneTwoFour,
        palms: 10_000 * SEGMENT,
        replicas: 2,
        joins: 0,
        corrections: 3,
        ..plan()
    };
    let report = report(&plan);
    let mut before = report.load;
    assert_eq!(report.corrections.len(), 3);
    for Correction { load, moved } in report.corrections {
        assert!(load.deviation < before.deviation, "{load:?} after {before:?}");
        assert!(
            load.max <= before.max && load.p99 <= load.max,
            "{load:?} after {before:?}"
        );
        assert!(moved > 0.0 && moved < 0.2, "{moved}");
        before = load;
    }
    let (first, last) = (report.load.max - 1.0, before.max - 1.0);
    assert!(last < first / 2.0, "{last} above what is fair, at first {first}");
}

#[test]
fn every_row_is_held_by_as_many_nodes_as_there_are_replicas() {
    let plan = Plan {
        nodes: 7,
        palms: 1_234_567,
        tenants: 3,
        ..plan()
    };
    let tenants = tenants(plan.palms, plan.tenants, plan.skew).expect("ids");
    let pieces = pieces(&tenants, plan.group_segments).expect("numbers");
    for (replicas, copies) in [(1, 1), (3, 3), (8, 7)] {
        let placed = Placed::new(plan.members(0..7), &pieces, replicas).expect("nodes");
        assert_eq!(placed.copies().rows, copies * plan.palms);
        assert_eq!(placed.copies().segments, copies * 18);
    }
}

#[test]
fn weights_are_memories_in_mebibytes() {
    let plan = Plan {
        weights: Weights::OneTwoFour,
        ..plan()
    };
    let members = plan.members(0..4);
    let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
    assert_eq!(weights, [4_096, 8_192, 16_384, 4_096]);
    assert!((weight(&members) - 32_768.0).abs() < 1e-9);
}

#[test]
fn an_identification_asks_who_has_a_part_first() {
    let asked = |nodes, palms| {
        report(&Plan {
            nodes,
            palms,
            ..plan()
        })
        .asked
    };
    assert_eq!(asked(1, 100 * SEGMENT), Asked { mean: 1.0, max: 1 });
    assert_eq!(asked(3, 100 * SEGMENT), Asked { mean: 3.0, max: 3 });
    // All fresh.
    assert_eq!(asked(50, 1_000), Asked { mean: 1.0, max: 1 });
}

#[test]
fn a_file_is_as_long_as_the_format_says() {
    // Header; rows of 32, 96, 12 and 528 bytes; blocks of 128, 32, 256 and 4 rows with tags of 16.
    let expected = 4_096 + 65_536 * 668 + 16 * (512 + 2_048 + 256 + 16_384);
    assert_eq!(
        segment_bytes(Dimension::new(256).expect("a multiple of 32")),
        expected
    );
}

#[test]
fn the_design_stops_where_the_code_says() {
    let one = report(&Plan { nodes: 1, ..plan() });
    let at: Vec<(Whose, Option<u64>, bool)> = one
        .stops
        .iter()
        .map(|stop| (stop.of, stop.at, stop.reached))
        .collect();
    // 2 TiB of 536 bytes, 4 GiB of 140 bytes; one node never asks 257.
    let expected = [
        (Whose::AllTenants, Some(4_102_655_327), false),
        (Whose::AllTenants, Some(30_678_337), true),
        (Whose::OneTenant, None, false),
    ];
    assert_eq!(at, expected);
    let many = report(&Plan {
        nodes: 1_000,
        joins: 0,
        ..plan()
    });
    // 257 of 1,000 different ones take 297 draws in the mean, with a deviation of 7.
    let segments = many.stops[2].at.expect("there are as many nodes") / SEGMENT;
    assert!((260..330).contains(&segments), "{segments}");
    assert!(many.stops[2].reached);
}
