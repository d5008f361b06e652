//! The releases of one channel, sorted, with what each kind of client can install found beforehand.

use std::cmp::Ordering;

use super::{Arch, CatalogueRelease, CatalogueStatus, Platform, Version};

/// The releases of one channel, from the oldest version to the newest.
#[derive(Debug, Clone, Default)]
pub struct ChannelReleases {
    published: Vec<CatalogueRelease>,
    revoked: Vec<CatalogueRelease>,
    targets: Vec<((Platform, Arch), Vec<Entry>)>,
}

/// A published release that has an artifact for a platform and architecture.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its place among the published releases.
    at: usize,
    /// How many of the older entries remain, after those that demand as high a version to start from.
    easier: usize,
}

impl ChannelReleases {
    pub(super) fn prepare(mut releases: Vec<CatalogueRelease>) -> Self {
        releases.sort_by(|a, b| a.version.cmp_precedence(&b.version).then(a.release_id.cmp(&b.release_id)));
        let (published, revoked): (Vec<_>, Vec<_>) =
            releases.into_iter().partition(|release| release.status == CatalogueStatus::Published);
        let targets =
            Platform::ALL.iter().flat_map(|platform| Arch::ALL.iter().map(move |arch| (*platform, *arch)));
        let targets = targets.map(|target| (target, entries(&published, target)));
        let targets = targets.filter(|(_, entries)| !entries.is_empty()).collect();
        Self { published, revoked, targets }
    }

    /// The published releases, from the oldest version to the newest.
    pub fn published(&self) -> &[CatalogueRelease] {
        &self.published
    }

    /// The revoked releases, from the oldest version to the newest.
    pub fn revoked(&self) -> &[CatalogueRelease] {
        &self.revoked
    }

    /// The published releases of this version, build metadata aside.
    pub fn published_as(&self, version: &Version) -> &[CatalogueRelease] {
        same(&self.published, version)
    }

    /// The revoked releases of this version, build metadata aside.
    pub fn revoked_as(&self, version: &Version) -> &[CatalogueRelease] {
        same(&self.revoked, version)
    }

    /// Whether a release has exactly this version, build metadata included.
    pub(super) fn has_version(&self, version: &Version) -> bool {
        let mut same = self.published_as(version).iter().chain(self.revoked_as(version));
        same.any(|release| release.version == *version)
    }

    /// The newest published release that is older than the version.
    pub fn newest_below(&self, version: &Version) -> Option<&CatalogueRelease> {
        let below = self.published.partition_point(|release| release.version.cmp_precedence(version).is_lt());
        self.published.get(below.checked_sub(1)?)
    }

    /// The published releases that have an artifact for this platform and architecture.
    pub fn target(&self, platform: Platform, arch: Arch) -> Target<'_> {
        let entries = self.targets.iter().find(|(target, _)| *target == (platform, arch));
        Target { published: &self.published, entries: entries.map_or(&[], |(_, entries)| entries) }
    }
}

fn same<'a>(releases: &'a [CatalogueRelease], version: &Version) -> &'a [CatalogueRelease] {
    let order = |release: &CatalogueRelease| release.version.cmp_precedence(version);
    let from = match releases.last().map(order) {
        None | Some(Ordering::Less) => releases.len(),
        // Most clients are on the newest release of all: nothing to search.
        Some(Ordering::Equal) => {
            let length = releases.iter().rev().take_while(|release| order(release).is_eq()).count();
            releases.len().saturating_sub(length)
        }
        Some(Ordering::Greater) => releases.partition_point(|release| order(release).is_lt()),
    };
    let rest = releases.get(from..).unwrap_or_default();
    let length = rest.iter().take_while(|release| order(release).is_eq()).count();
    rest.get(..length).unwrap_or_default()
}

fn entries(published: &[CatalogueRelease], (platform, arch): (Platform, Arch)) -> Vec<Entry> {
    let fits = |release: &CatalogueRelease| {
        release.artifacts.iter().any(|artifact| artifact.platform == platform && artifact.arch == arch)
    };
    let mut entries = Vec::new();
    // Older entries, each with a lower demand than the one after it: the last is the nearest that demands less.
    let mut lower: Vec<(usize, &CatalogueRelease)> = Vec::new();
    for (at, release) in published.iter().enumerate().filter(|(_, release)| fits(release)) {
        while lower.pop_if(|(_, other)| demand(other, release).is_ge()).is_some() {}
        let easier = lower.last().map_or(0, |(place, _)| place.saturating_add(1));
        lower.push((entries.len(), release));
        entries.push(Entry { at, easier });
    }
    entries
}

/// Compares how high a version a client must have to take the release in one step.
fn demand(left: &CatalogueRelease, right: &CatalogueRelease) -> Ordering {
    match (&left.min_from_version, &right.min_from_version) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(left), Some(right)) => left.cmp_precedence(right),
    }
}

/// The published releases of a channel with an artifact for one platform and architecture, by place from the oldest.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    published: &'a [CatalogueRelease],
    entries: &'a [Entry],
}

impl<'a> Target<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The release at a place.
    pub fn get(&self, place: usize) -> Option<&'a CatalogueRelease> {
        self.entries.get(place).and_then(|entry| self.published.get(entry.at))
    }

    /// How many of the oldest releases satisfy `older`, which must hold up to some version and no further.
    pub fn count(&self, older: impl Fn(&CatalogueRelease) -> bool) -> usize {
        self.entries.partition_point(|entry| self.published.get(entry.at).is_some_and(&older))
    }

    /// How many of the releases older than this place may be open to a client that is too old for the one here.
    pub fn easier_than(&self, place: usize) -> usize {
        self.entries.get(place).map_or(0, |entry| entry.easier)
    }
}
