//! Checking artifacts: external bytes by fetching them, managed bytes by reading them or asking their store. Runs in
//! the background.

use std::{collections::BTreeMap, fmt, str::FromStr};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    context::Context,
    error::AppError,
    hosts::{self, Hold},
    keys, pending,
    sentinel::jitter,
    store::{Batch, Store, Stored, retrying, unchanged},
};
use crate::{
    domain::{
        artifact::{Artifact, Attempts, Use, Verification},
        external_url::{ExternalUrl, UrlRules},
        ids::ArtifactId,
        platform::{WordError, word_type},
    },
    ports::{
        fetcher::{Progress, Wait},
        items::Expect,
        tasks::Task,
    },
};

mod conclude;
mod copy;
mod look;

pub(super) use self::conclude::{recovered, store, withhold};
pub use self::{conclude::of_a_check, look::Checker};
use self::{
    conclude::{Made, conclude},
    look::{Outcome, look},
};

/// Of how many hosts one run makes checks at a time.
const AT_ONCE: usize = 8;
/// How many checks a process makes at a time of one host.
pub const OF_A_HOST: usize = 4;
/// How many artifacts are read at a time.
const READ_AT_ONCE: usize = 100;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// How long after its last step a reading in parts is remembered, in seconds.
const PROGRESS_SECONDS: i64 = 7 * 24 * 3_600;
/// How much longer than it may take a reading has before somebody else begins anew.
const BEYOND_READING_MS: i64 = 60_000;
/// How much longer than its budget a reading in parts may take before somebody else goes on.
const BEYOND_BUDGET_MS: i64 = 300_000;

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

/// That an artifact's bytes are to be checked.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Wish {
    /// Whether it was the sentinel's: what it finds is looked at twice before it counts.
    #[serde(default)]
    by_sentinel: bool,
}

/// A check that is to be made, or is under way, and how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// How many bytes were read by the end of the last slice; of what is read with credentials nothing is told.
    pub bytes_read: Option<u64>,
    /// How many there are to be.
    pub size_bytes: u64,
}

/// How far the check of an artifact came; nothing where none is to be made.
///
/// # Errors
/// Those of the store.
pub async fn under_way(context: &Context, artifact: &Artifact) -> Result<Option<UnderWay>, AppError> {
    let id = artifact.artifact_id;
    if context.store.get::<serde_json::Value>(keys::verifying(id)).await?.is_none() {
        return Ok(None);
    }
    let progress = context.store.get::<Progress>(keys::progress(id)).await?;
    let read = progress.map_or(0, |progress| progress.value.hash.bytes);
    // How much there is of a file that is not the declared one would show in how far its reading came.
    let url = artifact.external_url().map(|url| ExternalUrl::parse(url, &UrlRules::widest()));
    let told = url.is_none_or(|url| url.is_ok_and(|url| !context.settings.conceals(&url)));
    Ok(Some(UnderWay { bytes_read: told.then_some(read), size_bytes: artifact.size_bytes }))
}

/// Asks for a check of an artifact's bytes.
///
/// # Errors
/// [`AppError::Corrupt`]
pub fn schedule(batch: &mut Batch, id: ArtifactId, expect: Expect) -> Result<(), AppError> {
    batch.put(keys::verifying(id), &json!({}), expect)
}

/// Asks for a check that nobody ordered. One that somebody did order stands above it.
///
/// # Errors
/// Those of the store.
pub(super) async fn schedule_by_itself(
    context: &Context,
    batch: &mut Batch,
    id: ArtifactId,
) -> Result<(), AppError> {
    if context.store.get::<Wish>(keys::verifying(id)).await?.is_some() {
        return Ok(());
    }
    batch.put(keys::verifying(id), &Wish { by_sentinel: true }, Expect::Absent)
}

/// Which of the waiting checks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are due.
    Due,
    /// All, at the start of the only process: whoever had begun one is gone.
    All,
}

