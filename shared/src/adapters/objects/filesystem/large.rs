//! Parts in the directory, and what they are put together to. Everything of `Disk` here blocks.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
};

use async_trait::async_trait;

use super::{
    FilesystemObjects,
    disk::{Disk, Meta, if_found},
    draft::Draft,
    reading::chunks,
    stat_of, unavailable,
};
use crate::{
    domain::{ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::{Bytestream, Held, Large, LargeObjects, PartDoors, PartsGrant},
        objects::ObjectError,
    },
};

/// How much is read at once by whoever hashes: fewer and larger pieces take less time beside the hash.
const READ_BYTES: u64 = 1 << 20;

impl Disk {
    /// Puts a sealed draft in its place, whatever was there; `false` where another came at the same time.
    pub(super) fn replace(&self, draft: Draft, key: ObjectKey) -> io::Result<bool> {
        self.remove(key)?;
        self.publish(draft, key)
    }

    fn whole(&self, large: &Large) -> io::Result<Option<Held>> {
        Ok(self.look(ObjectKey::Whole(large.upload_id))?.map(|whole| Held::Whole(stat_of(&whole))))
    }

    /// What there is where not all parts are: somebody else may just have put them together and removed them.
    fn whole_or(&self, large: &Large, held: Held) -> io::Result<Held> {
        Ok(self.whole(large)?.unwrap_or(held))
    }

    fn held(&self, large: &Large) -> io::Result<Held> {
        if let Some(whole) = self.whole(large)? {
            return Ok(whole);
        }
        let mut found = BTreeMap::new();
        for number in 1..=large.cut.part_count {
            if let Some(part) = self.look(ObjectKey::Part(large.upload_id, number))? {
                found.insert(number, part.size_bytes);
            }
        }
        match Held::of_parts(large, &found) {
            Held::AllParts => Ok(Held::AllParts),
            held => self.whole_or(large, held),
        }
    }

    /// Copies the parts one after another, within the system where it can; whoever proves the digest reads them anyway.
    fn assemble(&self, large: &Large) -> io::Result<Held> {
        let held = self.held(large)?;
        if held != Held::AllParts {
            return Ok(held);
        }
        let draft = self.draft()?;
        let mut whole = File::create_new(draft.data())?;
        let (mut size_bytes, mut stored_at) = (0_u64, 0);
        for number in 1..=large.cut.part_count {
            let key = ObjectKey::Part(large.upload_id, number);
            let (Some(meta), Some(mut part)) = (self.look(key)?, self.part(key, None)?) else {
                // Or it is just being put again.
                return self.whole_or(large, Held::Lacks(vec![number]));
            };
            stored_at = meta.stored_at.max(stored_at);
            size_bytes = size_bytes.saturating_add(io::copy(&mut part.0, &mut whole)?);
        }
        whole.sync_all()?;
        draft.seal(&Meta { size_bytes, sha256: None, stored_at })?;
        self.publish(draft, ObjectKey::Whole(large.upload_id))?;
        self.remove_parts(large.upload_id)?;
        self.held(large)
    }

    fn remove_parts(&self, id: UploadId) -> io::Result<()> {
        let trash = self.fresh_path()?;
        match if_found(fs::rename(self.parts(id), &trash))? {
            None => Ok(()),
            Some(()) => fs::remove_dir_all(trash),
        }
    }
}

#[async_trait]
impl LargeObjects for FilesystemObjects {
    async fn begin(&self, _: UploadId, _: bool) -> Result<String, ObjectError> {
        Ok(String::new())
    }

    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError> {
        Ok(self.urls.parts(grant))
    }

    async fn held(&self, large: &Large) -> Result<Held, ObjectError> {
        let large = large.clone();
        self.on_disk(move |disk| disk.held(&large)).await.map_err(unavailable)
    }

    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError> {
        let large = large.clone();
        self.on_disk(move |disk| disk.assemble(&large)).await.map_err(unavailable)
    }

    async fn abort(&self, upload_id: UploadId, _: &str) -> Result<(), ObjectError> {
        self.on_disk(move |disk| disk.remove_parts(upload_id)).await.map_err(unavailable)
    }

    async fn read(&self, key: &ObjectKey, _: Option<&str>, from: u64) -> Result<Bytestream, ObjectError> {
        let key = *key;
        let rest = self.on_disk(move |disk| disk.rest(key, from)).await.map_err(unavailable)?;
        let (file, left) = rest.ok_or(ObjectError::NotFound(key))?;
        Ok(chunks(file, left, READ_BYTES))
    }
}
