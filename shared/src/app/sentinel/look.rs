//! One look at one artifact.

use serde_json::json;

use super::{CLAIM_MS, DAY_MS, HOUR_MS, Heard, Kind, READ_MS, Watch, forget, jitter, put};
use crate::{
    app::{
        context::Context,
        error::AppError,
        external::{self, Check, CheckResult, Checker},
        hosts::Hold,
        keys,
        store::{Batch, Store, Stored, retrying},
    },
    domain::{
        artifact::{Artifact, ArtifactState, Location, Use, Validators, Verification},
        external_url::{ExternalUrl, UrlRules},
        ids::ArtifactId,
        release::{Release, ReleaseStatus},
    },
    ports::{
        fetcher::{FetchError, Wait},
        items::Expect,
        tasks::Task,
    },
};

/// What a look found.
enum Found {
    /// All is well, as far as a look can tell; by the repository's own digest where it has one.
    Well { proved: bool, said: Box<Validators> },
    /// Only the bytes can tell.
    Doubtful,
    /// Something is wrong.
    Wrong { kind: Kind, code: String, message: String },
    /// Nothing was found out.
    Later { wait: Wait, code: String, message: String },
}

/// Looks at an artifact, if it is due and anybody's release names it. Tells what its host said.
pub(super) async fn at(
    context: &Context,
    checker: &Checker,
    id: ArtifactId,
    hold: Option<Hold>,
) -> Result<Heard, AppError> {
    let Some((watch, artifact)) = claim(context, id).await? else { return Ok(Heard::Nothing) };
    if !watched(&artifact) {
        return forget(context, id).await.map(|()| Heard::Nothing);
    }
    if !is_live(context, id).await? {
        let well = |_, now| Watch { next_at: Watch::well(id, now).next_at, ..watch };
        return finish(context, id, well).await.map(|()| Heard::Nothing);
    }
    if let Some(hold) = hold.filter(|hold| hold.is_on(context.clock.now_ms())) {
        finish(context, id, |watch, now| watch.put_off(id, hold, now)).await?;
        return Ok(Heard::Nothing);
    }
    let found = look(context, checker, &artifact, watch).await;
    let heard = match &found {
        Found::Later { wait: Wait::OfHost(wait), .. } => Heard::Later(*wait),
        Found::Later { wait: Wait::OfOurs(_), .. } | Found::Wrong { kind: Kind::UrlExpired, .. } => {
            Heard::Nothing
        }
        Found::Well { .. } | Found::Doubtful | Found::Wrong { .. } => Heard::Answer,
    };
    match found {
        Found::Doubtful => read(context, id, watch).await?,
        found => retrying(|| conclude(context, id, watch, &found)).await?,
    }
    Ok(heard)
}

/// Whether an artifact is one that the sentinel looks at: offered, or withheld by a check alone.
fn watched(artifact: &Artifact) -> bool {
    match artifact.state {
        ArtifactState::Available => true,
        ArtifactState::Quarantined => artifact.reason.as_deref().and_then(external::of_a_check).is_some(),
        // It waits for a check anyway, which begins a watch.
        ArtifactState::Verifying | ArtifactState::Rejected | ArtifactState::Revoked => false,
    }
}

/// Moves the next look beyond this one, so that only one process makes it.
async fn claim(context: &Context, id: ArtifactId) -> Result<Option<(Watch, Artifact)>, AppError> {
    let records = context.store.get_raw(&[keys::watch(id), keys::artifact(id)]).await?;
    let [watch, artifact] = records.as_slice() else { return Ok(None) };
    let Some(stored) = Store::record::<Watch>(watch.as_ref())? else { return Ok(None) };
    let Some(artifact) = Store::record::<Artifact>(artifact.as_ref())? else {
        return forget(context, id).await.map(|()| None);
    };
    let now = context.clock.now_ms();
    if stored.value.next_at > now {
        return Ok(None);
    }
    let claimed = Watch { next_at: now.saturating_add(CLAIM_MS), ..stored.value };
    let mut batch = Batch::default();
    put(&mut batch, &artifact.value, Some(&stored), &claimed)?;
    match context.store.commit(batch).await {
        Ok(()) => Ok(Some((stored.value, artifact.value))),
        Err(AppError::Raced) => Ok(None),
        Err(other) => Err(other),
    }
}

