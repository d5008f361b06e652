//! Which questions and answers one signed token serves.

use decision::payload::{Action, Reason};

use crate::{
    app::signing::Ready,
    domain::{
        decide::{Answer, Offer, Question},
        ids::{ArtifactId, ReleaseId},
        names::{Channel, ProductId, TenantId},
        platform::{Arch, InstallerType, Platform},
        version::Version,
    },
};

/// Everything that a payload without nonce is made from, but its id and times: one token serves a whole class.
///
/// A release never changes and `seq` rises with everything that moves, so ids stand for what they name. What was signed
/// under another epoch is another class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Class {
    product_id: ProductId,
    channel: Channel,
    platform: Platform,
    arch: Arch,
    from_version: Version,
    tenant_id: Option<TenantId>,
    epoch: u64,
    seq: u64,
    /// What signs, where signing is free: what another hand has signed is another class. Where each signature is a call,
    /// `None`: a token is served as long as clients believe the key that signed it.
    hand: Option<u64>,
    action: Action,
    reason: Reason,
    /// One artifact may stand in several entries of a release, which differ in the last two.
    offer: Option<(ReleaseId, bool, ArtifactId, InstallerType, bool)>,
}

impl Class {
    pub(super) fn of(
        question: &Question,
        answer: &Answer<'_>,
        seq: u64,
        (ready, scarce): (&Ready, bool),
    ) -> Self {
        let offered = |offer: &Offer<'_>| {
            let (release, part) = (offer.release.release_id, offer.artifact);
            (release, offer.allow_downgrade, part.artifact_id, part.installer_type, part.requires_admin)
        };
        Self {
            product_id: question.product_id.clone(),
            channel: question.asked_channel().clone(),
            platform: question.platform,
            arch: question.arch,
            from_version: question.current_version.clone(),
            tenant_id: question.tenant_id.clone(),
            epoch: ready.epoch,
            seq,
            hand: (!scarce).then(|| ready.hand_number()),
            action: answer.action,
            reason: answer.reason,
            offer: answer.offer.as_ref().map(offered),
        }
    }
}
