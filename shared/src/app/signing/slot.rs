//! One of the keys that are configured: opened when it is needed, with the delegations that it signs.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{
    super::{
        context::Context,
        error::AppError,
        keyset::{self, Unlisted},
    },
    Open, PAUSE_MS,
    current_keyset::Current,
    delegates::Delegates,
    hand::Hand,
    in_time, just_failed,
    pause::Pause,
    unusable,
};
use crate::ports::signer::Keys;

/// A key of the configuration.
#[derive(Debug)]
pub(super) struct Slot {
    context: Context,
    keys: Arc<dyn Keys>,
    number: u64,
    open: OnceCell<Open>,
    ensured: OnceCell<()>,
    opening_failed: Pause,
    pub(super) delegates: Delegates,
}

impl Slot {
    pub(super) fn new(context: Context, keys: Arc<dyn Keys>, number: u64) -> Self {
        Self {
            keys,
            number,
            open: OnceCell::new(),
            ensured: OnceCell::new(),
            opening_failed: Pause::none(),
            delegates: Delegates::new(context.clone(), number),
            context,
        }
    }

    /// The key, opened; after a failure it is left alone for a moment.
    pub(super) async fn opened(&self) -> Result<&Open, AppError> {
        let open = || async {
            let signer = in_time(self.keys.open()).await.map_err(AppError::Signer)?;
            let kid = signer.public_key().thumbprint();
            let direct = Arc::new(Hand::direct(Arc::clone(&signer), self.number));
            Ok(Open { signer, kid, direct })
        };
        self.open.get_or_try_init(|| self.unless_paused(open)).await
    }

    /// The key, where it is open and the keyset was seen to.
    pub(super) fn ready(&self) -> Option<&Open> {
        self.ensured.initialized().then(|| self.open.get()).flatten()
    }

    /// Sees to it, once, that the keyset lists the key; whether it may have been changed for that.
    pub(super) async fn ensure(
        &self,
        current: Option<&Current>,
        unlisted: Unlisted,
        nonces: bool,
    ) -> Result<bool, AppError> {
        if self.ensured.initialized() {
            return Ok(false);
        }
        let open = self.opened().await?;
        let now = self.context.clock.now();
        let suffices = |current: &Current| current.standing().suffices(&open.kid, nonces, now);
        if current.is_some_and(suffices) {
            // Somebody else may have been faster: that is as good.
            let _ = self.ensured.set(());
            return Ok(false);
        }
        let ensure = || self.ensure_again(unlisted, nonces);
        self.ensured.get_or_try_init(|| self.unless_paused(ensure)).await.map(|()| true)
    }

    /// Sees to it that the keyset lists the key, and lasts.
    pub(super) async fn ensure_again(&self, unlisted: Unlisted, nonces: bool) -> Result<(), AppError> {
        let key = *self.opened().await?.signer.public_key();
        keyset::ensure(&self.context, &key, unlisted, nonces).await.map(|_| ()).map_err(unusable)
    }

    async fn unless_paused<T, F>(&self, work: impl FnOnce() -> F) -> Result<T, AppError>
    where
        F: Future<Output = Result<T, AppError>>,
    {
        if self.opening_failed.holds(self.context.clock.now_ms(), PAUSE_MS) {
            return Err(just_failed());
        }
        let outcome = work().await;
        if outcome.is_err() {
            self.opening_failed.begin(self.context.clock.now_ms());
        }
        outcome
    }
}
