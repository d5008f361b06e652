//! What becomes of an artifact after a check of its bytes.

use serde_json::json;

use super::{Check, CheckResult, HOUR_MS, Outcome, pause};
use crate::{
    app::{
        artifacts::set_state,
        audit::{self, Entry},
        context::Context,
        error::AppError,
        hosts, keys,
        sentinel::{self, Kind, Trouble},
        store::{Batch, Stored},
        unavailable,
    },
    domain::{
        artifact::{Artifact, ArtifactState, Attempts, Verification},
        ids::ArtifactId,
    },
    ports::items::Expect,
    ports::objects::ObjectStat,
};

/// How long an unreachable artifact is tried again before it is rejected.
const PATIENCE_MS: i64 = 24 * HOUR_MS;

/// The beginning of a reason that only a check gives, if this is one: nobody else's reason may begin so.
pub fn of_a_check(reason: &str) -> Option<&'static str> {
    Kind::ALL.iter().map(|kind| kind.beginning()).find(|beginning| reason.starts_with(beginning))
}

/// A check that was made.
pub(super) struct Made {
    /// The try, as it was begun.
    pub(super) claimed: Attempts,
    pub(super) means: Verification,
    /// Whether nobody asked for it but the sentinel.
    pub(super) by_sentinel: bool,
    /// The copy that was made.
    pub(super) copied: Option<ObjectStat>,
}

