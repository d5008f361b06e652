//! Checking artifacts: external bytes by fetching them, managed bytes by reading them or asking their store. Runs in
//! the background.

use std::{fmt, str::FromStr};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    artifacts::set_state,
    audit::{self, Entry},
    context::Context,
    error::AppError,
    keys, pending,
    store::{Batch, Store, Stored, retrying},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState, Attempts, Use, Verification},
        ids::ArtifactId,
        platform::{WordError, word_type},
    },
    ports::items::Expect,
};

mod look;

pub use self::look::Checker;
use self::look::{Outcome, look};

/// How many checks one run makes at a time.
const AT_ONCE: usize = 8;
/// How many artifacts are read at a time.
const READ_AT_ONCE: usize = 100;
const HOUR_MS: i64 = 3_600_000;
/// How long an unreachable artifact is tried again before it is rejected.
const PATIENCE_MS: i64 = 24 * HOUR_MS;
/// Why an artifact was quarantined by a check, at the beginning of its reason: nobody else's reason may begin so.
pub const DRIFT: &str = "DRIFT: ";

word_type!(
    /// What a check found.
    CheckResult { Match = "MATCH", Mismatch = "MISMATCH", Error = "ERROR" }
);

/// One check of an artifact's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// When, Unix milliseconds.
    pub checked_at: i64,
    /// By which means.
    pub means: Verification,
    /// What came out.
    pub result: CheckResult,
    /// The stable code of a failure.
    #[serde(default)]
    pub code: Option<String>,
    /// The sentence for people.
    #[serde(default)]
    pub message: Option<String>,
}

/// Asks for a check of an artifact's bytes.
///
/// # Errors
/// [`AppError::Corrupt`]
pub fn schedule(batch: &mut Batch, id: ArtifactId, expect: Expect) -> Result<(), AppError> {
    batch.put(keys::verifying(id), &json!({}), expect)
}

/// Which of the waiting checks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are due.
    Due,
    /// All, at the start of the only process: whoever had begun one is gone.
    All,
}

/// The checks that are to be made now, and when the next of the others is due (Unix milliseconds).
///
/// # Errors
/// Those of the store.
pub async fn waiting(context: &Context, which: Which) -> Result<(Vec<ArtifactId>, Option<i64>), AppError> {
    let waiting = context.store.query_all::<serde_json::Value>(keys::VERIFYING, "").await?;
    let ids: Vec<ArtifactId> = waiting.into_iter().filter_map(|(sort, _)| sort.parse().ok()).collect();
    if which == Which::All {
        return Ok((ids, None));
    }
    let now = context.clock.now_ms();
    let (mut due, mut next) = (Vec::new(), None::<i64>);
    for ids in ids.chunks(READ_AT_ONCE) {
        let keys: Vec<_> = ids.iter().map(|id| keys::artifact(*id)).collect();
        let artifacts = context.store.get_all::<Artifact>(&keys).await?;
        for (id, artifact) in ids.iter().zip(artifacts) {
            match artifact.map(|found| found.value.attempts.next_at).filter(|at| *at > now) {
                Some(at) => next = next.into_iter().chain([at]).min(),
                None => due.push(*id),
            }
        }
    }
    Ok((due, next))
}

/// Makes every check that is due, several at a time; tells when the next is due (Unix milliseconds).
///
/// # Errors
/// Those of the store.
pub async fn run(context: &Context, checker: &Checker, which: Which) -> Result<Option<i64>, AppError> {
    let (due, next) = waiting(context, which).await?;
    let next = futures_util::stream::iter(due)
        .map(|id| async move {
            check(context, checker, id, which).await.unwrap_or_else(|error| {
                tracing::error!(artifact.id = %id, error = %error, "an artifact could not be checked");
                None
            })
        })
        .buffer_unordered(AT_ONCE)
        .fold(next, |next, due| async move { next.into_iter().chain(due).min() })
        .await;
    Ok(next)
}