/// A check that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Of this artifact.
    pub id: ArtifactId,
    /// The host that has the bytes; of managed ones, none.
    pub host: Option<String>,
}

/// The checks that are to be made now, and when the next of the others is due (Unix milliseconds).
///
/// # Errors
/// Those of the store.
pub async fn waiting(context: &Context, which: Which) -> Result<(Vec<Waiting>, Option<i64>), AppError> {
    let waiting = context.store.query_all::<serde_json::Value>(keys::VERIFYING, "").await?;
    let ids: Vec<ArtifactId> = waiting.into_iter().filter_map(|(sort, _)| sort.parse().ok()).collect();
    let now = context.clock.now_ms();
    let (mut due, mut next) = (Vec::new(), None::<i64>);
    for ids in ids.chunks(READ_AT_ONCE) {
        let keys: Vec<_> = ids.iter().map(|id| keys::artifact(*id)).collect();
        let artifacts = context.store.get_all::<Artifact>(&keys).await?;
        for (id, artifact) in ids.iter().zip(artifacts) {
            let host = artifact.as_ref().and_then(|found| hosts::of(&found.value));
            match artifact.map(|found| found.value.attempts.next_at).filter(|at| *at > now) {
                Some(at) if which == Which::Due => next = next.into_iter().chain([at]).min(),
                Some(_) | None => due.push(Waiting { id: *id, host }),
            }
        }
    }
    Ok((due, next))
}

/// Makes every check that is due, several at a time, and of one host a few; tells when the next is due (Unix
/// milliseconds).
///
/// # Errors
/// Those of the store.
pub async fn run(context: &Context, checker: &Checker, which: Which) -> Result<Option<i64>, AppError> {
    let (due, next) = waiting(context, which).await?;
    let mut hosts: BTreeMap<Option<String>, Vec<ArtifactId>> = BTreeMap::new();
    for waiting in due {
        hosts.entry(waiting.host).or_default().push(waiting.id);
    }
    let one = |id| async move {
        check(context, checker, id, which).await.unwrap_or_else(|error| {
            tracing::error!(artifact.id = %id, error = %error, "an artifact could not be checked");
            None
        })
    };
    let next = futures_util::stream::iter(hosts.into_values())
        .map(|ids| futures_util::stream::iter(ids).map(one).buffer_unordered(OF_A_HOST).boxed())
        .flatten_unordered(AT_ONCE)
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
    let keys = [keys::verifying(id), keys::artifact(id), keys::progress(id)];
    let records = context.store.get_raw(&keys).await?;
    let [wish @ Some(_), artifact, progress] = records.as_slice() else { return Ok(None) };
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
    let host = hosts::of(&found.value);
    let hold = match &host {
        Some(host) => hosts::find(context, host).await?,
        None => None,
    };
    if let Some(hold) = hold.filter(|hold| hold.is_on(now)) {
        return put_off(context, &found, hold).await;
    }
    let Some(claimed) = claim(context, &found, now).await? else { return Ok(None) };
    let by_sentinel = Store::record::<Wish>(wish.as_ref())?.is_some_and(|wish| wish.value.by_sentinel);
    let resume = Store::record::<Progress>(progress.as_ref())?.map(|progress| progress.value);
    let wanted = found.value.escrow.as_ref().filter(|escrow| escrow.kept_at.is_none());
    let ((means, outcome), copied) = match wanted {
        Some(escrow) => copy::look_and_copy(context, checker, &found.value, escrow.key).await,
        None => (look(context, checker, &found.value, now, resume, None).await, None),
    };
    if let Some(host) = host {
        hear(context, &host, hold.is_some(), &outcome).await?;
    }
    if let Outcome::Part(progress) = &outcome {
        return go_on(context, id, claimed, progress).await;
    }
    let made = Made { claimed, means, by_sentinel, copied };
    let next = retrying(|| conclude(context, id, &made, &outcome)).await?;
    let partition = keys::of_artifact(id);
    for (_, used) in context.store.query_all::<Use>(&partition, keys::USE).await? {
        pending::advance(context, used.value.release_id).await?;
    }
    Ok(next)
}

