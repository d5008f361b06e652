//! A cleaning up from its beginning to its end: one at a time, in turns, each of which writes down how far it came.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Counted, Kept, Outcome, Place, Spare, What, artifacts,
    bound::{self, Asked},
    look, objects as stored, uploads,
};
use crate::{
    app::{
        audit::{self, Entry},
        context::{Caller, Context},
        error::AppError,
        keys,
        store::{Batch, Stored, retrying, unchanged},
    },
    domain::ids::TokenId,
    ports::{objects::Objects, tasks::Task},
};

/// How long whoever works has until somebody else goes on.
const LEASE_MS: i64 = 600_000;
/// How long one turn takes, about, before the rest is left to another.
const TURN_MS: i64 = 300_000;
/// How many things are looked at between two notes.
const A_PAGE: usize = 100;
/// How many times a page that cannot be read is tried.
const TRIES: u32 = 3;
/// How many of the things that were kept are named.
const NAMED: usize = 50;

/// What somebody asks for who has something cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// How old what is removed from the store must be, in milliseconds.
    pub older_than_ms: i64,
    /// Whether that is to be done where the records seem not to be those of the store; never in one that others have
    /// marked.
    pub forced: bool,
}

/// A cleaning up, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Who asked for it; `None` where it was time.
    pub asked_by: Option<TokenId>,
    /// When it was begun, Unix milliseconds.
    pub started_at: i64,
    /// When it has ended, Unix milliseconds.
    pub finished_at: Option<i64>,
    /// How old what is removed from the store must be, in milliseconds.
    pub older_than_ms: i64,
    /// How many things were removed.
    pub removed: u64,
    /// How many bytes that gave back, as far as it is known.
    pub removed_bytes: u64,
    /// How many things were kept that somebody should look at.
    pub kept: u64,
    /// The first of them.
    pub named: Vec<Kept>,
    /// Why it has ended with nothing more removed: the store seems not to be that of these records.
    #[serde(default)]
    pub refused: Option<String>,
    /// Whether whoever asked for it insists.
    #[serde(default)]
    pub forced: bool,
    /// How much of the store was known so far.
    #[serde(default)]
    counted: Counted,
    /// Whether it was seen that the store is that of these records.
    #[serde(default)]
    bound: bool,
    place: Place,
    /// How often in a row the page at that place could not be read.
    #[serde(default)]
    failures: u32,
    /// Until when somebody is at it, Unix milliseconds.
    #[serde(default)]
    lease: i64,
}

impl Run {
    fn go_on_at(&mut self, place: Option<Place>, now: i64) {
        if let Some(place) = place {
            self.place = place;
        } else {
            self.finished_at = Some(now);
            self.lease = 0;
        }
    }

    fn refuse(&mut self, why: String, now: i64) {
        tracing::error!(why, "nothing is cleaned up: the store seems not to be that of these records");
        self.refused = Some(why);
        self.go_on_at(None, now);
    }

    /// Why nothing on this page may go: of it, or of all so far, too much is not known.
    fn doubts(&self, counted: Counted) -> Option<String> {
        let mut all = self.counted;
        all += counted;
        let implausible = [counted, all].into_iter().find(|counted| counted.is_implausible());
        implausible.filter(|_| !self.forced).map(bound::unknown)
    }

    fn keep(&mut self, kept: Kept) {
        tracing::warn!(name = kept.name, why = kept.why, "something is not cleaned up");
        self.kept = self.kept.saturating_add(1);
        if self.named.len() < NAMED {
            self.named.push(kept);
        }
    }
}

/// The cleaning up that was begun last.
///
/// # Errors
/// Those of the store.
pub async fn last(context: &Context) -> Result<Option<Run>, AppError> {
    Ok(context.store.get::<Run>(keys::gc()).await?.map(|found| found.value))
}