/// Checks one artifact if that is due and nobody else has begun; tells when its next check is due (Unix milliseconds),
/// where there is to be one.
///
/// # Errors
/// Those of the store.
pub async fn check(
    context: &Context,
    checker: &Checker,
    id: ArtifactId,
    which: Which,
) -> Result<Option<i64>, AppError> {
    let records = context.store.get_raw(&[keys::verifying(id), keys::artifact(id)]).await?;
    let [Some(_), artifact] = records.as_slice() else { return Ok(None) };
    let Some(found) = Store::record::<Artifact>(artifact.as_ref())? else {
        let mut batch = Batch::default();
        batch.delete(keys::verifying(id), Expect::Anything);
        context.store.commit(batch).await?;
        return Ok(None);
    };
    let now = context.clock.now_ms();
    if which == Which::Due && found.value.attempts.next_at > now {
        return Ok(Some(found.value.attempts.next_at));
    }
    let Some(claimed) = claim(context, &found, now).await? else { return Ok(None) };
    let (means, outcome) = look(checker, &found.value, now).await;
    let next = retrying(|| conclude(context, id, claimed, means, &outcome)).await?;
    let partition = keys::of_artifact(id);
    for (_, used) in context.store.query_all::<Use>(&partition, keys::USE).await? {
        pending::advance(context, used.value.release_id).await?;
    }
    Ok(next)
}

/// Moves the next try beyond this one, so that only one process makes it; nothing where another was faster.
async fn claim(context: &Context, found: &Stored<Artifact>, now: i64) -> Result<Option<Attempts>, AppError> {
    let mut artifact = found.value.clone();
    artifact.attempts.made = artifact.attempts.made.saturating_add(1);
    let pause = pause(context, &artifact);
    // At 256 KiB a second, a fetch may take this long before it fails by itself.
    let longest = i64::try_from(artifact.size_bytes / 256).unwrap_or(i64::MAX).saturating_add(120_000);
    artifact.attempts.next_at = now.saturating_add(pause.max(longest));
    let mut batch = Batch::default();
    batch.put(keys::artifact(artifact.artifact_id), &artifact, found.unchanged())?;
    match context.store.commit(batch).await {
        Ok(()) => Ok(Some(artifact.attempts)),
        Err(AppError::Raced) => Ok(None),
        Err(other) => Err(other),
    }
}

/// How long to wait after the tries made so far: doubled with each after the first.
fn pause(context: &Context, artifact: &Artifact) -> i64 {
    let doublings = artifact.attempts.made.saturating_sub(1).min(20);
    context.settings.recheck_first_ms.saturating_mul(1_i64 << doublings).min(HOUR_MS)
}

