//! Numbers and words that stand for values in the catalog; they stay the same in every release. Converts, and nothing else.

use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::request::Method;
use crate::model::decision::RetakeReason;
use crate::model::subject::{Hand, PadVerdict};
use crate::model::usage::{Outcome, UsageKind};

/// An unsigned number as the catalog keeps it.
pub(in crate::storage) fn int(value: u64) -> i64 {
    i64::try_from(value).expect("counters and sizes stay below 2⁶³")
}

/// The unsigned number in a column.
pub(in crate::storage) fn uint(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A value that has a number in the catalog.
pub(in crate::storage) trait Coded: Copy + 'static {
    /// Every value with its number.
    const CODES: &'static [(Self, i64)];

    /// The number of the value.
    fn code(self) -> i64;

    /// The value in a column.
    fn column(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let code: i64 = row.get(column)?;
        Self::CODES
            .iter()
            .find(|(_, number)| *number == code)
            .map(|(value, _)| *value)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(column, code))
    }
}

macro_rules! coded {
    ($name:ty { $($value:path => $code:literal),+ $(,)? }) => {
        impl Coded for $name {
            const CODES: &'static [(Self, i64)] = &[$(($value, $code)),+];
            fn code(self) -> i64 {
                match self { $($value => $code),+ }
            }
        }
    };
}

coded!(Hand { Hand::Left => 1, Hand::Right => 2 });
coded!(Method {
    Method::Enroll => 1,
    Method::Erase => 2,
    Method::Import => 3,
    Method::Policy => 4,
});
coded!(PadVerdict {
    PadVerdict::NotPerformed => 1,
    PadVerdict::BonaFide => 2,
    PadVerdict::Attack => 3,
});
coded!(UsageKind {
    UsageKind::Identify => 1,
    UsageKind::Verify => 2,
    UsageKind::Enroll => 3,
    UsageKind::Investigate => 4,
});

impl Coded for Outcome {
    const CODES: &'static [(Self, i64)] = &[
        (Self::Match, 1),
        (Self::NoMatch, 2),
        (Self::Retake(RetakeReason::LowQuality), 3),
        (Self::Retake(RetakeReason::PadFailed), 4),
        (Self::Retake(RetakeReason::Ambiguous), 5),
        (Self::Done, 6),
    ];

    fn code(self) -> i64 {
        match self {
            Self::Match => 1,
            Self::NoMatch => 2,
            Self::Retake(RetakeReason::LowQuality) => 3,
            Self::Retake(RetakeReason::PadFailed) => 4,
            Self::Retake(RetakeReason::Ambiguous) => 5,
            Self::Done => 6,
        }
    }
}

/// A value as JSON.
pub(in crate::storage) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain values have a JSON form")
}

/// The value whose JSON is in a column.
pub(in crate::storage) fn from_json<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|e| mismatch(column, e))
}

/// The checked value whose text is in a column.
pub(in crate::storage) fn parsed<T: std::str::FromStr>(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|e| mismatch(column, e))
}

fn mismatch(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
