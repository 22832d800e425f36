//! The figures of the encoder as tables for people.

use std::fmt::Write;

use super::accuracy::Accuracy;
use super::hands::Hands;
use super::quality::Tenth;
use super::speed::Speed;

/// All of it.
pub fn text(speed: &Speed, accuracy: &[Accuracy], hands: &Hands, quality: &[Tenth]) -> String {
    let mut text = format!(
        "region {:.2} ms, {} a second and core; whole hand {:.2} ms\n\n",
        speed.region.ms, speed.regions_per_s, speed.hand.ms
    );
    let mut line = |words: String| writeln!(text, "{words}").expect("a string takes all");
    line(format!(
        "{:<10} {:<16} {:>8} {:>12} {:>8}",
        "family", "", "EER", "TAR at 1e-4", "rank 1"
    ));
    let percent =
        |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", 100.0 * share));
    for Accuracy {
        family,
        way,
        eer,
        tar_at_fmr_1e4,
        rank1,
    } in accuracy
    {
        let (eer, tar, first) = (percent(Some(*eer)), percent(*tar_at_fmr_1e4), percent(*rank1));
        line(format!("{family:<10} {way:<16} {eer:>8} {tar:>12} {first:>8}"));
    }
    line(String::new());
    line(format!(
        "whole hands: {} of {} found; not found: {:?}; {} fists taken for hands",
        hands.found, hands.drawn, hands.failures, hands.fists_taken
    ));
    line(format!(
        "farthest corner off by {} of the side at the median, {} at 95 %, {} at most",
        percent(hands.off_median),
        percent(hands.off_95),
        percent(hands.off_most)
    ));
    line(String::new());
    line("quality of captures that were badly taken, and the share that fails:".to_owned());
    for tenth in quality {
        line(format!(
            "{:>3} to {:>3}: {}",
            tenth.from,
            tenth.to,
            percent(Some(tenth.failed))
        ));
    }
    text
}
