//! `thenar palm`: synthetic palms and what the encoder learns from them. Needs no server.

use crate::palms::preset;
use crate::palms::style::Style;

use super::error::CliError;

pub mod draw;
pub mod train;

/// What to do with synthetic palms.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Draw synthetic palms: no image of a person, and no measure of how real palms fare
    Draw(draw::Args),
    /// Learn the encoder's projection from synthetic palms, and write its file
    Train(train::Args),
}

/// A family of synthetic palms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PresetOption {
    /// What the encoder's projection is trained on
    Train,
    /// What it is tested on: other ranges of everything
    Test,
    /// As test, with principal lines and hardly anything else
    Plain,
    /// As test, with many wrinkles and faint principal lines
    Wrinkled,
    /// As test, with blotched and rough skin
    Mottled,
    /// As test, with broad lines
    Broad,
    /// As test, with lines far from where they usually are
    Strayed,
    /// As test, posed carelessly
    Posed,
    /// As test, taken in bad light: dark, blurred, noisy
    Dim,
    /// Well posed, and blurred, noisy or covered until much is lost
    Ruined,
}

impl PresetOption {
    /// The numbers of the family.
    pub fn style(self) -> Style {
        match self {
            Self::Train => preset::train(),
            Self::Test => preset::test(),
            Self::Plain => preset::plain(),
            Self::Wrinkled => preset::wrinkled(),
            Self::Mottled => preset::mottled(),
            Self::Broad => preset::broad(),
            Self::Strayed => preset::strayed(),
            Self::Posed => preset::posed(),
            Self::Dim => preset::dim(),
            Self::Ruined => preset::ruined(),
        }
    }
}

/// Runs it.
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Draw(args) => draw::run(args),
        Command::Train(args) => train::run(args),
    }
}
