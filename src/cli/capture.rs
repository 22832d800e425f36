//! Options that describe a capture, a consent or a link, and the signature messages made of them. Sends nothing.

use std::path::Path;
use std::str::FromStr;
use std::time::SystemTime;

use clap::ValueEnum;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::api;
use crate::model::consent::CONSENT_TEXT_LEN_MAX;
use crate::model::reject::Rejected;
use crate::model::signature::{ElementType, Encoder};

use super::error::CliError;
use super::npy::Matrix;

/// A hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HandOption {
    /// The left hand
    Left,
    /// The right hand
    Right,
}

impl HandOption {
    /// As it goes over the wire.
    pub fn message(self) -> api::Hand {
        match self {
            Self::Left => api::Hand::Left,
            Self::Right => api::Hand::Right,
        }
    }
}

/// What the device said about liveness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PadOption {
    /// The device does not look for presentation attacks
    NotPerformed,
    /// A bona fide presentation
    BonaFide,
    /// A presentation attack
    Attack,
}

impl PadOption {
    fn message(self) -> api::PadVerdict {
        match self {
            Self::NotPerformed => api::PadVerdict::NotPerformed,
            Self::BonaFide => api::PadVerdict::BonaFide,
            Self::Attack => api::PadVerdict::Attack,
        }
    }
}

/// An encoder as `NAME/VERSION`.
#[derive(Debug, Clone)]
pub struct EncoderOption(pub Encoder);

impl FromStr for EncoderOption {
    type Err = Rejected;
    fn from_str(text: &str) -> Result<Self, Rejected> {
        let (name, version) = text.split_once('/').ok_or_else(|| {
            Rejected::new(
                "encoder",
                format!("{text:?} is not NAME/VERSION, as thenar-palm/1"),
            )
        })?;
        Encoder::new(name, version).map(Self)
    }
}

/// What holds for the captures of a command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Capture")]
pub struct CaptureOptions {
    /// Who made the signatures, NAME/VERSION; must be the tenant's. `NumPy` files need it; images are encoded here, by thenar-palm/1
    #[arg(long, value_name = "NAME/VERSION")]
    pub encoder: Option<EncoderOption>,
    /// Quality of the capture, 0 (worst) to 100
    #[arg(long, value_name = "0-100", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub quality: u32,
    /// What the device says about liveness
    #[arg(long, value_enum, default_value_t = PadOption::NotPerformed)]
    pub pad: PadOption,
}

impl CaptureOptions {
    /// Reads one signature from a `NumPy` file.
    pub fn signature(&self, path: &Path, hand: Option<HandOption>) -> Result<api::Signature, CliError> {
        let Some(EncoderOption(encoder)) = &self.encoder else {
            return Err(CliError::Usage(format!(
                "--encoder NAME/VERSION is needed: {} doesn't say what made its signature",
                path.display()
            )));
        };
        let (matrix, data) = Matrix::open_signature(path)?;
        let element = element_message(matrix.element);
        Ok(self.message(data, element, encoder, hand, self.quality))
    }

    /// A signature captured now, with what these options say of it.
    pub fn message(
        &self,
        data: Vec<u8>,
        element: api::ElementType,
        encoder: &Encoder,
        hand: Option<HandOption>,
        quality: u32,
    ) -> api::Signature {
        api::Signature {
            data: data.into(),
            element_type: element.into(),
            encoder: Some(encoder_message(encoder)),
            hand: hand.map_or(api::Hand::Unspecified, HandOption::message).into(),
            quality,
            capture_time: Some(SystemTime::now().into()),
            pad_verdict: self.pad.message().into(),
        }
    }
}

/// An encoder, as it goes over the wire.
pub fn encoder_message(encoder: &Encoder) -> api::Encoder {
    api::Encoder {
        name: encoder.name.clone(),
        version: encoder.version.clone(),
    }
}

/// How coordinates lie, as it goes over the wire.
pub fn element_message(element: ElementType) -> api::ElementType {
    match element {
        ElementType::F16 => api::ElementType::F16,
        ElementType::F32 => api::ElementType::F32,
    }
}

/// How a consent was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConsentMethodOption {
    /// A written release on paper
    WrittenRelease,
    /// An electronic signature
    ElectronicSignature,
    /// Confirmed in an application
    InApp,
    /// Confirmed at the device that enrols
    AtDevice,
}

