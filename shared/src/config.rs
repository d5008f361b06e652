//! The configuration: a YAML file, each key also as an environment variable (`BP_STORAGE__FILESYSTEM__ROOT`).
//!
//! The one place that reads the environment. Everything is read at once, and every bad value is reported together.

use std::{collections::BTreeMap, fmt, path::Path};

use serde_json::{Map, Value};

use crate::domain::{
    external_url::{RepositoryPrefix, UrlRules},
    names::ProductId,
    secret::{Secret, SecretReference},
};

mod bucket;
mod cdn;
mod gcs;
mod places;
mod reader;
mod signing;

pub use self::{
    bucket::Bucket,
    cdn::{Cdn, CdnKey},
    gcs::GcsBucket,
    places::{Aws, Metadata, Queue, Storage},
    signing::{Signing, SigningBudget, SigningMode},
};
use self::{
    places::{aws, metadata, queue, storage},
    reader::Reader,
    signing::signing,
};

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// How clients reach us, without a slash at the end; `None`: the host's own address.
    pub base_url: Option<String>,
    /// Where managed bytes are kept.
    pub storage: Storage,
    /// Where records are kept.
    pub metadata: Metadata,
    /// What signs decisions.
    pub signing: Signing,
    /// Which key signs decisions; by default the key in the file itself.
    pub signing_mode: SigningMode,
    /// How often a remote key may sign in direct mode.
    pub signing_budget: SigningBudget,
    /// Who does work in the background.
    pub queue: Queue,
    /// How AWS is reached; there wherever something of it was chosen.
    pub aws: Option<Aws>,
    /// How external artifacts are treated.
    pub external: External,
    /// How long an upload lives, in seconds: 1 to 2 592 000 (30 days), by default 86 400.
    pub upload_expires_in_seconds: i64,
    /// The largest upload, in bytes, by default 107 374 182 400 (100 GiB).
    pub upload_max_size_bytes: u64,
    /// After how many bytes a hash under way is written down: 1 MiB to 16 GiB, by default 1 073 741 824 (1 GiB).
    pub upload_slice_bytes: u64,
    /// How old an answer may be while the records cannot be reached, in seconds: 0 to 86 400, by default 300.
    pub decision_max_stale_seconds: i64,
    /// How old the records behind an answer may be while they can be reached, in seconds: 0 to 30; `None`: the host's
    /// own choice.
    pub catalogue_max_age_seconds: Option<i64>,
    /// How long a decision lives, in seconds: 60 to 86 400, by default 3 600.
    pub decision_lifetime_seconds: i64,
    /// How long a delegation lives, in seconds: 10 to 3 600, by default 3 600.
    pub delegation_lifetime_seconds: i64,
    /// When things are cleaned up.
    pub gc: Gc,
    /// Where public managed artifacts are downloaded from instead.
    pub cdn: Option<Cdn>,
    /// The least important lines that are logged: `error`, `warn`, `info` (the default) or `debug`.
    pub log_level: String,
    /// Repositories with rules of their own.
    pub repositories: Vec<Repository>,
    /// Another server than AWS's own for credentials that are kept there.
    pub secrets_endpoint: Option<String>,
}

/// When things are cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gc {
    /// How long after the last it is begun by itself, in seconds: up to 2 592 000, by default 86 400; 0: never.
    pub interval_seconds: i64,
    /// How old something that nothing refers to must be, in seconds: 3 600 to 31 536 000, by default 604 800 (7 days).
    pub older_than_seconds: i64,
    /// How long after the last of its releases was revoked an artifact keeps its bytes, in seconds: 86 400 to
    /// 315 360 000, by default 2 592 000 (30 days).
    pub revoked_after_seconds: i64,
}

/// How external artifacts are treated.
#[derive(Debug, Clone)]
pub struct External {
    /// Whether an artifact may be taken on the registrant's word alone; no by default.
    pub allow_declared: bool,
    /// What URLs may be registered.
    pub url_rules: UrlRules,
    /// The longest wait for a connection, in seconds, by default 10.
    pub connect_timeout_seconds: u64,
    /// The longest silence of a host, in seconds, by default 30.
    pub silence_timeout_seconds: u64,
    /// The time for a whole fetch before its size counts, in seconds, by default 60.
    pub total_timeout_seconds: u64,
    /// The slowest rate that adds time for the size, in bytes a second, by default 262 144.
    pub min_bytes_per_second: u64,
    /// How long after the first failure a fetch is tried again, in seconds, by default 30; it doubles up to an hour.
    pub retry_first_seconds: i64,
    /// The largest artifact, in bytes, of which a copy is kept, by default 5 368 709 120 (5 GiB).
    pub escrow_max_size_bytes: u64,
}

