//! Links from a subject to what else the person has: a payment token, a phone number. Plain values exist in the front alone.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::reject::Rejected;

/// Longest value of a link, in bytes.
pub const LINK_VALUE_LEN_MAX: usize = 256;

/// What a link points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A token of a payment card.
    PaymentToken,
    /// A phone number.
    PhoneNumber,
    /// An account with the tenant.
    AccountId,
    /// A loyalty programme's member.
    LoyaltyId,
    /// A badge or ticket.
    BadgeId,
}

impl LinkKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::PaymentToken,
        Self::PhoneNumber,
        Self::AccountId,
        Self::LoyaltyId,
        Self::BadgeId,
    ];

    /// A number that stays the same in every release; used on disk and in associated data.
    pub fn code(self) -> u8 {
        match self {
            Self::PaymentToken => 1,
            Self::PhoneNumber => 2,
            Self::AccountId => 3,
            Self::LoyaltyId => 4,
            Self::BadgeId => 5,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// A link in the clear. Wiped when dropped; `Debug` hides the value.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Link {
    /// What it points to.
    #[zeroize(skip)]
    pub kind: LinkKind,
    value: String,
}

impl Link {
    /// Checks the value: 1 to 256 bytes.
    pub fn new(kind: LinkKind, value: String) -> Result<Self, Rejected> {
        if value.is_empty() || value.len() > LINK_VALUE_LEN_MAX {
            return Err(Rejected::new(
                "links.value",
                format!(
                    "is {} bytes long; 1 to {LINK_VALUE_LEN_MAX} are allowed",
                    value.len()
                ),
            ));
        }
        Ok(Self { kind, value })
    }

    /// The value in the clear.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:?})", self.kind)
    }
}

/// A link as it is stored: found by a keyed hash, opened by the front alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedLink {
    /// What it points to.
    pub kind: LinkKind,
    /// HMAC-SHA-256 of kind and value under the tenant's link key.
    pub lookup: [u8; 32],
    /// AES-256-GCM of the value under the tenant's link key: nonce, ciphertext, tag.
    pub sealed: Vec<u8>,
}
