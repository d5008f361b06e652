//! Cleaning up: records of uploads that have ended, bytes of artifacts whose releases were all revoked, and what is in
//! the object store with nothing that refers to it.
//!
//! Looking changes nothing. Whatever is removed is looked at a second time right before, by itself. What cannot be read,
//! or does not fit together, is kept and named; and where the store is not that of these records, nothing is removed at all
//! (`bound`). It is safe beside everything else, since nothing that is found spare can
//! come to be needed: keys are of one upload each, an upload that has ended does not begin again, and an artifact that
//! loses its bytes does so in a transaction that fails where a release comes to name it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    context::Context,
    error::AppError,
    store::{Stored, all},
};
use crate::{
    domain::{
        ids::{ArtifactId, UploadId},
        upload::ObjectKey,
    },
    ports::{
        items::Item,
        objects::{Area, Objects},
    },
};

mod artifacts;
mod bound;
mod objects;
mod run;
mod uploads;

pub use self::run::{Order, Run, begin, last, tick, work};

/// How old what is removed must be at least, in milliseconds: nobody has a request under way for so long.
pub const LEAST_AGE_MS: i64 = 3_600_000;

/// What is looked through, one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Records of uploads.
    #[default]
    Uploads,
    /// Artifacts whose bytes are in managed storage.
    Artifacts,
    /// What came through bare doors.
    Staging,
    /// What is served, or might be.
    Objects,
    /// Parts that were not put together.
    Parts,
}

impl Stage {
    fn next(self) -> Option<Self> {
        match self {
            Self::Uploads => Some(Self::Artifacts),
            Self::Artifacts => Some(Self::Staging),
            Self::Staging => Some(Self::Objects),
            Self::Objects => Some(Self::Parts),
            Self::Parts => None,
        }
    }
}

/// Where looking goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    stage: Stage,
    after: Option<String>,
}

impl Place {
    fn beyond(self, after: Option<String>) -> Option<Self> {
        match after {
            Some(after) => Some(Self { stage: self.stage, after: Some(after) }),
            None => self.stage.next().map(|stage| Self { stage, after: None }),
        }
    }
}

/// What can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The record of an upload.
    Upload(UploadId),
    /// The bytes of an artifact, which itself stays.
    Bytes(ArtifactId),
    /// An object that nothing refers to.
    Object(ObjectKey),
    /// Parts that nothing refers to.
    Parts {
        /// Of this upload.
        upload_id: UploadId,
        /// What the store calls it.
        store_id: String,
    },
    /// What was written of a copy that was never ended.
    Draft {
        /// Its key.
        key: ObjectKey,
        /// What the store calls it.
        store_id: String,
    },
}

impl What {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Upload(_) => "upload",
            Self::Bytes(_) => "artifact_bytes",
            Self::Object(_) => "object",
            Self::Parts { .. } | Self::Draft { .. } => "parts",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(id) | Self::Parts { upload_id: id, .. } => fmt::Display::fmt(id, f),
            Self::Bytes(id) => fmt::Display::fmt(id, f),
            Self::Object(key) | Self::Draft { key, .. } => fmt::Display::fmt(key, f),
        }
    }
}

/// Something that can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spare {
    /// What.
    pub what: What,
    /// How many bytes that gives back, as far as it is known.
    pub size_bytes: u64,
    /// Why.
    pub why: String,
}

/// Something that might be removed and is not, since what is known of it does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What, as the records or the store spell it.
    pub name: String,
    /// Why it is kept.
    pub why: String,
}

/// How much of what is in the store is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many things were looked at, whatever their age, of those whose keys are ours.
    pub things: u64,
    /// How many of them no record tells of.
    pub unknown: u64,
}

/// Fewer things than these tell nothing.
const FEW: u64 = 10;

impl Counted {
    /// Whether more is unknown than crashes and refused deletions leave.
    fn is_implausible(self) -> bool {
        self.things >= FEW && self.unknown.saturating_mul(2) > self.things
    }
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.things = self.things.saturating_add(other.things);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}

/// What a look has found.
#[derive(Debug, Default)]
pub struct Seen {
    /// How much of the store is known.
    pub counted: Counted,
    /// What can be removed.
    pub spare: Vec<Spare>,
    /// What is kept and should be looked at by somebody.
    pub kept: Vec<Kept>,
    /// Where to go on; `None` at the end of everything.
    pub next: Option<Place>,
}

/// What is to be made of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Something refers to it, or it is too young.
    Needed,
    /// It is kept, since it cannot be told.
    Unclear(String),
    /// Nothing needs it.
    Spare(String),
}

impl Seen {
    fn note(&mut self, name: String, what: Option<What>, size_bytes: u64, verdict: Verdict) {
        match (verdict, what) {
            (Verdict::Needed, _) => {}
            (Verdict::Spare(why), Some(what)) => self.spare.push(Spare { what, size_bytes, why }),
            (Verdict::Unclear(why) | Verdict::Spare(why), _) => self.kept.push(Kept { name, why }),
        }
    }
}

/// What became of something that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Removed,
    /// Nobody has to be told: it is needed by now, or gone already.
    Needed,
    Kept(String),
}

/// Reads a record that may not be readable.
fn read<T: serde::de::DeserializeOwned>(item: Option<&Item>) -> Result<Option<Stored<T>>, AppError> {
    super::store::Store::record(item)
}

/// Looks at one page of what there is, at most about so many things, and changes nothing.
///
/// # Errors
/// Those of the stores, where the page could not be read.
pub async fn look(
    context: &Context,
    objects: &dyn Objects,
    place: Place,
    older_than_ms: i64,
    limit: usize,
) -> Result<Seen, AppError> {
    let after = place.after.clone();
    let (mut seen, after) = match place.stage {
        Stage::Uploads => uploads::look(context, after, limit).await?,
        Stage::Artifacts => artifacts::look(context, after, limit).await?,
        Stage::Staging => {
            objects::look(context, objects, (Area::Staging, after, limit), older_than_ms).await?
        }
        Stage::Objects => {
            objects::look(context, objects, (Area::Objects, after, limit), older_than_ms).await?
        }
        Stage::Parts => objects::look(context, objects, (Area::Parts, after, limit), older_than_ms).await?,
    };
    seen.next = place.beyond(after);
    Ok(seen)
}

/// A page of a partition, raw, and where the next begins.
async fn page(
    context: &Context,
    partition: &str,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<(String, serde_json::Value)>, Option<String>), AppError> {
    let query = crate::ports::items::Query { after, limit, ..all(partition, "") };
    let found = context.store.query::<serde_json::Value>(&query).await?;
    let next = found.last().filter(|_| found.len() >= limit).map(|(sort, _)| sort.clone());
    Ok((found.into_iter().map(|(sort, stored)| (sort, stored.value)).collect(), next))
}
