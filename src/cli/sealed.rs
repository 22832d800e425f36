//! Seals probes with the key that a server gives. Keeps no key, and takes the server's word for it.

use prost::Message;
use zeroize::Zeroizing;

use crate::client::{Client, api};
use crate::keys::probe;
use crate::model::id::{ProbeKeyId, RequestId, TenantId};
use crate::model::principal::Principal;
use crate::model::probe::{ProbeBinding, ProbePublicKey};
use crate::model::reject::Rejected;

use super::error::CliError;

/// Whether a command seals its probe.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Capture")]
pub struct SealOption {
    /// Seal the probe with the tenant's key, so that it can be neither read nor sent again on its way
    #[arg(long)]
    seal: bool,
}

impl SealOption {
    /// The two fields of a request that may hold its probe, one of them set.
    pub async fn probe(
        self,
        client: &Client,
        tenant: &str,
        request_id: &str,
        signature: api::Signature,
    ) -> Result<(Option<api::Signature>, Option<api::SealedProbe>), CliError> {
        if !self.seal {
            return Ok((Some(signature), None));
        }
        let key = fetch(client, tenant).await?;
        Ok((None, Some(seal(&key, request_id, &signature)?)))
    }
}

/// The key that the caller seals probes of a tenant with; of the certificate's tenant where none is named.
pub async fn fetch(client: &Client, tenant: &str) -> Result<api::ProbeKey, CliError> {
    let request = api::GetProbeKeyRequest {
        tenant: tenant.to_owned(),
    };
    Ok(client.identity().get_probe_key(request).await?.into_inner())
}

/// Seals a signature for one request. The time of its capture must be set.
pub fn seal(
    key: &api::ProbeKey,
    request_id: &str,
    signature: &api::Signature,
) -> Result<api::SealedProbe, Rejected> {
    let public =
        ProbePublicKey {
            id: key.key_id.parse::<ProbeKeyId>()?,
            bytes: key.public_key.as_ref().try_into().map_err(|_| {
                Rejected::new("public_key", format!("is {} bytes long", key.public_key.len()))
            })?,
        };
    let tenant: TenantId = key.tenant.parse()?;
    let scanner = Principal::from_path(&key.scanner)?;
    let request_id: RequestId = request_id.parse()?;
    let binding = ProbeBinding {
        tenant: &tenant,
        scanner: &scanner,
        request_id: &request_id,
    };
    let captured_ms = signature.capture_time.as_ref().and_then(milliseconds);
    let captured_ms =
        captured_ms.ok_or_else(|| Rejected::new("capture_time", "is missing or before 1970"))?;
    let plain = Zeroizing::new(signature.encode_to_vec());
    let sealed = probe::seal(&public, &binding, captured_ms, &plain)?;
    Ok(api::SealedProbe {
        key_id: sealed.key_id().to_string(),
        enc: sealed.enc().to_vec().into(),
        ciphertext: sealed.ciphertext().to_vec().into(),
        capture_time_ms: sealed.captured_ms(),
    })
}

fn milliseconds(at: &prost_types::Timestamp) -> Option<u64> {
    let seconds = u64::try_from(at.seconds).ok()?;
    let rest = u64::try_from(at.nanos).ok()? / 1_000_000;
    seconds.checked_mul(1_000)?.checked_add(rest)
}
