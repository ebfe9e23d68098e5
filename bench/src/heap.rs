//! An allocator that counts what each thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// To be the program's `#[global_allocator]`.
pub struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// What a piece of work allocated on its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    /// Calls to the allocator that got memory.
    pub calls: u64,
    /// The most bytes it held at a time.
    pub peak: u64,
}

/// Runs `work` and says what it allocated.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, Heap) {
    let (calls, live) = (CALLS.get(), LIVE.get());
    PEAK.set(live);
    let result = work();
    let heap = Heap { calls: CALLS.get() - calls, peak: (PEAK.get() - live).unsigned_abs() };
    (result, heap)
}

fn count(calls: u64, bytes: i64) {
    CALLS.set(CALLS.get().wrapping_add(calls));
    LIVE.set(LIVE.get().wrapping_add(bytes));
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: every call goes to the system's allocator as it came. Counting
// touches thread-local integers that need neither allocation nor destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promises are those of the callee.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promises are those of the callee.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller's promises are those of the callee.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are those of the callee.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
