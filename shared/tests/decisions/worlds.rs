//! Small random worlds and questions, in which everything that can meet does meet.

use std::collections::HashSet;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};
use shared::domain::{
    artifact::Access,
    catalogue::{Catalogue, CatalogueArtifact, CatalogueRelease, CatalogueStatus},
    decide::{Question, World},
    digest::Sha256,
    ids::{ArtifactId, ReleaseId},
    names::Channel,
    platform::{Arch, InstallerType, Platform},
    policy::{Mode, Policy, PolicyStack},
    rollout::{Percentage, Rollout},
    version::Version,
};

/// Everything that an answer depends on.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) releases: Vec<CatalogueRelease>,
    pub(crate) policies: [Option<Policy>; 4],
    pub(crate) unavailable: HashSet<ArtifactId>,
    pub(crate) hidden: Vec<Channel>,
    pub(crate) question: Question,
    pub(crate) now: i64,
}

impl Setting {
    /// The world of this setting, over a catalogue that was made of its releases.
    pub(crate) fn world<'a>(&'a self, catalogue: &'a Catalogue) -> World<'a> {
        let [tenant_product, product, tenant, global] = self.policies.each_ref().map(Option::as_ref);
        World {
            catalogue: Some(catalogue),
            policies: PolicyStack { tenant_product, product, tenant, global },
            unavailable: &self.unavailable,
            hidden_channels: &self.hidden,
        }
    }
}

fn version() -> impl Strategy<Value = Version> {
    let text =
        (1..4_u64, 0..3_u64, select(vec!["", "", "", "-rc.1", "-rc.2"]), select(vec!["", "", "+b1", "+b2"]));
    text.prop_map(|(major, minor, pre, build)| format!("{major}.{minor}.0{pre}{build}").parse().unwrap())
}

fn channel() -> impl Strategy<Value = Channel> {
    select(vec!["stable", "stable", "stable", "beta", "lts"]).prop_map(|name| name.parse().unwrap())
}

fn artifact() -> impl Strategy<Value = CatalogueArtifact> {
    let target = prop_oneof![
        8 => Just((Platform::Windows, Arch::X86_64)),
        1 => Just((Platform::Windows, Arch::Arm64)),
        1 => Just((Platform::Linux, Arch::X86_64)),
    ];
    let kind = select(vec![InstallerType::Msi, InstallerType::Msi, InstallerType::Zip]);
    let os = prop_oneof![9 => Just(None), 1 => select(vec!["10.0", "11"]).prop_map(|text| Some(text.parse().unwrap()))];
    let end = prop_oneof![29 => Just(None), 1 => (4..7_i64).prop_map(Some)];
    (0..60_u128, target, kind, os, end).prop_map(
        |(id, (platform, arch), installer_type, min_os_version, url_expires_at)| CatalogueArtifact {
            artifact_id: ArtifactId::from_parts(0, id),
            platform,
            arch,
            installer_type,
            requires_admin: false,
            min_os_version,
            sha256: Sha256::from_bytes([0; 32]),
            size_bytes: 1,
            url: None,
            file_name: None,
            access: Access::Public,
            declared: false,
            url_expires_at,
        },
    )
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let points = prop_oneof![3 => Just(10_000_u16), 1 => Just(0), 2 => 0..=10_000_u16];
    (points, prop::bool::weighted(0.1)).prop_map(|(points, paused)| Rollout {
        percentage: Percentage::from_basis_points(points).unwrap(),
        paused,
    })
}

fn release() -> impl Strategy<Value = CatalogueRelease> {
    let marks = (
        prop::bool::weighted(0.3),
        any::<bool>(),
        option::weighted(0.3, version()),
        option::weighted(0.3, version()),
    );
    (version(), channel(), rollout(), marks, vec(artifact(), 1..4)).prop_map(
        |(version, channel, rollout, marks, artifacts)| {
            let (revoked, allow_downgrade, min_from_version, floor) = marks;
            CatalogueRelease {
                release_id: ReleaseId::from_parts(0, 0),
                version,
                channel,
                status: if revoked { CatalogueStatus::Revoked } else { CatalogueStatus::Published },
                allow_downgrade: revoked && allow_downgrade,
                rollout,
                min_from_version,
                floor,
                critical: false,
                has_notes: false,
                artifacts,
            }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let ranges = vec![
        "*",
        "^1",
        "^2",
        "<3",
        ">=2",
        "1.1.0",
        "~1.1",
        "2.*",
        ">=1.1, <2.1.0",
        "=2",
        ">1.0.0-rc.1",
        "3.0.0-rc.2",
        "<=2.0.0",
    ];
    let range = || select(ranges.clone()).prop_map(|text| text.parse().unwrap());
    (
        option::weighted(0.1, channel()),
        option::weighted(0.2, select(Mode::ALL)),
        option::weighted(0.2, range()),
        option::weighted(0.4, vec(range(), 0..2)),
        option::weighted(0.3, prop::bool::weighted(0.05)),
        option::weighted(0.15, version()),
    )
        .prop_map(|(channel, mode, pinned_range, blocked_versions, paused, min_version)| Policy {
            channel,
            mode,
            pinned_range,
            blocked_versions,
            paused,
            min_version,
        })
}

fn question() -> impl Strategy<Value = Question> {
    let types = vec(select(vec![InstallerType::Msi, InstallerType::Zip]), 0..3);
    let os = option::of(select(vec!["10.0", "11", "12.1", "eleven"]));
    let client = option::of(select(vec!["", "a", "b", "c"]));
    (version(), option::of(channel()), os, types, client, 0..20_u8).prop_map(
        |(current_version, channel, os_version, installer_types, client_id, machine)| Question {
            product_id: "editor".parse().unwrap(),
            current_version,
            channel,
            tenant_id: None,
            platform: if machine == 0 { Platform::Linux } else { Platform::Windows },
            arch: if machine == 1 { Arch::Arm64 } else { Arch::X86_64 },
            os_version: os_version.map(Into::into),
            installer_types,
            client_id: client_id.map(Into::into),
        },
    )
}

/// A random setting, with up to 16 releases.
pub(crate) fn setting() -> impl Strategy<Value = Setting> {
    let policies = [option::of(policy()), option::of(policy()), option::of(policy()), option::of(policy())];
    let unavailable = vec(0..60_u128, 0..3);
    let hidden = prop_oneof![5 => Just(vec![]), 1 => vec(channel(), 1..2)];
    let seat = option::weighted(0.6, any::<Index>());
    (vec(release(), 0..16), policies, unavailable, hidden, (question(), seat), 4..7_i64).prop_map(
        |(mut releases, policies, unavailable, hidden, (mut question, seat), now)| {
            // Most clients are on a version that was released.
            if let Some(seat) = seat.filter(|_| !releases.is_empty()) {
                question.current_version = releases[seat.index(releases.len())].version.clone();
            }
            for (random, release) in (0..).zip(&mut releases) {
                release.release_id = ReleaseId::from_parts(1, random);
            }
            let unavailable = unavailable.into_iter().map(|id| ArtifactId::from_parts(0, id)).collect();
            Setting { releases, policies, unavailable, hidden, question, now }
        },
    )
}
