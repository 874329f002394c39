//! An allocator that counts: how often a thread allocates, and what the process holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

/// How often this thread has allocated.
#[allow(dead_code, reason = "not all that include this file ask for both")]
pub(crate) fn count() -> usize {
    COUNT.with(Cell::get)
}

/// Bytes that the process has allocated and not freed.
#[allow(dead_code, reason = "not all that include this file ask for both")]
pub(crate) fn live_bytes() -> isize {
    LIVE_BYTES.load(Ordering::Relaxed)
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts; it only hands on to the system's")]
// SAFETY: each call is handed to `System` with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        LIVE_BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size_bytes: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        let grown = size_bytes as isize - layout.size() as isize;
        LIVE_BYTES.fetch_add(grown, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size_bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
