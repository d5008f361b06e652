//! Whose store it is. The records have a number of their own, and the store has an object that is named by it: where
//! the two do not fit together, the records tell nothing about what is needed there, and nothing is cleaned up.
//!
//! Two deployments over one store leave two marks, and neither cleans up.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Counted, Place, Stage, look, page};
use crate::{
    app::{
        context::Context,
        error::AppError,
        keys,
        store::{Batch, Stored, retrying, unchanged},
    },
    domain::{ids::DeploymentId, upload::ObjectKey},
    ports::{
        items::Expect,
        objects::{Area, Objects, Thing},
    },
};

/// How many things of each area tell whether a store that has no mark is of these records.
const A_SAMPLE: usize = 100;
/// How many marks are read; one is enough to be somebody else's.
const MARKS: usize = 10;

/// Which deployment these records are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Binding {
    deployment_id: DeploymentId,
    /// When its store was marked, Unix milliseconds; from then on the mark has to be there.
    #[serde(default)]
    marked_at: Option<i64>,
}

/// What the records and the store say of each other.
enum Standing {
    /// The store has the mark of these records, and no other.
    Ours,
    /// The store was never marked by anybody.
    Unmarked,
    /// The mark that was made is not there.
    Lost(DeploymentId),
    /// The store has the mark of others.
    Others(String),
}

/// What somebody may do about a store, and how far it is insisted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// Whether an operator has said that the store is the right one, whatever it looks like.
    pub(super) forced: bool,
    /// Whether the store may be marked now.
    pub(super) marks: bool,
}

/// Why nothing may be cleaned up in this store; nothing where it is that of these records.
pub(super) async fn refusal(
    context: &Context,
    objects: &dyn Objects,
    asked: Asked,
) -> Result<Option<String>, AppError> {
    match standing(context, objects).await? {
        Standing::Ours => return Ok(None),
        Standing::Others(mark) => return Ok(Some(of_others(&mark))),
        Standing::Lost(_) if asked.forced => {}
        Standing::Lost(id) => return Ok(Some(lost(id))),
        Standing::Unmarked => {
            let counted = sample(context, objects).await?;
            if counted.unknown.saturating_mul(2) > counted.things && !asked.forced {
                return Ok(Some(unknown(counted)));
            }
        }
    }
    if asked.marks {
        mark(context, objects).await?;
    }
    Ok(None)
}

/// Marks a store that has no mark yet, where it is that of these records; and one that others have marked, where these
/// records keep something there, so that the others remove none of it.
pub(super) async fn settle(context: &Context, objects: &dyn Objects) -> Result<(), AppError> {
    let found = context.store.get::<Binding>(keys::binding()).await?;
    if found.is_some_and(|found| found.value.marked_at.is_some()) {
        return Ok(());
    }
    let asked = Asked { forced: false, marks: true };
    if refusal(context, objects, asked).await?.is_none() {
        return Ok(());
    }
    let keeps = !page(context, keys::UPLOADS, None, 1).await?.0.is_empty();
    if keeps { mark(context, objects).await } else { Ok(()) }
}

async fn standing(context: &Context, objects: &dyn Objects) -> Result<Standing, AppError> {
    let found = context.store.get::<Binding>(keys::binding()).await?;
    let own = found.as_ref().map(|found| Thing::Object(ObjectKey::Deployment(found.value.deployment_id)));
    let mut marked = false;
    for mark in objects.list(Area::Deployment, None, MARKS).await?.found {
        if Some(&mark.thing) != own.as_ref() {
            return Ok(Standing::Others(mark.name));
        }
        marked = true;
    }
    Ok(match found {
        Some(_) if marked => Standing::Ours,
        Some(Stored { value: Binding { deployment_id, marked_at: Some(_) }, .. }) => {
            Standing::Lost(deployment_id)
        }
        Some(_) | None => Standing::Unmarked,
    })
}

/// How much of what the store has is known here.
async fn sample(context: &Context, objects: &dyn Objects) -> Result<Counted, AppError> {
    let mut counted = Counted::default();
    for stage in [Stage::Staging, Stage::Objects, Stage::Parts] {
        let place = Place { stage, after: None };
        counted += look(context, objects, place, super::LEAST_AGE_MS, A_SAMPLE).await?.counted;
    }
    Ok(counted)
}

/// Makes the mark, and writes down that it was made. A crash in between is made good by the next.
async fn mark(context: &Context, objects: &dyn Objects) -> Result<(), AppError> {
    let id = retrying(|| async {
        if let Some(found) = context.store.get::<Binding>(keys::binding()).await? {
            return Ok(found.value.deployment_id);
        }
        let binding = Binding { deployment_id: context.ids.deployment()?, marked_at: None };
        let mut batch = Batch::default();
        batch.put(keys::binding(), &binding, Expect::Absent)?;
        context.store.commit(batch).await.map(|()| binding.deployment_id)
    })
    .await?;
    let now = context.clock.now_ms();
    let text = format!("This store belongs to the deployment {id}, {}\n", context.settings.base_url);
    let mut draft = objects.keep(&ObjectKey::Deployment(id), text.len() as u64).await?;
    if let Err(error) = draft.write(Bytes::from(text)).await {
        draft.discard().await;
        return Err(AppError::Objects(crate::ports::objects::ObjectError::Unavailable(error.into())));
    }
    draft.publish(now).await?;
    tracing::info!(deployment.id = %id, "the object store is marked as that of this deployment");
    retrying(|| async {
        let found = context.store.get::<Binding>(keys::binding()).await?;
        let mut batch = Batch::default();
        let binding = Binding { deployment_id: id, marked_at: Some(now) };
        batch.put(keys::binding(), &binding, unchanged(found.as_ref()))?;
        context.store.commit(batch).await
    })
    .await
}

fn of_others(mark: &str) -> String {
    format!(
        "the store is marked as that of another deployment, by `{mark}`: give each deployment a bucket of its own, and \
         this one its own records (`--data`, or the table); where the records were restored or made anew and nobody else \
         uses the store, remove that object from it"
    )
}

fn lost(id: DeploymentId) -> String {
    format!(
        "the store has no mark of this deployment, `deployment/{id}`: it may be another one than before; where it is the \
         right one, clean up with --force, which marks it again"
    )
}

/// What is said where too much of a store is not known.
pub(super) fn unknown(counted: Counted) -> String {
    format!(
        "of {} things in the store, {} have no record here: the records may be lost, old, or those of another \
         deployment; look with `bp gc`, and clean up with --force only where what it shows may go",
        counted.things, counted.unknown
    )
}
