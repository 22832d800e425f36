//! Tests of arrivals: mean and spread of a Poisson process, waves at their times, merging in order.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn steady(seed: u64, rate: f64) -> Vec<Duration> {
    Arrivals::new(seed, rate, None, MINUTE).collect()
}

#[test]
fn a_poisson_process_has_its_rate_and_no_memory() {
    let arrivals = steady(1, 1_000.0);
    // 60,000 expected; the standard deviation is 245.
    assert!((59_000..61_000).contains(&arrivals.len()), "{}", arrivals.len());
    assert!(arrivals.is_sorted());
    let seconds: Vec<f64> = arrivals.iter().map(Duration::as_secs_f64).collect();
    let gaps: Vec<f64> = seconds.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let count = f64::from(u32::try_from(gaps.len()).expect("few"));
    let mean = gaps.iter().sum::<f64>() / count;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
    assert!((mean - 0.001).abs() < 2e-5, "{mean}");
    // The gaps of an even schedule spread by nothing, those of an exponential one by their mean.
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
    let products = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean));
    let correlation = products.sum::<f64>() / count / variance;
    assert!(correlation.abs() < 0.02, "{correlation}");
}

#[test]
fn a_seed_is_a_schedule() {
    assert_eq!(steady(7, 50.0), steady(7, 50.0));
    assert_ne!(steady(7, 50.0), steady(8, 50.0));
    assert!(steady(7, 0.0).is_empty());
}

#[test]
fn waves_come_at_their_times_and_all_at_once() {
    let bursts = "20:3".parse().expect("valid");
    let times: Vec<u64> = Arrivals::new(1, 0.0, Some(bursts), MINUTE)
        .map(|at| at.as_secs())
        .collect();
    assert_eq!(times, [20, 20, 20, 40, 40, 40]);
}

#[test]
fn waves_and_steady_arrivals_go_together_in_order() {
    let bursts = "10:100".parse().expect("valid");
    let both: Vec<Duration> = Arrivals::new(1, 10.0, Some(bursts), MINUTE).collect();
    assert!(both.is_sorted());
    assert_eq!(both.len(), steady(1, 10.0).len() + 500);
}

#[test]
fn tenants_are_merged_by_time() {
    let source = |seed, rate| Arrivals::new(seed, rate, None, MINUTE);
    let merged: Vec<(Duration, usize)> = Merged::new(vec![source(1, 100.0), source(2, 10.0)]).collect();
    assert!(merged.is_sorted());
    let of = |number| merged.iter().filter(move |(_, n)| *n == number);
    assert!(of(0).map(|(at, _)| *at).eq(steady(1, 100.0)));
    assert!(of(1).map(|(at, _)| *at).eq(steady(2, 10.0)));
}

#[test]
fn bursts_are_read_and_odd_ones_refused() {
    assert_eq!(
        "2.5:40".parse::<Bursts>().map(|bursts| bursts.to_string()),
        Ok("40 at once every 2.5 s".to_owned())
    );
    for odd in ["10", "0:5", "10:0", "x:5", "10:y", "NaN:1", "-1:1", "10:1000001"] {
        assert!(odd.parse::<Bursts>().is_err(), "{odd}");
    }
}
