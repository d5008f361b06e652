//! `GET`, `HEAD /v1/artifacts/{id}/download`: sends clients to the bytes, or streams them where the store has no URLs.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{FromRef, Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use shared::{
    app::{access, context::Context, error::AppError, keys, store::Stored},
    domain::{
        artifact::{Access, Artifact, ArtifactState, Location},
        external_url::{ExternalUrl, UrlRules, pick},
        ids::ArtifactId,
        token::Scope,
        upload::ObjectKey,
    },
    http::{auth::Anyone, error::ApiError, text},
    ports::{
        links::LinkRequest,
        objects::{Download, DownloadRequest, Objects},
    },
};

mod range;

use range::Wanted;

/// What this function needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who has the bytes.
    pub objects: Arc<dyn Objects>,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The route of this function.
pub fn router(ports: Ports) -> Router {
    Router::new().route("/v1/artifacts/{artifact_id}/download", get(handle)).with_state(ports)
}

async fn handle(
    State(ports): State<Ports>,
    Anyone(caller): Anyone,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id: ArtifactId = text::read_path(&id)?;
    let context = &ports.context;
    let found: Option<Stored<Artifact>> = context.store.get(keys::artifact(id)).await?;
    let artifact = found.ok_or(AppError::NotFound)?.value;
    if artifact.access == Access::Token {
        let missing =
            AppError::Unauthorized("this artifact needs a token with the scope `artifacts:download`");
        let caller = caller.ok_or(missing)?;
        caller.need(Scope::ArtifactsDownload)?;
        if !access::sees_artifact(context, &caller, &artifact).await? {
            return Err(ApiError::not_found());
        }
    }
    if artifact.state != ArtifactState::Available {
        let hint = match artifact.removed_at {
            None => "it cannot be downloaded in this state",
            Some(_) => "its bytes were removed, since every release that named it was revoked",
        };
        return Err(AppError::ArtifactNotAvailable { id, state: artifact.state.as_str(), hint }.into());
    }
    match (&artifact.location, artifact.served_copy()) {
        (Location::External { url, .. }, None) => redirect(&external(context, &artifact, url).await?),
        (Location::Managed { .. }, _) | (_, Some(_)) => {
            managed(&ports, &artifact, &headers, method == Method::HEAD).await
        }
    }
}

/// Where the bytes of an artifact are with us: its own, or those of the copy that clients are given.
fn place(artifact: &Artifact) -> Option<(ObjectKey, Option<&String>)> {
    match (&artifact.location, artifact.served_copy()) {
        (Location::Managed { key, version, .. }, _) => Some((*key, version.as_ref())),
        (Location::External { .. }, Some(copy)) => Some((copy.key, copy.version.as_ref())),
        (Location::External { .. }, None) => None,
    }
}

/// Where an external artifact is downloaded from: its own URL, or a link that is made for this download.
async fn external(context: &Context, artifact: &Artifact, url: &str) -> Result<String, ApiError> {
    let parsed = ExternalUrl::parse(url, &UrlRules::widest()).map_err(AppError::from)?;
    let entry = pick(&context.settings.repositories, &parsed).map_err(AppError::from)?;
    let links = entry.and_then(|entry| entry.links.as_ref());
    let Some(links) = links.filter(|_| artifact.access != Access::ClientAuthenticates) else {
        return Ok(url.to_owned());
    };
    let request = LinkRequest {
        url: &parsed,
        validators: artifact.validators.as_deref(),
        file_name: artifact.file_name.as_deref(),
        now: context.clock.now_ms(),
    };
    Ok(links.link(&request).await.map_err(AppError::Link)?)
}

fn redirect(url: &str) -> Result<Response, ApiError> {
    let location =
        HeaderValue::from_str(url).map_err(|_| AppError::Internal("a stored URL is no header value"))?;
    let no_store = HeaderValue::from_static("no-store");
    Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::CACHE_CONTROL, no_store)]).into_response())
}

async fn managed(
    ports: &Ports,
    artifact: &Artifact,
    headers: &HeaderMap,
    head: bool,
) -> Result<Response, ApiError> {
    let (key, version) =
        place(artifact).ok_or(AppError::Internal("an external artifact has no bytes here"))?;
    if let Some(url) = at_the_cdn(&ports.context, artifact, &key, version).await {
        return redirect(&url);
    }
    let etag = format!("\"{}\"", artifact.sha256);
    if range::not_modified(headers, &etag) {
        let no_store = HeaderValue::from_static("no-store");
        let tag = tag(&etag)?;
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag), (header::CACHE_CONTROL, no_store)])
            .into_response());
    }
    let wanted = range::wanted(headers, artifact.size_bytes, &etag);
    if wanted == Wanted::Nothing {
        return Err(unsatisfiable(artifact));
    }
    let request = DownloadRequest {
        key,
        version: version.cloned(),
        file_name: artifact.file_name.clone(),
        content_type: artifact.content_type.clone(),
        now: ports.context.clock.now_ms(),
        range: wanted.bounds(),
    };
    match ports.objects.download(&request).await.map_err(AppError::Objects)? {
        Download::Redirect(url) => redirect(&url),
        Download::Stream(stream) => {
            let body = if head { Body::empty() } else { Body::from_stream(stream) };
            stream_response(artifact, wanted, &etag, body)
        }
    }
}

/// Where the bytes are to be had at the CDN. The store has them, too, where no such address can be signed.
async fn at_the_cdn(
    context: &Context,
    artifact: &Artifact,
    key: &ObjectKey,
    version: Option<&String>,
) -> Option<String> {
    let cdn = context.settings.cdn.as_ref().filter(|_| artifact.access == Access::Public)?;
    let url = cdn.url(key, version.map(String::as_str), context.clock.now_ms()).await;
    url.inspect_err(|error| tracing::error!(error = %error, cause = ?error, "the CDN is passed over")).ok()
}

fn unsatisfiable(artifact: &Artifact) -> ApiError {
    let message = format!("the artifact has {} bytes, and the range is beyond them", artifact.size_bytes);
    ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", message)
}

fn tag(etag: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(etag).map_err(|_| AppError::Internal("an entity tag is no header value").into())
}

fn stream_response(
    artifact: &Artifact,
    wanted: Wanted,
    etag: &str,
    body: Body,
) -> Result<Response, ApiError> {
    let size = artifact.size_bytes;
    let media = artifact.content_type.as_deref().and_then(|media| HeaderValue::from_str(media).ok());
    let octets = HeaderValue::from_static("application/octet-stream");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.unwrap_or(octets));
    headers.insert(header::ETAG, tag(etag)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let disposition = artifact
        .file_name
        .as_ref()
        .map_or_else(|| "attachment".to_owned(), |name| format!("attachment; filename=\"{name}\""));
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.length(size)));
    if let Some((first, last)) = wanted.bounds() {
        if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{size}")) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}
