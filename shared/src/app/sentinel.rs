//! The sentinel: external artifacts that live releases use are looked at again, cheaply and by schedule. What looks wrong
//! is looked at a second time before it is withheld, and what has become right again is given back.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::{
    context::Context,
    error::AppError,
    external::Checker,
    hosts::{self, Hold},
    keys,
    store::{Batch, Stored, all, retrying, unchanged},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState, SourceType},
        ids::ArtifactId,
    },
    ports::{fetcher::Wait, items::Expect},
};

mod look;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How often bytes are read again that no repository vouches for.
const READ_MS: i64 = 7 * DAY_MS;
/// How long after the first look that found something wrong the second is made.
const SECOND_LOOK_MS: i64 = 5 * MINUTE_MS;
/// How long a look has before somebody else makes it.
const CLAIM_MS: i64 = 10 * MINUTE_MS;
/// How many artifacts are looked at in one run.
const LOOKS_A_RUN: usize = 500;
/// How many that are due are read to find them.
const SCANNED_A_RUN: usize = 10_000;
/// How many of them may be of one host; they are looked at one after the other.
const LOOKS_A_HOST: usize = 20;
/// How many hosts are asked at a time.
const HOSTS_AT_ONCE: usize = 8;
/// How long one run takes at most.
const RUN: Duration = Duration::from_secs(240);
/// How many looks in a row have to find something wrong.
const LOOKS_THAT_COUNT: u32 = 2;

/// What is wrong with an external artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Other bytes are there.
    Drift,
    /// It cannot be had.
    Unreachable,
    /// Its URL has ended by its own word.
    UrlExpired,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Drift, Self::Unreachable, Self::UrlExpired];

    /// How the reason of a quarantine begins.
    pub const fn beginning(self) -> &'static str {
        match self {
            Self::Drift => "DRIFT: ",
            Self::Unreachable => "UNREACHABLE: ",
            Self::UrlExpired => "URL_EXPIRED: ",
        }
    }
}

/// What a check of bytes found that were not there as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Something is wrong.
    Wrong(Kind),
    /// Nothing is known of the bytes: it is to be tried again after so long.
    Later(Wait),
}

/// When an artifact is looked at again, and what was wrong with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// When it is due, Unix milliseconds.
    pub next_at: i64,
    /// How many looks in a row found something wrong.
    #[serde(default)]
    pub looks: u32,
    /// What the last of them found.
    #[serde(default)]
    pub wrong: Option<Kind>,
    /// Since when its host has said nothing but to come later, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later_since: Option<i64>,
}

impl Watch {
    /// All is well: the next look is in about an hour, each artifact at a minute of its own.
    fn well(id: ArtifactId, now: i64) -> Self {
        Self {
            next_at: now.saturating_add(HOUR_MS).saturating_add(jitter(id, HOUR_MS / 6)),
            ..Self::default()
        }
    }

    /// Something is wrong: the second look is soon, and each further one later than the one before.
    fn trouble(self, kind: Kind, now: i64) -> Self {
        let looks = self.looks.saturating_add(1);
        let most = if kind == Kind::Unreachable { HOUR_MS } else { DAY_MS };
        let pause = SECOND_LOOK_MS.saturating_mul(1_i64 << looks.saturating_sub(1).min(20)).min(most);
        Self { next_at: now.saturating_add(pause), looks, wrong: Some(kind), later_since: None }
    }

    /// Nothing was found out: the next look is when that was asked for, and what was known of it stays as it is. Whoever has
    /// asked comes after those that were only put off.
    fn later(self, id: ArtifactId, wait: Wait, now: i64) -> Self {
        let of_host = matches!(wait, Wait::OfHost(_)).then_some(now);
        let wait = hosts::millis(wait.time()).max(MINUTE_MS);
        let next_at =
            now.saturating_add(wait).saturating_add(MINUTE_MS).saturating_add(jitter(id, MINUTE_MS));
        Self { next_at, later_since: self.later_since.or(of_host), ..self }
    }

    /// The host is left alone, and was not asked.
    fn put_off(self, id: ArtifactId, hold: Hold, now: i64) -> Self {
        let next_at = hold.not_before.max(now).saturating_add(jitter(id, MINUTE_MS));
        Self { next_at, later_since: self.later_since.or(Some(now)), ..self }
    }

    /// Nothing but to come later was heard for a day, which is as good as nothing; no sooner than then it is looked at again.
    fn given_up(self, later: Self, now: i64) -> Self {
        let trouble = self.trouble(Kind::Unreachable, now);
        Self { next_at: trouble.next_at.max(later.next_at), later_since: later.later_since, ..trouble }
    }

    fn is_given_up(self, now: i64) -> bool {
        self.later_since.is_some_and(|since| since.saturating_add(DAY_MS) <= now)
    }

    fn counts(self) -> bool {
        self.looks >= LOOKS_THAT_COUNT
    }
}

/// Spreads what would be due at the same moment.
pub(super) fn jitter(id: ArtifactId, within: i64) -> i64 {
    let bits = u64::try_from(id.to_bits() & u128::from(u64::MAX)).unwrap_or(0) >> 1;
    i64::try_from(bits).unwrap_or(0).rem_euclid(within.max(1))
}

/// That an artifact is due, and whose host is asked then.
#[derive(Debug, Serialize, Deserialize)]
struct Due {
    host: String,
}

