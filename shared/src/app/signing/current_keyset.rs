//! The newest keyset, remembered: what another process has published is seen as soon as a catalogue would be.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use decision::keyset::Keyset;

use super::{
    super::{context::Context, error::AppError, keyset},
    pause::Pause,
};
use crate::ports::items::ItemsUnavailable;

/// How long after a failure the store is left alone, in milliseconds.
const PAUSE_MS: i64 = 1_000;
/// How long a read may take before memory is asked instead.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Seen {
    keyset: Arc<Keyset>,
    at_ms: i64,
}

/// The newest keyset of the store, remembered as long as catalogues are.
#[derive(Debug)]
pub(super) struct CurrentKeyset {
    context: Context,
    seen: RwLock<Option<Seen>>,
    /// Held while reading the store, so that a thousand waiting requests read once.
    reading: tokio::sync::Mutex<()>,
    failed: Pause,
}

impl CurrentKeyset {
    pub(super) fn new(context: Context) -> Self {
        Self { context, seen: RwLock::default(), reading: tokio::sync::Mutex::new(()), failed: Pause::none() }
    }

    /// Remembers what was read or written just now.
    pub(super) fn remember(&self, keyset: Arc<Keyset>) {
        let at_ms = self.context.clock.now_ms();
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Some(Seen { keyset, at_ms });
    }

    /// The newest keyset; `None` where there is none yet.
    pub(super) async fn get(&self) -> Result<Option<Arc<Keyset>>, AppError> {
        let settings = &self.context.settings;
        if let Some(keyset) = self.remembered(settings.catalogue_max_age_ms) {
            return Ok(Some(keyset));
        }
        let _reading = self.reading.lock().await;
        if let Some(keyset) = self.remembered(settings.catalogue_max_age_ms) {
            return Ok(Some(keyset));
        }
        let stale = || self.remembered(settings.catalogue_max_stale_ms);
        if self.failed.holds(self.context.clock.now_ms(), PAUSE_MS)
            && let Some(keyset) = stale()
        {
            return Ok(Some(keyset));
        }
        let late = || AppError::Items(ItemsUnavailable("it did not answer in time".into()));
        let read = tokio::time::timeout(READ_TIMEOUT, keyset::newest(&self.context)).await;
        match read.unwrap_or_else(|_| Err(late())) {
            Ok(newest) => {
                let newest = newest.map(Arc::new);
                if let Some(keyset) = &newest {
                    self.remember(Arc::clone(keyset));
                }
                Ok(newest)
            }
            Err(error @ AppError::Items(_)) => {
                self.failed.begin(self.context.clock.now_ms());
                stale().map(Some).ok_or(error)
            }
            Err(other) => Err(other),
        }
    }

    fn remembered(&self, max_age_ms: i64) -> Option<Arc<Keyset>> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.context.clock.now_ms();
        // A clock that was set back makes nothing younger.
        let fresh = |seen: &&Seen| (0..=max_age_ms).contains(&now.saturating_sub(seen.at_ms));
        seen.as_ref().filter(fresh).map(|seen| Arc::clone(&seen.keyset))
    }
}
