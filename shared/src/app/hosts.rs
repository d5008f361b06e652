//! Hosts that have asked to be left alone: what one artifact of a host was told is for all that it has, in every process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    context::Context,
    error::AppError,
    keys,
    store::{Batch, retrying, unchanged},
};
use crate::{
    domain::{
        artifact::Artifact,
        external_url::{ExternalUrl, UrlRules},
    },
    ports::items::Expect,
};

/// The longest that a host is left alone at a time.
const LONGEST_MS: i64 = 24 * 3_600_000;

/// That a host has asked to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    /// Until when, Unix milliseconds.
    pub(super) not_before: i64,
}

impl Hold {
    /// Whether it is to be left alone now.
    pub(super) fn is_on(self, now: i64) -> bool {
        self.not_before > now
    }
}

/// A time that is asked for, as far as it is believed, in milliseconds.
pub(super) fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}

/// The host of an external artifact, with its port where that is not the usual one.
pub(super) fn of(artifact: &Artifact) -> Option<String> {
    let url = ExternalUrl::parse(artifact.external_url()?, &UrlRules::widest()).ok()?;
    Some(url.authority().to_owned())
}

/// What is written down about a host.
pub(super) async fn find(context: &Context, host: &str) -> Result<Option<Hold>, AppError> {
    Ok(context.store.get::<Hold>(keys::host(host)).await?.map(|found| found.value))
}

/// Writes down that a host asks to be left alone; what somebody was told before stands, where it is longer.
pub(super) async fn leave_alone(context: &Context, host: &str, wait: Duration) -> Result<(), AppError> {
    let not_before = context.clock.now_ms().saturating_add(millis(wait));
    retrying(|| async {
        let found = context.store.get::<Hold>(keys::host(host)).await?;
        if found.as_ref().is_some_and(|found| found.value.not_before >= not_before) {
            return Ok(());
        }
        let mut batch = Batch::default();
        let until = not_before.saturating_add(LONGEST_MS).div_euclid(1_000);
        batch.put_until(keys::host(host), &Hold { not_before }, unchanged(found.as_ref()), Some(until))?;
        context.store.commit(batch).await
    })
    .await
}

/// Forgets what a host has asked for, since it answers again.
pub(super) async fn answered(context: &Context, host: &str, held: bool) -> Result<(), AppError> {
    if !held {
        return Ok(());
    }
    let mut batch = Batch::default();
    batch.delete(keys::host(host), Expect::Anything);
    context.store.commit(batch).await
}
