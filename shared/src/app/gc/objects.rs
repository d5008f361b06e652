//! What is in the object store, and whether anything refers to it.

use std::collections::HashMap;

use super::{Counted, Outcome, Seen, Verdict, What, read};
use crate::{
    app::{context::Context, error::AppError, keys, store::Stored, sweep::GRACE_MS, uploads::KEPT_SECONDS},
    domain::{
        artifact::{Artifact, Location},
        ids::{ArtifactId, UploadId},
        upload::{ObjectKey, Upload, UploadState},
    },
    ports::{
        items::Key,
        objects::{Area, ObjectError, Objects, Thing},
    },
};

/// How many records are read at once.
const AT_ONCE: usize = 100;

const NO_RECORD: &str = "there is no upload that could refer to it";
const TOO_YOUNG: &str = "no upload is known, but it is too young to have been forgotten: were records lost?";

/// A record, as far as it can be read.
type Known<T> = Result<Option<T>, AppError>;

pub(super) async fn look(
    context: &Context,
    objects: &dyn Objects,
    (area, after, limit): (Area, Option<String>, usize),
    older_than_ms: i64,
) -> Result<(Seen, Option<String>), AppError> {
    let listing = objects.list(area, after.as_deref(), limit).await?;
    let now = context.clock.now_ms();
    let mut seen = Seen::default();
    for things in listing.found.chunks(AT_ONCE) {
        let whats: Vec<What> = things.iter().filter_map(|listed| what(&listed.thing)).collect();
        let owners = Owners::of(context, &whats).await?;
        let unknown = whats.iter().filter(|what| owners.lack(what)).count();
        seen.counted += Counted { things: whats.len() as u64, unknown: unknown as u64 };
        for listed in things {
            let least = older_than_ms.max(drafted_for(context, &listed.thing));
            let old = listed.at.map(|at| at.saturating_add(least) <= now);
            let verdict = match (what(&listed.thing), old) {
                (None, _) => Verdict::Unclear("its key is none that this service makes".into()),
                (Some(_), None) => Verdict::Unclear("how old it is cannot be told".into()),
                (Some(_), Some(false)) => Verdict::Needed,
                (Some(what), Some(true)) => owners.judge(context, &what),
            };
            seen.note(listed.name.clone(), what(&listed.thing), listed.size_bytes, verdict);
        }
    }
    Ok((seen, listing.next))
}

/// How long a draft may still be written, in milliseconds, which no record tells.
fn drafted_for(context: &Context, thing: &Thing) -> i64 {
    let Thing::Draft { .. } = thing else { return 0 };
    let settings = &context.settings;
    settings.reading.longest_ms(settings.escrow_max_size_bytes).saturating_add(super::LEAST_AGE_MS)
}

fn what(thing: &Thing) -> Option<What> {
    match thing {
        // A mark is no object that anything could refer to.
        Thing::Object(ObjectKey::Deployment(_)) | Thing::Foreign => None,
        Thing::Object(key) => Some(What::Object(*key)),
        Thing::Parts { upload_id, store_id } => {
            Some(What::Parts { upload_id: *upload_id, store_id: store_id.clone() })
        }
        Thing::Draft { key, store_id } => Some(What::Draft { key: *key, store_id: store_id.clone() }),
    }
}

/// The uploads that some objects are of, and the artifacts that these became.
struct Owners {
    uploads: HashMap<UploadId, Known<Stored<Upload>>>,
    artifacts: HashMap<ArtifactId, Known<Stored<Artifact>>>,
}

impl Owners {
    async fn of(context: &Context, whats: &[What]) -> Result<Self, AppError> {
        let uploads: HashMap<UploadId, Known<Stored<Upload>>> =
            records(context, whats.iter().filter_map(upload_of), keys::upload).await?;
        let became = uploads.values().filter_map(|known| known.as_ref().ok()?.as_ref()?.value.artifact_id);
        let copies = whats.iter().filter_map(|what| match what {
            What::Object(key) => key.escrowed(),
            What::Upload(_) | What::Bytes(_) | What::Parts { .. } | What::Draft { .. } => None,
        });
        let artifacts = records(context, became.chain(copies), keys::artifact).await?;
        Ok(Self { uploads, artifacts })
    }

