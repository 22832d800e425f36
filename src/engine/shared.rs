//! What callers see of the engine without asking its thread: open galleries, the backend's name, how many scans wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::model::signature::Dimension;

use super::bound::sign;
use super::error::EngineError;
use super::gallery::GalleryId;

/// State that the engine's thread writes and callers read.
pub(super) struct Shared {
    galleries: RwLock<HashMap<GalleryId, (Dimension, u64)>>,
    backend: RwLock<Arc<str>>,
    waiting: AtomicUsize,
    queue_max: usize,
    miss_probability: f64,
    /// Quantile of the sign bound by dimension.
    quantiles: RwLock<HashMap<usize, f64>>,
}

/// A place in the queue, given back when dropped.
pub(super) struct Ticket(Arc<Shared>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(queue_max: usize, miss_probability: f64) -> Self {
        Self {
            galleries: RwLock::default(),
            backend: RwLock::new(Arc::from("")),
            waiting: AtomicUsize::new(0),
            queue_max,
            miss_probability,
            quantiles: RwLock::default(),
        }
    }

    /// Takes a place among the scans that wait or run.
    pub(super) fn ticket(self: &Arc<Self>) -> Result<Ticket, EngineError> {
        let ticket = Ticket(Arc::clone(self));
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue_max {
            return Err(EngineError::QueueFull { max: self.queue_max });
        }
        Ok(ticket)
    }

    pub(super) fn queue_max(&self) -> usize {
        self.queue_max
    }

    /// Scans that wait or run.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn miss_probability(&self) -> f64 {
        self.miss_probability
    }

    /// Quantile of the sign bound; computed once a dimension.
    pub(super) fn quantile(&self, dim: Dimension) -> f64 {
        let known = self.quantiles.read().get(&dim.get()).copied();
        known.unwrap_or_else(|| {
            let quantile = sign::quantile(dim.get(), self.miss_probability);
            self.quantiles.write().insert(dim.get(), quantile);
            quantile
        })
    }

    /// Dimension and resident bytes of an open gallery.
    pub(super) fn gallery(&self, id: GalleryId) -> Option<(Dimension, u64)> {
        self.galleries.read().get(&id).copied()
    }

    pub(super) fn set_gallery(&self, id: GalleryId, dim: Dimension, bytes: u64) {
        self.galleries.write().insert(id, (dim, bytes));
    }

    pub(super) fn remove_gallery(&self, id: GalleryId) {
        self.galleries.write().remove(&id);
    }

    pub(super) fn backend(&self) -> Arc<str> {
        Arc::clone(&self.backend.read())
    }

    pub(super) fn set_backend(&self, name: Arc<str>) {
        *self.backend.write() = name;
    }
}
