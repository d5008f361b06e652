//! The budget of signatures that cost a call: a token bucket, of which most is kept for the questions of everybody.

use std::sync::{Mutex, PoisonError};

/// How many signatures a process may ask a remote key for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// So many a second in the long run, at least 1.
    pub per_second: u32,
    /// So many at once after a rest, at least 5.
    pub burst: u32,
}

/// Who draws on the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// A known question whose answer is remembered and to be signed again: it may use everything.
    Renewal,
    /// A question without nonce about what exists. Four fifths are kept for these and for renewals; they leave a fifth of the
    /// burst to renewals.
    Known,
    /// Any other question: what anybody can invent.
    Other,
}

impl Share {
    /// What the same question draws on once its answer is remembered.
    pub(crate) fn again(self) -> Self {
        match self {
            Self::Renewal | Self::Known => Self::Renewal,
            Self::Other => Self::Other,
        }
    }
}

/// A signature in the unit of the buckets: a fifth of a token flows in small enough steps every millisecond.
const SIGNATURE: i64 = 5_000;

/// The two buckets of a budget. Together they never give out more than it.
#[derive(Debug)]
pub(super) struct Buckets {
    per_second: i64,
    burst: i64,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    kept: i64,
    other: i64,
    at_ms: i64,
}

impl Buckets {
    /// Full buckets.
    pub(super) fn new(budget: Budget, now_ms: i64) -> Self {
        let (per_second, burst) = (i64::from(budget.per_second), i64::from(budget.burst));
        let fifth = burst.saturating_mul(1_000);
        let level = Level { kept: fifth.saturating_mul(4), other: fifth, at_ms: now_ms };
        Self { per_second, burst, level: Mutex::new(level) }
    }

    /// Takes one signature out; `false` where there is none for this share.
    pub(super) fn take(&self, share: Share, now_ms: i64) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back fills nothing.
        let elapsed = now_ms.saturating_sub(level.at_ms).max(0);
        level.at_ms = now_ms;
        let (flow, fifth) = (elapsed.saturating_mul(self.per_second), self.burst.saturating_mul(1_000));
        level.kept = level.kept.saturating_add(flow.saturating_mul(4)).min(fifth.saturating_mul(4));
        level.other = level.other.saturating_add(flow).min(fifth);
        let kept = match share {
            Share::Renewal => level.kept >= SIGNATURE,
            Share::Known => level.kept >= SIGNATURE.saturating_add(fifth),
            Share::Other => false,
        };
        let bucket = if kept { &mut level.kept } else { &mut level.other };
        let enough = *bucket >= SIGNATURE;
        if enough {
            *bucket = bucket.saturating_sub(SIGNATURE);
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(buckets: &Buckets, share: Share, now_ms: i64) -> usize {
        (0..1_000).take_while(|_| buckets.take(share, now_ms)).count()
    }

    #[test]
    fn a_rest_fills_the_burst_and_no_more_and_a_second_fills_its_part() {
        let buckets = Buckets::new(Budget { per_second: 5, burst: 20 }, 0);
        assert_eq!(taken(&buckets, Share::Renewal, 0), 20);
        assert_eq!(taken(&buckets, Share::Renewal, 999), 3, "the first five fifths are whole a little later");
        assert_eq!(taken(&buckets, Share::Renewal, 1_000), 2);
        assert_eq!(taken(&buckets, Share::Renewal, 3_600_000), 20);
    }

    #[test]
    fn four_fifths_are_kept_from_what_anybody_can_invent() {
        let buckets = Buckets::new(Budget { per_second: 5, burst: 20 }, 0);
        assert_eq!(taken(&buckets, Share::Other, 0), 4);
        assert_eq!(taken(&buckets, Share::Known, 0) + taken(&buckets, Share::Renewal, 0), 16);
        assert_eq!(taken(&buckets, Share::Other, 1_000), 1);
        assert_eq!(taken(&buckets, Share::Renewal, 1_000), 4);
    }

    #[test]
    fn new_questions_leave_a_fifth_of_the_burst_to_renewals_and_wait_until_it_is_whole_again() {
        let buckets = Buckets::new(Budget { per_second: 5, burst: 20 }, 0);
        assert_eq!(taken(&buckets, Share::Known, 0), 16, "with what others leave");
        assert_eq!(taken(&buckets, Share::Renewal, 0), 4);
        assert_eq!(taken(&buckets, Share::Known, 1_000), 1, "of the part of others");
        assert_eq!(taken(&buckets, Share::Known, 2_000), 1 + 4, "once that is whole");
    }

    #[test]
    fn the_smallest_burst_still_has_a_signature_for_each_share() {
        let buckets = Buckets::new(Budget { per_second: 1, burst: 5 }, 0);
        let taken = |share| taken(&buckets, share, 0);
        assert_eq!((taken(Share::Other), taken(Share::Known), taken(Share::Renewal)), (1, 3, 1));
    }

    #[test]
    fn a_clock_that_is_set_back_fills_nothing() {
        let buckets = Buckets::new(Budget { per_second: 5, burst: 20 }, 10_000);
        assert_eq!(taken(&buckets, Share::Renewal, 10_000), 20);
        assert_eq!(taken(&buckets, Share::Renewal, 0), 0);
        assert_eq!(taken(&buckets, Share::Renewal, 1_000), 5);
    }
}
