//! Links sealed for storage: a keyed hash to find them by and the value under AEAD. Only who holds the tenant's link key can do either.

use super::aead::Sealer;
use super::error::KeyError;
use super::mac::MacKey;
use super::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::link::{Link, LinkKind, SealedLink};

/// Seals and opens the links of one tenant.
pub struct LinkSealer {
    tenant: TenantId,
    sealer: Sealer,
    lookup: MacKey,
}

impl LinkSealer {
    /// Prepares the tenant's link key; sealing and finding use keys derived from it.
    pub fn new(key: &SecretKey, tenant: &TenantId) -> Self {
        Self {
            tenant: tenant.clone(),
            sealer: Sealer::new(&key.derive(&[b"link seal", tenant.as_str().as_bytes()])),
            lookup: MacKey::new(&key.derive(&[b"link lookup", tenant.as_str().as_bytes()])),
        }
    }

    /// The keyed hash that a link is found by: the same for the same kind and value.
    pub fn lookup(&self, link: &Link) -> [u8; 32] {
        self.lookup
            .digest(&[&[link.kind.code()], link.value().as_bytes()])
    }

    /// Seals a link. Two sealings of one link share the lookup and nothing else.
    pub fn seal(&self, link: &Link) -> SealedLink {
        SealedLink {
            kind: link.kind,
            lookup: self.lookup(link),
            sealed: self
                .sealer
                .seal(&self.context(link.kind), link.value().as_bytes()),
        }
    }

    /// Opens a link that this tenant sealed.
    pub fn open(&self, sealed: &SealedLink) -> Result<Link, KeyError> {
        let plain = self
            .sealer
            .open(&self.context(sealed.kind), &sealed.sealed)
            .map_err(|_| KeyError::LinkSealed)?;
        let value = std::str::from_utf8(&plain).map_err(|_| KeyError::LinkSealed)?;
        let link = Link::new(sealed.kind, value.to_owned()).map_err(|_| KeyError::LinkSealed)?;
        if self.lookup(&link) != sealed.lookup {
            return Err(KeyError::LinkSealed);
        }
        Ok(link)
    }

    /// Tenant and kind, so that a sealed value can't be passed off as another's or as another kind.
    fn context(&self, kind: LinkKind) -> Vec<u8> {
        let mut context = vec![kind.code()];
        context.extend_from_slice(self.tenant.as_str().as_bytes());
        context
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