    /// Whether no record tells of it, although they can be read.
    fn lack(&self, what: &What) -> bool {
        match (what, upload_of(what)) {
            (_, Some(id)) => matches!(self.uploads.get(&id), Some(Ok(None))),
            (What::Object(key), None) => {
                key.escrowed().is_some_and(|id| matches!(self.artifacts.get(&id), Some(Ok(None))))
            }
            _ => false,
        }
    }

    fn judge(&self, context: &Context, what: &What) -> Verdict {
        let now = context.clock.now_ms();
        let spare = |why: &str| Verdict::Spare(why.to_owned());
        if let What::Object(key @ ObjectKey::Escrow(..)) = what {
            return self.copied(*key);
        }
        if matches!(what, What::Draft { .. }) {
            return spare("it was begun and never ended");
        }
        let (What::Object(_) | What::Parts { .. }, Some(id)) = (what, upload_of(what)) else {
            return Verdict::Needed;
        };
        let upload = match self.uploads.get(&id) {
            Some(Ok(Some(upload))) => &upload.value,
            Some(Ok(None)) if forgotten(context, id) => return spare(NO_RECORD),
            Some(Ok(None)) => return Verdict::Unclear(TOO_YOUNG.into()),
            Some(Err(_)) | None => return Verdict::Unclear(format!("the record of {id} cannot be read")),
        };
        match upload.state {
            UploadState::Initiated | UploadState::Completing => under_way(what, upload),
            // Somebody may still be putting, and the sweep is still to look.
            _ if upload.expires_at.saturating_add(GRACE_MS) > now => Verdict::Needed,
            UploadState::Failed | UploadState::Expired | UploadState::Aborted => {
                spare("its upload has ended without an artifact")
            }
            UploadState::Completed => self.completed(what, upload),
        }
    }

    fn copied(&self, key: ObjectKey) -> Verdict {
        match key.escrowed().and_then(|id| self.artifacts.get(&id)) {
            Some(Ok(Some(artifact))) if serves(&artifact.value, key) => Verdict::Needed,
            Some(Ok(Some(_))) => Verdict::Spare("its artifact keeps no copy any more".into()),
            Some(Ok(None)) => Verdict::Spare("its artifact was deleted".into()),
            Some(Err(_)) | None => Verdict::Unclear("the record of its artifact cannot be read".into()),
        }
    }

    fn completed(&self, what: &What, upload: &Upload) -> Verdict {
        let spare = |why: &str| Verdict::Spare(why.to_owned());
        let What::Object(key) = what else { return spare("its upload was put together") };
        let Some(id) = upload.artifact_id else {
            return Verdict::Unclear(format!("{} is COMPLETED without an artifact", upload.upload_id));
        };
        match self.artifacts.get(&id) {
            Some(Ok(Some(artifact))) if serves(&artifact.value, *key) => Verdict::Needed,
            Some(Ok(Some(artifact))) if artifact.value.removed_at.is_some() => {
                spare("the bytes of its artifact were removed")
            }
            Some(Ok(Some(_))) => spare("its artifact is served from elsewhere"),
            Some(Ok(None)) => spare("its artifact was deleted"),
            Some(Err(_)) | None => Verdict::Unclear(format!("the record of {id} cannot be read")),
        }
    }
}

/// Whether the record of an upload may be gone in good order: each is kept for a while after its time.
fn forgotten(context: &Context, id: UploadId) -> bool {
    let kept = context.settings.upload_expires_in_ms.saturating_add(KEPT_SECONDS.saturating_mul(1_000));
    let begun = i64::try_from(id.unix_ms()).unwrap_or(i64::MAX);
    begun.saturating_add(kept) <= context.clock.now_ms()
}

