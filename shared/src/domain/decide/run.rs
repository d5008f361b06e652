//! The rules in order, with the facts that an explanation is made of.

use super::{
    Action, Answer, Channel, Offer, Question, Reason, Version, World,
    judge::{Judge, Refusal},
};
use crate::domain::{
    catalogue::{Catalogue, CatalogueArtifact, CatalogueRelease, ChannelReleases, index::Target},
    policy::{Mode, resolve},
};

/// Everything that was found on the way to an answer.
#[derive(Debug)]
pub(super) struct Run<'a, 'q> {
    pub(super) judge: Judge<'a, 'q>,
    /// The releases of the channel that applies, as far as this asker may see them.
    pub(super) releases: Option<&'a ChannelReleases>,
    /// The newest candidate that was passed over because the client's version is too old for it.
    pub(super) goal: Option<&'a CatalogueRelease>,
    /// The right to go back, where rule 5 was reached and gives it.
    pub(super) way_back: Option<WayBack<'a>>,
    pub(super) answer: Answer<'a>,
}

/// The client is on a revoked release that it may leave for an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WayBack<'a> {
    /// No version below this one may be offered.
    pub(super) floor: Option<&'a Version>,
}

pub(super) fn run<'a, 'q>(world: &'q World<'a>, question: &'q Question, now: i64) -> Run<'a, 'q> {
    // 1. The policy, and with it the channel.
    let policy = resolve(&world.policies);
    let channel = policy.channel.map_or_else(|| question.asked_channel(), |set| set.value);
    let answer = |reason| Answer {
        action: Action::None,
        reason,
        channel: channel.clone(),
        offer: None,
        withheld: None,
    };
    let judge = Judge::new(world, question, policy, now);
    let mut run = Run { judge, releases: None, goal: None, way_back: None, answer: answer(Reason::UpToDate) };
    // 0. Only what is known can be updated.
    let Some(catalogue) = world.catalogue else {
        run.answer.reason = Reason::UnknownProduct;
        return run;
    };
    // 2. A pause is above everything else.
    if policy.paused.is_some() {
        run.answer.reason = Reason::Paused;
        return run;
    }
    run.releases = catalogue.channel(channel).filter(|_| !world.hidden_channels.contains(channel));
    // 3. and 4. The newest candidate that the client can take.
    if let Some(offer) = run.newer() {
        let reason = if run.goal.is_some() { Reason::StepRequired } else { Reason::NewRelease };
        run.settle(offer, reason);
        return run;
    }
    // 5. The way back.
    run.way_back = way_back(catalogue, channel, world, &question.current_version);
    match run.way_back.and_then(|back| Some((run.older()?, back.floor))) {
        Some((offer, Some(floor))) if offer.release.version.cmp_precedence(floor).is_lt() => {
            run.answer.reason = Reason::BelowMinimum;
        }
        Some((offer, _)) => run.settle(offer, Reason::Rollback),
        None => run.answer.reason = run.newest_refused().map_or(Reason::UpToDate, |refusal| refusal.reason()),
    }
    run
}

