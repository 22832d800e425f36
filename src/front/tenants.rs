//! The tenants that the front knows: spec, threshold, keys and rotations. Immutable snapshots, swapped whole; asks no node itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::digest::Digests;
use super::error::FrontError;
use super::recent::{RecentConfig, Recents};
use super::{guard, threshold};
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose, Renewable};
use crate::keys::link::LinkSealer;
use crate::keys::probe::ProbeKey;
use crate::keys::secret::SecretKey;
use crate::keys::transform::Rotation;
use crate::matcher::node::TransformChange;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;

/// What is known of one tenant.
pub(super) struct Tenant {
    /// As the match node has it.
    pub(super) spec: TenantSpec,
    /// The score that the policy's rule comes to.
    pub(super) threshold: f32,
    /// The score from which on a recent match is one; see [`super::recent`].
    pub(super) recent_threshold: f32,
    /// Seals and opens its links.
    pub(super) links: LinkSealer,
    /// Opens its sealed probes.
    pub(super) probe_key: ProbeKey,
    /// Tells repetitions.
    pub(super) digests: Digests,
    /// The score from which on a candidate below the threshold is a near miss; see [`super::guard`].
    pub(super) near_threshold: f32,
    snapshot: u64,
    epoch: AtomicU64,
    /// Why its rotation is not the one of its gallery, once that is known.
    mismatch: OnceLock<String>,
}

impl Tenant {
    pub(super) fn id(&self) -> &TenantId {
        &self.spec.id
    }

    /// State of the gallery as far as remembered answers go; see [`Tenants::outdate_answers`].
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Number of this snapshot; another one for each policy and key of a tenant, never the same for two.
    pub(super) fn snapshot(&self) -> u64 {
        self.snapshot
    }

    fn mismatch(&self, reason: String) -> FrontError {
        FrontError::TransformMismatch {
            tenant: self.id().clone(),
            reason,
        }
    }
}

/// All tenants that the front knows.
pub(super) struct Tenants {
    keyring: Arc<Keyring>,
    known: ArcSwap<HashMap<TenantId, Arc<Tenant>>>,
    /// By tenant and digest, weighed in bytes: a matrix takes 4·D² of them, too much to keep one for every small tenant.
    rotations: Cache<(TenantId, [u8; 32]), Arc<Rotation>>,
    rotations_bytes_max: u64,
    pub(super) recents: Recents,
    epochs: AtomicU64,
}

/// A rotation of a tenant's transform key.
pub(super) struct Renewal {
    /// For the match node.
    pub(super) change: TransformChange,
    /// The next key.
    pub(super) key: SecretKey,
}

/// Why a rotation can't be had. One answer for all who waited for the same.
#[derive(Clone)]
enum RotationFault {
    Mismatch(String),
    Keys(String),
}

impl Tenants {
    pub(super) fn new(keyring: Arc<Keyring>, rotations_bytes_max: u64, recent: &RecentConfig) -> Self {
        Self {
            keyring,
            known: ArcSwap::default(),
            rotations: Cache::builder()
                .max_capacity(rotations_bytes_max)
                .weigher(|_, rotation: &Arc<Rotation>| weight(rotation))
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            rotations_bytes_max,
            recents: Recents::new(recent),
            epochs: AtomicU64::new(1),
        }
    }

    /// All tenants that are known.
    pub(super) fn all(&self) -> Vec<Arc<Tenant>> {
        self.known.load().values().cloned().collect()
    }

    /// A tenant that is known already.
    pub(super) fn get(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.known.load().get(id).cloned()
    }

    /// Takes a tenant in. One that is known with the same spec stays as it is; the rotation of another one is wiped.
    pub(super) fn insert(&self, spec: TenantSpec) -> Result<Arc<Tenant>, FrontError> {
        let id = spec.id.clone();
        let key = self
            .keyring
            .get(&id, Purpose::Link)
            .map_err(|error| FrontError::Keys(error.to_string()))?
            .ok_or_else(|| FrontError::TransformMismatch {
                tenant: id.clone(),
                reason: NO_KEYS.to_owned(),
            })?;
        let score = threshold::score(&spec.policy.threshold, spec.dimension);
        let made = Arc::new(Tenant {
            threshold: score,
            recent_threshold: threshold::stricter(score, self.recents.comparisons_max(), spec.dimension),
            near_threshold: guard::near_threshold(score, spec.dimension),
            snapshot: self.next_epoch(),
            links: LinkSealer::new(&key, &id),
            probe_key: ProbeKey::new(&key, &id),
            digests: Digests::new(&key),
            epoch: AtomicU64::new(self.next_epoch()),
            mismatch: OnceLock::new(),
            spec,
        });
        let before = self.known.rcu(|known| {
            let mut changed = HashMap::clone(known);
            match changed.get(&id) {
                Some(present) if present.spec == made.spec => {}
                _ => {
                    changed.insert(id.clone(), Arc::clone(&made));
                }
            }
            changed
        });
        if let Some(former) = before.get(&id)
            && former.spec != made.spec
        {
            // Also what is on its way.
            self.outdate_answers(former);
            self.recents.forget_all(former);
            if former.spec.transform != made.spec.transform {
                self.rotations
                    .invalidate(&(id.clone(), former.spec.transform.digest));
            }
        }
        Ok(self.get(&id).unwrap_or(made))
    }

