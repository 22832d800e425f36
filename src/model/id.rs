//! Identifiers. Each one is checked when it is made, so that an existing value is a valid one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::reject::Rejected;

/// Longest tenant id, in bytes. It is a directory name, a DNS label and part of a SPIFFE path.
pub const TENANT_ID_LEN_MAX: usize = 63;
/// Longest name of a subject, site, scanner or request, in bytes.
pub const NAME_LEN_MAX: usize = 64;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Rejected;
            fn from_str(text: &str) -> Result<Self, Rejected> {
                $check($field, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Rejected;
            fn try_from(text: String) -> Result<Self, Rejected> {
                $check($field, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

text_id!(
    /// An organisation with a database, keys and a signature space of its own.
    /// Lower-case letters, digits and inner hyphens, 1 to 63 bytes.
    TenantId,
    "tenant",
    check_label
);
text_id!(
    /// A person, known by an opaque id: letters, digits and `. _ -`, 1 to 64 bytes.
    SubjectId,
    "subject_id",
    check_name
);
text_id!(
    /// A place of a tenant. The same characters as a subject id.
    SiteId,
    "site",
    check_name
);
text_id!(
    /// The name of a principal within its tenant, for instance of a scanner. The same characters as a subject id.
    PrincipalName,
    "name",
    check_name
);
text_id!(
    /// The caller's id of one request; a write repeated under the same id is done once (AIP-155).
    /// The same characters as a subject id; a UUID fits.
    RequestId,
    "request_id",
    check_name
);

text_id!(
    /// The id of the key that probes are sealed with. The same characters as a subject id.
    ProbeKeyId,
    "key_id",
    check_name
);

fn check_label(field: &str, text: &str) -> Result<(), Rejected> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > TENANT_ID_LEN_MAX {
        return Err(Rejected::new(
            field,
            format!(
                "is {} bytes long; 1 to {TENANT_ID_LEN_MAX} are allowed",
                bytes.len()
            ),
        ));
    }
    if !bytes.iter().all(|&c| inner(c)) || text.starts_with('-') || text.ends_with('-') {
        return Err(Rejected::new(
            field,
            format!("{text:?} may hold only a-z, 0-9 and inner hyphens"),
        ));
    }
    Ok(())
}

fn check_name(field: &str, text: &str) -> Result<(), Rejected> {
    if text.is_empty() || text.len() > NAME_LEN_MAX {
        return Err(Rejected::new(
            field,
            format!("is {} bytes long; 1 to {NAME_LEN_MAX} are allowed", text.len()),
        ));
    }
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    if !text.bytes().all(allowed) {
        return Err(Rejected::new(
            field,
            format!("{text:?} may hold only A-Z, a-z, 0-9 and . _ -"),
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "id_tests.rs"]
mod tests;
