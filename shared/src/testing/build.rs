//! What use cases are given, ready to be changed in any part.

use std::{collections::BTreeMap, sync::Arc};

use sha2::Digest;

use super::time::{CountingEntropy, TestClock};
use crate::{
    app::{
        context::{Caller, Context, Repository, Settings},
        register::Registration,
        releases::NewRelease,
        store::Store,
        uploads::Initiation,
    },
    domain::{
        artifact::Access,
        decide::Question,
        digest::Sha256,
        external_url::{RepositoryPrefix, UrlRules},
        ids::{ArtifactId, TokenId},
        names::Channel,
        platform::{Arch, InstallerType, Platform},
        release::ReleaseArtifact,
        rollout::Rollout,
        token::Scope,
    },
    ports::{
        clock::{Clock, Ids},
        items::Items,
    },
};

/// The settings of a deployment that configures nothing.
pub fn settings() -> Settings {
    Settings {
        base_url: "https://updates.example.com".into(),
        upload_expires_in_ms: 86_400_000,
        upload_max_size_bytes: 100 << 30,
        allow_declared: false,
        url_rules: UrlRules::default(),
        repositories: Vec::new(),
        cdn: None,
        decision_lifetime: 3_600,
        delegation_lifetime: 3_600,
        catalogue_max_age_ms: 5_000,
        catalogue_max_stale_ms: 300_000,
        copy_at_once_max_bytes: u64::MAX,
        least_part_bytes: 5 << 20,
        slice_bytes: 1 << 30,
        slice_budget_ms: i64::MAX,
        recheck_first_ms: 30_000,
        gc: crate::app::context::Gc::default(),
        reading: crate::app::context::Reading::default(),
        read_budget: None,
        escrow_max_size_bytes: 5 << 30,
    }
}

/// What the use cases of one process are given. Processes over one store need different numbers.
pub fn context(items: Arc<dyn Items>, clock: &Arc<TestClock>, settings: Settings, process: u8) -> Context {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Context {
        store: Store::new(items),
        ids: Ids::new(Arc::clone(&clock), Arc::new(CountingEntropy::of(process))),
        clock,
        settings: Arc::new(settings),
        tasks: None,
    }
}

/// Somebody who may do everything.
pub fn caller() -> Caller {
    Caller {
        token_id: TokenId::from_parts(1, 1),
        scopes: Scope::ALL.to_vec(),
        tenant_id: None,
        product_id: None,
        expires_at: None,
        request_id: "a-test".into(),
        source_ip: None,
    }
}

/// The digest of this content.
pub fn sha256(content: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(content).into())
}

/// An upload of this content.
pub fn initiation(content: &[u8]) -> Initiation {
    Initiation {
        sha256: sha256(content),
        size_bytes: content.len() as u64,
        file_name: Some("setup.msi".into()),
        content_type: None,
        labels: BTreeMap::new(),
        access: Access::Public,
        multipart: false,
    }
}

/// A repository that is opened with credentials, whose links clients are given.
pub fn private_repository(prefix: &str) -> Repository {
    Repository {
        name: "private".into(),
        prefix: RepositoryPrefix::parse(prefix).unwrap(),
        has_credentials: true,
        allow_private: false,
        products: None,
        gives_links: true,
        links: None,
    }
}

/// An artifact with this content at a public URL.
pub fn registration(content: &[u8], url: &str) -> Registration {
    Registration {
        sha256: sha256(content),
        size_bytes: content.len() as u64,
        external_url: url.into(),
        file_name: None,
        content_type: None,
        labels: BTreeMap::new(),
        access: Access::Public,
        escrow: false,
    }
}

/// The artifact as an MSI for Windows on x86-64.
pub fn msi(artifact_id: ArtifactId) -> ReleaseArtifact {
    ReleaseArtifact {
        artifact_id,
        platform: Platform::Windows,
        arch: Arch::X86_64,
        installer_type: InstallerType::Msi,
        requires_admin: false,
        min_os_version: None,
    }
}

/// A release for everybody in `stable`.
pub fn release(product: &str, version: &str, artifacts: Vec<ReleaseArtifact>) -> NewRelease {
    NewRelease {
        product_id: product.parse().unwrap(),
        version: version.parse().unwrap(),
        channel: Channel::stable(),
        artifacts,
        release_notes: None,
        rollout: Rollout::default(),
        min_from_version: None,
        floor: None,
        critical: false,
        require_platforms: Vec::new(),
        promoted_from: None,
    }
}

/// A client on Windows with x86-64 that has this version.
pub fn question(product: &str, version: &str) -> Question {
    Question {
        product_id: product.parse().unwrap(),
        current_version: version.parse().unwrap(),
        channel: None,
        tenant_id: None,
        platform: Platform::Windows,
        arch: Arch::X86_64,
        os_version: None,
        installer_types: Vec::new(),
        client_id: None,
    }
}
