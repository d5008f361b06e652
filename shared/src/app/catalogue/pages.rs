//! Reading the pages of a product's catalogue: only those that have changed, and only as its head knows them.
//!
//! Pages are not read from one state with their head. The head lists the revision of each, so that a page which is
//! older or newer than its head is noticed, and a process reads again what it has not got yet: one page for a publish,
//! however many there are.

use std::collections::HashMap;

use crate::{
    app::{
        error::AppError,
        keys,
        products::Product,
        store::{Store, Stored},
    },
    domain::{
        catalogue::{Catalogue, CatalogueRelease},
        ids::ReleaseId,
    },
};

/// So many changed pages are read one by one; of more, all are read, which are fewer calls.
const ONE_BY_ONE: usize = 20;

/// Which page has which release, and at which revision each page was read.
#[derive(Debug, Default)]
pub(super) struct Pages {
    revisions: Vec<u64>,
    of: HashMap<ReleaseId, usize>,
}

/// Brings a catalogue in step with its product's head; `None` where pages and head did not fit together, which passes.
pub(super) async fn read(
    store: &Store,
    product: &Product,
    known: Option<(&Catalogue, &Pages)>,
) -> Result<Option<(Catalogue, Pages)>, AppError> {
    let nothing = (&Catalogue::default(), &Pages::default());
    let (catalogue, pages) = known.unwrap_or(nothing);
    let stale = |page: &usize| pages.revisions.get(*page) != product.pages.get(*page);
    let changed: Vec<usize> = (0..product.pages.len()).filter(stale).collect();
    let Some(read) = fetch(store, product, &changed).await? else { return Ok(None) };
    let mut next = Pages { revisions: product.pages.clone(), of: HashMap::new() };
    let mut releases = Vec::new();
    let kept = catalogue.releases().filter_map(|release| {
        let page = *pages.of.get(&release.release_id)?;
        changed.binary_search(&page).is_err().then(|| (page, release.clone()))
    });
    for (page, release) in kept.chain(read) {
        next.of.insert(release.release_id, page);
        releases.push(release);
    }
    Ok(Some((Catalogue::prepare(releases), next)))
}

/// The releases of these pages, if all of them are at the revisions that the head lists.
async fn fetch(
    store: &Store,
    product: &Product,
    changed: &[usize],
) -> Result<Option<Vec<(usize, CatalogueRelease)>>, AppError> {
    let found = if changed.len() > ONE_BY_ONE {
        let partition = keys::catalogue(&product.product_id);
        let all = store.query_all::<Vec<CatalogueRelease>>(&partition, "").await?;
        all.into_iter().map(|(_, page)| Some(page)).enumerate().collect()
    } else {
        one_by_one(store, product, changed).await?
    };
    let mut found: HashMap<usize, Option<Stored<Vec<CatalogueRelease>>>> = found;
    let mut releases = Vec::new();
    for page in changed {
        let Some(Some(stored)) = found.remove(page) else { return Ok(None) };
        if product.pages.get(*page) != Some(&stored.revision) {
            return Ok(None);
        }
        releases.extend(stored.value.into_iter().map(|release| (*page, release)));
    }
    Ok(Some(releases))
}

async fn one_by_one(
    store: &Store,
    product: &Product,
    changed: &[usize],
) -> Result<HashMap<usize, Option<Stored<Vec<CatalogueRelease>>>>, AppError> {
    let key =
        |page: &usize| keys::catalogue_page(&product.product_id, u32::try_from(*page).unwrap_or(u32::MAX));
    let wanted: Vec<_> = changed.iter().map(key).collect();
    Ok(changed.iter().copied().zip(store.get_all(&wanted).await?).collect())
}
