//! One `PUT` of a file's bytes to a signed URL, and what its answer means.

use std::io::SeekFrom;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use indicatif::ProgressBar;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::file::LocalFile;
use crate::failure::Failure;
use crate::table;

/// How much of a file is sent at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// The slowest connection that an upload is given time for.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;
/// What an upload is given beside that, in seconds.
const AT_LEAST_SECONDS: u64 = 60;
/// What the bare door is told where no content type was declared.
const ANY_BYTES: &str = "application/octet-stream";

/// A signed URL and the headers that belong to it.
#[derive(Clone)]
pub(super) struct Signed {
    url: String,
    headers: HeaderMap,
}

/// Bytes of a file that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// The first of them.
    pub(super) from: u64,
    /// How many they are.
    pub(super) length: u64,
}

/// What became of a `PUT`.
#[derive(Debug)]
pub(super) enum Put {
    /// The bytes are there, from this `PUT` or from an earlier one.
    There,
    /// It may succeed with a fresh URL.
    Again,
}

impl Signed {
    /// The door that takes only the declared bytes, where the upload has one.
    pub(super) fn checksum_locked(upload: &Value) -> Result<Option<Self>, Failure> {
        let locked = table::member(upload, "checksum_locked");
        if locked.is_null() {
            return Ok(None);
        }
        Ok(Some(Self { url: url(locked, "url")?, headers: headers(locked)? }))
    }

    /// The door of the documented `curl`, which takes any bytes of the right size.
    pub(super) fn bare(upload: &Value, content_type: Option<&str>) -> Result<Self, Failure> {
        let content_type = HeaderValue::from_str(content_type.unwrap_or(ANY_BYTES))
            .map_err(|_| Failure::usage("the content type is none"))?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        Ok(Self { url: url(upload, "upload_url")?, headers })
    }

    /// The way of one part: as the answer about parts has it.
    pub(super) fn of_part(part: &Value) -> Result<Self, Failure> {
        Ok(Self { url: url(part, "url")?, headers: headers(part)? })
    }

    /// Sends a piece of the file.
    pub(super) async fn put(
        &self,
        http: &reqwest::Client,
        file: &LocalFile,
        piece: Piece,
        bar: &ProgressBar,
    ) -> Result<Put, Failure> {
        let mut opened = tokio::fs::File::open(&file.path).await.map_err(Failure::file(&file.path))?;
        let length = opened.metadata().await.map_err(Failure::file(&file.path))?.len();
        if length != file.size_bytes {
            return Err(Failure::usage(format!("`{}` changed while it was uploaded", file.path.display())));
        }
        let Piece { from, length } = piece;
        opened.seek(SeekFrom::Start(from)).await.map_err(Failure::file(&file.path))?;
        let sent = Arc::new(AtomicU64::new(0));
        let (counting, counted) = (bar.clone(), Arc::clone(&sent));
        let bytes = ReaderStream::with_capacity(opened.take(length), BUFFER_BYTES).inspect_ok(move |chunk| {
            let bytes = u64::try_from(chunk.len()).unwrap_or_default();
            counted.fetch_add(bytes, Ordering::Relaxed);
            counting.inc(bytes);
        });
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let limit = Duration::from_secs(AT_LEAST_SECONDS + length / SLOWEST_BYTES_PER_SECOND);
        let request = http.put(&self.url).headers(headers).timeout(limit);
        let put = match request.body(reqwest::Body::wrap_stream(bytes)).send().await {
            Ok(response) => meaning(response).await?,
            // The URL is a key to the store: the error is not shown, and the next attempt tells.
            Err(_) => Put::Again,
        };
        if matches!(put, Put::Again) {
            bar.dec(sent.load(Ordering::Relaxed));
        }
        Ok(put)
    }
}

/// The headers that belong to a URL.
fn headers(door: &Value) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in table::member(door, "headers").as_object().into_iter().flatten() {
        let bad = || Failure::NotUnderstood(format!("`{name}` of the upload is no header"));
        let parsed: HeaderName = name.parse().map_err(|_| bad())?;
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok()).ok_or_else(bad)?;
        // `Host` is the URL's own.
        if parsed != "host" {
            headers.insert(parsed, value);
        }
    }
    Ok(headers)
}

fn url(value: &Value, name: &str) -> Result<String, Failure> {
    let url = table::member(value, name).as_str().map(str::to_owned);
    url.ok_or_else(|| Failure::NotUnderstood(format!("the upload has no `{name}`")))
}

/// A store speaks for itself: only its status is the same everywhere.
async fn meaning(response: reqwest::Response) -> Result<Put, Failure> {
    let status = response.status().as_u16();
    match status {
        200..=299 | 412 => Ok(Put::There),
        // 403: the signature died meanwhile. 409: two PUTs at once.
        403 | 408 | 409 | 429 | 500..=599 => Ok(Put::Again),
        _ => {
            let said = response.text().await.unwrap_or_default();
            let store_code = code(&said).unwrap_or_default();
            Err(Failure::Refused {
                status,
                code: if store_code.contains("Digest") { "CHECKSUM_MISMATCH" } else { "UPLOAD_FAILED" }
                    .to_owned(),
                message: format!("the store refused the bytes with {status} {store_code}")
                    .trim_end()
                    .to_owned(),
                details: None,
                request_id: None,
            })
        }
    }
}

/// The code in a store's XML, or in this service's envelope.
fn code(said: &str) -> Option<String> {
    if let Ok(envelope) = serde_json::from_str::<Value>(said) {
        return table::member(&envelope, "code").as_str().map(str::to_owned);
    }
    let (_, rest) = said.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_code_is_found_in_xml_and_in_the_envelope() {
        assert_eq!(code("<Error><Code>BadDigest</Code></Error>").as_deref(), Some("BadDigest"));
        assert_eq!(code(r#"{"code":"CHECKSUM_MISMATCH"}"#).as_deref(), Some("CHECKSUM_MISMATCH"));
        assert_eq!(code("no such thing"), None);
    }

    #[test]
    fn the_locked_door_has_its_headers_and_may_be_missing() {
        let upload = json!({"checksum_locked": {"url": "http://s/x", "headers": {"X-A": "1", "Host": "s"}}});
        let door = Signed::checksum_locked(&upload).unwrap().unwrap();
        assert_eq!(door.url, "http://s/x");
        assert_eq!(door.headers.len(), 1);
        assert_eq!(door.headers["x-a"], "1");
        assert!(Signed::checksum_locked(&json!({"checksum_locked": null})).unwrap().is_none());
    }

    #[test]
    fn the_bare_door_is_told_the_declared_content_type() {
        let upload = json!({"upload_url": "http://s/y"});
        let told =
            |content_type| Signed::bare(&upload, content_type).unwrap().headers["content-type"].clone();
        assert_eq!(told(None), "application/octet-stream");
        assert_eq!(told(Some("application/x-msi")), "application/x-msi");
    }
}
