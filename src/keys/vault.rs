//! Where secrets lie: pages that are locked in memory where the system allows it, left out of core dumps and wiped. Knows no key's purpose.

use memmap2::MmapMut;
use parking_lot::Mutex;
use zeroize::{Zeroize, Zeroizing};

use super::secret::SECRET_LEN;

/// Bytes of a page of secrets.
const PAGE_LEN: usize = 4 << 10;

static VAULT: Mutex<Vault> = Mutex::new(Vault {
    pages: Vec::new(),
    free: Vec::new(),
    is_told: false,
});

struct Vault {
    pages: Vec<MmapMut>,
    /// Places without a secret: page and first byte.
    free: Vec<(usize, usize)>,
    /// Whether the operator was told that pages can't be locked.
    is_told: bool,
}

/// The place of one secret. The secret is wiped with it.
pub(super) struct Place {
    page: usize,
    at: usize,
}

impl Place {
    /// Takes a secret in; the caller wipes its own copy.
    pub(super) fn new(secret: &[u8; SECRET_LEN]) -> Self {
        let mut vault = VAULT.lock();
        if vault.free.is_empty() {
            vault.add_page();
        }
        let (page, at) = vault
            .free
            .pop()
            .expect("a page was added where no place was free");
        let place = Self { page, at };
        vault.bytes(&place).copy_from_slice(secret);
        place
    }

    /// A copy of the secret.
    pub(super) fn get(&self) -> Zeroizing<[u8; SECRET_LEN]> {
        let mut copy = Zeroizing::new([0; SECRET_LEN]);
        copy.copy_from_slice(VAULT.lock().bytes(self));
        copy
    }
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self::new(&self.get())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut vault = VAULT.lock();
        vault.bytes(self).zeroize();
        vault.free.push((self.page, self.at));
    }
}

impl Vault {
    fn bytes(&mut self, place: &Place) -> &mut [u8] {
        self.pages
            .get_mut(place.page)
            .and_then(|page| page.get_mut(place.at..place.at + SECRET_LEN))
            .expect("pages are never given back")
    }

    fn add_page(&mut self) {
        let page =
            MmapMut::map_anon(PAGE_LEN).expect("there is a page of memory, as for any other allocation");
        #[cfg(target_os = "linux")]
        let hidden = page.advise(memmap2::Advice::DontDump);
        #[cfg(not(target_os = "linux"))]
        let hidden = Ok(());
        let locked = page.lock();
        if let Err(error) = hidden.and(locked)
            && !self.is_told
        {
            self.is_told = true;
            tracing::warn!(
                %error,
                bytes = PAGE_LEN,
                "keys are not locked in memory and may reach swap; raise RLIMIT_MEMLOCK by some KiB a tenant"
            );
        }
        let number = self.pages.len();
        self.pages.push(page);
        self.free
            .extend((0..PAGE_LEN).step_by(SECRET_LEN).map(|at| (number, at)));
    }
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
