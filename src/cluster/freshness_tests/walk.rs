//! Random walks: which step comes next, by a generator of its own, so that a seed means the same walk everywhere and always.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stateright::Chooser;

use super::steps::{Freshness, Step};
use super::world::World;

/// Chooses by weight, and counts the walks.
#[derive(Clone, Default)]
pub struct Walker {
    walks: Arc<AtomicU64>,
}

impl Walker {
    /// How many walks there were.
    pub fn walks(&self) -> u64 {
        self.walks.load(Ordering::Relaxed)
    }
}

impl Chooser<Freshness> for Walker {
    type State = u64;

    fn new_state(&self, seed: u64) -> u64 {
        self.walks.fetch_add(1, Ordering::Relaxed);
        seed
    }

    fn choose_initial_state(&self, _: &mut u64, _: &[World]) -> usize {
        0
    }

    fn choose_action(&self, state: &mut u64, _: &World, steps: &[Step]) -> usize {
        let all: u64 = steps.iter().map(weight).sum();
        let mut drawn = draw(state) % all;
        let chosen = steps.iter().position(|step| {
            let is_it = drawn < weight(step);
            drawn = drawn.saturating_sub(weight(step));
            is_it
        });
        chosen.expect("it is less than the sum")
    }
}

/// What goes wrong is rare, so that a walk sees much before: a fault after everything is done shows nothing.
fn weight(step: &Step) -> u64 {
    match step {
        Step::MakeAnew | Step::Regroup | Step::Unfollow(_) => 1,
        Step::Fence(_) | Step::Crash(_) | Step::GiveUp(_) | Step::Refuse { .. } | Step::CutFeed => 2,
        Step::Advance(..) | Step::Merge | Step::Told(_) | Step::Erase(_) => 4,
        Step::Delete(_) | Step::GoLive(_) | Step::Register(_) | Step::Follow(_) => 30,
        _ => 10,
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
