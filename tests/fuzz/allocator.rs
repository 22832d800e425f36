//! The system's allocator, counting what a thread takes: its largest piece, how much at once, how often. Changes no request.
#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread took since [`measure`] began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Largest piece, in bytes.
    pub largest: usize,
    /// Most bytes at once.
    pub peak: usize,
    /// Pieces.
    pub pieces: usize,
    /// Bytes held now; what was there before and is given back meanwhile counts as none.
    held: usize,
}

thread_local! {
    // Constant and without a destructor, so that it is there for whatever allocates, and allocates nothing itself.
    static TAKEN: Cell<Taken> = const { Cell::new(Taken { largest: 0, peak: 0, pieces: 0, held: 0 }) };
}

/// Runs `work` and says what this thread took for it.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Taken) {
    TAKEN.set(Taken::default());
    let value = work();
    (value, TAKEN.get())
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn took(size: usize) {
    // A thread that ends has no counts left.
    let _ = TAKEN.try_with(|taken| {
        let mut now = taken.get();
        now.largest = now.largest.max(size);
        now.held = now.held.saturating_add(size);
        now.peak = now.peak.max(now.held);
        now.pieces += 1;
        taken.set(now);
    });
}

fn gave(size: usize) {
    let _ = TAKEN.try_with(|taken| {
        let mut now = taken.get();
        now.held = now.held.saturating_sub(size);
        taken.set(now);
    });
}

// SAFETY: every call goes to the system's allocator as it came, so that its promises hold; the counts beside it allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may stand side by side while the content is moved.
        took(size);
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}