/// What a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryKind {
    /// Any host.
    Https,
    /// S3, or another that speaks it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// `JFrog` Artifactory.
    Jfrog,
    /// Releases of GitHub.
    GitHub,
}

impl RepositoryKind {
    /// Whether it gives out links to private files, for clients without credentials.
    pub const fn gives_links(self) -> bool {
        match self {
            Self::S3 | Self::Gcs | Self::Jfrog | Self::GitHub => true,
            Self::Https => false,
        }
    }
}

/// Where a secret comes from, as the credentials of a repository.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// They were read at the start.
    Read(Secret),
    /// They are read when they are needed, and again.
    Kept(SecretReference),
}

/// A repository with rules of its own.
#[derive(Debug, Clone)]
pub struct Repository {
    /// What the operator calls it.
    pub name: String,
    /// The URLs that belong to it.
    pub url_prefix: RepositoryPrefix,
    /// What it is.
    pub kind: RepositoryKind,
    /// What opens it, in the form of its kind.
    pub credentials: Option<SecretSource>,
    /// The region for which requests are signed, where its kind has regions.
    pub region: Option<String>,
    /// Whether it may be on a private network.
    pub allow_private: bool,
    /// Certificates (PEM) that are trusted for it, beside the public ones.
    pub ca_pem: Option<Vec<u8>>,
    /// The products whose releases may use it; `None` for all.
    pub products: Option<Vec<ProductId>>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One line for each thing that is wrong.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// The keys of the top level: what else begins with `BP_` in the environment is none of ours.
const TOP: [&str; 14] = [
    "log",
    "base_url",
    "storage",
    "metadata",
    "signing",
    "external",
    "uploads",
    "decisions",
    "cdn_url",
    "cdn",
    "repositories",
    "queue",
    "secrets",
    "gc",
];

impl Config {
    /// Reads the file, if any, and the environment over it; what neither says lies under `data`.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn load(file: Option<&Path>, data: &Path) -> Result<Self, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|error| ConfigError {
                problems: vec![format!("`{}` cannot be read: {error}", path.display())],
            })?,
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::read(&text, &environment, data)
    }

    /// Reads the environment alone: the configuration of a function, which has no files of its own.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::load(None, Path::new("data"))
    }

    /// Reads a configuration from its text and an environment.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn read(
        text: &str,
        environment: &BTreeMap<String, String>,
        data: &Path,
    ) -> Result<Self, ConfigError> {
        let mut root = parse(text)?;
        for (name, value) in environment {
            overlay(&mut root, name, value);
        }
        let mut reader = Reader::new(root, environment);
        let config = Self::gather(&mut reader, data);
        let problems = reader.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigError { problems }),
        }
    }

    /// Reads every value before it gives up on any: what is wrong with one says nothing about the others.
    fn gather(reader: &mut Reader<'_>, data: &Path) -> Option<Self> {
        let (storage, metadata) = (storage(reader, data), metadata(reader, data));
        let (signing, queue) = (signing(reader, data), queue(reader));
        let signing_mode = signing::mode(reader, signing.as_ref());
        let signing_budget = signing::budget(reader);
        let log_level = reader.word("log.level", &["error", "warn", "info"], "info");
        let (base_url, cdn) = (reader.url("base_url"), cdn::cdn(reader));
        let external = external(reader);
        let max_size = reader.whole("uploads.max_size_bytes", 1..=(1 << 53) - 1, 107_374_182_400);
        let slice = reader.whole("uploads.slice_bytes", 1_048_576..=17_179_869_184, 1_073_741_824);
        let upload_expires_in_seconds = reader.whole("uploads.expires_in_seconds", 1..=2_592_000, 86_400);
        let decision_max_stale_seconds = reader.whole("decisions.max_stale_seconds", 0..=86_400, 300);
        let catalogue_max_age_seconds = reader.whole_option("decisions.max_age_seconds", 0..=30);
        let decision_lifetime_seconds = reader.whole("decisions.lifetime_seconds", 10..=86_400, 3_600);
        let delegation_lifetime_seconds = signing::delegation_lifetime(reader);
        let gc = Gc {
            interval_seconds: reader.whole("gc.interval_seconds", 0..=2_592_000, 86_400),
            older_than_seconds: reader.whole("gc.older_than_seconds", 3_600..=31_536_000, 604_800),
            revoked_after_seconds: reader.whole("gc.revoked_after_seconds", 86_400..=315_360_000, 2_592_000),
        };
        let (repositories, secrets_endpoint) = (reader.repositories(), reader.url("secrets.endpoint"));
        let kept = |entry: &Repository| matches!(entry.credentials, Some(SecretSource::Kept(_)));
        let wanted = uses_aws(storage.as_ref(), metadata.as_ref(), signing.as_ref(), queue.as_ref())
            || repositories.iter().any(kept)
            || cdn.as_ref().is_some_and(Cdn::is_kept);
        let aws = if wanted { Some(aws(reader)) } else { None };
        Some(Self {
            base_url,
            storage: storage?,
            metadata: metadata?,
            signing: signing?,
            signing_mode: signing_mode?,
            signing_budget,
            queue: queue?,
            aws: aws.map_or(Some(None), |aws| aws.map(Some))?,
            external,
            upload_expires_in_seconds,
            upload_max_size_bytes: max_size.unsigned_abs(),
            upload_slice_bytes: slice.unsigned_abs(),
            decision_max_stale_seconds,
            decision_lifetime_seconds,
            delegation_lifetime_seconds,
            catalogue_max_age_seconds,
            gc,
            cdn,
            log_level: log_level?,
            repositories,
            secrets_endpoint,
        })
    }
}

