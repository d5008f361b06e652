//! From the configuration to adapters: the only module that names both sides.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    adapters::{
        clock::{SystemClock, SystemEntropy},
        fetcher::{
            Credentials,
            https::{FetchLimits, HttpsFetcher, HttpsRepository},
        },
        metadata::sqlite::{self, SqliteItems},
        objects::{filesystem::FilesystemObjects, signed_url::UrlKey},
        signer::local::{LocalKeyError, LocalSigner},
    },
    app::{
        context::{Context, Repository, Settings},
        decisions::Decider,
        external::Checker,
        keyset::{self, KeysetError, Unlisted},
        signing::{Mode, Plan, Signing},
        store::Store,
    },
    config::{self, Config, Metadata, SigningMode, Storage},
    ports::{
        clock::{Clock, Entropy, Ids},
        objects::{Objects, Receiver},
        signer::{Opened, Signer},
    },
};

/// How old a catalogue may be while the store answers, in milliseconds.
const CATALOGUE_MAX_AGE_MS: i64 = 5_000;

/// The whole service on one machine, without the routes.
#[derive(Debug)]
pub struct Embedded {
    /// What every use case is given.
    pub context: Context,
    /// Managed bytes.
    pub objects: Arc<dyn Objects>,
    /// The receiving side of managed bytes.
    pub receiver: Arc<dyn Receiver>,
    /// Who answers questions.
    pub decider: Arc<Decider>,
    /// What the checks of the background need.
    pub checker: Checker,
    /// The records, for cleaning up.
    pub items: Arc<SqliteItems>,
}

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
    #[error(transparent)]
    Metadata(#[from] sqlite::OpenError),
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
    /// There is no keyset to sign under.
    #[error(transparent)]
    Keyset(#[from] KeysetError),
    /// The platform gives no randomness.
    #[error("no random bytes could be had from the system")]
    Entropy,
}

/// Puts the service of one machine together. `base_url` is used where the configuration names none.
///
/// # Errors
/// [`WiringError`]
pub async fn embedded(config: &Config, base_url: &str, data: &Path) -> Result<Embedded, WiringError> {
    let base_url = config.base_url.clone().unwrap_or_else(|| base_url.to_owned());
    let Metadata::Sqlite { path } = &config.metadata;
    make_parent(path)?;
    let items = Arc::new(SqliteItems::open(path)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let context = Context {
        store: Store::new(Arc::clone(&items) as _),
        ids: Ids::new(Arc::clone(&clock), Arc::clone(&entropy)),
        clock,
        settings: Arc::new(settings(config, &base_url)),
        bell: Arc::new(tokio::sync::Notify::new()),
    };
    let Storage::Filesystem { root } = &config.storage;
    let url_key = url_key(&data.join("upload-urls.key"), entropy.as_ref())?;
    let objects = FilesystemObjects::open(root.clone(), &base_url, url_key)
        .map_err(|source| WiringError::File { path: root.clone(), source })?;
    let objects = Arc::new(objects);
    let config::Signing::Local { key_file, algorithm, take_up_new_key } = &config.signing;
    let unlisted = if *take_up_new_key { Unlisted::TakeUp } else { Unlisted::Refuse };
    let may_make = *take_up_new_key || keyset::newest(&context).await.map_err(KeysetError::from)?.is_none();
    let signer: Arc<dyn Signer> = Arc::new(LocalSigner::open(key_file, may_make.then_some(*algorithm))?);
    // A key of this machine signs freely, and what is wrong with it is said at the start.
    let plan = Plan { mode: mode(config.signing_mode), unlisted, budget: None };
    keyset::ensure(&context, signer.public_key(), unlisted, plan.mode == Mode::Delegated).await?;
    let signing = Signing::new(context.clone(), Arc::new(Opened(signer)), plan);
    let decider = Arc::new(Decider::new(context.clone(), signing));
    let checker = Checker { fetcher: Arc::new(fetcher(config)?), objects: Arc::clone(&objects) as _ };
    Ok(Embedded { context, objects: Arc::clone(&objects) as _, receiver: objects, decider, checker, items })
}

fn mode(mode: SigningMode) -> Mode {
    match mode {
        SigningMode::Direct => Mode::Direct,
        SigningMode::Delegated => Mode::Delegated,
    }
}

fn settings(config: &Config, base_url: &str) -> Settings {
    let repository = |entry: &crate::config::Repository| Repository {
        name: entry.name.clone(),
        prefix: entry.url_prefix.clone(),
        has_credentials: entry.credentials.is_some(),
        allow_private: entry.allow_private,
        products: entry.products.clone(),
    };
    let stale = config.decision_max_stale_seconds.saturating_mul(1_000);
    Settings {
        base_url: base_url.to_owned(),
        upload_expires_in_ms: config.upload_expires_in_seconds.saturating_mul(1_000),
        upload_max_size_bytes: config.upload_max_size_bytes,
        allow_declared: config.external.allow_declared,
        url_rules: config.external.url_rules.clone(),
        repositories: config.repositories.iter().map(repository).collect(),
        cdn_url: config.cdn_url.clone(),
        decision_lifetime: config.decision_lifetime_seconds,
        catalogue_max_age_ms: CATALOGUE_MAX_AGE_MS,
        catalogue_max_stale_ms: stale,
        recheck_first_ms: config.external.retry_first_seconds.saturating_mul(1_000),
    }
}

fn fetcher(config: &Config) -> Result<HttpsFetcher, WiringError> {
    let mut repositories = Vec::new();
    for entry in &config.repositories {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| WiringError::Repository {
            name: entry.name.clone(),
            source,
        };
        let credentials = entry.credentials.clone().map(Credentials::authorization).transpose();
        repositories.push(HttpsRepository {
            name: entry.name.clone(),
            url_prefix: entry.url_prefix.clone(),
            credentials: credentials.map_err(|error| failed(error.into()))?,
            allow_private: entry.allow_private,
            ca_file: entry.ca_pem.clone(),
            products: entry.products.iter().flatten().map(ToString::to_string).collect(),
        });
    }
    let external = &config.external;
    let limits = FetchLimits {
        connect: Duration::from_secs(external.connect_timeout_seconds),
        silence: Duration::from_secs(external.silence_timeout_seconds),
        total_base: Duration::from_secs(external.total_timeout_seconds),
        min_rate: external.min_bytes_per_second,
        ..FetchLimits::default()
    };
    HttpsFetcher::new(repositories, external.url_rules.clone(), limits)
        .map_err(|error| WiringError::Repository { name: "ca_file".into(), source: error.into() })
}

fn make_parent(path: &Path) -> Result<(), WiringError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|source| WiringError::File { path: folder.to_owned(), source })
}

/// The secret that signs upload URLs: made once, so that URLs outlive a restart.
fn url_key(path: &Path, entropy: &dyn Entropy) -> Result<UrlKey, WiringError> {
    let failed = |source| WiringError::File { path: path.to_owned(), source };
    if !path.try_exists().map_err(failed)? {
        let mut fresh = [0_u8; 32];
        if !entropy.fill(&mut fresh) {
            return Err(WiringError::Entropy);
        }
        make_parent(path)?;
        crate::adapters::secret_file::create(path, &fresh).map_err(failed)?;
    }
    let bytes = crate::adapters::secret_file::read(path).map_err(failed)?;
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| failed(io::Error::other("it does not hold 32 bytes: delete it to make another")))?;
    Ok(UrlKey::from_bytes(&bytes))
}
