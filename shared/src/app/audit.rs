//! The audit log: append-only, written in the transaction that it tells of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    context::{Caller, Context},
    error::AppError,
    keys,
    store::Batch,
};
use crate::{
    domain::ids::{EventId, TokenId},
    ports::items::{Expect, Query},
};

/// The actor of what the service did by itself.
pub const SYSTEM: &str = "system";

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub event_id: EventId,
    /// When, Unix milliseconds.
    pub at: i64,
    /// The token that did it; `None` where the service did it by itself.
    pub actor: Option<TokenId>,
    /// What was done, such as `artifact.registered`.
    #[serde(rename = "type")]
    pub kind: String,
    /// On what.
    pub subject: String,
    /// How it was before, as far as it changed.
    pub before: Option<Value>,
    /// How it is after, as far as it changed.
    pub after: Option<Value>,
    /// The address that the request came from.
    pub source_ip: Option<String>,
    /// The request.
    pub request_id: Option<String>,
}

/// What an entry says.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What was done.
    pub kind: &'a str,
    /// On what.
    pub subject: String,
    /// How it was before.
    pub before: Option<Value>,
    /// How it is after.
    pub after: Option<Value>,
}

/// Adds an entry to the transaction; `caller` is `None` where the service acts by itself.
///
/// # Errors
/// [`AppError::Entropy`], [`AppError::Corrupt`]
pub fn record(
    batch: &mut Batch,
    context: &Context,
    caller: Option<&Caller>,
    entry: Entry<'_>,
) -> Result<(), AppError> {
    let event = Event {
        event_id: context.ids.event()?,
        at: context.clock.now_ms(),
        actor: caller.map(|caller| caller.token_id),
        kind: entry.kind.into(),
        subject: entry.subject,
        before: entry.before,
        after: entry.after,
        source_ip: caller.and_then(|caller| caller.source_ip.clone()),
        request_id: caller.map(|caller| caller.request_id.clone()),
    };
    batch.put(keys::event(event.event_id), &event, Expect::Absent)
}

/// Which entries are wanted.
#[derive(Debug, Default)]
pub struct Filter {
    /// Of this type.
    pub kind: Option<String>,
    /// By this token's id, or `system`.
    pub actor: Option<String>,
    /// At this time (Unix milliseconds) or later.
    pub since: Option<i64>,
    /// Beyond this entry.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// How many entries one page looks at, at most: a rare filter answers with a short page and a cursor.
const MAX_SCANNED: usize = 5_000;

/// Entries from the oldest to the newest, and the sort key to go on from.
///
/// # Errors
/// [`AppError::Items`], [`AppError::Corrupt`]
pub async fn list(context: &Context, filter: &Filter) -> Result<(Vec<Event>, Option<String>), AppError> {
    let start = filter.since.map(|since| {
        let ms = u64::try_from(since).unwrap_or(0);
        EventId::from_parts(ms, 0).to_string()
    });
    let after = filter.after.clone().max(start);
    let mut query =
        Query { partition: keys::AUDIT.into(), prefix: String::new(), after, limit: 500, descending: false };
    let (mut events, mut scanned) = (Vec::new(), 0_usize);
    loop {
        let page = context.store.query::<Event>(&query).await?;
        let exhausted = page.len() < query.limit;
        for (sort, stored) in page {
            query.after = Some(sort);
            scanned = scanned.saturating_add(1);
            if matches(filter, &stored.value) {
                events.push(stored.value);
            }
            if events.len() >= filter.limit || scanned >= MAX_SCANNED {
                return Ok((events, query.after));
            }
        }
        if exhausted {
            return Ok((events, None));
        }
    }
}

fn matches(filter: &Filter, event: &Event) -> bool {
    filter.kind.as_ref().is_none_or(|kind| *kind == event.kind)
        && filter.actor.as_ref().is_none_or(|wanted| match event.actor {
            Some(actor) => *wanted == actor.to_string(),
            None => wanted == SYSTEM,
        })
}
