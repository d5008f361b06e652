//! The catalogue of a product: pages of releases as decisions need them, each change one small write.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{
    context::Context,
    error::AppError,
    keys,
    products::Product,
    store::{Batch, Stored, unchanged},
};
use crate::{
    domain::{
        artifact::{Access, Artifact, Location, Verification},
        catalogue::{CatalogueArtifact, CatalogueRelease, CatalogueStatus},
        ids::ArtifactId,
        names::ProductId,
        release::{Release, ReleaseArtifact, ReleaseStatus},
    },
    ports::items::Expect,
};

/// How many artifacts the releases of one page name, about: a publish rewrites one page, whatever the number of releases.
const PAGE_ARTIFACTS: u32 = 128;
/// The longest external URL that a decision names itself; a longer one is reached through our download route.
const MAX_NAMED_URL: usize = 256;

/// The artifacts of a release, by id, as they are now.
pub type Artifacts = BTreeMap<ArtifactId, Stored<Artifact>>;

/// What a decision needs to know of a release.
///
/// # Errors
/// [`AppError::Internal`] where an artifact is missing.
pub fn entry(release: &Release, artifacts: &Artifacts) -> Result<CatalogueRelease, AppError> {
    let status = match release.status {
        ReleaseStatus::Revoked => CatalogueStatus::Revoked,
        ReleaseStatus::Published | ReleaseStatus::PendingArtifacts | ReleaseStatus::Rejected => {
            CatalogueStatus::Published
        }
    };
    let artifact = |part: &ReleaseArtifact| {
        let found =
            artifacts.get(&part.artifact_id).ok_or(AppError::Internal("a release without its artifact"))?;
        Ok(describe(part, &found.value))
    };
    Ok(CatalogueRelease {
        release_id: release.release_id,
        version: release.version.clone(),
        channel: release.channel.clone(),
        status,
        allow_downgrade: release.revocation.as_ref().is_some_and(|revocation| revocation.allow_downgrade),
        rollout: release.rollout,
        min_from_version: release.min_from_version.clone(),
        floor: release.floor.clone(),
        critical: release.critical,
        has_notes: release.release_notes.is_some(),
        artifacts: release.artifacts.iter().map(artifact).collect::<Result<_, AppError>>()?,
    })
}

fn describe(part: &ReleaseArtifact, artifact: &Artifact) -> CatalogueArtifact {
    let direct = artifact.access != Access::Token;
    let (url, url_expires_at) = match &artifact.location {
        Location::External { url, expires_at, private } => {
            let copied = artifact.escrow.as_ref().is_some_and(|escrow| escrow.always);
            let named = direct && !private && !copied && url.len() <= MAX_NAMED_URL;
            (Some(url).filter(|_| named).cloned(), expires_at.filter(|_| !copied))
        }
        Location::Managed { .. } => (None, None),
    };
    CatalogueArtifact {
        artifact_id: artifact.artifact_id,
        platform: part.platform,
        arch: part.arch,
        installer_type: part.installer_type,
        requires_admin: part.requires_admin,
        min_os_version: part.min_os_version.clone(),
        sha256: artifact.sha256,
        size_bytes: artifact.size_bytes,
        url,
        file_name: artifact.file_name.clone(),
        access: artifact.access,
        declared: artifact.verification == Some(Verification::Declared),
        url_expires_at,
    }
}

/// Adds a release to the catalogue, on the page that has room; the release notes which.
///
/// # Errors
/// Those of the store.
pub async fn append(
    context: &Context,
    batch: &mut Batch,
    release: &mut Release,
    artifacts: &Artifacts,
) -> Result<(), AppError> {
    let key = keys::product(&release.product_id);
    let found: Stored<Product> = context.store.get(key.clone()).await?.ok_or(AppError::NotFound)?;
    let expect = found.unchanged();
    let mut product = found.value;
    if product.pages.is_empty() || product.page_artifacts >= PAGE_ARTIFACTS {
        product.pages.push(0);
        product.page_artifacts = 0;
    }
    let named = u32::try_from(release.artifacts.len()).unwrap_or(u32::MAX);
    product.page_artifacts = product.page_artifacts.saturating_add(named);
    let number = u32::try_from(product.pages.len().saturating_sub(1)).unwrap_or(u32::MAX);
    release.page = Some(number);
    let page_key = keys::catalogue_page(&release.product_id, number);
    let page: Option<Stored<Vec<CatalogueRelease>>> = context.store.get(page_key.clone()).await?;
    let page_expect = unchanged(page.as_ref());
    let mut releases = page.map(|page| page.value).unwrap_or_default();
    releases.push(entry(release, artifacts)?);
    rewritten(&mut product, number)?;
    batch.put(key, &product, expect)?;
    batch.put(page_key, &releases, page_expect)
}

/// Brings the catalogue in step with releases that were published before and have changed: revoked, or rolled out further.
///
/// # Errors
/// Those of the store; [`AppError::Raced`] where the catalogue was read in the middle of a change.
pub async fn update(
    context: &Context,
    batch: &mut Batch,
    product_id: &ProductId,
    changed: &[Release],
) -> Result<(), AppError> {
    let key = keys::product(product_id);
    let product: Stored<Product> = context.store.get(key.clone()).await?.ok_or(AppError::NotFound)?;
    let mut pages: BTreeMap<u32, (Expect, Vec<CatalogueRelease>)> = BTreeMap::new();
    for release in changed {
        let Some(page) = release.page else { continue };
        if let Entry::Vacant(place) = pages.entry(page) {
            let stored: Option<Stored<Vec<CatalogueRelease>>> =
                context.store.get(keys::catalogue_page(product_id, page)).await?;
            let stored = stored.ok_or(AppError::Internal("a catalogue page is missing"))?;
            place.insert((stored.unchanged(), stored.value));
        }
        let listed = pages
            .get_mut(&page)
            .and_then(|(_, releases)| {
                releases.iter_mut().find(|known| known.release_id == release.release_id)
            })
            .ok_or(AppError::Raced)?;
        listed.rollout = release.rollout;
        if let Some(revocation) = &release.revocation {
            listed.status = CatalogueStatus::Revoked;
            listed.allow_downgrade = revocation.allow_downgrade;
        }
    }
    if pages.is_empty() {
        return Ok(());
    }
    let (expect, mut product) = (product.unchanged(), product.value);
    for page in pages.keys() {
        rewritten(&mut product, *page)?;
    }
    // The product's revision is a part of `seq`: it rises with everything that can alter an answer.
    batch.put(key, &product, expect)?;
    for (page, (expect, releases)) in pages {
        batch.put(keys::catalogue_page(product_id, page), &releases, expect)?;
    }
    Ok(())
}

/// Notes in the head that a page has its next revision: whoever reads pages compares.
fn rewritten(product: &mut Product, page: u32) -> Result<(), AppError> {
    let page = usize::try_from(page).ok().and_then(|page| product.pages.get_mut(page));
    let revision = page.ok_or(AppError::Internal("a catalogue page that the product does not know"))?;
    *revision = revision.saturating_add(1);
    Ok(())
}
