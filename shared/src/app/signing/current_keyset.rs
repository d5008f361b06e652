//! The newest keyset, remembered: what another process has published is seen as soon as a catalogue would be.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use decision::keyset::Keyset;

use super::{
    super::{
        context::Context,
        error::AppError,
        keyset::{self, Standing},
    },
    pause::Pause,
};
use crate::ports::items::ItemsUnavailable;

/// How long after a failure the store is left alone, in milliseconds.
const PAUSE_MS: i64 = 1_000;
/// How long a read may take before memory is asked instead.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// The newest keyset, and which of its keys signs.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) keyset: Arc<Keyset>,
    /// The key that was promoted, if any was.
    pub(super) active: Option<Arc<str>>,
    /// Whether root keys have signed it.
    signed: bool,
    /// The keys whose end an operator has set.
    fixed: Arc<[String]>,
}

impl Current {
    /// Whether clients refuse it, and with it everything that is signed under it.
    pub(super) fn is_over(&self, now: i64) -> bool {
        now >= self.keyset.expires
    }

    /// What decides whether it goes on as it is.
    pub(super) fn standing(&self) -> Standing<'_> {
        Standing { keyset: &self.keyset, signed: self.signed, fixed: &self.fixed }
    }
}

#[derive(Debug)]
struct Seen {
    current: Current,
    at_ms: i64,
    /// How many transactions this process had committed: what it has changed itself, it sees at once.
    own_commits: u64,
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

    /// Remembers what was read after so many own commits.
    fn remember(&self, current: Current, own_commits: u64) {
        let at_ms = self.context.clock.now_ms();
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Seen { current, at_ms, own_commits });
    }

    /// Forgets what is remembered, since it was changed just now.
    pub(super) fn forget(&self) {
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest keyset; `None` where there is none yet.
    pub(super) async fn get(&self) -> Result<Option<Current>, AppError> {
        let settings = &self.context.settings;
        if let Some(current) = self.fresh(settings.catalogue_max_age_ms) {
            return Ok(Some(current));
        }
        let _reading = self.reading.lock().await;
        if let Some(current) = self.fresh(settings.catalogue_max_age_ms) {
            return Ok(Some(current));
        }
        let stale = || self.remembered(settings.catalogue_max_stale_ms);
        if self.failed.holds(self.context.clock.now_ms(), PAUSE_MS)
            && let Some(current) = stale()
        {
            return Ok(Some(current));
        }
        let late = || AppError::Items(ItemsUnavailable::Silent("it did not answer in time".into()));
        let own_commits = self.context.store.own_commits();
        let read = tokio::time::timeout(READ_TIMEOUT, keyset::current(&self.context)).await;
        match read.unwrap_or_else(|_| Err(late())) {
            Ok(newest) => {
                let newest = newest.map(|found| Current {
                    keyset: Arc::new(found.value.keyset),
                    active: found.value.active.map(Into::into),
                    signed: found.value.signed,
                    fixed: found.value.fixed.into(),
                });
                if let Some(current) = &newest {
                    self.remember(current.clone(), own_commits);
                }
                Ok(newest)
            }
            Err(error @ AppError::Items(ItemsUnavailable::Silent(_))) => {
                self.failed.begin(self.context.clock.now_ms());
                stale().map(Some).ok_or(error)
            }
            Err(other) => Err(other),
        }
    }

    fn fresh(&self, max_age_ms: i64) -> Option<Current> {
        let own_commits = self.context.store.own_commits();
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let current = seen.as_ref().is_some_and(|seen| seen.own_commits == own_commits);
        drop(seen);
        if current { self.remembered(max_age_ms) } else { None }
    }

    fn remembered(&self, max_age_ms: i64) -> Option<Current> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.context.clock.now_ms();
        // A clock that was set back makes nothing younger.
        let fresh = |seen: &&Seen| (0..=max_age_ms).contains(&now.saturating_sub(seen.at_ms));
        seen.as_ref().filter(fresh).map(|seen| seen.current.clone())
    }
}