    /// Forgets a tenant.
    pub(super) fn remove(&self, id: &TenantId) {
        let before = self.known.rcu(|known| {
            let mut changed = HashMap::clone(known);
            changed.remove(id);
            changed
        });
        if let Some(tenant) = before.get(id) {
            self.outdate_answers(tenant);
            self.recents.forget_all(tenant);
            self.rotations
                .invalidate(&(id.clone(), tenant.spec.transform.digest));
        }
    }

    /// Forgets a tenant that turned out to be gone. One that was made anew, and is known here already, stays.
    pub(super) fn forget(&self, gone: &Tenant) {
        if let Some(known) = self.get(gone.id())
            && known.spec.transform == gone.spec.transform
        {
            self.remove(gone.id());
        }
    }

    /// Makes every remembered answer of the tenant unreachable, also those that are still on their way.
    pub(super) fn outdate_answers(&self, tenant: &Tenant) {
        tenant.epoch.store(self.next_epoch(), Ordering::Release);
    }

    /// The tenant's rotation if it is at hand.
    pub(super) fn resident_rotation(&self, tenant: &Tenant) -> Option<Arc<Rotation>> {
        self.rotations
            .get(&(tenant.id().clone(), tenant.spec.transform.digest))
    }

    /// The tenant's rotation, derived when it is not at hand and compared with the digest that its gallery was made
    /// with. Takes milliseconds to seconds of processor time.
    pub(super) fn rotation(&self, tenant: &Tenant) -> Result<Arc<Rotation>, FrontError> {
        if let Some(reason) = tenant.mismatch.get() {
            return Err(tenant.mismatch(reason.clone()));
        }
        self.rotations
            .try_get_with((tenant.id().clone(), tenant.spec.transform.digest), || {
                self.derive(&tenant.spec)
            })
            .map_err(|fault| match fault.as_ref() {
                RotationFault::Mismatch(reason) => {
                    tenant.mismatch(tenant.mismatch.get_or_init(|| reason.clone()).clone())
                }
                RotationFault::Keys(reason) => FrontError::Keys(reason.clone()),
            })
    }

    /// Why the tenant's rotation is known to be wrong.
    pub(super) fn known_mismatch(&self, id: &TenantId) -> Option<String> {
        self.get(id)?.mismatch.get().cloned()
    }

