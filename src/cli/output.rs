//! Answers on standard output: text for people, or one JSON value. Formats nothing itself.

use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use super::error::CliError;

/// How a command answers.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Output {
    /// Answer with one JSON value
    #[arg(long)]
    pub json: bool,
}

impl Output {
    /// Prints the answer in the wanted form.
    pub fn print(self, text: &str, json: &Value) -> Result<(), CliError> {
        let answer = if self.json {
            json.to_string()
        } else {
            text.trim_end().to_owned()
        };
        write(&mut io::stdout().lock(), &answer)
    }
}

/// Prints a line; a reader that went away early (`| head`) is no failure.
pub fn line(text: &str) -> Result<(), CliError> {
    write(&mut io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> Result<(), CliError> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::file(Path::new("standard output"), error))
        }
        _ => Ok(()),
    }
}

/// Columns of equal width, two spaces apart; the last one is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