/// Of an upload under way everything is needed, but what was begun twice.
fn under_way(what: &What, upload: &Upload) -> Verdict {
    let begun = upload.multipart.as_ref().and_then(|cut| cut.begun.as_ref());
    match (what, begun) {
        (What::Parts { store_id, .. }, Some(begun)) if begun.store_id != *store_id => {
            Verdict::Spare("its upload was begun a second time".into())
        }
        _ => Verdict::Needed,
    }
}

fn upload_of(what: &What) -> Option<UploadId> {
    match what {
        What::Object(ObjectKey::Escrow(..)) | What::Draft { .. } | What::Bytes(_) => None,
        What::Object(key) => Some(key.upload_id()),
        What::Parts { upload_id, .. } | What::Upload(upload_id) => Some(*upload_id),
    }
}

fn serves(artifact: &Artifact, wanted: ObjectKey) -> bool {
    let key = match &artifact.location {
        Location::Managed { key, .. } => Some(*key),
        // One that is still to be copied may have the copy already, and not know.
        Location::External { .. } => artifact.escrow.as_ref().map(|escrow| escrow.key),
    };
    key == Some(wanted) && artifact.removed_at.is_none()
}

async fn records<I, T>(
    context: &Context,
    ids: impl Iterator<Item = I> + Send,
    key: impl Fn(I) -> Key + Send + Sync,
) -> Result<HashMap<I, Known<Stored<T>>>, AppError>
where
    I: Copy + Eq + std::hash::Hash + Send + Sync,
    T: serde::de::DeserializeOwned + Send,
{
    let ids: std::collections::HashSet<I> = ids.collect();
    let ids: Vec<I> = ids.into_iter().collect();
    let mut known = HashMap::new();
    for ids in ids.chunks(AT_ONCE) {
        let keys: Vec<Key> = ids.iter().map(|id| key(*id)).collect();
        let found = context.store.get_raw(&keys).await?;
        known.extend(ids.iter().zip(found).map(|(id, item)| (*id, read(item.as_ref()))));
    }
    Ok(known)
}

/// Looks again, and removes what nothing refers to.
pub(super) async fn remove(
    context: &Context,
    objects: &dyn Objects,
    what: &What,
) -> Result<Outcome, AppError> {
    let owners = Owners::of(context, std::slice::from_ref(what)).await?;
    match owners.judge(context, what) {
        Verdict::Needed => return Ok(Outcome::Needed),
        Verdict::Unclear(why) => return Ok(Outcome::Kept(why)),
        Verdict::Spare(why) if why == NO_RECORD => {
            if let Some(why) = claimed(context, objects, what).await? {
                return Ok(Outcome::Kept(why));
            }
        }
        Verdict::Spare(_) => {}
    }
    match (what, objects.large()) {
        (What::Object(key), _) => objects.erase(key).await?,
        (What::Draft { key, store_id }, _) => objects.discard(key, store_id).await?,
        (What::Parts { upload_id, store_id }, Some(large)) => large.abort(*upload_id, store_id).await?,
        _ => return Ok(Outcome::Needed),
    }
    Ok(Outcome::Removed)
}

/// Why an object of which no upload is known is kept all the same: an artifact may be served from it. Uploads that became
/// artifacts keep their records, so that this is so only where records were lost.
async fn claimed(context: &Context, objects: &dyn Objects, what: &What) -> Result<Option<String>, AppError> {
    let What::Object(key @ (ObjectKey::Locked(_) | ObjectKey::Copied(_) | ObjectKey::Whole(_))) = what else {
        return Ok(None);
    };
    let stat = match objects.stat(key).await {
        Ok(stat) => stat,
        Err(ObjectError::NotFound(_)) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let Some(sha256) = stat.sha256 else {
        return Ok(Some(
            "no upload is known, and the store has no digest to look for its artifact by".into(),
        ));
    };
    let Some(id) = context.store.get::<ArtifactId>(keys::managed_bytes(&sha256)).await? else {
        return Ok(None);
    };
    let artifact = context.store.get::<Artifact>(keys::artifact(id.value)).await?;
    let serves = artifact.is_some_and(|artifact| serves(&artifact.value, *key));
    Ok(serves.then(|| format!("no upload is known, but {} is served from it", id.value)))
}
