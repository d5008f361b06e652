//! Looking at the bytes: external ones are fetched; managed ones are read where their store hands them out itself or has
//! no checksum of them, and taken on the store's own checksum otherwise.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use sha2::Digest as _;

use crate::{
    app::context::Context,
    domain::{
        artifact::{Artifact, Location, Validators, Verification},
        digest::Sha256,
        external_url::{ExternalUrl, UrlRules},
        hashing::Hashing,
    },
    ports::{
        fetcher::{FetchError, FetchRequest, Fetcher, Keep, Progress, Reading, Wait},
        large_objects::{Bytestream, LargeObjects},
        objects::{Download, DownloadRequest, ObjectError, Objects},
    },
};

/// What checks need.
#[derive(Debug, Clone)]
pub struct Checker {
    /// Reads external bytes.
    pub fetcher: Arc<dyn Fetcher>,
    /// Knows managed bytes.
    pub objects: Arc<dyn Objects>,
}

/// What was found.
pub(super) enum Outcome {
    Matches(Option<Box<Validators>>),
    Differs {
        code: String,
        message: String,
    },
    Failed {
        code: String,
        message: String,
        /// After how long it is to be tried again, where nothing was found out about the bytes.
        later: Option<Wait>,
    },
    /// The time was over after a part.
    Part(Box<Progress>),
}

/// Looks at the bytes of an artifact, and tells by which means; a reading that was stopped goes on.
pub(super) async fn look(
    context: &Context,
    checker: &Checker,
    artifact: &Artifact,
    now: i64,
    resume: Option<Progress>,
    keep: Option<Keep>,
) -> (Verification, Outcome) {
    let budget = context.settings.read_budget;
    match &artifact.location {
        Location::External { url, .. } => {
            // It was judged when it was registered; the fetcher judges every address again.
            let Ok(url) = ExternalUrl::parse(url, &UrlRules::widest()) else {
                let outcome = differs("URL_INVALID", "the stored URL is no longer acceptable");
                return (Verification::Fetched, outcome);
            };
            let (declared_sha256, declared_size) = (artifact.sha256, artifact.size_bytes);
            fetch(checker, &FetchRequest { url, declared_sha256, declared_size, now, resume, budget, keep })
                .await
        }
        Location::Managed { key, version, .. } => {
            let request = DownloadRequest {
                key: *key,
                version: version.clone(),
                file_name: None,
                content_type: None,
                now,
                range: None,
            };
            managed(context, checker, artifact, &request, resume)
                .await
                .unwrap_or_else(|error| (Verification::StoreChecksum, lost(&error)))
        }
    }
}

async fn managed(
    context: &Context,
    checker: &Checker,
    artifact: &Artifact,
    request: &DownloadRequest,
    resume: Option<Progress>,
) -> Result<(Verification, Outcome), ObjectError> {
    let stat = checker.objects.stat(&request.key).await?;
    if stat.size_bytes != artifact.size_bytes || stat.sha256.is_some_and(|found| found != artifact.sha256) {
        return Ok((Verification::StoreChecksum, changed()));
    }
    match checker.objects.download(request).await? {
        // A store that streams tells what it wrote down once; only the bytes tell what they are now.
        Download::Stream(bytes) => Ok((Verification::Fetched, read(artifact, bytes).await)),
        Download::Redirect(_) if stat.sha256.is_some() => {
            Ok((Verification::StoreChecksum, Outcome::Matches(None)))
        }
        Download::Redirect(_) => {
            let Some(store) = checker.objects.large() else {
                let outcome = failed("the object store has no checksum of the bytes");
                return Ok((Verification::StoreChecksum, outcome));
            };
            let slices = Slices { context, artifact, began: request.now };
            Ok((Verification::Fetched, slices.read(store, request, resume).await?))
        }
    }
}

/// Reading what a store only hands out to others, part by part where a task has a budget of time.
struct Slices<'a> {
    context: &'a Context,
    artifact: &'a Artifact,
    /// When the task began, Unix milliseconds.
    began: i64,
}

