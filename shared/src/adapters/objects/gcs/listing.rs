//! What is in the bucket, and how it leaves it past getting back.

use super::{
    GcsObjects,
    api::{Listed as Page, Refusal, Stored},
};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{Area, Listed, Listing, ObjectError, Thing},
};

/// The most that is listed at once.
const MOST: usize = 1_000;

impl GcsObjects {
    pub(super) async fn list_area(
        &self,
        area: Area,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, Refusal> {
        let most = format!("&maxResults={}", limit.clamp(1, MOST));
        match area {
            Area::Staging => Ok(listing(self.api.page("staging/", &most, after).await?)),
            Area::Objects => Ok(listing(self.api.page("objects/", &most, after).await?)),
            Area::Deployment => Ok(listing(self.api.page("deployment/", &most, after).await?)),
            Area::Parts => {
                let page = self.api.page("parts/", &format!("{most}&delimiter=/"), after).await?;
                let mut listing = Listing { found: Vec::new(), next: page.next };
                listing.found.extend(page.found.iter().map(listed));
                for folder in page.prefixes {
                    listing.found.push(self.parts_in(folder).await?);
                }
                Ok(listing)
            }
        }
    }

    /// The parts of an upload as one thing, which is as old as the newest of them.
    async fn parts_in(&self, folder: String) -> Result<Listed, Refusal> {
        let parts = self.api.list(&folder).await?;
        let upload = folder.strip_prefix("parts/").and_then(|name| name.strip_suffix('/'));
        let thing = match upload.and_then(|id| id.parse().ok()) {
            Some(upload_id) => Thing::Parts { upload_id, store_id: String::new() },
            None => Thing::Foreign,
        };
        let size_bytes = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size_bytes));
        // One whose age is not known makes that of all of them unknown.
        let times: Option<Vec<i64>> = parts.iter().map(|part| part.at).collect();
        let at = times.and_then(|times| times.into_iter().max());
        Ok(Listed { thing, name: folder, size_bytes, at })
    }

    /// Removes every generation of a key.
    pub(super) async fn erase_generations(&self, key: ObjectKey) -> Result<(), ObjectError> {
        let name = key.to_string();
        let generations = self.api.generations(&name).await.map_err(|refusal| refusal.of(key))?;
        // Of the very key: others may begin like it.
        for stored in generations.iter().filter(|stored| stored.name == name) {
            match self.api.delete_generation(stored).await {
                Ok(()) | Err(Refusal::NotFound) => {}
                Err(refusal) => return Err(refusal.of(key)),
            }
        }
        Ok(())
    }
}

fn listing(page: Page) -> Listing {
    Listing { found: page.found.iter().map(listed).collect(), next: page.next }
}

fn listed(stored: &Stored) -> Listed {
    Listed {
        thing: stored.name.parse().map_or(Thing::Foreign, Thing::Object),
        name: stored.name.clone(),
        size_bytes: stored.size_bytes,
        at: stored.at,
    }
}
