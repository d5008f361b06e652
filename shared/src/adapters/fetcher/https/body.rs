//! The reading of a body: to its end with the digest, in parts, or as a small document.

use http::{StatusCode, header::ETAG};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Duration, Instant, timeout};

use super::{
    FetchLimits,
    exchange::{Opened, broken, invalid, range, text, validators},
};
use crate::{
    domain::{artifact::Verification, external_url::ExternalUrl, hashing::Hashing},
    ports::fetcher::{FetchError, FetchRequest, Fetched, Keep, Progress, Reading, SizeFound},
};

/// What took too long when its rate was too low.
pub(super) const WHOLE: &str = "the artifact as a whole";
/// What took too long when it cannot be read in parts.
const WITHOUT_TAG: &str = "an artifact whose host has no entity tags by which it could be read in parts";
/// What took too long when it is copied, which is done in one go.
const COPIED: &str = "an artifact that is copied while it is read";
/// The largest document of a repository's API.
const MAX_DOCUMENT_BYTES: usize = 8 << 20;

/// How long each piece of a body is waited for.
pub(super) struct Pace<'a> {
    pub(super) limits: &'a FetchLimits,
    /// When the whole fetch began.
    pub(super) began: Instant,
    /// After which time the rest is left to another fetch.
    pub(super) budget: Option<Duration>,
}

impl Pace<'_> {
    /// Waits for the next piece: until there was silence for too long, or what came so far has used up its time at the
    /// slowest rate.
    async fn wait<T>(&self, bytes_read: u64, piece: impl Future<Output = T>) -> Result<T, FetchError> {
        let slow = self.limits.total(bytes_read).saturating_sub(self.began.elapsed());
        let what = if self.limits.silence < slow { "a piece of the body" } else { WHOLE };
        timeout(self.limits.silence.min(slow), piece).await.map_err(|_| FetchError::Timeout(what))
    }

    fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.began.elapsed() >= budget)
    }
}

/// Whether an answer goes on where an earlier reading stopped; where it does not, it is to be asked for anew.
pub(super) enum Place {
    /// The bytes go on.
    GoesOn(Hashing),
    /// The bytes begin anew.
    Anew,
    /// They are the wrong ones.
    Wrong,
}

/// Where the bytes of an answer begin.
pub(super) fn place(answer: &Opened, request: &FetchRequest, resume: Option<&Progress>) -> Place {
    let headers = answer.response.headers();
    match (answer.response.status(), resume) {
        (StatusCode::OK, _) => Place::Anew,
        (StatusCode::PARTIAL_CONTENT, Some(progress)) => {
            let etag = text(headers, &ETAG);
            let same = etag.is_none() || etag == progress.validators.etag;
            let goes_on = range(headers) == Some((progress.hash.bytes, Some(request.declared_size)));
            match Hashing::resume(&progress.hash) {
                Some(hash) if same && goes_on => Place::GoesOn(hash),
                Some(_) | None => Place::Wrong,
            }
        }
        _ => Place::Wrong,
    }
}

/// Reads the body to its end, to one byte more than was declared, or until the time is over.
pub(super) async fn read(
    mut answer: Opened,
    mut hash: Hashing,
    request: &FetchRequest,
    url: &ExternalUrl,
    pace: &Pace<'_>,
) -> Result<Reading, FetchError> {
    let declared = request.declared_size;
    let mismatch = |found| Err(FetchError::SizeMismatch { declared, found });
    match answer.response.body().size_hint().exact().map(|rest| rest.saturating_add(hash.bytes())) {
        Some(announced) if announced != declared => return mismatch(SizeFound::Exactly(announced)),
        Some(_) | None => {}
    }
    let mut said = validators(&answer.response);
    said.size_bytes = Some(declared);
    let before = hash.bytes();
    if let Some(Keep(sink)) = &request.keep {
        sink.begin().await.map_err(not_kept)?;
    }
    while let Some(frame) =
        pace.wait(hash.bytes().saturating_sub(before), answer.response.body_mut().frame()).await?
    {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if hash.bytes().saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX)) > declared {
            return mismatch(SizeFound::MoreThan(declared));
        }
        hash.update(&data);
        if let Some(Keep(sink)) = &request.keep {
            sink.take(data).await.map_err(not_kept)?;
            if hash.bytes() < declared && pace.is_over() {
                return Err(FetchError::Timeout(COPIED));
            }
        }
        if hash.bytes() < declared && pace.is_over() {
            // A weak tag says nothing about single bytes.
            return match &said.etag {
                Some(etag) if !etag.starts_with("W/") => {
                    Ok(Reading::Part(Progress { hash: hash.save(), validators: said }))
                }
                Some(_) | None => Err(FetchError::Timeout(WITHOUT_TAG)),
            };
        }
    }
    let bytes = hash.bytes();
    if bytes != declared {
        return mismatch(SizeFound::Exactly(bytes));
    }
    let found = hash.finish();
    if found != request.declared_sha256 {
        return Err(FetchError::ChecksumMismatch { declared: request.declared_sha256, found });
    }
    Ok(Reading::Whole(Fetched {
        verification: Verification::Fetched,
        validators: said,
        final_url_host: url.host().to_owned(),
        bytes_read: bytes.saturating_sub(before),
        concealed: false,
    }))
}

fn not_kept(error: std::io::Error) -> FetchError {
    FetchError::Invalid { reason: "the copy of it could not be written", source: Some(Box::new(error)) }
}

/// Reads a document of a repository's API.
pub(super) async fn document(answer: Opened, pace: &Pace<'_>) -> Result<serde_json::Value, FetchError> {
    serde_json::from_slice(&small(answer, pace).await?).map_err(|error| FetchError::Invalid {
        reason: "the repository's document is none",
        source: Some(Box::new(error)),
    })
}

/// Reads a short text.
pub(super) async fn words(answer: Opened, pace: &Pace<'_>) -> Result<String, FetchError> {
    String::from_utf8(small(answer, pace).await?).map_err(|_| invalid("the repository's answer is no text"))
}

async fn small(mut answer: Opened, pace: &Pace<'_>) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    let read = |bytes: &Vec<u8>| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    while let Some(frame) = pace.wait(read(&bytes), answer.response.body_mut().frame()).await? {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(invalid("the repository's document is too long"));
        }
    }
    Ok(bytes)
}