fn parse(text: &str) -> Result<Value, ConfigError> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let problem = |problem: String| ConfigError { problems: vec![problem] };
    let root: Value = value(text).map_err(problem)?;
    match root {
        Value::Object(_) => Ok(root),
        Value::Null => Ok(Value::Object(Map::new())),
        _ => Err(problem("the file is to hold keys and values".into())),
    }
}

#[cfg(feature = "config-file")]
fn value(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text)
        .map_err(|error| format!("the file is not YAML as it is expected here: {error}"))
}

/// A function has no file.
#[cfg(not(feature = "config-file"))]
fn value(_: &str) -> Result<Value, String> {
    Err("this program is configured by its environment alone".into())
}

/// Lays one environment variable over the file's keys. What is no key of ours at the top level is somebody else's.
fn overlay(root: &mut Value, name: &str, value: &str) {
    let Some(path) = name.strip_prefix("BP_") else { return };
    let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
    if !path.first().is_some_and(|first| TOP.contains(&first.as_str())) {
        return;
    }
    let mut place = root;
    for key in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(members) = place else { return };
        place = members.entry(key).or_insert(Value::Null);
    }
    // Numbers, booleans and lists are written as in JSON; everything else is text.
    *place = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
}

fn uses_aws(
    storage: Option<&Storage>,
    metadata: Option<&Metadata>,
    signing: Option<&Signing>,
    queue: Option<&Queue>,
) -> bool {
    matches!(storage, Some(Storage::S3(bucket)) if bucket.credentials.is_none())
        || matches!(metadata, Some(Metadata::DynamoDb { .. }))
        || matches!(signing, Some(Signing::Kms { .. }))
        || matches!(queue, Some(Queue::Sqs { .. }))
}

fn external(reader: &mut Reader<'_>) -> External {
    let denied = reader.ports("external.denied_ports");
    let mut url_rules = UrlRules::default();
    if let Some(denied) = denied {
        url_rules.denied_ports = denied;
    }
    External {
        allow_declared: reader.flag("external.allow_declared", false),
        url_rules,
        connect_timeout_seconds: reader.whole("external.connect_timeout_seconds", 1..=300, 10).unsigned_abs(),
        silence_timeout_seconds: reader.whole("external.silence_timeout_seconds", 1..=600, 30).unsigned_abs(),
        total_timeout_seconds: reader.whole("external.total_timeout_seconds", 1..=86_400, 60).unsigned_abs(),
        min_bytes_per_second: reader
            .whole("external.min_bytes_per_second", 1..=1_073_741_824, 262_144)
            .unsigned_abs(),
        retry_first_seconds: reader.whole("external.retry_first_seconds", 1..=3_600, 30),
        escrow_max_size_bytes: reader
            .whole("external.escrow_max_size_bytes", 1..=109_951_162_777_600, 5_368_709_120)
            .unsigned_abs(),
    }
}

#[cfg(test)]
mod tests;