impl<'a> Run<'a, '_> {
    /// 6. What becomes of an offer.
    fn settle(&mut self, offer: Offer<'a>, reason: Reason) {
        self.answer.reason = reason;
        self.answer.action = match self.judge.policy.mode() {
            Mode::AutoInstall => Action::Install,
            Mode::DownloadOnly => Action::Download,
            Mode::NotifyOnly => Action::Notify,
            Mode::ManagedByIt => {
                self.answer.reason = Reason::ManagedByIt;
                self.answer.withheld = Some(offer);
                return;
            }
        };
        self.answer.offer = Some(offer);
    }

    fn target(&self) -> Option<Target<'a>> {
        let question = self.judge.question;
        self.releases.map(|releases| releases.target(question.platform, question.arch))
    }

    /// The newest candidate that is newer than what the client has and open to its version.
    fn newer(&mut self) -> Option<Offer<'a>> {
        let target = self.target()?;
        let newest = target.get(target.len().checked_sub(1)?)?;
        if !self.judge.is_newer(newest) {
            return None;
        }
        let mut end = self.pinned_end(target, target.len());
        while let Some(place) = end.checked_sub(1) {
            let release = target.get(place).filter(|release| self.judge.is_newer(release))?;
            match self.judge.judge(release, None) {
                Ok(artifact) => return Some(self.offer(release, artifact, false)),
                Err(Refusal::StepRequired(_)) => {
                    self.goal = self.goal.or(Some(release));
                    end = target.easier_than(place);
                }
                Err(refusal) => end = next_end(target, place, refusal)?,
            }
        }
        None
    }

    fn offer(
        &self,
        release: &'a CatalogueRelease,
        artifact: &'a CatalogueArtifact,
        allow_downgrade: bool,
    ) -> Offer<'a> {
        Offer { release, artifact, allow_downgrade, unavailable: self.judge.world.unavailable }
    }

    /// The newest candidate that is older than what the client has, whatever its floor.
    fn older(&self) -> Option<Offer<'a>> {
        let target = self.target()?;
        let current = &self.judge.question.current_version;
        let mut end = target.count(|release| release.version.cmp_precedence(current).is_lt());
        end = self.pinned_end(target, end);
        while let Some(place) = end.checked_sub(1) {
            let release = target.get(place)?;
            match self.judge.judge(release, None) {
                Ok(artifact) => return Some(self.offer(release, artifact, true)),
                Err(refusal) => end = next_end(target, place, refusal)?,
            }
        }
        None
    }

    /// How many of the oldest `end` releases are not above the pinned range.
    fn pinned_end(&self, target: Target<'a>, end: usize) -> usize {
        match self.judge.policy.pinned_range {
            Some(pin) => end.min(target.count(|release| !pin.value.is_below(&release.version))),
            None => end,
        }
    }

    /// Why the newest release that could have been offered was not.
    fn newest_refused(&self) -> Option<Refusal<'a>> {
        let releases = self.releases?;
        let newest = releases.published().last().filter(|newest| self.judge.is_newer(newest));
        let current = &self.judge.question.current_version;
        let older = || self.way_back.and_then(|_| releases.newest_below(current));
        let floor = self.way_back.and_then(|back| back.floor);
        self.judge.judge(newest.or_else(older)?, floor).err()
    }
}

/// How many of the oldest releases are left to look at after one was refused; `None` where the rest is refused too.
fn next_end(target: Target<'_>, place: usize, refusal: Refusal<'_>) -> Option<usize> {
    match refusal {
        // Releases above the pinned range were left out before, so this one is below it.
        Refusal::Pinned(_) | Refusal::BelowMinimum(_) | Refusal::BelowFloor(_) => None,
        Refusal::Blocked(block) => {
            Some(place.min(target.count(|release| block.value.is_above(&release.version))))
        }
        Refusal::Unavailable(_)
        | Refusal::NoArtifact
        | Refusal::Paused
        | Refusal::NotInRollout(_)
        | Refusal::StepRequired(_) => Some(place),
    }
}

/// The right to go back: the client's version is revoked in the channel that applies, or is not in that channel and
/// revoked in every visible channel that has it, each time with `allow_downgrade`.
///
/// A version of which one release (differing in build metadata) is still published is not revoked: a client of the
/// published one would be sent back and forth for ever. Of several floors the highest counts.
fn way_back<'a>(
    catalogue: &'a Catalogue,
    channel: &Channel,
    world: &World<'_>,
    current: &Version,
) -> Option<WayBack<'a>> {
    let visible = |name: &Channel| !world.hidden_channels.contains(name);
    let own = catalogue.channel(channel).filter(|_| visible(channel));
    if let Some(own) = own {
        if !own.published_as(current).is_empty() {
            return None;
        }
        let revoked = own.revoked_as(current);
        if !revoked.is_empty() {
            return permission(revoked.iter());
        }
    }
    let others = || catalogue.channels().filter(|(name, _)| visible(name)).map(|(_, releases)| releases);
    if others().any(|releases| !releases.published_as(current).is_empty()) {
        return None;
    }
    permission(others().flat_map(|releases| releases.revoked_as(current)))
}

fn permission<'a>(revoked: impl Iterator<Item = &'a CatalogueRelease>) -> Option<WayBack<'a>> {
    let mut back = None;
    for release in revoked {
        if !release.allow_downgrade {
            return None;
        }
        let (floor, highest) = (release.floor.as_ref(), back.and_then(|WayBack { floor }| floor));
        let floor = match (floor, highest) {
            (Some(floor), Some(highest)) if floor.cmp_precedence(highest).is_lt() => Some(highest),
            (floor, highest) => floor.or(highest),
        };
        back = Some(WayBack { floor });
    }
    back
}