/// Leaves a check for when its host may be asked again.
async fn put_off(context: &Context, found: &Stored<Artifact>, hold: Hold) -> Result<Option<i64>, AppError> {
    let mut artifact = found.value.clone();
    let at = hold.not_before.saturating_add(jitter(artifact.artifact_id, MINUTE_MS));
    if artifact.attempts.next_at >= at {
        return Ok(Some(artifact.attempts.next_at));
    }
    artifact.attempts.next_at = at;
    let mut batch = Batch::default();
    batch.put(keys::artifact(artifact.artifact_id), &artifact, found.unchanged())?;
    match context.store.commit(batch).await {
        Ok(()) => Ok(Some(at)),
        Err(AppError::Raced) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Writes down what a host asks for, or that it asks for nothing any more.
async fn hear(context: &Context, host: &str, held: bool, outcome: &Outcome) -> Result<(), AppError> {
    match outcome {
        Outcome::Failed { later: Some(Wait::OfHost(wait)), .. } => {
            hosts::leave_alone(context, host, *wait).await
        }
        Outcome::Failed { .. } => Ok(()),
        Outcome::Matches(_) | Outcome::Differs { .. } | Outcome::Part(_) => {
            hosts::answered(context, host, held).await
        }
    }
}

/// Moves the next try beyond this one, so that only one process makes it; nothing where another was faster.
async fn claim(context: &Context, found: &Stored<Artifact>, now: i64) -> Result<Option<Attempts>, AppError> {
    let mut artifact = found.value.clone();
    artifact.attempts.made = artifact.attempts.made.saturating_add(1);
    let pause = pause(context, &artifact);
    let longest = context.settings.reading.longest_ms(artifact.size_bytes).saturating_add(BEYOND_READING_MS);
    let budget = context.settings.read_budget.and_then(|budget| i64::try_from(budget.as_millis()).ok());
    let longest = budget.map_or(longest, |budget| longest.min(budget.saturating_add(BEYOND_BUDGET_MS)));
    artifact.attempts.next_at = now.saturating_add(pause.max(longest));
    let mut batch = Batch::default();
    batch.put(keys::artifact(artifact.artifact_id), &artifact, found.unchanged())?;
    match context.store.commit(batch).await {
        Ok(()) => Ok(Some(artifact.attempts)),
        Err(AppError::Raced) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Remembers how far a reading came, and has another task go on with it. Bytes that came are no failure, however long
/// they take.
async fn go_on(
    context: &Context,
    id: ArtifactId,
    claimed: Attempts,
    progress: &Progress,
) -> Result<Option<i64>, AppError> {
    let now = context.clock.now_ms();
    retrying(|| async {
        let Some(found) = context.store.get::<Artifact>(keys::artifact(id)).await? else { return Ok(()) };
        let mut artifact = found.value.clone();
        if artifact.attempts == claimed {
            artifact.attempts = Attempts { made: 0, since: now, next_at: now };
        }
        let mut batch = Batch::default();
        batch.put(keys::artifact(id), &artifact, found.unchanged())?;
        let until = now.div_euclid(1_000).saturating_add(PROGRESS_SECONDS);
        let before = context.store.get::<Progress>(keys::progress(id)).await?;
        batch.put_until(keys::progress(id), progress, unchanged(before.as_ref()), Some(until))?;
        context.store.commit(batch).await
    })
    .await?;
    context.start(&Task::Check { artifact_id: id }).await;
    Ok(Some(now))
}

/// How long to wait after the tries made so far: doubled with each after the first.
fn pause(context: &Context, artifact: &Artifact) -> i64 {
    let doublings = artifact.attempts.made.saturating_sub(1).min(20);
    context.settings.recheck_first_ms.saturating_mul(1_i64 << doublings).min(HOUR_MS)
}