/// Begins to clean up, unless that is under way: then this is the answer.
///
/// # Errors
/// [`AppError::CleaningRefused`] and those of the stores.
pub async fn begin(
    context: &Context,
    objects: &dyn Objects,
    caller: Option<&Caller>,
    order: Order,
) -> Result<Run, AppError> {
    if let Some(run) = last(context).await?.filter(|run| run.finished_at.is_none()) {
        context.start(&Task::Collect).await;
        return Ok(run);
    }
    // Whoever does the work looks again, and marks the store.
    let asked = Asked { forced: order.forced, marks: false };
    if let Some(why) = bound::refusal(context, objects, asked).await? {
        return Err(AppError::CleaningRefused(why));
    }
    let run = retrying(|| begin_once(context, caller, order)).await?;
    context.start(&Task::Collect).await;
    Ok(run)
}

async fn begin_once(context: &Context, caller: Option<&Caller>, order: Order) -> Result<Run, AppError> {
    let found = context.store.get::<Run>(keys::gc()).await?;
    if let Some(found) = found.as_ref().filter(|found| found.value.finished_at.is_none()) {
        return Ok(found.value.clone());
    }
    let run = Run {
        asked_by: caller.map(|caller| caller.token_id),
        started_at: context.clock.now_ms(),
        finished_at: None,
        older_than_ms: order.older_than_ms.max(super::LEAST_AGE_MS),
        removed: 0,
        removed_bytes: 0,
        kept: 0,
        named: Vec::new(),
        refused: None,
        forced: order.forced,
        counted: Counted::default(),
        bound: false,
        place: Place::default(),
        failures: 0,
        lease: 0,
    };
    let mut batch = Batch::default();
    batch.put(keys::gc(), &run, unchanged(found.as_ref()))?;
    if caller.is_some() {
        let after = Some(json!({ "older_than_seconds": run.older_than_ms / 1_000, "forced": run.forced }));
        let entry = Entry { kind: "gc.started", subject: "gc".into(), before: None, after };
        audit::record(&mut batch, context, caller, entry)?;
    }
    context.store.commit(batch).await?;
    Ok(run)
}

/// What is done every minute: marks the store as that of these records, begins where it is time, and goes on where nobody
/// is at it.
///
/// # Errors
/// Those of the stores.
pub async fn tick(context: &Context, objects: &Arc<dyn Objects>) -> Result<(), AppError> {
    bound::settle(context, objects.as_ref()).await?;
    let (now, gc) = (context.clock.now_ms(), context.settings.gc);
    match last(context).await? {
        Some(run) if run.finished_at.is_none() => {
            if run.lease > now {
                return Ok(());
            }
        }
        Some(run) if gc.interval_ms == 0 || run.started_at.saturating_add(gc.interval_ms) > now => {
            return Ok(());
        }
        None if gc.interval_ms == 0 => return Ok(()),
        Some(_) | None => {
            let order = Order { older_than_ms: gc.older_than_ms, forced: false };
            begin_once(context, None, order).await?;
        }
    }
    if context.tasks.is_some() {
        context.start(&Task::Collect).await;
        return Ok(());
    }
    work(context, objects).await
}