async fn finish(
    context: &Context,
    id: ArtifactId,
    change: impl Fn(Watch, i64) -> Watch + Send + Sync,
) -> Result<(), AppError> {
    retrying(|| async {
        let Some((stored, artifact)) = records(context, id).await? else { return Ok(()) };
        let mut batch = Batch::default();
        put(&mut batch, &artifact.value, Some(&stored), &change(stored.value, context.clock.now_ms()))?;
        context.store.commit(batch).await
    })
    .await
}

async fn records(
    context: &Context,
    id: ArtifactId,
) -> Result<Option<(Stored<Watch>, Stored<Artifact>)>, AppError> {
    let records = context.store.get_raw(&[keys::watch(id), keys::artifact(id)]).await?;
    let [watch, artifact] = records.as_slice() else { return Ok(None) };
    Ok(Store::record(watch.as_ref())?.zip(Store::record(artifact.as_ref())?))
}

async fn is_live(context: &Context, id: ArtifactId) -> Result<bool, AppError> {
    for (_, used) in context.store.query_all::<Use>(&keys::of_artifact(id), keys::USE).await? {
        let release = context.store.get::<Release>(keys::release(used.value.release_id)).await?;
        let live = |status| matches!(status, ReleaseStatus::Published | ReleaseStatus::PendingArtifacts);
        if release.is_some_and(|release| live(release.value.status)) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn look(context: &Context, checker: &Checker, artifact: &Artifact, watch: Watch) -> Found {
    let now = context.clock.now_ms();
    let Location::External { url, expires_at, .. } = &artifact.location else {
        return Found::Well { proved: false, said: Box::default() };
    };
    if expires_at.is_some_and(|end| end <= now.div_euclid(1_000)) {
        return wrong(Kind::UrlExpired, "URL_EXPIRED", "the URL has ended by its own expiry");
    }
    let Ok(url) = ExternalUrl::parse(url, &UrlRules::widest()) else {
        return wrong(Kind::Unreachable, "URL_INVALID", "the stored URL is no longer acceptable");
    };
    match checker.fetcher.probe(&url, now).await {
        Ok(said) => match (compare(artifact, watch, said, now), context.settings.conceals(&url)) {
            // As a reading says it that finds other bytes there.
            (Found::Wrong { kind: kind @ Kind::Drift, .. }, true) => {
                wrong(kind, FetchError::Differs.code(), &FetchError::Differs.to_string())
            }
            (found, _) => found,
        },
        Err(error) => failed(&error),
    }
}

fn wrong(kind: Kind, code: &str, message: &str) -> Found {
    Found::Wrong { kind, code: code.into(), message: message.into() }
}

fn failed(error: &FetchError) -> Found {
    let (code, message) = (error.code().into(), error.to_string());
    match error.later() {
        Some(wait) => Found::Later { wait, code, message },
        None => Found::Wrong { kind: Kind::Unreachable, code, message },
    }
}

/// What is said now against what was declared, and against what was said when the bytes were proved. What was found is
/// not told: the repository may be private.
fn compare(artifact: &Artifact, watch: Watch, said: Validators, now: i64) -> Found {
    if said.sha256.is_some_and(|found| found != artifact.sha256) {
        return wrong(Kind::Drift, "CHECKSUM_MISMATCH", "the repository has other bytes there now");
    }
    if said.size_bytes.is_some_and(|found| found != artifact.size_bytes) {
        return wrong(Kind::Drift, "SIZE_MISMATCH", "there is another number of bytes now");
    }
    let proved = said.sha256.is_some();
    let original = artifact.escrow.as_ref().and_then(|escrow| escrow.original.as_ref());
    let mut reasons = artifact.reason.iter().chain(original);
    let drifted =
        watch.wrong == Some(Kind::Drift) || reasons.any(|reason| reason.starts_with(Kind::Drift.beginning()));
    let differs = artifact.validators.as_ref().is_some_and(|before| before.differ(&said));
    let read_at = artifact.verified_at.unwrap_or(0).saturating_add(READ_MS);
    let is_old = read_at.saturating_add(jitter(artifact.artifact_id, DAY_MS)) <= now;
    if !proved && (drifted || differs || is_old) {
        return Found::Doubtful;
    }
    Found::Well { proved, said: Box::new(said) }
}

/// Has the bytes read; what comes of it is noted then.
async fn read(context: &Context, id: ArtifactId, watch: Watch) -> Result<(), AppError> {
    retrying(|| async {
        let Some((stored, artifact)) = records(context, id).await? else { return Ok(()) };
        let now = context.clock.now_ms();
        let mut batch = Batch::default();
        external::schedule_by_itself(context, &mut batch, id).await?;
        // Where the reading is lost, there is another look; of what stays wrong, later and later.
        let doublings = watch.looks.min(5);
        let next_at = now.saturating_add(HOUR_MS.saturating_mul(1_i64 << doublings).min(DAY_MS));
        put(&mut batch, &artifact.value, Some(&stored), &Watch { next_at, ..watch })?;
        context.store.commit(batch).await
    })
    .await?;
    context.start(&Task::Check { artifact_id: id }).await;
    Ok(())
}

async fn conclude(context: &Context, id: ArtifactId, before: Watch, found: &Found) -> Result<(), AppError> {
    let Some((stored, current)) = records(context, id).await? else { return Ok(()) };
    let now = context.clock.now_ms();
    let mut batch = Batch::default();
    let mut artifact = current.value.clone();
    let withheld = artifact.state == ArtifactState::Quarantined;
    let watch = match found {
        Found::Well { proved, said } => {
            if *proved {
                artifact.validators = Some(said.clone());
                artifact.verified_at = Some(now);
            }
            external::recovered(&mut artifact);
            if withheld && watched(&artifact) && !revoked(context, &artifact).await? {
                artifact.state = ArtifactState::Available;
                artifact.reason = None;
            }
            Watch::well(id, now)
        }
        Found::Wrong { kind, code, message } => {
            let watch = before.trouble(*kind, now);
            let reason = format!("{}{code}: {message}", kind.beginning());
            trouble(&mut artifact, watch, reason)
        }
        Found::Later { wait, .. } if !before.is_given_up(now) => before.later(id, *wait, now),
        Found::Later { wait, code, message } => {
            let watch = before.given_up(before.later(id, *wait, now), now);
            let reason = format!("{}{code}: {message}, for a day", Kind::Unreachable.beginning());
            trouble(&mut artifact, watch, reason)
        }
        Found::Doubtful => before,
    };
    put(&mut batch, &artifact, Some(&stored), &watch)?;
    if before.wrong.is_some() || watch.wrong.is_some() {
        let key = keys::check(id, context.ids.event()?);
        batch.put(key, &describe(found, now), Expect::Absent)?;
    }
    if artifact == current.value {
        return context.store.commit(batch).await;
    }
    external::store(context, batch, &current, artifact).await
}

/// Withholds what is wrong for long enough.
fn trouble(artifact: &mut Artifact, watch: Watch, reason: String) -> Watch {
    if watch.counts() && artifact.state == ArtifactState::Available {
        external::withhold(artifact, reason);
    }
    watch
}

async fn revoked(context: &Context, artifact: &Artifact) -> Result<bool, AppError> {
    let revoked = context.store.get::<serde_json::Value>(keys::revoked_bytes(&artifact.sha256)).await?;
    Ok(revoked.is_some_and(|revoked| revoked.value != json!(null)))
}

fn describe(found: &Found, now: i64) -> Check {
    let (result, told) = match found {
        Found::Wrong { kind: Kind::Drift, code, message } => (CheckResult::Mismatch, Some((code, message))),
        Found::Wrong { code, message, .. } | Found::Later { code, message, .. } => {
            (CheckResult::Error, Some((code, message)))
        }
        Found::Well { .. } | Found::Doubtful => (CheckResult::Match, None),
    };
    let (code, message) = told.map(|(code, message)| (code.clone(), message.clone())).unzip();
    Check { checked_at: now, means: Verification::Repository, result, code, message }
}