pub(super) async fn conclude(
    context: &Context,
    id: ArtifactId,
    made: &Made,
    outcome: &Outcome,
) -> Result<Option<i64>, AppError> {
    let Some(found) = context.store.get::<Artifact>(keys::artifact(id)).await? else { return Ok(None) };
    let now = context.clock.now_ms();
    let mut batch = Batch::default();
    let mut artifact = found.value.clone();
    // Somebody asked for another check during this one: that one is still to be made, and it alone may reject.
    let again = artifact.attempts != made.claimed;
    let rejects = artifact.state == ArtifactState::Verifying && matches!(outcome, Outcome::Differs { .. });
    let counts = sentinel::after(context, &mut batch, &artifact, made.by_sentinel, trouble(outcome)).await?;
    if let (Some(copy), Some(escrow)) = (&made.copied, &mut artifact.escrow) {
        escrow.kept_at = Some(now);
        escrow.version.clone_from(&copy.version);
    }
    if counts && !(again && rejects) {
        verdict(&mut artifact, made, outcome, now);
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
    let failed = matches!(outcome, Outcome::Failed { .. }) && artifact.state == ArtifactState::Verifying;
    let settled = !failed && !again;
    batch.put(keys::check(id, context.ids.event()?), &describe(outcome, made.means, now), Expect::Absent)?;
    if settled {
        batch.delete(keys::verifying(id), Expect::Anything);
        batch.delete(keys::progress(id), Expect::Anything);
        artifact.attempts.next_at = now;
    } else if !again {
        artifact.attempts.next_at = now.saturating_add(pause(context, &artifact).max(asked(outcome)));
    }
    let next = (!settled).then_some(artifact.attempts.next_at);
    store(context, batch, &found, artifact).await?;
    Ok(next)
}

/// How long the host asks to wait, in milliseconds.
fn asked(outcome: &Outcome) -> i64 {
    match outcome {
        Outcome::Failed { later: Some(wait), .. } => hosts::millis(wait.time()),
        _ => 0,
    }
}

/// What a check means for the sentinel.
fn trouble(outcome: &Outcome) -> Result<(), Trouble> {
    match outcome {
        Outcome::Matches(_) | Outcome::Part(_) => Ok(()),
        Outcome::Differs { .. } => Err(Trouble::Wrong(Kind::Drift)),
        Outcome::Failed { later: None, .. } => Err(Trouble::Wrong(Kind::Unreachable)),
        Outcome::Failed { later: Some(wait), .. } => Err(Trouble::Later(*wait)),
    }
}

/// Stores an artifact after a check, and tells of it where its state has changed.
pub(in crate::app) async fn store(
    context: &Context,
    mut batch: Batch,
    found: &Stored<Artifact>,
    artifact: Artifact,
) -> Result<(), AppError> {
    let (id, state, was) = (artifact.artifact_id, artifact.state, found.value.state);
    if state == was {
        let told = original(&artifact) != original(&found.value);
        if told {
            tell_of_original(context, &mut batch, found, &artifact)?;
        }
        let now = original(&artifact).is_some();
        batch.put(keys::artifact(id), &artifact, found.unchanged())?;
        unavailable::change(context, &mut batch, &found.value, Some(&artifact)).await?;
        context.store.commit(batch).await?;
        if told {
            let event = if now { "artifact_drifted" } else { "artifact_recovered" };
            tracing::warn!(event, artifact.id = %id, "what clients are given of an artifact has changed");
        }
        return Ok(());
    }
    let before = json!({ "state": was, "reason": found.value.reason });
    let after = json!({ "state": state, "reason": artifact.reason });
    set_state(context, &mut batch, found, artifact).await?;
    let kind = match state {
        ArtifactState::Available => "artifact.verified",
        ArtifactState::Quarantined => "artifact.quarantined",
        ArtifactState::Rejected => "artifact.rejected",
        ArtifactState::Verifying | ArtifactState::Revoked => "artifact.checked",
    };
    let entry = Entry { kind, subject: id.to_string(), before: Some(before), after: Some(after) };
    audit::record(&mut batch, context, None, entry)?;
    context.store.commit(batch).await?;
    if state == ArtifactState::Quarantined {
        tracing::warn!(event = "artifact_drifted", artifact.id = %id, "an artifact is withheld by its check");
    }
    if was == ArtifactState::Quarantined && state == ArtifactState::Available {
        tracing::info!(event = "artifact_recovered", artifact.id = %id, "an artifact is offered again");
    }
    Ok(())
}

/// What is wrong with the original of an artifact that has a copy.
fn original(artifact: &Artifact) -> Option<&str> {
    artifact.escrow.as_ref()?.original.as_deref()
}

fn tell_of_original(
    context: &Context,
    batch: &mut Batch,
    found: &Stored<Artifact>,
    artifact: &Artifact,
) -> Result<(), AppError> {
    let kind = match original(artifact) {
        Some(_) => "artifact.original_lost",
        None => "artifact.original_recovered",
    };
    let before = Some(json!({ "original": original(&found.value) }));
    let after = Some(json!({ "original": original(artifact) }));
    let subject = artifact.artifact_id.to_string();
    audit::record(batch, context, None, Entry { kind, subject, before, after })
}

/// Withholds an artifact for what is wrong with it; of one that has a copy, that is given instead.
pub(in crate::app) fn withhold(artifact: &mut Artifact, reason: String) {
    let kept = artifact.copy().is_some();
    match &mut artifact.escrow {
        Some(escrow) if kept => escrow.original = Some(reason),
        _ => {
            artifact.state = ArtifactState::Quarantined;
            artifact.reason = Some(reason);
        }
    }
}

/// The original is whole.
pub(in crate::app) fn recovered(artifact: &mut Artifact) {
    if let Some(escrow) = &mut artifact.escrow {
        escrow.original = None;
    }
}

/// What the artifact becomes; its state is set here, its place in the records by the caller.
fn verdict(artifact: &mut Artifact, made: &Made, outcome: &Outcome, now: i64) {
    let quarantined_by_check = artifact.reason.as_deref().and_then(of_a_check).is_some();
    match (artifact.state, outcome) {
        (ArtifactState::Verifying | ArtifactState::Available, Outcome::Matches(said)) => {
            recovered(artifact);
            artifact.state = ArtifactState::Available;
            artifact.verification = Some(made.means);
            artifact.verified_at = Some(now);
            artifact.reason = None;
            artifact.validators.clone_from(said);
        }
        (ArtifactState::Quarantined, Outcome::Matches(said)) if quarantined_by_check => {
            artifact.state = ArtifactState::Available;
            artifact.verification = Some(made.means);
            artifact.verified_at = Some(now);
            artifact.reason = None;
            artifact.validators.clone_from(said);
        }
        (ArtifactState::Verifying, Outcome::Differs { code, message }) => {
            artifact.state = ArtifactState::Rejected;
            artifact.reason = Some(format!("{code}: {message}"));
        }
        (ArtifactState::Available, Outcome::Differs { code, message }) => {
            withhold(artifact, format!("{}{code}: {message}", Kind::Drift.beginning()));
        }
        (ArtifactState::Available, Outcome::Failed { code, message, .. }) if made.by_sentinel => {
            withhold(artifact, format!("{}{code}: {message}", Kind::Unreachable.beginning()));
        }
        (ArtifactState::Verifying, Outcome::Failed { code, message, .. }) => {
            artifact.reason = Some(format!("ARTIFACT_NOT_ACCESSIBLE: {code}: {message}; it is tried again"));
            if now.saturating_sub(artifact.attempts.since) >= PATIENCE_MS {
                artifact.state = ArtifactState::Rejected;
                artifact.reason = Some(format!("UNREACHABLE: ARTIFACT_NOT_ACCESSIBLE: {code}: {message}"));
            }
        }
        (
            ArtifactState::Verifying
            | ArtifactState::Available
            | ArtifactState::Quarantined
            | ArtifactState::Rejected
            | ArtifactState::Revoked,
            _,
        ) => {}
    }
}

fn describe(outcome: &Outcome, means: Verification, now: i64) -> Check {
    let (result, code, message) = match outcome {
        Outcome::Matches(_) | Outcome::Part(_) => (CheckResult::Match, None, None),
        Outcome::Differs { code, message } => {
            (CheckResult::Mismatch, Some(code.clone()), Some(message.clone()))
        }
        Outcome::Failed { code, message, .. } => {
            (CheckResult::Error, Some(code.clone()), Some(message.clone()))
        }
    };
    Check { checked_at: now, means, result, code, message }
}