/// Goes on with what was begun, for one turn, if nobody is at it.
///
/// # Errors
/// Those of the stores: the next turn begins where this one ended.
pub async fn work(context: &Context, objects: &Arc<dyn Objects>) -> Result<(), AppError> {
    let now = context.clock.now_ms();
    let Some(mut run) = context.store.get::<Run>(keys::gc()).await? else { return Ok(()) };
    if run.value.finished_at.is_some() || run.value.lease > now {
        return Ok(());
    }
    if !run.value.bound {
        let asked = Asked { forced: run.value.forced, marks: true };
        if let Some(why) = bound::refusal(context, objects.as_ref(), asked).await? {
            run.value.refuse(why, now);
            return write(context, &mut run, Batch::default()).await.map(drop);
        }
        run.value.bound = true;
    }
    let ends = now.saturating_add(TURN_MS);
    while run.value.finished_at.is_none() {
        let over = context.clock.now_ms() >= ends;
        run.value.lease = if over { 0 } else { context.clock.now_ms().saturating_add(LEASE_MS) };
        if !write(context, &mut run, Batch::default()).await? {
            return Ok(());
        }
        if over {
            context.start(&Task::Collect).await;
            return Ok(());
        }
        if !turn(context, objects, &mut run).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes down how far it came; `false` where somebody else has taken over.
async fn write(context: &Context, run: &mut Stored<Run>, mut batch: Batch) -> Result<bool, AppError> {
    batch.put(keys::gc(), &run.value, run.unchanged())?;
    match context.store.commit(batch).await {
        Ok(()) => {
            run.revision = run.revision.saturating_add(1);
            Ok(true)
        }
        Err(AppError::Raced) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Looks at a page and removes what is spare on it; `false` where somebody else has taken over.
async fn turn(
    context: &Context,
    objects: &Arc<dyn Objects>,
    run: &mut Stored<Run>,
) -> Result<bool, AppError> {
    let place = run.value.place.clone();
    let seen = match look(context, objects.as_ref(), place.clone(), run.value.older_than_ms, A_PAGE).await {
        Ok(seen) => seen,
        Err(error) => return give_up(context, run, place, error).await,
    };
    run.value.failures = 0;
    if let Some(why) = run.value.doubts(seen.counted) {
        run.value.refuse(why, context.clock.now_ms());
        return write(context, run, Batch::default()).await;
    }
    run.value.counted += seen.counted;
    seen.kept.into_iter().for_each(|kept| run.value.keep(kept));
    let (mut removed, mut bytes) = (Vec::new(), 0_u64);
    for spare in &seen.spare {
        if take(context, objects, &mut run.value, spare).await {
            bytes = bytes.saturating_add(spare.size_bytes);
            removed.push(json!({ "name": spare.what.to_string(), "why": spare.why }));
        }
    }
    run.value.removed = run.value.removed.saturating_add(u64::try_from(removed.len()).unwrap_or(u64::MAX));
    run.value.removed_bytes = run.value.removed_bytes.saturating_add(bytes);
    run.value.go_on_at(seen.next, context.clock.now_ms());
    let mut batch = Batch::default();
    if !removed.is_empty() {
        let after = json!({ "removed": removed, "size_bytes": bytes, "asked_by": run.value.asked_by });
        let entry = Entry { kind: "gc.removed", subject: "gc".into(), before: None, after: Some(after) };
        audit::record(&mut batch, context, None, entry)?;
    }
    write(context, run, batch).await
}

/// Removes one thing; whatever goes wrong concerns it alone.
async fn take(context: &Context, objects: &Arc<dyn Objects>, run: &mut Run, spare: &Spare) -> bool {
    let outcome = match &spare.what {
        What::Upload(id) => uploads::remove(context, objects, *id).await,
        What::Bytes(id) => artifacts::remove(context, objects.as_ref(), *id, run.asked_by).await,
        what => stored::remove(context, objects.as_ref(), what).await,
    };
    let why = match outcome {
        Ok(Outcome::Removed) => {
            tracing::info!(kind = spare.what.kind(), name = %spare.what, why = spare.why, "something is cleaned up");
            return true;
        }
        Ok(Outcome::Needed) => return false,
        Ok(Outcome::Kept(why)) => why,
        Err(error) => format!("it could not be removed: {error}"),
    };
    run.keep(Kept { name: spare.what.to_string(), why });
    false
}

/// A page that cannot be read is tried again later, and in the end left out with the rest of its kind.
async fn give_up(
    context: &Context,
    run: &mut Stored<Run>,
    place: Place,
    error: AppError,
) -> Result<bool, AppError> {
    run.value.failures = run.value.failures.saturating_add(1);
    if run.value.failures < TRIES {
        run.value.lease = 0;
        write(context, run, Batch::default()).await?;
        return Err(error);
    }
    run.value.failures = 0;
    let name = serde_json::to_value(place.stage).ok().and_then(|name| name.as_str().map(str::to_owned));
    run.value.keep(Kept {
        name: name.unwrap_or_default(),
        why: format!("it could not be looked through: {error}"),
    });
    run.value.go_on_at(place.beyond(None), context.clock.now_ms());
    write(context, run, Batch::default()).await
}
