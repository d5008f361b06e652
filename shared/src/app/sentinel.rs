//! The sentinel: external artifacts that live releases use are looked at again, cheaply and by schedule. What looks wrong
//! is looked at a second time before it is withheld, and what has become right again is given back.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::{
    context::Context,
    error::AppError,
    external::Checker,
    keys,
    store::{Batch, Stored, all, retrying, unchanged},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState, SourceType},
        external_url::{ExternalUrl, UrlRules},
        ids::ArtifactId,
    },
    ports::items::Expect,
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
    Later(Duration),
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
}

impl Watch {
    /// All is well: the next look is in about an hour, each artifact at a minute of its own.
    fn well(id: ArtifactId, now: i64) -> Self {
        Self {
            next_at: now.saturating_add(HOUR_MS).saturating_add(jitter(id, HOUR_MS / 6)),
            looks: 0,
            wrong: None,
        }
    }

    /// Something is wrong: the second look is soon, and each further one later than the one before.
    fn trouble(self, kind: Kind, now: i64) -> Self {
        let looks = self.looks.saturating_add(1);
        let most = if kind == Kind::Unreachable { HOUR_MS } else { DAY_MS };
        let pause = SECOND_LOOK_MS.saturating_mul(1_i64 << looks.saturating_sub(1).min(20)).min(most);
        Self { next_at: now.saturating_add(pause), looks, wrong: Some(kind) }
    }

    /// Nothing was found out: the next look is when that was asked for, and what was known of it stays as it is.
    fn later(self, id: ArtifactId, wait: Duration, now: i64) -> Self {
        let wait = i64::try_from(wait.as_millis()).unwrap_or(DAY_MS).clamp(MINUTE_MS, DAY_MS);
        Self { next_at: now.saturating_add(wait).saturating_add(jitter(id, MINUTE_MS)), ..self }
    }

    fn counts(self) -> bool {
        self.looks >= LOOKS_THAT_COUNT
    }
}

/// Spreads what would be due at the same moment.
fn jitter(id: ArtifactId, within: i64) -> i64 {
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
    batch.put(due, &Due { host: host(artifact).unwrap_or_default() }, Expect::Absent)
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
        Err(Trouble::Later(wait)) => (before.later(id, wait, now), false),
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
    let looking = futures_util::stream::iter(hosts).for_each_concurrent(HOSTS_AT_ONCE, |(_, due)| async move {
        let mut wait = None;
        for id in due {
            let look = match wait {
                None => look::at(context, checker, id).await,
                Some(wait) => look::later(context, id, wait).await.map(|()| Some(wait)),
            };
            match look {
                Ok(asked) => wait = asked,
                Err(error) => {
                    tracing::warn!(artifact.id = %id, error = %error, "an artifact could not be looked at");
                }
            }
        }
    });
    // What is left is found due by the next run.
    let _ = tokio::time::timeout(RUN, looking).await;
    Ok(())
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

fn host(artifact: &Artifact) -> Option<String> {
    let url = ExternalUrl::parse(artifact.external_url()?, &UrlRules::widest()).ok()?;
    Some(url.host().to_owned())
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
