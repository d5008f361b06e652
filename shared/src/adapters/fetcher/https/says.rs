//! What repositories say of their files without sending them, each in its own way.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, header::ACCEPT};
use serde_json::Value;

use super::{
    Entry, HttpsFetcher,
    body::{Pace, document},
    exchange::{Ask, invalid, text, validators},
    refused,
};
use crate::{
    adapters::fetcher::Kind,
    domain::{
        artifact::{Validators, Verification},
        digest::Sha256,
        external_url::{ExternalUrl, UrlRules},
    },
    ports::fetcher::{FetchError, FetchRequest, Fetched, SizeFound},
};

/// What a repository said of a file, and where it is to be read if that is no proof.
pub(super) struct Said {
    pub(super) validators: Validators,
    from: ExternalUrl,
    /// Whether the bytes come out of an API that has to be told that they are wanted.
    through_api: bool,
}

impl Said {
    pub(super) fn nothing(url: &ExternalUrl) -> Self {
        Self { validators: Validators::default(), from: url.clone(), through_api: false }
    }

    /// Compares; nothing where the repository knows no digest.
    pub(super) fn proves(&self, request: &FetchRequest) -> Result<Option<Fetched>, FetchError> {
        let declared = request.declared_size;
        if let Some(found) = self.validators.size_bytes.filter(|size| *size != declared) {
            return Err(FetchError::SizeMismatch { declared, found: SizeFound::Exactly(found) });
        }
        let Some(found) = self.validators.sha256 else { return Ok(None) };
        if found != request.declared_sha256 {
            return Err(FetchError::ChecksumMismatch { declared: request.declared_sha256, found });
        }
        Ok(Some(Fetched {
            verification: Verification::Repository,
            validators: self.validators.clone(),
            final_url_host: self.from.host().to_owned(),
            bytes_read: 0,
            concealed: false,
        }))
    }

    /// The version that is read, where the repository has versions.
    pub(super) fn version(&self, request: &FetchRequest) -> Option<String> {
        let earlier = request.resume.as_ref().and_then(|progress| progress.validators.version.clone());
        earlier.or_else(|| self.validators.version.clone())
    }

    /// Where the bytes are read, and how they are asked for.
    pub(super) fn stream(&self, request: &FetchRequest, first: Option<&Entry>) -> (ExternalUrl, Ask) {
        let mut asked = Ask::get(request.now);
        if self.through_api {
            asked = asked.with(ACCEPT, "application/octet-stream");
        }
        let pinned = match (first.map(Entry::kind), self.version(request)) {
            (Some(Kind::Gcs), Some(generation)) => pin(&self.from, &generation),
            _ => None,
        };
        (pinned.unwrap_or_else(|| self.from.clone()), asked)
    }
}

/// The URL of one generation; nothing where the URL names one already.
fn pin(url: &ExternalUrl, generation: &str) -> Option<ExternalUrl> {
    if url.has_query("generation") {
        return None;
    }
    let join = if url.path_and_query().contains('?') { '&' } else { '?' };
    ExternalUrl::parse(&format!("{}{join}generation={generation}", url.as_str()), &UrlRules::widest()).ok()
}

impl HttpsFetcher {
    /// Asks a repository what it knows of a file.
    pub(super) async fn says(
        &self,
        url: &ExternalUrl,
        entry: &Entry,
        now: i64,
        pace: &Pace<'_>,
    ) -> Result<Said, FetchError> {
        match entry.kind() {
            Kind::S3 => self.s3(url, entry, now).await,
            Kind::Jfrog => self.jfrog(url, entry, now, pace).await,
            Kind::GitHub => self.github(url, entry, now, pace).await,
            Kind::Https | Kind::Gcs => {
                let validators = self.head(url, now, Some(entry)).await?;
                Ok(Said { validators, ..Said::nothing(url) })
            }
        }
    }

    /// The checksum that S3 keeps of a whole object. One that was made of the checksums of parts is none.
    async fn s3(&self, url: &ExternalUrl, entry: &Entry, now: i64) -> Result<Said, FetchError> {
        let asked = Ask::head(now).with(HeaderName::from_static("x-amz-checksum-mode"), "ENABLED");
        let (answer, _, own) = self.walk(url, &asked, Some(entry)).await?;
        let headers = answer.response.headers();
        let mut validators = validators(&answer.response);
        let whole = text(headers, &HeaderName::from_static("x-amz-checksum-type"));
        let sha256 = text(headers, &HeaderName::from_static("x-amz-checksum-sha256"));
        validators.sha256 = sha256
            .filter(|_| own && whole.is_none_or(|kind| kind == "FULL_OBJECT"))
            .and_then(|text| from_base64(&text));
        Ok(Said { validators, ..Said::nothing(url) })
    }

    /// `X-Checksum-Sha256`, or the document of `/api/storage`.
    async fn jfrog(
        &self,
        url: &ExternalUrl,
        entry: &Entry,
        now: i64,
        pace: &Pace<'_>,
    ) -> Result<Said, FetchError> {
        let mut validators = match self.walk(url, &Ask::head(now), Some(entry)).await {
            Ok((answer, _, own)) => {
                let header = text(answer.response.headers(), &HeaderName::from_static("x-checksum-sha256"));
                let sha256 = header.filter(|_| own).and_then(|text| text.parse().ok());
                Validators { sha256, ..validators(&answer.response) }
            }
            // It may lead to an object store with a link that is signed for reading alone.
            Err(FetchError::Status { status: 400 | 403 | 405, retry_after: None }) => Validators::default(),
            Err(error) => return Err(error),
        };
        if validators.sha256.is_none()
            && let Some(api) = entry.api()
        {
            let document = self.storage(url, api, entry, now, pace).await?;
            let sha256 = document.pointer("/checksums/sha256").and_then(Value::as_str);
            validators.sha256 = sha256.and_then(|text| text.parse().ok());
        }
        Ok(Said { validators, ..Said::nothing(url) })
    }

