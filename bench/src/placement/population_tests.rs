//! Tests of the population: nobody is lost, and galleries are cut as segments are numbered.

use super::*;

const SEGMENT: u64 = SEGMENT_ROWS_MAX as u64;

#[test]
fn tenants_have_all_palms_together() {
    for (palms, count, skew) in [
        (10_000_000_000, 2_000, 1.0),
        (7, 3, 0.0),
        (1, 10, 2.0),
        (999_999_999_999, 12_345, 0.7),
    ] {
        let tenants = tenants(palms, count, skew).expect("ids");
        assert_eq!(tenants.len(), count as usize);
        assert_eq!(tenants.iter().map(|tenant| tenant.palms).sum::<u64>(), palms);
    }
}

#[test]
fn a_tenant_of_rank_n_has_an_nth() {
    let tenants = tenants(1_000_000_000, 100, 1.0).expect("ids");
    for (rank, tenant) in (1..).zip(&tenants) {
        assert!(
            (tenant.palms * rank).abs_diff(tenants[0].palms) <= 2 * rank,
            "{rank}"
        );
    }
    let equal = super::tenants(1_000, 7, 0.0).expect("ids");
    assert!(equal.iter().all(|tenant| matches!(tenant.palms, 142 | 143)));
}

#[test]
fn galleries_are_cut_into_groups_and_what_is_fresh() {
    let tenants = tenants(2 * (35 * SEGMENT + 17), 2, 0.0).expect("ids");
    let pieces = pieces(&tenants, NonZeroU32::new(16).expect("not 0")).expect("numbers");
    let of = |gallery| {
        let pieces = pieces.iter().filter(move |piece| piece.gallery == gallery);
        pieces
            .map(|piece| (piece.part, piece.rows, piece.segments))
            .collect::<Vec<_>>()
    };
    for tenant in tenants {
        let expected = [
            (Part::Fresh, 17, 0),
            (Part::Group(0), 16 * SEGMENT, 16),
            (Part::Group(1), 16 * SEGMENT, 16),
            (Part::Group(2), 3 * SEGMENT, 3),
        ];
        assert_eq!(of(tenant.gallery), expected);
    }
}
