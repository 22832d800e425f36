//! Random numbers of a drawing: every stream is a function of its key alone. Draws nothing.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal, StandardUniform};

use super::style::Span;

/// What a stream is for; part of its key, so that streams never overlap.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Where lines run.
    Lines = 1,
    /// The skin between them.
    Skin = 2,
    /// The outline of the hand.
    Hand = 3,
    /// How the person holds the hand.
    Habit = 4,
    /// One capture.
    Capture = 5,
}

/// A stream of random numbers.
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of a sample of a palm.
    pub fn new(seed: u64, purpose: Purpose, palm: u64, sample: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key
            .as_chunks_mut::<8>()
            .0
            .iter_mut()
            .zip([seed, purpose as u64, palm, sample])
        {
            *bytes = word.to_le_bytes();
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Evenly from 0 to 1.
    pub fn unit(&mut self) -> f32 {
        StandardUniform.sample(&mut self.0)
    }

    /// Evenly within a span.
    pub fn within(&mut self, span: Span) -> f32 {
        span.low + (span.high - span.low) * self.unit()
    }

    /// From a normal distribution around 0.
    pub fn normal(&mut self, deviation: f32) -> f32 {
        let value: f32 = StandardNormal.sample(&mut self.0);
        deviation * value
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, share: f32) -> bool {
        self.unit() < share
    }

    /// A whole number from 0 to `count` - 1.
    pub fn below(&mut self, count: u32) -> u32 {
        u32::try_from((u64::from(self.0.next_u32()) * u64::from(count)) >> 32).expect("below `count`")
    }
}
