//! The answer to "why no update?": the rules in order, each with what it saw and did.

use serde::Serialize;

use super::{
    Answer, CatalogueRelease, Question, Reason, Version, World,
    judge::{Refusal, level_name},
    run::{Run, run},
};
use crate::domain::policy::Effective;

/// How many releases an explanation judges one by one, the newest first.
pub const MAX_RELEASES_SHOWN: usize = 50;

/// How an answer came about.
#[derive(Debug, Clone)]
pub struct Explanation<'a> {
    /// What each rule saw and did, in the order of the rules; those after the one that settled the answer are absent.
    pub steps: Vec<Step>,
    /// The policy that applies, each field with the level that set it.
    pub policy: Effective<'a>,
    /// The newest release that waits for the client to take a step in between.
    pub goal: Option<Version>,
    /// The answer; the very one that [`decide`](super::decide) gives.
    pub answer: Answer<'a>,
}

/// One thing that a rule saw, and what it did about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The number of the rule, 0 to 6.
    pub rule: u8,
    /// What it saw.
    pub saw: String,
    /// What it did.
    pub did: String,
}

/// Answers a question at a time (Unix seconds), and says how.
///
/// At most [`MAX_RELEASES_SHOWN`] releases are judged one by one. The client's id is not repeated.
pub fn explain<'a>(world: &World<'a>, question: &Question, now_unix: i64) -> Explanation<'a> {
    let run = run(world, question, now_unix);
    let mut steps = Vec::new();
    let mut note = |rule, saw: String, did: String| steps.push(Step { rule, saw, did });
    note(0, format!("product `{}`", question.product_id), known(&run));
    if run.answer.reason != Reason::UnknownProduct {
        note(1, policy(&run), format!("channel `{}`, mode {}", run.answer.channel, run.judge.policy.mode()));
        if let Some(level) = run.judge.policy.paused {
            note(2, format!("paused by {}", level_name(level)), verdict(&run.answer));
        } else {
            note(2, "no level has paused".into(), "went on".into());
            search(&run, &mut note);
        }
    }
    let goal = run.goal.map(|release| release.version.clone());
    Explanation { steps, policy: run.judge.policy, goal, answer: run.answer }
}

fn known(run: &Run<'_, '_>) -> String {
    let unknown = run.answer.reason == Reason::UnknownProduct;
    if unknown { "unknown here: NONE / UNKNOWN_PRODUCT".into() } else { "known".into() }
}

fn policy(run: &Run<'_, '_>) -> String {
    let policy = &run.judge.policy;
    let mut fields = vec![format!("asked for channel `{}`", run.judge.question.asked_channel())];
    let mut field = |name: &str, value: Option<String>, level| {
        if let (Some(value), Some(level)) = (value, level) {
            fields.push(format!("{name} `{value}` from {}", level_name(level)));
        }
    };
    field("channel", policy.channel.map(|set| set.value.to_string()), policy.channel.map(|set| set.level));
    field("mode", policy.mode.map(|set| set.value.to_string()), policy.mode.map(|set| set.level));
    field(
        "pinned_range",
        policy.pinned_range.map(|set| set.value.to_string()),
        policy.pinned_range.map(|set| set.level),
    );
    for block in policy.blocked() {
        field("blocked", Some(block.value.to_string()), Some(block.level));
    }
    field(
        "min_version",
        policy.min_version.map(|set| set.value.to_string()),
        policy.min_version.map(|set| set.level),
    );
    fields.join(", ")
}

/// Rules 3 to 6, for a product that is known and not paused.
fn search(run: &Run<'_, '_>, note: &mut impl FnMut(u8, String, String)) {
    let answer = &run.answer;
    candidates(run, note);
    let offer = answer.offer.or(answer.withheld);
    let newer = offer.filter(|offer| !offer.allow_downgrade);
    let goal = run.goal.map_or_else(
        || "no candidate was passed over".into(),
        |goal| format!("candidate {} passed over, since the client's version is too old for it", name(goal)),
    );
    let found = newer
        .map_or_else(|| "nothing newer to offer".into(), |offer| format!("offers {}", name(offer.release)));
    note(4, goal, found);
    if newer.is_none() {
        way_back(run, note);
    }
    match offer {
        Some(offer) => note(
            6,
            format!("mode {}, offer {}", run.judge.policy.mode(), name(offer.release)),
            verdict(answer),
        ),
        None => note(6, "no offer".into(), verdict(answer)),
    }
}

fn candidates(run: &Run<'_, '_>, note: &mut impl FnMut(u8, String, String)) {
    let current = &run.judge.question.current_version;
    let published = run.releases.map_or(&[][..], |releases| releases.published());
    let relevant = |release: &&CatalogueRelease| {
        let order = release.version.cmp_precedence(current);
        order.is_gt() || (order.is_lt() && run.way_back.is_some())
    };
    let count = published.iter().filter(relevant).count();
    let which = if run.way_back.is_some() { "newer or older than" } else { "newer than" };
    let summary =
        format!("{count} published releases of channel `{}` {which} `{current}`", run.answer.channel);
    note(3, summary, format!("judged the newest {}", count.min(MAX_RELEASES_SHOWN)));
    for release in published.iter().rev().filter(relevant).take(MAX_RELEASES_SHOWN) {
        let floor = run.way_back.and_then(|back| back.floor);
        let did = match run.judge.judge(release, floor) {
            Ok(artifact) => format!("candidate, with artifact `{}`", artifact.artifact_id),
            Err(refusal @ Refusal::StepRequired(_)) => format!("candidate, but {refusal}"),
            Err(refusal) => format!("passed over, {refusal}"),
        };
        note(3, name(release), did);
    }
}

fn way_back(run: &Run<'_, '_>, note: &mut impl FnMut(u8, String, String)) {
    let current = &run.judge.question.current_version;
    let Some(back) = run.way_back else {
        let saw = format!("`{current}` is not a revoked release with allow_downgrade");
        return note(5, saw, "no way back".into());
    };
    let floor = back.floor.map_or_else(String::new, |floor| format!(", with the floor `{floor}`"));
    let did = match run.answer.offer.or(run.answer.withheld) {
        Some(offer) => format!("offers the older {}", name(offer.release)),
        None => "found no older candidate to offer".into(),
    };
    note(5, format!("`{current}` is revoked with allow_downgrade{floor}"), did);
}

fn verdict(answer: &Answer<'_>) -> String {
    format!("{} / {}", answer.action, answer.reason)
}

fn name(release: &CatalogueRelease) -> String {
    format!("release `{}` (`{}`)", release.version, release.release_id)
}
