//! What is in the directory. Everything here blocks.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use super::{
    disk::{Disk, Meta, if_found},
    draft::{DATA, META},
};
use crate::ports::objects::{Area, Listed, Listing, Thing};

impl Disk {
    /// What is in an area, in the order of the names. The folders of uploads are read one by one, as many as are wanted.
    pub(super) fn list(&self, area: Area, after: Option<&str>, limit: usize) -> io::Result<Listing> {
        let area_name = match area {
            Area::Staging => "staging",
            Area::Objects => "objects",
            Area::Parts => "parts",
            Area::Deployment => "deployment",
        };
        let mut found = Vec::new();
        for upload in names(&self.root.join(area_name))? {
            let folder = format!("{area_name}/{upload}");
            // Whatever is under a folder of an upload comes right after it, in this order.
            if after
                .is_some_and(|after| folder.as_str() <= after && !after.starts_with(&format!("{folder}/")))
            {
                continue;
            }
            let inside = match area {
                Area::Staging | Area::Deployment => self.listed(&folder)?.into_iter().collect(),
                Area::Objects => self.objects_in(&folder)?,
                Area::Parts => self.parts_in(&folder, &upload)?.into_iter().collect(),
            };
            found.extend(
                inside.into_iter().filter(|listed| after.is_none_or(|after| listed.name.as_str() > after)),
            );
            if found.len() > limit {
                found.truncate(limit);
                let next = found.last().map(|last| last.name.clone());
                return Ok(Listing { found, next });
            }
        }
        Ok(Listing { found, next: None })
    }

    fn objects_in(&self, folder: &str) -> io::Result<Vec<Listed>> {
        if if_found(fs::metadata(self.root.join(folder)))?.is_some_and(|place| !place.is_dir()) {
            return Ok(self.listed(folder)?.into_iter().collect());
        }
        let mut found = Vec::new();
        for name in names(&self.root.join(folder))? {
            found.extend(self.listed(&format!("{folder}/{name}"))?);
        }
        Ok(found)
    }

    /// The parts of an upload as one thing, which is as old as the newest of them.
    fn parts_in(&self, folder: &str, upload: &str) -> io::Result<Option<Listed>> {
        let parts = self.objects_in(folder)?;
        let Ok(upload_id) = upload.parse() else { return self.listed(folder) };
        let size_bytes = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size_bytes));
        // One whose age is not known makes that of all of them unknown.
        let times: Option<Vec<i64>> = parts.iter().map(|part| part.at).collect();
        let at = times.and_then(|times| times.into_iter().max());
        let thing = Thing::Parts { upload_id, store_id: String::new() };
        Ok(Some(Listed { thing, name: folder.to_owned(), size_bytes, at }))
    }

    /// What is at a place; nothing where it went away meanwhile.
    fn listed(&self, name: &str) -> io::Result<Option<Listed>> {
        let place = self.root.join(name);
        if if_found(fs::metadata(&place))?.is_none() {
            return Ok(None);
        }
        let meta = if_found(fs::read(place.join(META)))?;
        let meta = meta.and_then(|text| serde_json::from_slice::<Meta>(&text).ok());
        let data = if_found(fs::metadata(place.join(DATA)))?;
        let at = match &meta {
            Some(meta) if meta.stored_at > 0 => Some(meta.stored_at),
            Some(_) | None => data.as_ref().map(|data| data.mtime().saturating_mul(1_000)),
        };
        let thing = name.parse().map_or(Thing::Foreign, Thing::Object);
        let size_bytes = data.map_or(0, |data| data.len());
        Ok(Some(Listed { thing, name: name.to_owned(), size_bytes, at }))
    }
}

/// The names in a folder, in order; none where it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = if_found(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}
