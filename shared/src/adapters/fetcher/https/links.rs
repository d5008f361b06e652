//! Links that a repository itself gives out, where it is asked with its credentials: releases of GitHub, and Artifactory.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::ACCEPT;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, timeout};

use super::{
    HttpsFetcher,
    body::{Pace, words},
    entry::Entry,
    exchange::{Answer, Ask},
    says::{asset_url, decode, own},
};
use crate::{
    adapters::fetcher::Kind,
    domain::external_url::{ExternalUrl, RepositoryRule, UrlRules, pick},
    ports::{
        fetcher::FetchError,
        links::{LinkError, LinkRequest, Links},
    },
};

/// How long a link is good for, in seconds, where we may say so.
const SECONDS: u32 = 900;
/// How long the repository may take, over all requests: whoever downloads waits for it.
const LIMIT: Duration = Duration::from_secs(8);

/// Asks repositories for links.
#[derive(Debug)]
pub struct AskedLinks(Arc<HttpsFetcher>);

impl AskedLinks {
    /// Asks the repositories of this fetcher, by its rules for addresses and hosts.
    pub fn new(fetcher: Arc<HttpsFetcher>) -> Self {
        Self(fetcher)
    }
}

#[async_trait]
impl Links for AskedLinks {
    async fn link(&self, request: &LinkRequest<'_>) -> Result<String, LinkError> {
        let entry = pick(&self.0.entries, request.url).ok().flatten().ok_or(LinkError::Unsigned)?;
        let link = async {
            match entry.kind() {
                Kind::GitHub => self.0.github_link(request, entry).await,
                Kind::Jfrog => self.0.jfrog_link(request, entry).await,
                Kind::Https | Kind::S3 | Kind::Gcs => Err(LinkError::Unsigned),
            }
        };
        let outcome = timeout(LIMIT, link).await;
        outcome.unwrap_or_else(|_| Err(failed(FetchError::Timeout("the repository"))))
    }
}

impl HttpsFetcher {
    /// The API redirects whoever may read an asset to a signed URL of the host that has the bytes.
    async fn github_link(&self, request: &LinkRequest<'_>, entry: &Entry) -> Result<String, LinkError> {
        let proved = request.validators.and_then(|validators| validators.version.as_deref());
        let from = if let Some(from) = proved.and_then(|id| asset_url(request.url, entry, id)) {
            from.map_err(failed)?
        } else {
            // It was proved before the ids of assets were kept.
            let pace = Pace { limits: &self.limits, began: Instant::now(), budget: None };
            let said = self.says(request.url, entry, request.now, &pace).await.map_err(failed)?;
            let id = said.validators.version.ok_or_else(|| refused("it is no asset of a release"))?;
            let from = asset_url(request.url, entry, &id);
            from.ok_or(LinkError::Unsigned)?.map_err(failed)?
        };
        let asked = Ask::get(request.now).with(ACCEPT, "application/octet-stream");
        match self.ask_once(&from, &asked, Some(entry)).await.map_err(failed)? {
            Answer::Redirect(location) => passed_on(&from, &location, entry),
            Answer::Bytes(_) => Err(refused("it sends the bytes itself instead of a redirect")),
        }
    }

    /// Artifactory signs URLs of its own, in its editions for enterprises and for whoever may manage the repository.
    async fn jfrog_link(&self, request: &LinkRequest<'_>, entry: &Entry) -> Result<String, LinkError> {
        let api = entry.api().ok_or(LinkError::Unsigned)?;
        let root = api.strip_suffix("/api/storage").unwrap_or(api);
        let path = request.url.without_query().strip_prefix(root).map(decode);
        // Artifactory takes the path as it is, without escapes.
        let path = path.and_then(|path| String::from_utf8(path).ok()).ok_or(LinkError::Unsigned)?;
        let document = json!({ "repo_path": path, "valid_for_secs": SECONDS });
        let url = own(&format!("{root}/api/signed/url")).map_err(failed)?;
        let asked = Ask::post(request.now, "application/json", &document).with(ACCEPT, "*/*");
        let answer = match self.ask_once(&url, &asked, Some(entry)).await.map_err(failed)? {
            Answer::Bytes(answer) => answer,
            Answer::Redirect(_) => return Err(refused("it redirects to elsewhere")),
        };
        let pace = Pace { limits: &self.limits, began: Instant::now(), budget: None };
        let said = words(answer, &pace).await.map_err(failed)?;
        // As text, or as text in JSON.
        let said = serde_json::from_str::<Value>(&said)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or(said);
        let link = said.trim();
        let rules = UrlRules::default().private(entry.allow_private());
        match ExternalUrl::parse(link, &rules) {
            Ok(signed) if signed.path_and_query().contains('?') => Ok(link.to_owned()),
            Ok(_) | Err(_) => Err(refused("what it answers is no signed URL")),
        }
    }
}

/// A link that a client may be sent to: over TLS, with nothing of ours in it, and not to where the token is good.
fn passed_on(api: &ExternalUrl, location: &str, entry: &Entry) -> Result<String, LinkError> {
    let rules = UrlRules::default().private(entry.allow_private());
    let target = api.join(location, &rules).map_err(|error| refused(error.code()))?;
    if target.scheme() != "https" || target.authority() == api.authority() {
        return Err(refused("it redirects to itself"));
    }
    Ok(target.as_str().to_owned())
}

fn refused(reason: &str) -> LinkError {
    LinkError::Refused { reason: reason.to_owned() }
}

/// What a failure means for whoever downloads: that it can be tried again, or that there is no link.
fn failed(error: FetchError) -> LinkError {
    match error {
        FetchError::Status { status: status @ (400..=428 | 430..=499), retry_after: None } => {
            LinkError::Refused { reason: format!("status {status}") }
        }
        FetchError::Url { .. } => LinkError::Unsigned,
        error => LinkError::Unavailable { retry_after: error.retry_after(), cause: Box::new(error) },
    }
}
