//! Progress on standard error: bars with rate and time left. Draws nothing when nobody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `rows`; hidden where standard error is no terminal.
pub fn rows(what: &'static str, rows: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg:<9} {wide_bar} {human_pos}/{human_len}  {per_sec:>14}  {eta:>4} left",
    )
    .expect("the template is well formed");
    ProgressBar::new(rows).with_style(style).with_message(what)
}

/// A bar that fills as time passes.
pub fn time(what: &'static str, duration: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<9} {wide_bar} {pos}/{len} s")
        .expect("the template is well formed");
    ProgressBar::new(duration.as_secs())
        .with_style(style)
        .with_message(what)
}

/// A count of rows with what is done now, where nobody knows how many there will be.
pub fn steps() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}  {human_pos} rows")
        .expect("the template is well formed");
    ProgressBar::new_spinner().with_style(style)
}