/// Stores a watch, and its place in the order of what is due.
fn put(
    batch: &mut Batch,
    artifact: &Artifact,
    found: Option<&Stored<Watch>>,
    watch: &Watch,
) -> Result<(), AppError> {
    let id = artifact.artifact_id;
    batch.put(keys::watch(id), watch, unchanged(found))?;
    let due = keys::watching(id, watch.next_at);
    if let Some(found) = found {
        let before = keys::watching(id, found.value.next_at);
        if before == due {
            return Ok(());
        }
        batch.delete(before, Expect::Anything);
    }
    batch.put(due, &Due { host: hosts::of(artifact).unwrap_or_default() }, Expect::Absent)
}

/// Notes what a check of an artifact's bytes found, and tells whether that counts already: what the sentinel itself had
/// checked does so at the second time alone, and never where nothing is known of the bytes.
///
/// # Errors
/// Those of the store.
pub(super) async fn after(
    context: &Context,
    batch: &mut Batch,
    artifact: &Artifact,
    by_sentinel: bool,
    found: Result<(), Trouble>,
) -> Result<bool, AppError> {
    let offered = matches!(artifact.state, ArtifactState::Available | ArtifactState::Quarantined);
    if artifact.source_type() == SourceType::Managed || !(offered || found.is_ok()) {
        return Ok(true);
    }
    let (id, now) = (artifact.artifact_id, context.clock.now_ms());
    let stored = context.store.get::<Watch>(keys::watch(id)).await?;
    let before = stored.as_ref().map(|stored| stored.value).unwrap_or_default();
    let (watch, counts) = match found {
        Ok(()) => (Watch::well(id, now), true),
        Err(_) if !by_sentinel && found != Err(Trouble::Wrong(Kind::Drift)) => return Ok(true),
        Err(Trouble::Later(wait)) if !before.is_given_up(now) => (before.later(id, wait, now), false),
        Err(Trouble::Later(wait)) => {
            let watch = before.given_up(before.later(id, wait, now), now);
            (watch, watch.counts())
        }
        Err(Trouble::Wrong(kind)) => {
            let watch = before.trouble(kind, now);
            (watch, !by_sentinel || watch.counts() || artifact.state != ArtifactState::Available)
        }
    };
    put(batch, artifact, stored.as_ref(), &watch)?;
    Ok(counts)
}

/// Looks at every artifact that is due, each host within its budget; one that fails does not stop the others.
///
/// # Errors
/// Those of the store, where nothing could be looked at.
pub async fn run(context: &Context, checker: &Checker) -> Result<(), AppError> {
    let hosts = due(context).await?;
    let looking =
        futures_util::stream::iter(hosts).for_each_concurrent(HOSTS_AT_ONCE, |(host, due)| async move {
            for id in due {
                if let Err(error) = at(context, checker, &host, id).await {
                    tracing::warn!(artifact.id = %id, error = %error, "an artifact could not be looked at");
                }
            }
        });
    // What is left is found due by the next run.
    let _ = tokio::time::timeout(RUN, looking).await;
    Ok(())
}

/// Looks at an artifact, unless its host is to be left alone, and writes down what the host asks for.
async fn at(context: &Context, checker: &Checker, host: &str, id: ArtifactId) -> Result<(), AppError> {
    // Read each time: what somebody else was told meanwhile is for us as well.
    let hold = hosts::find(context, host).await?;
    match look::at(context, checker, id, hold).await? {
        Heard::Nothing => Ok(()),
        Heard::Later(wait) => hosts::leave_alone(context, host, wait).await,
        Heard::Answer => hosts::answered(context, host, hold.is_some()).await,
    }
}

/// What a host said.
enum Heard {
    /// It was not asked.
    Nothing,
    /// To come again after so long.
    Later(Duration),
    /// Something else.
    Answer,
}

/// What is due, by host: of a host that has much, a part, so that it does not crowd out the others.
async fn due(context: &Context) -> Result<BTreeMap<String, Vec<ArtifactId>>, AppError> {
    let now = context.clock.now_ms();
    let mut query = all(keys::WATCHING, "");
    let mut hosts: BTreeMap<String, Vec<ArtifactId>> = BTreeMap::new();
    let (mut chosen, mut scanned) = (0_usize, 0_usize);
    while chosen < LOOKS_A_RUN && scanned < SCANNED_A_RUN {
        let page = context.store.query::<Due>(&query).await?;
        let last = page.len() < query.limit;
        scanned = scanned.saturating_add(page.len());
        for (sort, entry) in page {
            let Some((at, id)) = sort.split_once('#') else { continue };
            let (Ok(at), Ok(id)) = (at.parse::<i64>(), id.parse::<ArtifactId>()) else { continue };
            if at > now {
                return Ok(hosts);
            }
            let due = hosts.entry(entry.value.host).or_default();
            if due.len() < LOOKS_A_HOST {
                due.push(id);
                chosen = chosen.saturating_add(1);
            }
            query.after = Some(sort);
        }
        if last {
            break;
        }
    }
    Ok(hosts)
}

/// Takes an artifact off the list of what is watched.
async fn forget(context: &Context, id: ArtifactId) -> Result<(), AppError> {
    retrying(|| async {
        let Some(found) = context.store.get::<Watch>(keys::watch(id)).await? else { return Ok(()) };
        let mut batch = Batch::default();
        batch.delete(keys::watch(id), found.unchanged());
        batch.delete(keys::watching(id, found.value.next_at), Expect::Anything);
        context.store.commit(batch).await
    })
    .await
}
