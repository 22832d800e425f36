//! When people arrive: a pure function of a seed, fixed before anybody asks. Knows no clock and no answer.

use std::fmt;
use std::iter::Peekable;
use std::str::FromStr;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::cli::simulated::mix::unit;

/// Most arrivals a second that one tenant may have.
pub const RATE_MAX: f64 = 1e6;
/// Most people in one wave.
const WAVE_MAX: u32 = 1_000_000;

/// Waves: as many people at one moment, again and again, as when a gate opens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// From one wave to the next. The first one comes after this time.
    period: Duration,
    /// People of one wave.
    size: u32,
}

impl FromStr for Bursts {
    type Err = String;

    /// Reads `SECONDS:PEOPLE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (period, size) = text
            .split_once(':')
            .ok_or("SECONDS:PEOPLE is expected, for instance 10:500")?;
        let seconds = period
            .parse::<f64>()
            .map_err(|error| format!("{period:?}: {error}"))?;
        if !(0.001..=86_400.0).contains(&seconds) {
            return Err(format!("{seconds} seconds; 0.001 to 86400 are allowed"));
        }
        let size = size
            .parse::<u32>()
            .map_err(|error| format!("{size:?}: {error}"))?;
        if !(1..=WAVE_MAX).contains(&size) {
            return Err(format!("{size} people; 1 to {WAVE_MAX} are allowed"));
        }
        Ok(Self {
            period: Duration::from_secs_f64(seconds),
            size,
        })
    }
}

impl fmt::Display for Bursts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at once every {} s", self.size, self.period.as_secs_f64())
    }
}

/// Arrivals at one tenant, as times since the beginning, in order: a Poisson process, waves, or both.
pub struct Arrivals {
    steady: Option<Poisson>,
    next_steady: Option<Duration>,
    waves: Peekable<Waves>,
    end: Duration,
}

struct Poisson {
    rng: ChaCha8Rng,
    rate: f64,
    at_s: f64,
}

struct Waves {
    bursts: Option<Bursts>,
    number: u32,
    left: u32,
}

impl Iterator for Waves {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let bursts = self.bursts?;
        if self.left == 0 {
            self.number = self.number.checked_add(1)?;
            self.left = bursts.size;
        }
        self.left -= 1;
        bursts.period.checked_mul(self.number)
    }
}

impl Poisson {
    /// Distances of a Poisson process are exponential: −ln(u) / rate, with u above 0.
    fn next(&mut self) -> Option<Duration> {
        self.at_s -= (1.0 - unit(&mut self.rng)).ln() / self.rate;
        Duration::try_from_secs_f64(self.at_s).ok()
    }
}

impl Arrivals {
    /// Arrivals before `length`: `rate` a second at random, 0 for none, and waves.
    pub fn new(seed: u64, rate: f64, bursts: Option<Bursts>, length: Duration) -> Self {
        let mut steady = (rate > 0.0).then(|| Poisson {
            rng: ChaCha8Rng::seed_from_u64(seed),
            rate,
            at_s: 0.0,
        });
        let waves = Waves {
            bursts,
            number: 0,
            left: 0,
        };
        Self {
            next_steady: steady.as_mut().and_then(Poisson::next),
            steady,
            waves: waves.peekable(),
            end: length,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = match (self.next_steady, self.waves.peek().copied()) {
            (Some(steady), wave) if wave.is_none_or(|wave| steady <= wave) => {
                self.next_steady = self.steady.as_mut().and_then(Poisson::next);
                steady
            }
            (_, wave) => {
                self.waves.next();
                wave?
            }
        };
        (at < self.end).then_some(at)
    }
}

/// Arrivals at several tenants, merged in the order of time, each with the number of its tenant.
pub struct Merged {
    sources: Vec<Peekable<Arrivals>>,
}

impl Merged {
    /// Merges them.
    pub fn new(sources: Vec<Arrivals>) -> Self {
        Self {
            sources: sources.into_iter().map(Iterator::peekable).collect(),
        }
    }
}

impl Iterator for Merged {
    type Item = (Duration, usize);

    fn next(&mut self) -> Option<(Duration, usize)> {
        let heads = self.sources.iter_mut().enumerate();
        let (_, number) = heads
            .filter_map(|(number, source)| Some((*source.peek()?, number)))
            .min()?;
        let at = self.sources.get_mut(number)?.next()?;
        Some((at, number))
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
