//! Deterministic mutations of bytes: flips, cuts, splices, repeated stretches, numbers at their extremes. Knows no format.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Longest result, in bytes.
pub const LEN_MAX: usize = 64 << 10;
/// Most repetitions of a stretch.
const REPEATS_MAX: usize = 4_096;
/// What stands in the place of a number: little- and big-endian extremes of 1 to 8 bytes, and the longest varints.
const NUMBERS: [&[u8]; 12] = [
    &[0],
    &[0x7f],
    &[0xff],
    &[0xff; 2],
    &[0xff; 4],
    &[0xff; 8],
    &[0, 0, 0, 0x80],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
];

/// A source of mutations.
pub struct Mutator(ChaCha8Rng);

impl Mutator {
    /// The same seed gives the same mutations.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One to four mutations of `bytes`; `other` is what may be spliced in.
    pub fn mutate(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            self.once(&mut bytes, other);
        }
        bytes.truncate(LEN_MAX);
        bytes
    }

    fn once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + self.below(32)).min(bytes.len());
        match self.below(8) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let from = self.below(other.len() + 1);
                let part = other[from..].iter().take(1 + self.below(256)).copied();
                bytes.splice(at..end, part.collect::<Vec<_>>());
            }
            5 => {
                let part = bytes[at..end].repeat(self.below(REPEATS_MAX).min(LEN_MAX / (end - at).max(1)));
                bytes.splice(at..at, part);
            }
            6 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                let end = (at + number.len()).min(bytes.len());
                bytes.splice(at..end, number.iter().copied());
            }
            _ => {
                let byte = u8::try_from(self.below(256)).expect("below 256");
                bytes.insert(at, byte);
            }
        }
    }

    /// From 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % bound as u64).expect("below a usize")
    }
}
