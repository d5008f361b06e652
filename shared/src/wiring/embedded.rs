//! The whole service in one process, over the filesystem or a bucket, SQLite and a key in a file.

use std::{fs, io, path::Path, sync::Arc};

use super::{WiringError, mode, opened::OpenRepositories, settings};
use crate::{
    adapters::{
        clock::{SystemClock, SystemEntropy},
        metadata::sqlite::SqliteItems,
        objects::{filesystem::FilesystemObjects, signed_url::UrlKey},
        signer::local::LocalSigner,
        tasks::bell::Bell,
    },
    app::{
        context::Context,
        decisions::Decider,
        external::Checker,
        keyset::{self, KeysetError, Unlisted},
        signing::{Mode, Plan, Signing},
        store::Store,
    },
    config::{self, Config, Metadata, Storage},
    ports::{
        clock::{Clock, Entropy, Ids},
        objects::{Objects, Receiver},
        signer::{Keys, Opened, Signer},
    },
};

/// The largest upload, in bytes, that is copied in a bucket while its uploader waits: 256 MiB.
const COPY_AT_ONCE_MAX_BYTES: u64 = 256 << 20;

/// The whole service on one machine, without the routes.
#[derive(Debug)]
pub struct Embedded {
    /// What every use case is given.
    pub context: Context,
    /// Managed bytes.
    pub objects: Arc<dyn Objects>,
    /// The receiving side of managed bytes, where their store has no server of its own.
    pub receiver: Option<Arc<dyn Receiver>>,
    /// Who answers questions.
    pub decider: Arc<Decider>,
    /// The ids of the signing keys that are configured.
    pub signing_keys: Arc<[String]>,
    /// What the checks of the background need.
    pub checker: Checker,
    /// Rung when there is work for the background.
    pub bell: Arc<Bell>,
    /// The records, for cleaning up.
    pub items: Arc<SqliteItems>,
}

/// Puts the service of one machine together. `base_url` is used where the configuration names none.
///
/// # Errors
/// [`WiringError`]
pub async fn embedded(config: &Config, base_url: &str, data: &Path) -> Result<Embedded, WiringError> {
    let base_url = config.base_url.clone().unwrap_or_else(|| base_url.to_owned());
    let Metadata::Sqlite { path } = &config.metadata else {
        return Err(WiringError::NotChosen("metadata.type: sqlite"));
    };
    make_parent(path)?;
    let items = Arc::new(SqliteItems::open(path)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let bell = Arc::new(Bell::default());
    let mut settings = settings(config, &base_url);
    settings.copy_at_once_max_bytes = copy_at_once_max_bytes(&config.storage);
    let mut repositories = OpenRepositories::new(config)?;
    repositories.link(config, &mut settings.repositories)?;
    settings.cdn = super::cdn::open(config)?;
    repositories.check(clock.now_ms()).await?;
    let context = Context {
        store: Store::new(Arc::clone(&items) as _),
        ids: Ids::new(Arc::clone(&clock), Arc::clone(&entropy)),
        clock,
        settings: Arc::new(settings),
        tasks: Some(Arc::clone(&bell) as _),
    };
    let stored = stored(config, &base_url, data, entropy.as_ref()).await?;
    let (signing, signing_keys) = signing(config, &context).await?;
    let decider = Arc::new(Decider::new(context.clone(), signing));
    let checker = Checker { fetcher: repositories.fetcher(config)?, objects: stored.patient };
    let Stored { objects, receiver, .. } = stored;
    Ok(Embedded { context, objects, receiver, decider, signing_keys, checker, bell, items })
}

/// Where managed bytes are.
struct Stored {
    objects: Arc<dyn Objects>,
    /// The same store for the background, which can wait longer.
    patient: Arc<dyn Objects>,
    receiver: Option<Arc<dyn Receiver>>,
}

#[cfg_attr(
    not(any(all(feature = "s3", feature = "fetcher-https"), feature = "gcs")),
    expect(clippy::unused_async, reason = "opening a bucket waits, where this is built for one")
)]
async fn stored(
    config: &Config,
    base_url: &str,
    data: &Path,
    entropy: &dyn Entropy,
) -> Result<Stored, WiringError> {
    match &config.storage {
        Storage::Filesystem { root } => {
            let url_key = url_key(&data.join("upload-urls.key"), entropy)?;
            let objects = FilesystemObjects::open(root.clone(), base_url, url_key)
                .map_err(|source| WiringError::File { path: root.clone(), source })?;
            let objects = Arc::new(objects);
            Ok(Stored {
                objects: Arc::clone(&objects) as _,
                patient: Arc::clone(&objects) as _,
                receiver: Some(objects),
            })
        }
        #[cfg(all(feature = "s3", feature = "fetcher-https"))]
        Storage::S3(bucket) => {
            // What the SDK's calls need is not carried by every start.
            let (objects, patient) = Box::pin(super::buckets::open(config, bucket)).await?;
            Ok(Stored { objects, patient, receiver: None })
        }
        #[cfg(not(all(feature = "s3", feature = "fetcher-https")))]
        Storage::S3(_) => Err(WiringError::NotChosen("storage.type: filesystem")),
        #[cfg(feature = "gcs")]
        Storage::Gcs(bucket) => {
            let objects = super::gcs::open(bucket).await?;
            Ok(Stored { patient: Arc::clone(&objects), objects, receiver: None })
        }
        #[cfg(not(feature = "gcs"))]
        Storage::Gcs(_) => Err(WiringError::NotChosen("storage.type: filesystem")),
    }
}

/// The largest upload, in bytes, that is proved while its uploader waits.
fn copy_at_once_max_bytes(storage: &Storage) -> u64 {
    match storage {
        // A copy is a rename or a link there, and the digest is known.
        Storage::Filesystem { .. } => u64::MAX,
        Storage::S3(_) | Storage::Gcs(_) => COPY_AT_ONCE_MAX_BYTES,
    }
}

/// What signs, and the ids of its keys.
async fn signing(config: &Config, context: &Context) -> Result<(Signing, Arc<[String]>), WiringError> {
    let config::Signing::Local { key_file, next_key_file, algorithm, take_up_new_key } = &config.signing
    else {
        return Err(WiringError::NotChosen("signing.type: local"));
    };
    let unlisted = if *take_up_new_key { Unlisted::TakeUp } else { Unlisted::Refuse };
    let current = keyset::current(context).await.map_err(KeysetError::from)?;
    let may_make = *take_up_new_key || current.is_none();
    let signer: Arc<dyn Signer> = Arc::new(LocalSigner::open(key_file, may_make.then_some(*algorithm))?);
    // A key of this machine signs freely, and what is wrong with it is said at the start.
    let plan = Plan { mode: mode(config.signing_mode), unlisted, budget: None };
    let promoted = current.is_some_and(|current| current.value.active.is_some());
    if !promoted {
        keyset::ensure(context, signer.public_key(), unlisted, plan.mode == Mode::Delegated).await?;
    }
    let mut signers = vec![signer];
    if let Some(file) = next_key_file {
        signers.push(Arc::new(LocalSigner::open(file, Some(*algorithm))?));
    }
    let kids = signers.iter().map(|signer| signer.public_key().thumbprint()).collect();
    let keys = signers.into_iter().map(|signer| Arc::new(Opened(signer)) as Arc<dyn Keys>).collect();
    let signing = Signing::new(context.clone(), keys, plan);
    if promoted {
        signing.open().await.map_err(KeysetError::from)?;
    }
    Ok((signing, kids))
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
