//! Artifacts after they were registered.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    app::{
        access,
        artifacts::{self, Filter, Intervention},
        external,
    },
    domain::{ids::ArtifactId, token::Scope},
    http::{
        auth::Authenticated,
        body::{self, JsonBytes},
        error::ApiError,
        text,
        views::{self, ArtifactView},
    },
};

use crate::{Page, Ports};

pub(crate) fn router() -> Router<Ports> {
    Router::new()
        .route("/v1/artifacts", get(list).fallback(other_methods))
        .route("/v1/artifacts/{artifact_id}", get(show).delete(delete))
        .route("/v1/artifacts/{artifact_id}/verification", get(verification))
        .route("/v1/artifacts/{artifact_id}/verify", post(verify))
        .route("/v1/artifacts/{artifact_id}/quarantine", post(quarantine))
        .route("/v1/artifacts/{artifact_id}/restore", post(restore))
        .route("/v1/artifacts/{artifact_id}/revoke", post(revoke))
}

/// This path has a method that another function answers, which only we know.
async fn other_methods() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD,POST")])
}

async fn list(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    query: RawQuery,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::ArtifactsRead)?;
    let page = Page::read(&caller, "artifacts".into(), query, &["sha256", "state", "label"])?;
    let label = match page.parameters.get("label") {
        None => None,
        Some(text) => {
            let (key, value) =
                text.split_once(':').ok_or_else(|| ApiError::invalid("label", "expected `key:value`"))?;
            Some((key.to_owned(), value.to_owned()))
        }
    };
    let filter = Filter {
        sha256: page.parameters.parse("sha256")?,
        state: page.parameters.parse("state")?,
        label,
        after: page.after.clone(),
        limit: page.limit,
    };
    let (found, next) = artifacts::list(&ports.context, &caller, &filter).await?;
    let found: Vec<_> = found.into_iter().map(ArtifactView::from).collect();
    Ok(Json(json!({ "artifacts": found, "next_cursor": page.next(&caller, next) })))
}

async fn show(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<ArtifactView>, ApiError> {
    caller.need(Scope::ArtifactsRead)?;
    let artifact = access::artifact(&ports.context, &caller, text::read_path(&id)?).await?;
    Ok(Json(artifact.value.into()))
}

async fn verification(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::ArtifactsRead)?;
    let id: ArtifactId = text::read_path(&id)?;
    let artifact = access::artifact(&ports.context, &caller, id).await?.value;
    let under_way = external::under_way(&ports.context, &artifact).await?;
    let checks = artifacts::checks(&ports.context, &caller, id).await?;
    let checks: Vec<_> = checks.iter().map(views::check).collect();
    let in_progress = under_way.as_ref().map(views::under_way);
    Ok(Json(json!({ "artifact_id": id, "checks": checks, "in_progress": in_progress })))
}

async fn verify(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.need(Scope::ArtifactsWrite)?;
    let artifact = artifacts::verify_again(&ports.context, &caller, text::read_path(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(ArtifactView::from(artifact))).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Because {
    reason: String,
}

async fn intervene(
    ports: &Ports,
    Authenticated(caller): Authenticated,
    id: &str,
    bytes: &[u8],
    intervention: Intervention,
) -> Result<Json<ArtifactView>, ApiError> {
    caller.need(Scope::ArtifactsWrite)?;
    let because: Because = body::parse(bytes)?;
    text::check_length("reason", &because.reason, 1..=1024)?;
    let id = text::read_path(id)?;
    let artifact = artifacts::intervene(&ports.context, &caller, id, intervention, &because.reason).await?;
    Ok(Json(artifact.into()))
}

async fn quarantine(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(id): Path<String>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Json<ArtifactView>, ApiError> {
    intervene(&ports, caller, &id, &bytes, Intervention::Quarantine).await
}

async fn restore(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(id): Path<String>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Json<ArtifactView>, ApiError> {
    intervene(&ports, caller, &id, &bytes, Intervention::Restore).await
}

async fn revoke(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(id): Path<String>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Json<ArtifactView>, ApiError> {
    intervene(&ports, caller, &id, &bytes, Intervention::Revoke).await
}

async fn delete(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::ArtifactsWrite)?;
    artifacts::delete(&ports.context, &ports.objects, &caller, text::read_path(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
