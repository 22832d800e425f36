//! The functions whose places were taken. Calls none of them.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The next function of this name after the one in this library.
macro_rules! real {
    ($name:expr, $type:ty) => {{
        static FOUND: crate::real::Found = crate::real::Found::new();
        // SAFETY: the C library's function of this name has this type.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, $type>(FOUND.get($name)) }
    }};
}
pub(crate) use real;

/// An address that is looked up once.
pub(crate) struct Found(AtomicPtr<c_void>);

impl Found {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The address; a process whose C library lacks the function can't go on.
    pub(crate) fn get(&self, name: &CStr) -> *mut c_void {
        let known = self.0.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name ends with a zero, and the pseudo-handle needs nothing.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
        if found.is_null() {
            std::process::abort();
        }
        self.0.store(found, Ordering::Relaxed);
        found
    }
}
