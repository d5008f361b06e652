//! The decision: a pure function of catalogue, policies, question and time.
//!
//! The rules carry the numbers of the documented procedure: 0 unknown product, 1 policy, 2 pause, 3 candidates,
//! 4 newest first, 5 rollback, 6 action. [`decide`] and [`explain`] both read the answer off the same run.

use std::{collections::HashSet, fmt, sync::LazyLock};

use super::{
    catalogue::{Catalogue, CatalogueArtifact, CatalogueRelease},
    ids::ArtifactId,
    names::{Channel, ProductId, TenantId},
    platform::{Arch, InstallerType, Platform},
    policy::PolicyStack,
    version::Version,
};

mod explain;
mod judge;
mod run;

pub use decision::payload::{Action, Reason};
pub use explain::{Explanation, MAX_RELEASES_SHOWN, Step, explain};

/// What a client asks: which update for this product, from this version, on this machine?
#[derive(Clone)]
pub struct Question {
    /// The product.
    pub product_id: ProductId,
    /// The version that the client has.
    pub current_version: Version,
    /// The channel that it would like; `None` means `stable`.
    pub channel: Option<Channel>,
    /// The tenant that it belongs to.
    pub tenant_id: Option<TenantId>,
    /// Its operating system.
    pub platform: Platform,
    /// Its processor.
    pub arch: Arch,
    /// Its operating system version as sent; a malformed one fits no `min_os_version`.
    pub os_version: Option<String>,
    /// The installers that it can use, the one it likes best first; empty means any.
    pub installer_types: Vec<InstallerType>,
    /// What places it in rollouts. Never printed.
    pub client_id: Option<String>,
}

impl Question {
    /// The channel that is asked for, `stable` where none is.
    pub fn asked_channel(&self) -> &Channel {
        static STABLE: LazyLock<Channel> = LazyLock::new(Channel::stable);
        self.channel.as_ref().unwrap_or(&STABLE)
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("product_id", &self.product_id)
            .field("current_version", &self.current_version)
            .field("channel", &self.channel)
            .field("tenant_id", &self.tenant_id)
            .field("platform", &self.platform)
            .field("arch", &self.arch)
            .field("os_version", &self.os_version)
            .field("installer_types", &self.installer_types)
            .field("client_id", &self.client_id.as_ref().map(|_| "…"))
            .finish()
    }
}

/// Everything that is known when a question is answered.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// The product's releases; `None` where there is no such product.
    pub catalogue: Option<&'a Catalogue>,
    /// The policies that bear on the question.
    pub policies: PolicyStack<'a>,
    /// The artifacts that are not AVAILABLE.
    pub unavailable: &'a HashSet<ArtifactId>,
    /// The restricted channels that this asker may not see: they look empty, in every rule.
    pub hidden_channels: &'a [Channel],
}

/// A release that a client may take, with the artifact for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The release.
    pub release: &'a CatalogueRelease,
    /// The artifact of the release that fits the client.
    pub artifact: &'a CatalogueArtifact,
    /// Whether the release is older than what the client has, and that is intended.
    pub allow_downgrade: bool,
    /// What is withheld or given from elsewhere.
    pub unavailable: &'a HashSet<ArtifactId>,
}

impl Offer<'_> {
    /// Whether clients are given our copy of an artifact and not its original.
    pub fn is_from_copy(&self, artifact: &CatalogueArtifact) -> bool {
        self.unavailable.contains(&of_copy(artifact.artifact_id))
    }
}

/// What stands for the copy of an artifact among what is withheld: the original is, and the copy is not. No artifact has
/// such an id, since its time is ages away.
pub fn of_copy(id: ArtifactId) -> ArtifactId {
    let bits = !id.to_bits();
    ArtifactId::from_parts(u64::try_from(bits >> 80).unwrap_or(u64::MAX), bits)
}

/// What a client should do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The channel that applied: the policy's, else the one asked for.
    pub channel: Channel,
    /// What to take; present exactly where the action is not [`Action::None`].
    pub offer: Option<Offer<'a>>,
    /// What would have been offered, were the client not managed by its IT department.
    pub withheld: Option<Offer<'a>>,
}

/// Answers a question at a time (Unix seconds).
///
/// The same input always gives the same answer. The time counts only for URLs that end.
pub fn decide<'a>(world: &World<'a>, question: &Question, now_unix: i64) -> Answer<'a> {
    run::run(world, question, now_unix).answer
}
