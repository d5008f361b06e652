//! From the configuration to adapters: the only module that names both sides.

use std::{io, path::PathBuf};

use crate::{
    adapters::signer::local::LocalKeyError,
    app::{context::Settings, keyset::KeysetError},
    config::Config,
};

#[cfg(all(feature = "embedded", feature = "s3", feature = "fetcher-https"))]
mod buckets;
#[cfg(feature = "fetcher-https")]
mod cdn;
#[cfg(feature = "dynamodb")]
mod cloud;
#[cfg(feature = "embedded")]
mod embedded;
#[cfg(all(feature = "embedded", feature = "gcs"))]
mod gcs;
#[cfg(feature = "fetcher-https")]
mod opened;
mod repositories;

#[cfg(feature = "dynamodb")]
pub use self::cloud::Cloud;
#[cfg(feature = "embedded")]
pub use self::embedded::{Embedded, embedded};

/// How old a catalogue may be while the store answers, in milliseconds.
const CATALOGUE_MAX_AGE_MS: i64 = 5_000;

/// The smallest part, in bytes, that every store takes: 5 MiB.
const LEAST_PART_BYTES: u64 = 5 << 20;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// A file or folder cannot be used.
    #[error("`{path}` cannot be used")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The records cannot be opened.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Metadata(#[from] crate::adapters::metadata::sqlite::OpenError),
    /// The signing key in KMS cannot be used.
    #[cfg(feature = "kms")]
    #[error(transparent)]
    KmsKey(#[from] crate::adapters::signer::kms::KmsKeyError),
    /// The configuration says nothing, or something else, where this program needs one choice.
    #[error("this program needs `{0}` in its configuration")]
    NotChosen(&'static str),
    /// There is no signing key.
    #[error(transparent)]
    Key(#[from] LocalKeyError),
    /// A repository cannot be used.
    #[error("the repository `{name}` cannot be used")]
    Repository {
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What signs addresses of the CDN cannot be used.
    #[error("`cdn.private_key` cannot be used")]
    Cdn(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A bucket cannot be used.
    #[error("the bucket `{name}` cannot be used: {rule}")]
    Bucket {
        /// Its name.
        name: String,
        /// What is wrong.
        rule: &'static str,
    },
    /// A bucket of Google Cloud Storage cannot be used.
    #[cfg(feature = "gcs")]
    #[error("the bucket `{name}` cannot be used")]
    GcsBucket {
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: crate::adapters::objects::gcs::GcsError,
    },
    /// There is no keyset to sign under.
    #[error(transparent)]
    Keyset(#[from] KeysetError),
    /// The platform gives no randomness.
    #[error("no random bytes could be had from the system")]
    Entropy,
}

#[cfg(any(feature = "embedded", feature = "kms"))]
fn mode(mode: crate::config::SigningMode) -> crate::app::signing::Mode {
    use crate::{app::signing::Mode, config::SigningMode};
    match mode {
        SigningMode::Direct => Mode::Direct,
        SigningMode::Delegated => Mode::Delegated,
    }
}

fn settings(config: &Config, base_url: &str) -> Settings {
    let stale = config.decision_max_stale_seconds.saturating_mul(1_000);
    Settings {
        base_url: base_url.to_owned(),
        upload_expires_in_ms: config.upload_expires_in_seconds.saturating_mul(1_000),
        upload_max_size_bytes: config.upload_max_size_bytes,
        allow_declared: config.external.allow_declared,
        url_rules: config.external.url_rules.clone(),
        repositories: repositories::for_use_cases(config),
        cdn: None,
        decision_lifetime: config.decision_lifetime_seconds,
        delegation_lifetime: config.delegation_lifetime_seconds,
        catalogue_max_age_ms: config
            .catalogue_max_age_seconds
            .map_or(CATALOGUE_MAX_AGE_MS, |seconds| seconds.saturating_mul(1_000)),
        catalogue_max_stale_ms: stale,
        copy_at_once_max_bytes: u64::MAX,
        least_part_bytes: LEAST_PART_BYTES,
        slice_bytes: config.upload_slice_bytes,
        slice_budget_ms: i64::MAX,
        recheck_first_ms: config.external.retry_first_seconds.saturating_mul(1_000),
        gc: crate::app::context::Gc {
            interval_ms: config.gc.interval_seconds.saturating_mul(1_000),
            older_than_ms: config.gc.older_than_seconds.saturating_mul(1_000),
            revoked_after_ms: config.gc.revoked_after_seconds.saturating_mul(1_000),
        },
        reading: crate::app::context::Reading {
            base_ms: i64::try_from(config.external.total_timeout_seconds.saturating_mul(1_000))
                .unwrap_or(i64::MAX),
            bytes_per_second: config.external.min_bytes_per_second,
        },
        read_budget: None,
        escrow_max_size_bytes: config.external.escrow_max_size_bytes,
    }
}
