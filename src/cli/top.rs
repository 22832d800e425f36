//! `thenar top`: a running server as its metrics show it, again and again, or once as plain text. Changes nothing there.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior};

use super::error::CliError;
use super::output;

mod frame;
mod reading;
mod screen;
mod since;

use reading::Reading;
use screen::Screen;
use since::Since;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Shortest and longest time between two readings, in seconds.
const INTERVAL_SECONDS: std::ops::RangeInclusive<f64> = 0.1..=3_600.0;

/// Options of `top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the server tells its metrics, as `[metrics] address` says
    #[arg(long, value_name = "HOST:PORT", default_value = "http://127.0.0.1:9464")]
    metrics: Address,
    /// Time between two readings
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Print what there is after two readings as plain text and end, as where standard output is no terminal
    #[arg(long)]
    once: bool,
}

/// Host and port of plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address(String);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("metrics are told without TLS; begin with http://".to_owned());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let rest = rest.strip_suffix("/metrics").unwrap_or(rest);
        let fits = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
        if rest.contains('/') || !rest.rsplit_once(':').is_some_and(fits) {
            return Err("is not of the form host:port".to_owned());
        }
        Ok(Self(rest.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if INTERVAL_SECONDS.contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    let (min, max) = (INTERVAL_SECONDS.start(), INTERVAL_SECONDS.end());
    Err(format!("{seconds} is not from {min} to {max}"))
}

/// Why there are no figures.
#[derive(Debug, Error)]
#[error("no metrics from {address}: {reason}")]
pub struct TopError {
    address: String,
    reason: String,
}

/// Shows the server until q or Ctrl-C is pressed, or once.
pub async fn run(args: Args) -> Result<(), CliError> {
    if args.once || !io::stdout().is_terminal() {
        return once(&args).await;
    }
    let ended = live(&args).await;
    ended.map_err(|error| CliError::file(Path::new("the terminal"), error))
}

async fn once(args: &Args) -> Result<(), CliError> {
    let mut watch = Watch::new(args.metrics.clone());
    watch.take(Instant::now(), Ok(read(&args.metrics).await?));
    tokio::time::sleep(args.interval).await;
    watch.take(Instant::now(), Ok(read(&args.metrics).await?));
    output::line(watch.frame(Instant::now()).trim_end())
}

async fn live(args: &Args) -> io::Result<()> {
    let mut watch = Watch::new(args.metrics.clone());
    let mut screen = Screen::open()?;
    let quit = screen::quit()?;
    tokio::pin!(quit);
    let mut rounds = tokio::time::interval(args.interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut quit => return Ok(()),
            read = next(&mut rounds, &args.metrics) => watch.take(Instant::now(), read),
        }
        screen.draw(&watch.frame(Instant::now()))?;
    }
}

/// The next reading, in its time.
async fn next(rounds: &mut Interval, address: &Address) -> Result<Reading, TopError> {
    rounds.tick().await;
    read(address).await
}

/// What is known of a server.
struct Watch {
    address: Address,
    /// The last reading, unless the server was silent since.
    last: Option<(Instant, Reading)>,
    /// The last figures.
    figures: String,
    state: State,
}

enum State {
    /// Its first answer since the beginning or since it was silent is there, or not even that.
    Begins,
    /// The figures are of now.
    Answers { began_anew: bool },
    /// Since when, and why.
    Silent { since: Instant, reason: String },
}

impl Watch {
    fn new(address: Address) -> Self {
        Self {
            address,
            last: None,
            figures: String::new(),
            state: State::Begins,
        }
    }

    /// Takes in what came at `at`.
    fn take(&mut self, at: Instant, read: Result<Reading, TopError>) {
        let now = match read {
            Ok(now) => now,
            Err(error) => {
                // When it comes back nobody knows what it did meanwhile.
                self.last = None;
                let since = match self.state {
                    State::Silent { since, .. } => since,
                    _ => at,
                };
                let reason = error.reason;
                self.state = State::Silent { since, reason };
                return;
            }
        };
        self.state = State::Begins;
        if let Some((before_at, before)) = self.last.take() {
            let since = Since::new(before, now.clone(), (at - before_at).as_secs_f64());
            self.figures = frame::figures(&since, unix_seconds());
            self.state = State::Answers {
                began_anew: since.began_anew,
            };
        }
        self.last = Some((at, now));
    }

    /// Head and figures.
    fn frame(&self, now: Instant) -> String {
        let state = match &self.state {
            State::Begins => "answers; figures come with the second reading".to_owned(),
            State::Answers { began_anew: false } => "answers".to_owned(),
            State::Answers { began_anew: true } => "answers; began anew".to_owned(),
            State::Silent { since, reason } => {
                let seconds = (now - *since).as_secs();
                format!("NO ANSWER for {seconds} s: {reason}; the figures are its last ones")
            }
        };
        format!("thenar {}: {state}\n\n{}", self.address, self.figures)
    }
}

fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Asks for the metrics.
async fn read(address: &Address) -> Result<Reading, TopError> {
    let error = |reason: String| TopError {
        address: address.to_string(),
        reason,
    };
    let text = tokio::time::timeout(ANSWER_MAX, fetch(address)).await;
    let text = text.map_err(|_| error(format!("none within {} s", ANSWER_MAX.as_secs())))?;
    let text = text.map_err(|reason| error(reason.to_string()))?;
    Reading::parse(&text).map_err(|problem| error(problem.to_string()))
}

async fn fetch(address: &Address) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(&address.0).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/metrics")
        .header(HOST, &address.0)
        .body(Empty::<Bytes>::new())?;
    // It ends with the answer; what goes wrong on it the request is told.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(format!("it answers {status}").into());
    }
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await?;
    Ok(String::from_utf8(body.to_bytes().into())?)
}

#[cfg(test)]
#[path = "top_tests.rs"]
mod tests;