async fn conclude(
    context: &Context,
    id: ArtifactId,
    claimed: Attempts,
    means: Verification,
    outcome: &Outcome,
) -> Result<Option<i64>, AppError> {
    let Some(found) = context.store.get::<Artifact>(keys::artifact(id)).await? else { return Ok(None) };
    let now = context.clock.now_ms();
    let mut artifact = found.value.clone();
    // Somebody asked for another check during this one: that one is still to be made, and it alone may reject.
    let again = artifact.attempts != claimed;
    let rejects = artifact.state == ArtifactState::Verifying && matches!(outcome, Outcome::Differs { .. });
    if !(again && rejects) {
        verdict(&mut artifact, means, outcome, now);
    }
    if artifact.state == ArtifactState::Available {
        let revoked = context.store.get::<ArtifactId>(keys::revoked_bytes(&artifact.sha256)).await?;
        if let Some(revoked) = revoked {
            // What was AVAILABLE once may be in releases: it is withheld from them, not only rejected.
            let waits = found.value.state == ArtifactState::Verifying;
            artifact.state = if waits { ArtifactState::Rejected } else { ArtifactState::Quarantined };
            artifact.reason =
                Some(format!("ARTIFACT_REVOKED: the same bytes were revoked as {}", revoked.value));
        }
    }
    let state = artifact.state;
    let failed = matches!(outcome, Outcome::Failed { .. }) && artifact.state == ArtifactState::Verifying;
    let settled = !failed && !again;
    let mut batch = Batch::default();
    let check = describe(outcome, means, now);
    batch.put(keys::check(id, context.ids.event()?), &check, Expect::Absent)?;
    if settled {
        batch.delete(keys::verifying(id), Expect::Anything);
        artifact.attempts.next_at = now;
    } else if !again {
        artifact.attempts.next_at = now.saturating_add(pause(context, &artifact));
    }
    let next = (!settled).then_some(artifact.attempts.next_at);
    if state == found.value.state {
        batch.put(keys::artifact(id), &artifact, found.unchanged())?;
    } else {
        let before = json!({ "state": found.value.state });
        let after = json!({ "state": state, "reason": artifact.reason });
        set_state(context, &mut batch, &found, artifact).await?;
        let kind = match state {
            ArtifactState::Available => "artifact.verified",
            ArtifactState::Quarantined => "artifact.quarantined",
            ArtifactState::Rejected => "artifact.rejected",
            ArtifactState::Verifying | ArtifactState::Revoked => "artifact.checked",
        };
        let entry = Entry { kind, subject: id.to_string(), before: Some(before), after: Some(after) };
        audit::record(&mut batch, context, None, entry)?;
    }
    context.store.commit(batch).await?;
    if state == ArtifactState::Quarantined && state != found.value.state {
        tracing::warn!(event = "artifact_drifted", artifact.id = %id, "an artifact is withheld by its check");
    }
    Ok(next)
}

/// What the artifact becomes; its state is set here, its place in the records by the caller.
fn verdict(artifact: &mut Artifact, means: Verification, outcome: &Outcome, now: i64) {
    let quarantined_by_check = artifact.reason.as_ref().is_some_and(|reason| reason.starts_with(DRIFT));
    match (artifact.state, outcome) {
        (ArtifactState::Verifying | ArtifactState::Available, Outcome::Matches) => {
            artifact.state = ArtifactState::Available;
            artifact.verification = Some(means);
            artifact.verified_at = Some(now);
            artifact.reason = None;
        }
        (ArtifactState::Quarantined, Outcome::Matches) if quarantined_by_check => {
            artifact.state = ArtifactState::Available;
            artifact.verified_at = Some(now);
            artifact.reason = None;
        }
        (ArtifactState::Verifying, Outcome::Differs { code, message }) => {
            artifact.state = ArtifactState::Rejected;
            artifact.reason = Some(format!("{code}: {message}"));
        }
        (ArtifactState::Available, Outcome::Differs { code, message }) => {
            artifact.state = ArtifactState::Quarantined;
            artifact.reason = Some(format!("{DRIFT}{code}: {message}"));
        }
        (ArtifactState::Verifying, Outcome::Failed { code, message }) => {
            artifact.reason = Some(format!("ARTIFACT_NOT_ACCESSIBLE: {code}: {message}; it is tried again"));
            if now.saturating_sub(artifact.attempts.since) >= PATIENCE_MS {
                artifact.state = ArtifactState::Rejected;
                artifact.reason = Some(format!("UNREACHABLE: ARTIFACT_NOT_ACCESSIBLE: {code}: {message}"));
            }
        }
        (
            ArtifactState::Available
            | ArtifactState::Quarantined
            | ArtifactState::Rejected
            | ArtifactState::Revoked,
            _,
        ) => {}
    }
}

fn describe(outcome: &Outcome, means: Verification, now: i64) -> Check {
    let (result, code, message) = match outcome {
        Outcome::Matches => (CheckResult::Match, None, None),
        Outcome::Differs { code, message } => {
            (CheckResult::Mismatch, Some(code.clone()), Some(message.clone()))
        }
        Outcome::Failed { code, message } => (CheckResult::Error, Some(code.clone()), Some(message.clone())),
    };
    Check { checked_at: now, means, result, code, message }
}
