//! Credentials that are kept elsewhere: read once, and remembered for a while.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Credentials, Kind, Opener, Source};
use crate::{
    domain::secret::{Secret, SecretReference},
    ports::{fetcher::Cause, secrets::Secrets},
};

/// How long they are used before they are read again, in milliseconds: what was taken back there is no longer used then.
const FRESH_MS: i64 = 300_000;
/// How long after a reading a refusal is believed without another, in milliseconds.
const JUST_READ_MS: i64 = 10_000;

#[derive(Debug)]
pub(super) struct Kept {
    kind: Kind,
    region: String,
    secrets: Arc<dyn Secrets>,
    reference: SecretReference,
    /// Locked while they are read: of many who need them, one reads.
    held: Mutex<Option<Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    text: Secret,
    opener: Opener,
    read_at: i64,
}

impl Held {
    fn younger_than(&self, age_ms: i64, now: i64) -> bool {
        (0..age_ms).contains(&now.saturating_sub(self.read_at))
    }
}

impl Kept {
    pub(super) fn new(
        kind: Kind,
        region: String,
        secrets: Arc<dyn Secrets>,
        reference: SecretReference,
    ) -> Self {
        Self { kind, region, secrets, reference, held: Mutex::new(None) }
    }

    pub(super) fn signs(&self) -> bool {
        match self.kind {
            Kind::S3 | Kind::Gcs => true,
            Kind::Https | Kind::Jfrog | Kind::GitHub => false,
        }
    }

    pub(super) async fn opener(&self, now: i64) -> Result<Opener, Cause> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.younger_than(FRESH_MS, now)) {
            return Ok(held.opener.clone());
        }
        // What could not be read again is no longer used.
        *held = None;
        let read = self.read(now).await?;
        Ok(held.insert(read).opener.clone())
    }

    pub(super) async fn others(&self, now: i64) -> bool {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.younger_than(JUST_READ_MS, now)) {
            return false;
        }
        let Ok(read) = self.read(now).await else { return false };
        let before = held.replace(read.clone());
        before.is_none_or(|before| before.text != read.text)
    }

    async fn read(&self, now: i64) -> Result<Held, Cause> {
        let text = self.secrets.read(&self.reference, now).await.inspect_err(|error| {
            tracing::error!(event = "credentials_unreadable", error = %error, "a repository cannot be opened");
        })?;
        let credentials = Credentials::of(self.kind, &text, &self.region).inspect_err(|error| {
            let reference = self.reference.to_string();
            tracing::error!(event = "credentials_unreadable", reference, error = %error, "a repository cannot be opened");
        })?;
        match credentials.0 {
            Source::Given(opener) => Ok(Held { text, opener, read_at: now }),
            Source::Kept(_) => Err("credentials that are kept elsewhere lead elsewhere".into()),
        }
    }
}
