//! Tenants of very different sizes, and their galleries cut into what is placed as a whole. Makes no rows.

use std::num::NonZeroU32;

use thenar::cluster::placement::{Gallery, Part};
use thenar::model::timestamp::Timestamp;
use thenar::storage::place::SEGMENT_ROWS_MAX;

use super::to_f64;
use crate::Failure;

/// A tenant.
#[derive(Debug, Clone, Copy)]
pub struct Tenant {
    /// Its gallery.
    pub gallery: Gallery,
    /// Palms in it.
    pub palms: u64,
}

/// A part of a gallery and how large it is.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// The gallery.
    pub gallery: Gallery,
    /// The part.
    pub part: Part,
    /// Rows.
    pub rows: u64,
    /// Segments; the fresh part has none.
    pub segments: u64,
}

/// So many tenants with so many palms together. By Zipf's law: that of rank n has 1/n to the power of `skew` of what the first has.
pub fn tenants(palms: u64, count: u32, skew: f64) -> Result<Vec<Tenant>, Failure> {
    let weight = |rank: u32| f64::from(rank).powf(-skew);
    let all: f64 = (1..=count).map(weight).sum();
    let (mut sum, mut given) = (0.0, 0);
    let one = |rank: u32| {
        sum += weight(rank);
        let until = share(palms, sum / all);
        let tenant = Tenant {
            gallery: Gallery::of(&format!("tenant-{rank}").parse()?, Timestamp(0)),
            palms: until - given,
        };
        given = until;
        Ok(tenant)
    };
    (1..=count).map(one).collect()
}

/// Every part of every gallery, tenant by tenant. Segments are full; the rows that fill none are fresh.
pub fn pieces(tenants: &[Tenant], group_segments: NonZeroU32) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::new();
    for Tenant { gallery, palms } in tenants.iter().copied() {
        let rows_max = u64::from(SEGMENT_ROWS_MAX);
        pieces.push(Piece {
            gallery,
            part: Part::Fresh,
            rows: palms % rows_max,
            segments: 0,
        });
        let last = u32::try_from(palms / rows_max)?;
        for number in (1..=last).step_by(usize::try_from(group_segments.get())?) {
            let segments = group_segments.get().min(last - number + 1);
            pieces.push(Piece {
                gallery,
                part: Part::of_segment(number, group_segments),
                rows: u64::from(segments) * rows_max,
                segments: u64::from(segments),
            });
        }
    }
    Ok(pieces)
}

/// This share of all, rounded; all of them at 1 and where the sum of the parts is a little more.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and all"
)]
fn share(all: u64, share: f64) -> u64 {
    ((to_f64(all) * share).round() as u64).min(all)
}

#[cfg(test)]
#[path = "population_tests.rs"]
mod tests;
