//! Uploads in parts: each part is an object of its own, and the whole is composed of them, 32 at a time.
//!
//! Google also has multipart uploads as S3 has them, but those know no conditions: their end would overwrite what is there.
//! A composition is made on condition that nothing is there, of exactly the generations that were listed, and moves no
//! bytes. What is composed on the way has a name made of its sources, so that whoever begins again finds it.

use std::{collections::BTreeMap, fmt::Write as _};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::{
    GcsObjects,
    api::{Refusal, Stored},
    unavailable,
};
use crate::{
    domain::{ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::{Bytestream, Held, Large, LargeObjects, PartDoors, PartsGrant},
        objects::ObjectError,
    },
};

/// The most sources of one composition.
const MOST_SOURCES: usize = 32;
/// How many requests about parts are made at a time.
const AT_A_TIME: usize = 8;

impl GcsObjects {
    /// The parts that are there, by number.
    async fn parts(&self, large: &Large) -> Result<BTreeMap<u32, Stored>, ObjectError> {
        let listed = self.api.list(&folder(large.upload_id)).await;
        let listed = listed.map_err(|refusal| refusal.of(ObjectKey::Whole(large.upload_id)))?;
        let number = |stored: &Stored| match stored.name.parse() {
            Ok(ObjectKey::Part(_, number)) => Some(number),
            Ok(_) | Err(_) => None,
        };
        Ok(listed.into_iter().filter_map(|stored| Some((number(&stored)?, stored))).collect())
    }

    /// The whole, if it is there.
    async fn whole(&self, large: &Large) -> Result<Option<Held>, ObjectError> {
        match self.find(ObjectKey::Whole(large.upload_id)).await {
            Ok(stat) => Ok(Some(Held::Whole(stat))),
            Err(ObjectError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is there, and the parts where it is all of them.
    async fn listed(&self, large: &Large) -> Result<(Held, Vec<Stored>), ObjectError> {
        if let Some(whole) = self.whole(large).await? {
            return Ok((whole, Vec::new()));
        }
        let parts = self.parts(large).await?;
        let sizes = parts.iter().map(|(number, stored)| (*number, stored.size_bytes)).collect();
        let held = Held::of_parts(large, &sizes);
        if held == Held::AllParts {
            let wanted = parts.into_iter().take_while(|(number, _)| *number <= large.cut.part_count);
            return Ok((held, wanted.map(|(_, stored)| stored).collect()));
        }
        // Somebody else may have assembled and removed them between the two looks.
        Ok((self.whole(large).await?.unwrap_or(held), Vec::new()))
    }

    /// Composes until there is one object, under the key of the whole.
    async fn join(&self, id: UploadId, mut parts: Vec<Stored>) -> Result<(), Refusal> {
        while parts.len() > MOST_SOURCES {
            let groups: Vec<Vec<Stored>> = parts.chunks(MOST_SOURCES).map(<[Stored]>::to_vec).collect();
            let joined = stream::iter(groups).map(|group| self.joined(id, group)).buffered(AT_A_TIME);
            parts = joined.try_collect().await?;
        }
        self.api.compose(&parts, &ObjectKey::Whole(id).to_string()).await.map(drop)
    }

    /// One object of these, composed now or before.
    async fn joined(&self, id: UploadId, group: Vec<Stored>) -> Result<Stored, Refusal> {
        let name = format!("{}joined/{}", folder(id), name_of(&group));
        match self.api.compose(&group, &name).await {
            Err(Refusal::Condition) => self.api.stat(&name).await,
            made => made,
        }
    }

    /// Removes parts, and what was composed of them on the way.
    async fn remove_parts(&self, id: UploadId) -> Result<(), Refusal> {
        let parts = self.api.list(&folder(id)).await?;
        let removed = stream::iter(parts).map(|part| async move {
            match self.api.delete(&part.name).await {
                Ok(()) | Err(Refusal::NotFound) => Ok(()),
                Err(refusal) => Err(refusal),
            }
        });
        removed.buffer_unordered(AT_A_TIME).try_collect().await
    }
}

/// The beginning of the names of an upload's parts.
fn folder(id: UploadId) -> String {
    format!("parts/{id}/")
}

/// A name that only these generations in this order have.
fn name_of(group: &[Stored]) -> String {
    let hash = group.iter().fold(Sha256::new(), |hash, part| {
        hash.chain_update(&part.name).chain_update("#").chain_update(&part.generation).chain_update("\n")
    });
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[async_trait]
impl LargeObjects for GcsObjects {
    async fn begin(&self, _: UploadId, _: bool) -> Result<String, ObjectError> {
        Ok(String::new())
    }

    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError> {
        self.part_doors(grant).await.map_err(unavailable)
    }

    async fn held(&self, large: &Large) -> Result<Held, ObjectError> {
        Ok(self.listed(large).await?.0)
    }

    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError> {
        let (held, parts) = self.listed(large).await?;
        if held != Held::AllParts {
            return Ok(held);
        }
        let done = self.join(large.upload_id, parts).await;
        // Whether or not it was we who did it: what is there counts.
        match (self.whole(large).await?, done) {
            (Some(whole), _) => Ok(whole),
            (None, Err(refusal)) => Err(unavailable(refusal.of(ObjectKey::Whole(large.upload_id)))),
            (None, Ok(())) => Err(unavailable("what was composed is gone")),
        }
    }

    async fn abort(&self, upload_id: UploadId, _: &str) -> Result<(), ObjectError> {
        self.remove_parts(upload_id).await.map_err(|refusal| refusal.of(ObjectKey::Whole(upload_id)))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        from: u64,
    ) -> Result<Bytestream, ObjectError> {
        self.bytes(*key, version, from).await
    }
}
