//! How long a fetch may take, and how far it may go.

use std::time::Duration;

/// The limits of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// The longest wait for a name, for a connection, and for a handshake, each.
    pub connect: Duration,
    /// The longest wait for the head of an answer, and for each piece of its body.
    pub silence: Duration,
    /// The time allowed for a whole fetch, before its size counts.
    pub total_base: Duration,
    /// The slowest rate, in bytes a second: what has come by a time beyond the base must have come this fast.
    pub min_rate: u64,
    /// How many redirects are followed.
    pub max_redirects: u8,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            total_base: Duration::from_secs(60),
            min_rate: 256 * 1024,
            max_redirects: 5,
        }
    }
}

impl FetchLimits {
    /// The time allowed for this many bytes, over all hops: for the whole of an artifact, and for what came of it so far.
    pub fn total(&self, bytes: u64) -> Duration {
        let millis = bytes.saturating_mul(1000) / self.min_rate.max(1);
        self.total_base.saturating_add(Duration::from_millis(millis))
    }
}