    /// Derives the rotations of all known tenants, as many as may be kept, on all cores. Gives the tenants whose
    /// rotation can't be had.
    pub(super) fn derive_all(&self) -> Vec<(TenantId, FrontError)> {
        let mut bytes = 0_u64;
        let due: Vec<Arc<Tenant>> = self
            .known
            .load()
            .values()
            .take_while(|tenant| {
                let dim = tenant.spec.dimension.get() as u64;
                bytes += dim * dim * size_of::<f32>() as u64;
                bytes <= self.rotations_bytes_max
            })
            .cloned()
            .collect();
        // Threads of their own, not rayon's: whoever waits here for a rotation that another thread derives must not
        // be a worker which that derivation needs.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut failed = Vec::new();
            while let Some(tenant) = due.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.rotation(tenant) {
                    failed.push((tenant.id().clone(), error));
                }
            }
            failed
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.min(due.len())).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("deriving does not panic"))
                .collect()
        })
    }

    /// Whether the keyring has the key of the tenant's gallery.
    pub(super) fn fits(&self, spec: &TenantSpec) -> bool {
        self.fitting(spec).is_ok()
    }

    /// What a rotation of the tenant's transform key comes to, with a next key that the keyring has from now on until
    /// [`Tenants::end_renewal`]. Where the gallery has come to it already it is the change that led there.
    pub(super) fn renewal(&self, spec: &TenantSpec) -> Result<Renewal, FrontError> {
        let (id, version) = (&spec.id, spec.transform.version);
        let keys = |error: KeyError| FrontError::Keys(error.to_string());
        let mismatch = |reason: String| FrontError::TransformMismatch {
            tenant: id.clone(),
            reason,
        };
        let derived = |key: Option<SecretKey>, version| {
            let key = key.ok_or_else(|| mismatch(NO_KEYS.to_owned()))?;
            let rotation = Rotation::derive(&key, version, spec.dimension);
            Ok::<_, FrontError>((rotation, key))
        };
        let fitting = self.fitting(spec).map_err(|fault| match fault {
            RotationFault::Mismatch(reason) => mismatch(reason),
            RotationFault::Keys(reason) => FrontError::Keys(reason),
        })?;
        let (from, to, key) = match fitting {
            (from, None) => {
                let next = self.keyring.begin_rotation(id, Renewable::Transform);
                let (to, key) = derived(next.map_err(keys)?, version.saturating_add(1))?;
                (from, to, key)
            }
            (to, Some(key)) => {
                let present = self.keyring.get(id, Purpose::Transform).map_err(keys)?;
                let (from, _) = derived(present, version.saturating_sub(1))?;
                (from, to, key)
            }
        };
        Ok(Renewal {
            change: TransformChange {
                from: from.id().clone(),
                to: to.id().clone(),
                conversion: Arc::new(from.to(&to)),
            },
            key,
        })
    }

    /// The next key is the present one and the former is gone, once the gallery has come to it.
    pub(super) fn end_renewal(&self, tenant: &TenantId, next: &SecretKey) -> Result<(), KeyError> {
        self.keyring.end_rotation(tenant, Renewable::Transform, next)
    }

    fn derive(&self, spec: &TenantSpec) -> Result<Arc<Rotation>, RotationFault> {
        let (rotation, next) = self.fitting(spec)?;
        if let Some(next) = next {
            // A rotation was cut off between the gallery's change and the keyring's, or is just there.
            self.end_renewal(&spec.id, &next)
                .map_err(|error| RotationFault::Keys(error.to_string()))?;
        }
        Ok(Arc::new(rotation))
    }

    /// The rotation of the tenant's gallery; with the next key if it is that one's, and not the present one's. Where machines share the keyring it is read again before that is denied.
    fn fitting(&self, spec: &TenantSpec) -> Result<(Rotation, Option<SecretKey>), RotationFault> {
        match self.fitting_now(spec) {
            Err(RotationFault::Mismatch(_)) if self.keyring.is_shared() => {
                let read = self.keyring.refresh();
                read.map_err(|error| RotationFault::Keys(error.to_string()))?;
                self.fitting_now(spec)
            }
            found => found,
        }
    }

    /// By the keyring as it is in memory.
    fn fitting_now(&self, spec: &TenantSpec) -> Result<(Rotation, Option<SecretKey>), RotationFault> {
        let key = |purpose| {
            let key = self.keyring.known(&spec.id, purpose);
            key.map_err(|error| RotationFault::Keys(error.to_string()))
        };
        let derive = |key: &SecretKey| Rotation::derive(key, spec.transform.version, spec.dimension);
        // The next one first: it becomes the present one while this looks, never the other way round.
        let next = key(Purpose::TransformNext)?;
        let present = key(Purpose::Transform)?.ok_or_else(|| RotationFault::Mismatch(NO_KEYS.to_owned()))?;
        let rotation = derive(&present);
        if *rotation.id() == spec.transform {
            return Ok((rotation, None));
        }
        if let Some(next) = next {
            let rotation = derive(&next);
            if *rotation.id() == spec.transform {
                return Ok((rotation, Some(next)));
            }
        }
        Err(RotationFault::Mismatch(format!(
            "the keyring gives rotation {} and its gallery was made with rotation {} (version {}); \
             a search would find nobody; bring back the keyring that belongs to the data",
            short(&rotation.id().digest),
            short(&spec.transform.digest),
            spec.transform.version,
        )))
    }

    fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }
}

const NO_KEYS: &str = "the keyring holds no keys of it; bring back the keyring that belongs to the data";

fn weight(rotation: &Rotation) -> u32 {
    u32::try_from(rotation.resident_bytes()).unwrap_or(u32::MAX)
}

/// As much of a digest as tells two apart.
fn short(digest: &[u8; 32]) -> String {
    crate::keys::encoding::to_hex(digest.split_at(8).0)
}

#[cfg(test)]
#[path = "tenants_tests.rs"]
mod tests;
