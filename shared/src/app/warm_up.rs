//! What a function does while its process starts, when Lambda gives it a whole processor and nobody waits: the first
//! handshakes. It is bounded, since a start that takes too long is begun anew, inside somebody's request.

use std::{future::Future, time::Duration};

use serde_json::Value;

use super::{context::Context, keys};

/// How long a process may warm up: Lambda allows ten seconds for all of a start.
pub const LIMIT: Duration = Duration::from_secs(3);

/// Does the work, but no longer than a start may wait for it. What fails here fails again where it is needed.
pub async fn bounded(work: impl Future<Output = ()> + Send) {
    if tokio::time::timeout(LIMIT, work).await.is_err() {
        tracing::warn!("what is asked at the start does not answer in time");
    }
}

/// Reads one record. That it cannot be read is no reason not to start.
pub async fn records(context: &Context) {
    bounded(async {
        if let Err(error) = context.store.get::<Value>(keys::deployment()).await {
            tracing::warn!(error = %error, cause = ?error, "the records cannot be read");
        }
    })
    .await;
}
