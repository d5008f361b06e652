//! The delegated key of this process: made when it is needed, renewed inside a request before it ends.
//!
//! A frozen function runs nothing in the background, so one request renews while the others go on with what there is.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use super::{
    super::{context::Context, error::AppError},
    Open,
    hand::Hand,
    just_failed,
    pause::Pause,
};

/// With less than this part of its life left, ten minutes of an hour, the next request renews a delegation.
const RENEW_BELOW: i64 = 6;
/// With less than this part of its life left, a minute of an hour, every request waits for the renewal.
const AWAIT_BELOW: i64 = 60;
/// The pause after a failed renewal, in milliseconds, while there is time.
const CALM_PAUSE_MS: i64 = 10_000;
/// The pause after a failed renewal, in milliseconds, once it is waited for.
const URGENT_PAUSE_MS: i64 = 1_000;

/// The delegated keys of a process, one after the other.
#[derive(Debug)]
pub(super) struct Delegates {
    context: Context,
    current: RwLock<Option<Arc<Hand>>>,
    renewing: tokio::sync::Mutex<()>,
    failed: Pause,
    made: AtomicU64,
}

/// A hand that may sign now, and the time that its decisions bear.
pub(super) type Now = (Arc<Hand>, i64);

impl Delegates {
    /// `slot` keeps the numbers of its hands apart from those of other slots.
    pub(super) fn new(context: Context, slot: u64) -> Self {
        Self {
            context,
            current: RwLock::default(),
            renewing: tokio::sync::Mutex::new(()),
            failed: Pause::none(),
            made: AtomicU64::new(slot << 48),
        }
    }

    /// The hand that signs now. Exactly one caller renews at a time; a failed renewal serves what there is until its end.
    pub(super) async fn hand(&self, open: &Open) -> Result<Now, AppError> {
        let known = self.usable();
        let left = left(known.as_ref());
        if let Some(known) = known
            && (left >= self.lifetime() / RENEW_BELOW || self.paused(left))
        {
            return Ok(known);
        }
        let _renewing = if self.is_awaited(left) {
            self.renewing.lock().await
        } else {
            match (self.renewing.try_lock(), self.usable()) {
                (Ok(renewing), _) => renewing,
                (Err(_), Some(known)) => return Ok(known),
                (Err(_), None) => self.renewing.lock().await,
            }
        };
        self.renewed(open).await
    }

    async fn renewed(&self, open: &Open) -> Result<Now, AppError> {
        let known = self.usable();
        let left = left(known.as_ref());
        if left >= self.lifetime() / RENEW_BELOW || self.paused(left) {
            return known.ok_or_else(just_failed);
        }
        let issuer = self.context.settings.base_url.as_str().into();
        let number = self.made.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let now = self.context.clock.now();
        let window = (now, now.saturating_add(self.lifetime()));
        match Hand::delegated(open, issuer, window, number).await {
            Ok(hand) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hand));
                self.usable().ok_or_else(just_failed)
            }
            Err(error) => {
                self.failed.begin(self.context.clock.now_ms());
                tracing::warn!(
                    event = "signer_failed", %error, left_seconds = left,
                    "the delegation of this process was not renewed"
                );
                self.usable().ok_or(error)
            }
        }
    }

    fn usable(&self) -> Option<Now> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let hand = current.as_ref()?;
        hand.at(self.context.clock.now()).map(|at| (Arc::clone(hand), at))
    }

    fn lifetime(&self) -> i64 {
        self.context.settings.delegation_lifetime
    }

    fn is_awaited(&self, left: i64) -> bool {
        left < (self.lifetime() / AWAIT_BELOW).max(1)
    }

    fn paused(&self, left: i64) -> bool {
        let length = if self.is_awaited(left) { URGENT_PAUSE_MS } else { CALM_PAUSE_MS };
        self.failed.holds(self.context.clock.now_ms(), length)
    }
}

/// How many seconds a hand may still sign.
fn left(known: Option<&Now>) -> i64 {
    known.map_or(0, |(hand, at)| hand.end.saturating_sub(*at))
}
