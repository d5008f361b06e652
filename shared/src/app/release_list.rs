//! Reading a product's releases: page by page, and the latest.

use serde::{Deserialize, Serialize};

use super::{
    context::{Caller, Context},
    error::AppError,
    keys, products, releases,
    store::Stored,
};
use crate::{
    domain::{
        catalogue::{CatalogueRelease, CatalogueStatus},
        ids::ReleaseId,
        names::{Channel, ProductId},
        release::{Release, ReleaseStatus},
    },
    ports::items::Query,
};

/// What the list of a product's releases knows of each.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Its channel.
    pub(super) channel: Channel,
}

/// How many releases one page looks at, at most: a rare filter answers with a short page and a cursor.
const MAX_SCANNED: usize = 2_000;

/// Which releases of a product are wanted.
#[derive(Debug, Default)]
pub struct Filter {
    /// In this channel.
    pub channel: Option<Channel>,
    /// With this status.
    pub status: Option<ReleaseStatus>,
    /// Beyond this release.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Releases of a product from the newest made to the oldest, and the sort key to go on from.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn list(
    context: &Context,
    caller: &Caller,
    product: &ProductId,
    filter: &Filter,
) -> Result<(Vec<Release>, Option<String>), AppError> {
    products::find(context, caller, product).await?;
    let mut query = Query {
        partition: keys::of_product(product),
        prefix: keys::RELEASE.into(),
        after: filter.after.clone(),
        limit: 100,
        descending: true,
    };
    let (mut releases, mut scanned) = (Vec::new(), 0_usize);
    loop {
        let page = context.store.query::<Listed>(&query).await?;
        let exhausted = page.len() < query.limit;
        for (sort, listed) in page {
            scanned = scanned.saturating_add(1);
            let id: Option<ReleaseId> = sort.strip_prefix(keys::RELEASE).and_then(|id| id.parse().ok());
            query.after = Some(sort);
            if scanned >= MAX_SCANNED {
                return Ok((releases, query.after));
            }
            let wanted = filter.channel.as_ref().is_none_or(|channel| *channel == listed.value.channel);
            let Some(id) = id.filter(|_| wanted) else { continue };
            let Some(Stored { value: release, .. }) = context.store.get::<Release>(keys::release(id)).await?
            else {
                continue;
            };
            if filter.status.is_none_or(|status| status == release.status) {
                releases.push(release);
            }
            if releases.len() >= filter.limit {
                return Ok((releases, query.after));
            }
        }
        if exhausted {
            return Ok((releases, None));
        }
    }
}

/// The published release with the highest version in a channel.
///
/// # Errors
/// [`AppError::NotFound`] where there is none, and those of the store.
pub async fn latest(
    context: &Context,
    caller: &Caller,
    product: &ProductId,
    channel: &Channel,
) -> Result<Release, AppError> {
    products::find(context, caller, product).await?;
    let pages = context.store.query_all::<Vec<CatalogueRelease>>(&keys::catalogue(product), "").await?;
    let published =
        |entry: &CatalogueRelease| entry.channel == *channel && entry.status == CatalogueStatus::Published;
    let newest = pages
        .into_iter()
        .flat_map(|(_, page)| page.value)
        .filter(published)
        .max_by(|a, b| a.version.cmp_precedence(&b.version))
        .ok_or(AppError::NotFound)?;
    Ok(releases::find(context, caller, newest.release_id).await?.value)
}
