//! What is in the bucket, and how it leaves it past getting back.

use aws_sdk_s3::{primitives::DateTime, types::MultipartUpload};

use super::{Lack, S3Objects, not_known, unavailable};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{Area, Listed, Listing, ObjectError, Thing},
};

/// The most that S3 lists at once.
const MOST: usize = 1_000;

fn at(time: Option<&DateTime>) -> Option<i64> {
    time.and_then(|time| time.to_millis().ok())
}

fn page(limit: usize) -> i32 {
    i32::try_from(limit.clamp(1, MOST)).unwrap_or(1)
}

impl S3Objects {
    pub(super) async fn list_area(
        &self,
        area: Area,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, ObjectError> {
        match area {
            Area::Staging => self.list_objects("staging/", after, limit).await,
            Area::Objects => self.list_objects("objects/", after, limit).await,
            Area::Parts => self.list_begun(after, limit).await,
            Area::Deployment => self.list_objects("deployment/", after, limit).await,
        }
    }

    /// What is there now. What was deleted, and is kept as an older version for a while, is not.
    async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, ObjectError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let request = request.max_keys(page(limit)).set_start_after(after.map(str::to_owned));
        let answer = request.send().await.map_err(unavailable)?;
        let mut found = Vec::new();
        for object in answer.contents() {
            let name =
                object.key().ok_or_else(|| unavailable("the object store listed an object without key"))?;
            found.push(Listed {
                thing: name.parse().map_or(Thing::Foreign, Thing::Object),
                name: name.to_owned(),
                size_bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                at: at(object.last_modified()),
            });
        }
        let more = answer.is_truncated().unwrap_or(false);
        let next = found.last().filter(|_| more).map(|last| last.name.clone());
        Ok(Listing { found, next })
    }

    /// The uploads in parts that were begun and not put together. S3 does not tell what their parts take up.
    async fn list_begun(&self, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let (key, id) = after.and_then(|after| after.split_once('\n')).unzip();
        let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix("objects/");
        let request = request.max_uploads(page(limit));
        let request =
            request.set_key_marker(key.map(str::to_owned)).set_upload_id_marker(id.map(str::to_owned));
        let answer = request.send().await.map_err(unavailable)?;
        let found = answer.uploads().iter().map(begun).collect();
        let markers = answer.next_key_marker().zip(answer.next_upload_id_marker());
        let next = markers.filter(|_| answer.is_truncated().unwrap_or(false));
        Ok(Listing { found, next: next.map(|(key, id)| format!("{key}\n{id}")) })
    }

    /// Removes every version of a key, and whatever hides it; what there is where the store knows no versions.
    pub(super) async fn erase_versions(&self, key: ObjectKey) -> Result<(), ObjectError> {
        let name = key.to_string();
        if self.lacks(Lack::Versions) {
            return self.erase(&name, None).await;
        }
        let mut from: (Option<String>, Option<String>) = (None, None);
        loop {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(&name);
            let request = request.set_key_marker(from.0.take()).set_version_id_marker(from.1.take());
            let answer = match request.send().await {
                Err(error) if not_known(&error) && self.may_lack(Lack::Versions) => {
                    self.erase(&name, None).await?;
                    self.note(Lack::Versions);
                    return Ok(());
                }
                answer => answer.map_err(unavailable)?,
            };
            let versions = answer.versions().iter().map(|version| (version.key(), version.version_id()));
            let markers = answer.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
            // Of the very key: others may begin like it.
            let own = versions.chain(markers).filter(|(found, _)| *found == Some(name.as_str()));
            for (_, version) in own {
                self.erase(&name, version).await?;
            }
            if !answer.is_truncated().unwrap_or(false) {
                return Ok(());
            }
            from = (answer.next_key_marker, answer.next_version_id_marker);
        }
    }

    async fn erase(&self, name: &str, version: Option<&str>) -> Result<(), ObjectError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(name);
        request.set_version_id(version.map(str::to_owned)).send().await.map(drop).map_err(unavailable)
    }
}

fn begun(upload: &MultipartUpload) -> Listed {
    let name = upload.key().unwrap_or_default().to_owned();
    let thing = match (name.parse(), upload.upload_id()) {
        (Ok(ObjectKey::Whole(upload_id)), Some(id)) => Thing::Parts { upload_id, store_id: id.to_owned() },
        // A copy that we were writing, and of which nobody was told that it was given up.
        (Ok(key @ ObjectKey::Escrow(..)), Some(id)) => Thing::Draft { key, store_id: id.to_owned() },
        _ => Thing::Foreign,
    };
    Listed { thing, name, size_bytes: 0, at: at(upload.initiated()) }
}