impl Slices<'_> {
    async fn read(
        &self,
        store: &dyn LargeObjects,
        request: &DownloadRequest,
        resume: Option<Progress>,
    ) -> Result<Outcome, ObjectError> {
        let hashing = resume.and_then(|progress| Hashing::resume(&progress.hash)).unwrap_or_default();
        let bytes = store.read(&request.key, request.version.as_deref(), hashing.bytes()).await?;
        Ok(self.hash(bytes, hashing).await)
    }

    async fn hash(&self, mut bytes: Bytestream, mut hashing: Hashing) -> Outcome {
        let slice = self.context.settings.slice_bytes;
        let mut next = hashing.bytes().saturating_add(slice);
        while let Some(piece) = bytes.next().await {
            let Ok(piece) = piece else { return failed("the stored bytes could not be read to their end") };
            hashing.update(&piece);
            if hashing.bytes() >= next {
                if self.time_is_up() {
                    let (hash, validators) = (hashing.save(), Validators::default());
                    return Outcome::Part(Box::new(Progress { hash, validators }));
                }
                next = hashing.bytes().saturating_add(slice);
            }
        }
        let (size_bytes, found) = (hashing.bytes(), hashing.finish());
        compared(self.artifact, size_bytes, found)
    }

    fn time_is_up(&self) -> bool {
        let budget =
            self.context.settings.read_budget.and_then(|budget| i64::try_from(budget.as_millis()).ok());
        budget.is_some_and(|budget| self.context.clock.now_ms() >= self.began.saturating_add(budget))
    }
}

async fn read(artifact: &Artifact, mut bytes: BoxStream<'static, io::Result<Bytes>>) -> Outcome {
    let mut hash = sha2::Sha256::new();
    let mut size_bytes = 0_u64;
    while let Some(piece) = bytes.next().await {
        let Ok(piece) = piece else { return failed("the stored bytes could not be read to their end") };
        hash.update(&piece);
        size_bytes = size_bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
    }
    compared(artifact, size_bytes, Sha256::from_bytes(hash.finalize().into()))
}

fn compared(artifact: &Artifact, size_bytes: u64, found: Sha256) -> Outcome {
    if (size_bytes, found) == (artifact.size_bytes, artifact.sha256) {
        Outcome::Matches(None)
    } else {
        changed()
    }
}

fn changed() -> Outcome {
    differs("CHECKSUM_MISMATCH", "the stored bytes are not the registered ones")
}

fn lost(error: &ObjectError) -> Outcome {
    match error {
        ObjectError::NotFound(_) => differs("UPLOAD_FAILED", "the stored bytes are gone"),
        ObjectError::Unavailable(_) => failed("the object store did not answer"),
    }
}

fn differs(code: &str, message: &str) -> Outcome {
    Outcome::Differs { code: code.into(), message: message.into() }
}

pub(super) fn failed(message: &str) -> Outcome {
    Outcome::Failed { code: "UNAVAILABLE".into(), message: message.into(), later: None }
}

async fn fetch(checker: &Checker, request: &FetchRequest) -> (Verification, Outcome) {
    match checker.fetcher.fetch(request).await {
        Ok(Reading::Whole(fetched)) => {
            (fetched.verification, Outcome::Matches(Some(Box::new(fetched.validators))))
        }
        Ok(Reading::Part(progress)) => {
            let before = request.resume.as_ref().map_or(0, |progress| progress.hash.bytes);
            let outcome = if progress.hash.bytes > before {
                Outcome::Part(Box::new(progress))
            } else {
                failed("the bytes change while they are read")
            };
            (Verification::Fetched, outcome)
        }
        Err(error) => (Verification::Fetched, judged(&error)),
    }
}

fn judged(error: &FetchError) -> Outcome {
    let (code, message) = (error.code().to_owned(), error.to_string());
    if error.definite() {
        Outcome::Differs { code, message }
    } else {
        Outcome::Failed { code, message, later: error.later() }
    }
}
