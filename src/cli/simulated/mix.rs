//! Who comes to the scanners: strangers, people who come again and again, and everybody else. Draws; makes no palm.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::Question;

/// Shares of those who come. What is left over is anybody of all who are enrolled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Share of people who are not enrolled, 0 to 1.
    pub strangers: f64,
    /// Share of people out of a small circle; with the strangers 1 at most.
    pub regulars: f64,
    /// Size of the circle: the first subjects.
    pub circle: u64,
}

impl Mix {
    /// Who comes next, to a gallery of `palms` subjects, 1 at least. `number` makes it another capture or another stranger.
    pub fn draw(self, rng: &mut ChaCha8Rng, palms: u64, number: u64) -> Question {
        let kind = unit(rng);
        let who = rng.next_u64();
        if kind < self.strangers {
            return Question::Stranger(number);
        }
        let among = if kind < self.strangers + self.regulars {
            self.circle.clamp(1, palms)
        } else {
            palms
        };
        Question::Mate {
            subject: who % among,
            capture: number,
        }
    }
}

/// A number from 0 up to 1, 1 excluded.
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a binary64 holds")]
    let high = (rng.next_u64() >> 11) as f64;
    high * 2_f64.powi(-53)
}

#[cfg(test)]
#[path = "mix_tests.rs"]
mod tests;
