//! The documented procedure, word by word: linear, slow, and without anything prepared.

use shared::domain::{
    catalogue::{CatalogueArtifact, CatalogueRelease, CatalogueStatus},
    decide::{Action, Answer, Question, Reason, World},
    ids::{ArtifactId, ReleaseId},
    names::Channel,
    platform::OsVersion,
    policy::{Mode, Policy},
    range::Range,
    rollout::bucket,
    version::Version,
};

/// An answer without what it borrows: action, reason, channel, and what is offered or withheld.
pub(crate) type Outline = (Action, Reason, Channel, Option<(ReleaseId, ArtifactId, bool)>, bool);

/// The outline of an answer.
pub(crate) fn outline(answer: &Answer<'_>) -> Outline {
    assert_eq!(answer.offer.is_some(), answer.action != Action::None);
    assert!(answer.offer.is_none() || answer.withheld.is_none());
    let told = answer.offer.or(answer.withheld);
    let told =
        told.map(|offer| (offer.release.release_id, offer.artifact.artifact_id, offer.allow_downgrade));
    (answer.action, answer.reason, answer.channel.clone(), told, answer.withheld.is_some())
}

struct Rules<'a> {
    levels: Vec<&'a Policy>,
    world: &'a World<'a>,
    question: &'a Question,
    now: i64,
}

fn older(left: &Version, right: &Version) -> bool {
    left.cmp_precedence(right).is_lt()
}

impl<'a> Rules<'a> {
    fn field<T>(&self, read: impl Fn(&'a Policy) -> Option<T>) -> Option<T> {
        self.levels.iter().find_map(|policy| read(policy))
    }

    fn quarantined(&self, release: &CatalogueRelease) -> bool {
        release.artifacts.iter().any(|artifact| {
            self.world.unavailable.contains(&artifact.artifact_id)
                || artifact.url_expires_at.is_some_and(|end| end <= self.now)
        })
    }

    fn artifact(&self, release: &'a CatalogueRelease) -> Option<&'a CatalogueArtifact> {
        let own = self.question.os_version.as_ref().and_then(|text| text.parse::<OsVersion>().ok());
        let mut fitting = Vec::new();
        for (place, artifact) in release.artifacts.iter().enumerate() {
            let runs = match (&artifact.min_os_version, &own) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(minimum), Some(own)) => minimum.compare(own).is_le(),
            };
            let types = &self.question.installer_types;
            let wish = types.iter().position(|wish| *wish == artifact.installer_type);
            let wish = if types.is_empty() { Some(0) } else { wish };
            if artifact.platform == self.question.platform && artifact.arch == self.question.arch && runs {
                fitting.extend(wish.map(|wish| ((wish, place), artifact)));
            }
        }
        fitting.into_iter().min_by_key(|(rank, _)| *rank).map(|(_, artifact)| artifact)
    }

    fn pinned_out(&self, release: &CatalogueRelease) -> bool {
        self.field(|policy| policy.pinned_range.as_ref())
            .is_some_and(|pin: &Range| !pin.contains(&release.version))
    }

    fn blocked(&self, release: &CatalogueRelease) -> bool {
        let mut ranges = self.levels.iter().flat_map(|policy| policy.blocked_versions.iter().flatten());
        ranges.any(|range| range.contains(&release.version))
    }

    fn below_minimum(&self, release: &CatalogueRelease) -> bool {
        self.field(|policy| policy.min_version.as_ref())
            .is_some_and(|minimum| older(&release.version, minimum))
    }

    fn in_rollout(&self, release: &CatalogueRelease) -> bool {
        let points = release.rollout.percentage.basis_points();
        match self.question.client_id.as_deref() {
            None | Some("") => points == 10_000,
            Some(id) => bucket(release.release_id, id) < points,
        }
    }