    /// What `/api/storage` says of a file; nothing where there is no such document.
    async fn storage(
        &self,
        url: &ExternalUrl,
        api: &str,
        entry: &Entry,
        now: i64,
        pace: &Pace<'_>,
    ) -> Result<Value, FetchError> {
        // The API lies beside the files: behind it comes the path of the file.
        let root = api.strip_suffix("/api/storage").unwrap_or(api);
        let Some(path) = url.without_query().strip_prefix(root) else { return Ok(Value::Null) };
        let about = own(&format!("{api}{path}"))?;
        match self.walk(&about, &Ask::get(now), Some(entry)).await {
            Ok((answer, _, true)) => document(answer, pace).await,
            // What another host says is not the repository's word.
            Ok((_, _, false))
            | Err(FetchError::Status { status: 400 | 403 | 404 | 405, retry_after: None }) => Ok(Value::Null),
            Err(error) => Err(error),
        }
    }

    /// The asset of a release, by its tag and name.
    async fn github(
        &self,
        url: &ExternalUrl,
        entry: &Entry,
        now: i64,
        pace: &Pace<'_>,
    ) -> Result<Said, FetchError> {
        let (Some(api), Some([owner, repository, tag, name])) = (entry.api(), asset(url)) else {
            return Ok(Said::nothing(url));
        };
        let release = own(&format!("{api}/repos/{owner}/{repository}/releases/tags/{tag}"))?;
        let asked = Ask::get(now).with(ACCEPT, "application/vnd.github+json");
        let (answer, _, still) = self.walk(&release, &asked, Some(entry)).await?;
        if !still {
            return Err(invalid("the API redirects to elsewhere"));
        }
        let document = document(answer, pace).await?;
        let assets = document.get("assets").and_then(Value::as_array);
        let named =
            |asset: &&Value| asset.get("name").and_then(Value::as_str).is_some_and(|own| same(own, name));
        let Some(asset) = assets.and_then(|assets| assets.iter().find(named)) else {
            return Err(FetchError::Status { status: 404, retry_after: None });
        };
        let member = |name: &str| asset.get(name).and_then(Value::as_str);
        let sha256 = member("digest").and_then(|digest| digest.strip_prefix("sha256:")?.parse().ok());
        let validators = Validators {
            last_modified: member("updated_at").map(str::to_owned),
            size_bytes: asset.get("size").and_then(Value::as_u64),
            sha256,
            // What replaces an asset has another id.
            version: asset.get("id").and_then(Value::as_u64).map(|id| id.to_string()),
            ..Validators::default()
        };
        let id = validators.version.as_deref().filter(|_| entry.credentials().is_some());
        // The page of a private asset is for people who are signed in; its bytes come out of the API.
        match id.and_then(|id| asset_url(url, entry, id)) {
            Some(from) => Ok(Said { validators, from: from?, through_api: true }),
            None => Ok(Said { validators, ..Said::nothing(url) }),
        }
    }
}

fn from_base64(text: &str) -> Option<Sha256> {
    Some(Sha256::from_bytes(STANDARD.decode(text).ok()?.try_into().ok()?))
}

/// Owner, repository, tag and name in the URL of a release's asset.
fn asset(url: &ExternalUrl) -> Option<[&str; 4]> {
    let parts: Vec<&str> = url.path().split('/').collect();
    match &parts[..] {
        ["", owner, repository, "releases", "download", tag, name] => Some([owner, repository, tag, name]),
        _ => None,
    }
}

/// Where the API has the bytes of an asset; nothing where the URL is none of an asset, or that is no id.
pub(super) fn asset_url(
    url: &ExternalUrl,
    entry: &Entry,
    id: &str,
) -> Option<Result<ExternalUrl, FetchError>> {
    let (api, [owner, repository, ..]) = (entry.api()?, asset(url)?);
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| own(&format!("{api}/repos/{owner}/{repository}/releases/assets/{id}")))
}

/// A URL that was put together here.
pub(super) fn own(text: &str) -> Result<ExternalUrl, FetchError> {
    ExternalUrl::parse(text, &UrlRules::widest()).map_err(|error| refused(0, error))
}

/// Whether a name in a path is this one, however it is encoded.
fn same(name: &str, in_path: &str) -> bool {
    decode(in_path) == name.as_bytes()
}

/// A path without its escapes.
pub(super) fn decode(path: &str) -> Vec<u8> {
    path.split('%').enumerate().fold(Vec::new(), |mut out, (index, piece)| {
        match piece.split_at_checked(2).filter(|_| index > 0) {
            Some((escape, rest)) => {
                out.extend(u8::from_str_radix(escape, 16).ok());
                out.extend_from_slice(rest.as_bytes());
            }
            None => out.extend_from_slice(piece.as_bytes()),
        }
        out
    })
}
