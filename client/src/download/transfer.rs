//! From a URL to a proved file: tries, ranges and limits.

use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::pace::Pace;
use super::part::Part;
use super::{Artifact, Downloaded, Limits, Progress, without_query};
use crate::ask::refused;
use crate::{Client, ClientError, Clock, retry};

/// How many tries in a row may fail.
const MAX_TRIES: u32 = 5;
/// A try that brought this much counts as none.
const WORTH_A_TRY_BYTES: u64 = 1024 * 1024;

/// One download.
#[derive(Debug)]
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) artifact: &'a Artifact,
    pub(crate) limits: Limits,
    pub(crate) clock: &'a dyn Clock,
    /// Whether to go on with what an earlier call left, leave the bytes for a later one, and try more than once.
    pub(crate) resume: bool,
}

impl Transfer<'_> {
    /// Downloads to `path`, which changes only once the file beside it is proved.
    pub(crate) async fn run(
        &self,
        path: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Downloaded, ClientError> {
        let mut part = Part::open(path, self.artifact, self.resume)?;
        if part.len() > self.artifact.size_bytes {
            part.restart(None)?;
        }
        self.need_space(path, part.len())?;
        let deadline = later(self.limits.max_duration);
        // Bytes of an earlier call may be spoilt: where the whole is wrong, they get no second chance, the rest does.
        let mut inherited = part.len() > 0;
        loop {
            if let Err(error) = self.fill(&mut part, deadline, progress).await {
                // What came short can go on later; what is more than signed is not what was signed.
                if matches!(error, ClientError::SizeMismatch { signed, found } if found > signed) {
                    part.discard();
                }
                return Err(error);
            }
            let artifact = self.artifact.clone();
            let proving = tokio::task::spawn_blocking(move || {
                let proved = part.prove(&artifact);
                (part, proved)
            });
            let lost = |error| ClientError::File { path: path.to_owned(), source: io::Error::other(error) };
            let (proved_part, proved) = proving.await.map_err(lost)?;
            part = proved_part;
            match proved {
                Ok(()) => return part.place(path),
                Err(error) if error.is_mismatch() && inherited => {
                    inherited = false;
                    part.restart(None)?;
                }
                Err(error) => {
                    part.discard();
                    return Err(error);
                }
            }
        }
    }

    /// Tries until the file has the signed size.
    async fn fill(
        &self,
        part: &mut Part,
        deadline: Instant,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), ClientError> {
        let mut tries = 1;
        loop {
            let before = part.len();
            let Err(error) = self.fetch(part, deadline, progress).await else { return Ok(()) };
            if part.len().saturating_sub(before) >= WORTH_A_TRY_BYTES {
                tries = 1;
            }
            if !self.resume || tries >= MAX_TRIES || !may_pass(&error) {
                return Err(error);
            }
            let wait = match error.retry_after() {
                Some(_) => retry::pause(&error, 1),
                None => Some(retry::jitter(tries)),
            };
            let Some(wait) = wait.filter(|wait| later(*wait) < deadline) else { return Err(error) };
            self.clock.wait(wait).await;
            tries += 1;
        }
    }

    /// One request, for what is missing.
    async fn fetch(
        &self,
        part: &mut Part,
        deadline: Instant,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), ClientError> {
        let signed = self.artifact.size_bytes;
        let mut tell = |bytes| progress(Progress { bytes, of: signed });
        tell(part.len());
        if part.len() == signed {
            return Ok(());
        }
        let url = without_query(&self.artifact.url);
        let mut pace = Pace::new(&url, &self.limits, deadline);
        let mut response = pace.head(self.request(part).send()).await?;
        self.begin(&url, part, &mut response).await?;
        while let Some(chunk) = pace.chunk(&mut response).await? {
            let chunk = chunk.as_ref();
            let found = part.len().saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if found > signed {
                return Err(ClientError::SizeMismatch { signed, found });
            }
            part.append(chunk)?;
            tell(found);
        }
        match part.len() {
            found if found < signed => Err(ClientError::SizeMismatch { signed, found }),
            _ => Ok(()),
        }
    }

    fn request(&self, part: &Part) -> reqwest::RequestBuilder {
        let url = &self.artifact.url;
        let mut request = self.client.http.get(url).header(ACCEPT_ENCODING, "identity");
        if part.len() > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.len()));
            if let Some(etag) = part.etag() {
                request = request.header(IF_RANGE, etag);
            }
        }
        self.client.authorized(url, request)
    }

    /// Looks at the head of the answer: the rest, or everything from the beginning.
    async fn begin(&self, url: &str, part: &mut Part, response: &mut Response) -> Result<(), ClientError> {
        let signed = self.artifact.size_bytes;
        let headers = response.headers();
        let expected = match response.status() {
            StatusCode::OK => {
                let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
                part.restart(etag.as_deref())?;
                signed
            }
            StatusCode::PARTIAL_CONTENT if part.len() > 0 => {
                let rest = signed.saturating_sub(part.len());
                if !is_the_rest(headers, part.len(), signed) {
                    part.restart(None)?;
                    let what = "it is not the range that was asked for".to_owned();
                    return Err(ClientError::NotUnderstood { url: url.to_owned(), what });
                }
                rest
            }
            StatusCode::RANGE_NOT_SATISFIABLE if part.len() > 0 => {
                part.restart(None)?;
                let what = "it has no such range".to_owned();
                return Err(ClientError::NotUnderstood { url: url.to_owned(), what });
            }
            _ => return Err(refused(url, response).await),
        };
        match response.content_length() {
            Some(length) if length != expected => {
                let found = part.len().saturating_add(length);
                Err(ClientError::SizeMismatch { signed, found })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn need_space(&self, path: &Path, there: u64) -> Result<(), ClientError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let needed = self.artifact.size_bytes.saturating_sub(there);
        let available = fs4::available_space(folder)
            .map_err(|source| ClientError::File { path: folder.to_owned(), source })?;
        if available < needed {
            return Err(ClientError::DiskSpace { path: folder.to_owned(), needed, available });
        }
        Ok(())
    }
}

/// So long from now; a year where that is beyond what the system can count.
fn later(duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    Instant::now() + duration.min(YEAR)
}

/// Whether another try may go better.
fn may_pass(error: &ClientError) -> bool {
    let short = matches!(error, ClientError::SizeMismatch { signed, found } if found < signed);
    short || error.retryable() || matches!(error, ClientError::NotUnderstood { .. })
}

/// Whether a partial answer is exactly what is missing.
fn is_the_rest(headers: &HeaderMap, from: u64, size: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    let last = size.saturating_sub(1);
    range == format!("bytes {from}-{last}/{size}") || range == format!("bytes {from}-{last}/*")
}