/// What the persons agreed to. There is no default: without a consent nothing is enrolled.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Consent")]
pub struct ConsentOptions {
    /// Version of the policy that was shown
    #[arg(long, value_name = "TEXT", value_parser = consent_text)]
    pub policy_version: String,
    /// Purpose the palms are used for
    #[arg(long, value_name = "TEXT", value_parser = consent_text)]
    pub purpose: String,
    /// When the consent ends, RFC 3339, as 2028-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub expires: OffsetDateTime,
    /// When it was given, RFC 3339; now when not given. A repetition under a request id needs the same
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub given: Option<OffsetDateTime>,
    /// How it was given
    #[arg(long, value_enum)]
    pub consent_method: ConsentMethodOption,
}

impl ConsentOptions {
    /// The consent, in whole seconds.
    pub fn message(&self) -> api::Consent {
        let method = match self.consent_method {
            ConsentMethodOption::WrittenRelease => api::ConsentMethod::WrittenRelease,
            ConsentMethodOption::ElectronicSignature => api::ConsentMethod::ElectronicSignature,
            ConsentMethodOption::InApp => api::ConsentMethod::InApp,
            ConsentMethodOption::AtDevice => api::ConsentMethod::AtDevice,
        };
        api::Consent {
            policy_version: self.policy_version.clone(),
            purpose: self.purpose.clone(),
            give_time: Some(seconds(self.given.unwrap_or_else(OffsetDateTime::now_utc))),
            expire_time: Some(seconds(self.expires)),
            method: method.into(),
        }
    }
}

fn seconds(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.unix_timestamp(),
        nanos: 0,
    }
}

fn consent_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > CONSENT_TEXT_LEN_MAX {
        return Err(format!(
            "{} bytes; 1 to {CONSENT_TEXT_LEN_MAX} are required",
            text.len()
        ));
    }
    Ok(text.to_owned())
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|e| format!("{e}; 2028-01-01T00:00:00Z is an example"))
}

/// A kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LinkKindOption {
    /// A token of a payment card
    PaymentToken,
    /// A phone number
    PhoneNumber,
    /// An account with the tenant
    AccountId,
    /// A loyalty programme's member
    LoyaltyId,
    /// A badge or ticket
    BadgeId,
}

impl LinkKindOption {
    /// As it goes over the wire.
    pub fn message(self) -> api::LinkKind {
        match self {
            Self::PaymentToken => api::LinkKind::PaymentToken,
            Self::PhoneNumber => api::LinkKind::PhoneNumber,
            Self::AccountId => api::LinkKind::AccountId,
            Self::LoyaltyId => api::LinkKind::LoyaltyId,
            Self::BadgeId => api::LinkKind::BadgeId,
        }
    }
}

/// A link as `KIND=VALUE`. `Debug` hides the value.
#[derive(Clone)]
pub struct LinkOption {
    kind: LinkKindOption,
    value: String,
}

impl std::fmt::Debug for LinkOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkOption({:?})", self.kind)
    }
}

impl FromStr for LinkOption {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = text
            .split_once('=')
            .ok_or("KIND=VALUE is expected, as badge-id=1234")?;
        let kind = LinkKindOption::from_str(kind, false).map_err(|_| {
            let kinds: Vec<String> = LinkKindOption::value_variants()
                .iter()
                .filter_map(|kind| Some(kind.to_possible_value()?.get_name().to_owned()))
                .collect();
            format!("{kind:?} is none of {}", kinds.join(", "))
        })?;
        let message = kind.message();
        let model = crate::model::link::LinkKind::ALL
            .into_iter()
            .find(|known| i32::from(known.code()) == i32::from(message))
            .ok_or("unknown kind")?;
        crate::model::link::Link::new(model, value.to_owned()).map_err(|e| e.to_string())?;
        Ok(Self {
            kind,
            value: value.to_owned(),
        })
    }
}

impl LinkOption {
    /// As it goes over the wire.
    pub fn message(&self) -> api::Link {
        api::Link {
            kind: self.kind.message().into(),
            value: self.value.clone(),
        }
    }
}

/// A new id of a request: random, so that it was never used before.
pub fn new_request_id() -> String {
    ulid::Ulid::generate().to_string()
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
