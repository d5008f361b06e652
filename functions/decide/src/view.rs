//! Explanations and what IT tools read, as callers see them.

use serde_json::{Value, json};
use shared::{
    app::decisions::Decider,
    domain::{
        catalogue::CatalogueArtifact,
        decide::{Answer, Explanation, Offer, Question},
        policy::{Level, Set},
    },
};

/// An explanation: the answer, the policy that applied with the levels it came from, and what each rule did.
pub(crate) fn explanation(decider: &Decider, question: &Question, found: &Explanation<'_>) -> Value {
    let mut view = json!({
        "decision": decision(decider, question, &found.answer),
        "policy": policy(question, found),
        "steps": found.steps,
    });
    if let (Some(goal), Some(view)) = (&found.goal, view.as_object_mut()) {
        view.insert("goal".into(), json!({ "version": goal }));
    }
    view
}

fn decision(decider: &Decider, question: &Question, answer: &Answer<'_>) -> Value {
    let mut view =
        json!({ "product_id": question.product_id, "action": answer.action, "reason": answer.reason });
    if let (Some(offer), Some(view)) = (&answer.offer, view.as_object_mut()) {
        view.insert("release".into(), json!(decider.release_ref(offer)));
        view.insert("artifact".into(), json!(decider.artifact_ref(offer)));
    }
    view
}

fn set<T: serde::Serialize>(set: Option<Set<T>>, default: &Value) -> Value {
    match set {
        Some(set) => json!({ "value": set.value, "levels": [set.level] }),
        None => json!({ "value": default, "levels": ["default"] }),
    }
}

fn policy(question: &Question, found: &Explanation<'_>) -> Value {
    let policy = &found.policy;
    let channel = match (policy.channel, &question.channel) {
        (Some(set), _) => json!({ "value": set.value, "levels": [set.level] }),
        (None, Some(asked)) => json!({ "value": asked, "levels": ["question"] }),
        (None, None) => json!({ "value": "stable", "levels": ["default"] }),
    };
    let mut blocked_levels: Vec<Level> = policy.blocked().map(|set| set.level).collect();
    blocked_levels.dedup();
    let blocked: Vec<_> = policy.blocked().map(|set| set.value).collect();
    let levels = |levels: Vec<Level>| if levels.is_empty() { json!(["default"]) } else { json!(levels) };
    json!({
        "channel": channel,
        "mode": set(policy.mode, &json!(policy.mode())),
        "pinned_range": set(policy.pinned_range, &Value::Null),
        "blocked_versions": { "value": blocked, "levels": levels(blocked_levels) },
        "paused": { "value": policy.paused.is_some(), "levels": levels(policy.paused.into_iter().collect()) },
        "min_version": set(policy.min_version, &Value::Null),
    })
}

/// What an IT department may install: the version it could have, withheld from the clients themselves or not.
pub(crate) fn available(decider: &Decider, question: &Question, answer: &Answer<'_>) -> Value {
    let offer: Option<&Offer<'_>> = answer.offer.as_ref().or(answer.withheld.as_ref());
    let fits = |artifact: &&CatalogueArtifact| {
        artifact.platform == question.platform && artifact.arch == question.arch
    };
    let artifacts: Vec<Value> = offer
        .into_iter()
        .flat_map(|offer| offer.release.artifacts.iter().filter(fits).map(move |artifact| (offer, artifact)))
        .map(|(offer, artifact)| available_artifact(decider, offer, artifact))
        .collect();
    json!({
        "product_id": question.product_id, "tenant_id": question.tenant_id, "platform": question.platform,
        "arch": question.arch, "current_version": question.current_version,
        "available_version": offer.map(|offer| &offer.release.version),
        "release_id": offer.map(|offer| offer.release.release_id),
        "reason": answer.reason, "artifacts": artifacts,
    })
}

fn available_artifact(decider: &Decider, offer: &Offer<'_>, artifact: &CatalogueArtifact) -> Value {
    let mut view = json!({
        "artifact_id": artifact.artifact_id, "installer_type": artifact.installer_type,
        "url": decider.artifact_url(offer, artifact), "sha256": artifact.sha256, "size_bytes": artifact.size_bytes,
        "requires_admin": artifact.requires_admin,
    });
    if let (Some(version), Some(view)) = (&artifact.min_os_version, view.as_object_mut()) {
        view.insert("min_os_version".into(), json!(version));
    }
    view
}