    fn candidate(&self, release: &'a CatalogueRelease) -> Option<&'a CatalogueArtifact> {
        let out = self.quarantined(release)
            || self.pinned_out(release)
            || self.blocked(release)
            || self.below_minimum(release)
            || release.rollout.paused
            || !self.in_rollout(release);
        self.artifact(release).filter(|_| !out)
    }

    fn too_old_for(&self, release: &CatalogueRelease) -> bool {
        let start = release.min_from_version.as_ref();
        start.is_some_and(|start| older(&self.question.current_version, start))
    }

    fn reason(&self, release: &'a CatalogueRelease, floor: Option<&Version>) -> Reason {
        let newer = older(&self.question.current_version, &release.version);
        let below_floor = !newer && floor.is_some_and(|floor| older(&release.version, floor));
        let in_order = [
            (self.quarantined(release), Reason::ArtifactQuarantined),
            (self.artifact(release).is_none(), Reason::NoCompatibleArtifact),
            (self.pinned_out(release), Reason::Pinned),
            (self.blocked(release), Reason::Blocked),
            (self.below_minimum(release) || below_floor, Reason::BelowMinimum),
            (release.rollout.paused, Reason::Paused),
            (!self.in_rollout(release), Reason::NotInRollout),
            (newer && self.too_old_for(release), Reason::StepRequired),
        ];
        in_order
            .iter()
            .find(|(fails, _)| *fails)
            .map(|(_, reason)| *reason)
            .expect("the release could be offered")
    }
}

/// Answers a question from the unsorted releases of the product; `None` is an unknown product.
pub(crate) fn answer(
    releases: Option<&[CatalogueRelease]>,
    world: &World<'_>,
    question: &Question,
    now: i64,
) -> Outline {
    let stack = world.policies;
    let levels =
        [stack.tenant_product, stack.product, stack.tenant, stack.global].into_iter().flatten().collect();
    let rules = Rules { levels, world, question, now };
    let asked = question.channel.clone().unwrap_or_else(Channel::stable);
    let channel = rules.field(|policy| policy.channel.clone()).unwrap_or(asked);
    let none = |reason| (Action::None, reason, channel.clone(), None, false);
    let Some(all) = releases else { return none(Reason::UnknownProduct) };
    if rules.levels.iter().any(|policy| policy.paused == Some(true)) {
        return none(Reason::Paused);
    }
    let current = &question.current_version;
    let all: Vec<_> =
        all.iter().filter(|release| !world.hidden_channels.contains(&release.channel)).collect();
    let mut published: Vec<&CatalogueRelease> =
        all.iter().copied().filter(|release| release.channel == channel).collect();
    published.retain(|release| release.status == CatalogueStatus::Published);
    published.sort_by(|a, b| b.version.cmp_precedence(&a.version).then(b.release_id.cmp(&a.release_id)));
    let offer = |release: &CatalogueRelease, artifact: &CatalogueArtifact, reason, down| {
        let told = Some((release.release_id, artifact.artifact_id, down));
        match rules.field(|policy| policy.mode).unwrap_or(Mode::AutoInstall) {
            Mode::AutoInstall => (Action::Install, reason, channel.clone(), told, false),
            Mode::DownloadOnly => (Action::Download, reason, channel.clone(), told, false),
            Mode::NotifyOnly => (Action::Notify, reason, channel.clone(), told, false),
            Mode::ManagedByIt => (Action::None, Reason::ManagedByIt, channel.clone(), told, true),
        }
    };
    let mut reason = Reason::NewRelease;
    for release in published.iter().filter(|release| older(current, &release.version)) {
        match rules.candidate(release) {
            Some(_) if rules.too_old_for(release) => reason = Reason::StepRequired,
            Some(artifact) => return offer(release, artifact, reason, false),
            None => {}
        }
    }
    let back = way_back(&all, &channel, current);
    if let Some(floor) = back {
        let mut older_ones = published.iter().filter(|release| older(&release.version, current));
        let found = older_ones.find_map(|release| Some((release, rules.candidate(release)?)));
        match found {
            Some((release, _)) if floor.is_some_and(|floor| older(&release.version, floor)) => {
                return none(Reason::BelowMinimum);
            }
            Some((release, artifact)) => return offer(release, artifact, Reason::Rollback, true),
            None => {}
        }
    }
    let counts = |release: &&&CatalogueRelease| {
        older(current, &release.version) || (back.is_some() && older(&release.version, current))
    };
    let newest = published.iter().find(counts);
    none(newest.map_or(Reason::UpToDate, |newest| rules.reason(newest, back.flatten())))
}

/// The floor of the revoked release that the client is on, where it may go back at all.
fn way_back<'a>(
    all: &[&'a CatalogueRelease],
    channel: &Channel,
    current: &Version,
) -> Option<Option<&'a Version>> {
    let mut own: Vec<&CatalogueRelease> =
        all.iter().copied().filter(|release| release.version.same_release(current)).collect();
    if own.iter().any(|release| release.channel == *channel) {
        own.retain(|release| release.channel == *channel);
    }
    let revoked =
        |release: &&CatalogueRelease| release.status == CatalogueStatus::Revoked && release.allow_downgrade;
    let allowed = !own.is_empty() && own.iter().all(revoked);
    let floors = own.iter().filter_map(|release| release.floor.as_ref());
    allowed.then(|| floors.max_by(|a, b| a.cmp_precedence(b)))
}
