//! The terminal: drawn over in place, and given back as it was. Knows nothing of what it shows.

use std::fmt::Write as _;
use std::future;
use std::io::{self, Read, Write};
use std::thread;

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A second screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// The first one again.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Columns and rows of a terminal that does not tell its size.
const SIZE: (usize, usize) = (80, 24);

/// The terminal while it is drawn on.
pub struct Screen {
    /// How its keys were handled; `None` where standard input is no terminal.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal until this is dropped: keys come one by one and unseen.
    pub fn open() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut keys = before.clone();
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            // Ctrl-Z would leave the shell on this screen.
            keys.special_codes[SpecialCodeIndex::VSUSP] = 0;
            termios::tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
        }
        let screen = Self { before };
        show(ENTER)?;
        Ok(screen)
    }

    /// Draws as much of the text as there is room for in place of what was there.
    #[expect(clippy::unused_self, reason = "nobody draws on a terminal that is not taken")]
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let size = termios::tcgetwinsize(io::stdout()).ok();
        let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let (columns, rows) = size.filter(|(columns, rows)| columns * rows > 0).unwrap_or(SIZE);
        show(&drawn(text, columns, rows))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody to tell: the terminal is gone.
        let _ = show(LEAVE);
        if let Some(before) = &self.before {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What makes a terminal of this size show the text: each line up to its width, then nothing.
fn drawn(text: &str, columns: usize, rows: usize) -> String {
    let mut drawn = "\x1b[H".to_owned();
    let lines: Vec<String> = text
        .lines()
        .take(rows)
        .map(|line| line.chars().take(columns).collect())
        .collect();
    // No line break after the last one, which would move the screen up.
    let _ = write!(drawn, "{}\x1b[J", lines.join("\x1b[K\r\n") + "\x1b[K");
    drawn
}

/// Ends when q, Ctrl-C or a signal asks to quit.
pub fn quit() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (pressed, mut keys) = mpsc::channel(1);
    // A thread that nobody waits for, since reading a key can't be called off.
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        for key in io::stdin().lock().bytes().map_while(Result::ok) {
            if matches!(key, b'q' | b'Q') {
                // Whoever listened has gone already.
                let _ = pressed.blocking_send(());
                return;
            }
        }
    })?;
    let q = async move {
        if keys.recv().await.is_none() {
            // Standard input has ended; signals are left.
            future::pending::<()>().await;
        }
    };
    Ok(async move {
        tokio::select! {
            () = q => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
