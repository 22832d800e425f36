//! The tail of scores beyond the highest that were seen, fitted to these. Sets no threshold.
//!
//! Of the scores above u the share above s is exp(−λ·(((s − m) ⁄ (u − m))^θ − 1)), m being the median of all scores: a Weibull-type tail (Gardes,
//! Girard 2008). Normal scores have θ = 2 far out and a little less where a tail is fitted, so have cosines of random directions; a mixture of narrow
//! and wide ones looks like less. A generalised Pareto distribution is what every tail comes to in the end, but that of a normal one does so too slowly
//! (Fisher, Tippett 1928): fitted where scores are, it goes on as if they thinned out no faster farther out, and its own shape is too uncertain to tell.
//!
//! Shapes are from 1 (exponential) to 2 (normal): a fit that thins out faster than a normal distribution would put thresholds lower by chance. The
//! interval is that of the profile likelihood: of all shapes and rates that the scores don't speak against.

use super::as_f64;

/// Shapes that are tried, in steps of a hundredth.
const SHAPES: std::ops::RangeInclusive<u32> = 100..=200;
/// How far the log-likelihood may be below the highest within the interval: half of what a χ² variable of one degree exceeds in 5 %.
const LIKELY: f64 = 1.920_729_4;
/// Halvings of what the end of an interval is found in.
const BISECTIONS: u32 = 60;
/// With it times the most likely rate the likelihood of a single score is below what is [`LIKELY`].
const RATES_MAX: f64 = 8.0;

/// A fitted tail.
#[derive(Debug, Clone)]
pub struct Tail {
    center: f64,
    from: f64,
    count: f64,
    /// The best fit of each shape.
    fits: Vec<Fit>,
    best: Fit,
}

/// How fast scores thin out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// θ.
    pub shape: f64,
    /// λ.
    pub rate: f64,
    log_likelihood: f64,
}

impl Tail {
    /// Fits it to the scores above `from`, each with how often it is there. None when they don't differ, or the median is no lower.
    pub fn fit(center: f64, from: f64, scores: &[(f64, u64)]) -> Option<Self> {
        if scores.len() < 2 || center >= from {
            return None;
        }
        let scores: Vec<(f64, f64)> = scores
            .iter()
            .map(|(score, count)| ((score - center) / (from - center), as_f64(*count)))
            .collect();
        let sum = |of: &dyn Fn(f64) -> f64| -> f64 { scores.iter().map(|(far, n)| n * of(*far)).sum() };
        let count = sum(&|_| 1.0);
        let logs = sum(&f64::ln);
        let fit = |hundredths: u32| {
            let shape = f64::from(hundredths) / 100.0;
            let rate = count / sum(&|far| far.powf(shape) - 1.0);
            Fit {
                shape,
                rate,
                log_likelihood: count * ((rate * shape).ln() - 1.0) + (shape - 1.0) * logs,
            }
        };
        let fits: Vec<Fit> = SHAPES.map(fit).collect();
        let best = fits
            .iter()
            .max_by(|a, b| a.log_likelihood.total_cmp(&b.log_likelihood))?;
        Some(Self {
            center,
            from,
            count,
            best: *best,
            fits,
        })
    }

    /// The most likely one.
    pub fn best(&self) -> Fit {
        self.best
    }

    /// The share of the tail's scores that are above this one.
    pub fn share(&self, score: f64) -> f64 {
        let far = (score - self.center) / (self.from - self.center);
        (-self.best.rate * (far.powf(self.best.shape) - 1.0)).exp()
    }

    /// The score that this share of the tail's scores exceeds.
    pub fn quantile(&self, share: f64) -> f64 {
        self.at(self.best.shape, self.best.rate, share)
    }

    /// Where that score lies with 95 % confidence, were all scores independent.
    pub fn interval(&self, share: f64) -> [f64; 2] {
        let mut ends = [self.quantile(share); 2];
        for fit in &self.fits {
            let room = LIKELY - (self.best.log_likelihood - fit.log_likelihood);
            if room < 0.0 {
                continue;
            }
            // x times the best rate of a shape costs so much of the log-likelihood of a score.
            let likely = |x: f64| x - 1.0 - x.ln() <= room / self.count;
            let [slow, fast] = [0.0, RATES_MAX].map(|beyond| last(likely, beyond) * fit.rate);
            ends[0] = ends[0].min(self.at(fit.shape, fast, share));
            ends[1] = ends[1].max(self.at(fit.shape, slow, share));
        }
        ends
    }

    fn at(&self, shape: f64, rate: f64, share: f64) -> f64 {
        let far = (1.0 - share.ln() / rate).powf(shape.recip());
        self.center + (self.from - self.center) * far
    }
}

/// The last number on the way from 1, where it holds, to `beyond`, where it doesn't.
fn last(holds: impl Fn(f64) -> bool, mut beyond: f64) -> f64 {
    let mut within = 1.0;
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(within, beyond);
        if holds(middle) {
            within = middle;
        } else {
            beyond = middle;
        }
    }
    within
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
