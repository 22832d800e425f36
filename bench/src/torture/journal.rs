//! The erasure journal after a server has ended: whoever was acknowledged as erased, and every tenant as dropped, has to be in it. Reads it by itself, as docs/format.md
//! says, and verifies no signature.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::ledger::Ledger;
use super::report::Tally;
use super::verdict::{State, Wrong, subject_id};
use crate::Failure;

/// The journal's file in a data directory.
const FILE: &str = "erasures.journal";

/// What a journal has.
pub struct Journal {
    /// Tenant and subject.
    erased: BTreeSet<(String, String)>,
    dropped: BTreeSet<String>,
}

impl Journal {
    /// Reads it up to the first line that is none: behind that nothing was acknowledged.
    pub fn read(data: &Path) -> Result<Self, Failure> {
        let mut journal = Self {
            erased: BTreeSet::new(),
            dropped: BTreeSet::new(),
        };
        let bytes = match fs::read(data.join(FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(journal),
            read => read?,
        };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line: Option<Value> = serde_json::from_slice(line).ok();
            let Some(line) = line else { break };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let entry = &line["entry"];
            let erasure = &entry["erasure"];
            if erasure.is_object() {
                journal
                    .erased
                    .insert((text(&erasure["tenant"]), text(&erasure["subject_id"])));
            } else {
                journal.dropped.insert(text(&entry["drop"]["tenant"]));
            }
        }
        Ok(journal)
    }

    /// Every subject of the ledger that was acknowledged as erased.
    pub fn check_erased(&self, ledger: &Ledger, tally: &Tally) {
        for number in ledger
            .numbers()
            .filter(|number| ledger.state(*number) == State::Erased)
        {
            let subject = subject_id(ledger.tenant(), number);
            if !self
                .erased
                .contains(&(ledger.tenant().to_owned(), subject.clone()))
            {
                let text = "its erasure was acknowledged and is not in the erasure journal";
                tally.broken(Wrong::Lost, ledger.tenant(), subject, text);
            }
        }
    }

    /// Every tenant of the ledger that was acknowledged as dropped.
    pub fn check_dropped(&self, ledger: &Ledger, tally: &Tally) {
        for number in ledger
            .numbers()
            .filter(|number| ledger.state(*number) == State::Erased)
        {
            let tenant = subject_id(ledger.tenant(), number);
            if !self.dropped.contains(&tenant) {
                let text = "its drop was acknowledged and is not in the erasure journal";
                tally.broken(Wrong::Lost, &tenant, "the tenant", text);
            }
        }
    }
}
