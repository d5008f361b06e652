//! Time that stands still until it is moved, and randomness that counts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::ports::clock::{Clock, Entropy};

/// A clock that shows what it was set to.
#[derive(Debug)]
pub struct TestClock {
    now_ms: AtomicI64,
}

impl TestClock {
    /// A clock that shows this time, Unix milliseconds.
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms: AtomicI64::new(now_ms) }
    }

    /// Shows this time from now on, be it earlier or later.
    pub fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// Moves on by so many milliseconds.
    pub fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }
}

/// Bytes that never come twice and can be foretold: what they make sorts in the order in which it was made.
#[derive(Debug)]
pub struct CountingEntropy {
    process: u8,
    next: AtomicU64,
}

impl CountingEntropy {
    /// The bytes of one process; another number gives others.
    pub fn of(process: u8) -> Self {
        Self { process, next: AtomicU64::new(1) }
    }
}

impl Entropy for CountingEntropy {
    fn fill(&self, buffer: &mut [u8]) -> bool {
        let count = self.next.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        // Identifiers are made of the first ten bytes.
        let bytes = count.into_iter().chain([self.process]).chain(std::iter::repeat(0));
        buffer.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        true
    }
}
