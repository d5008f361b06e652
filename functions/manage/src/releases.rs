//! Releases: making, reading, promoting, rolling out, revoking, and their notes.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use serde_json::{Value, json};
use shared::{
    app::{
        context::{Caller, Context},
        error::AppError,
        idempotency::Made,
        keys,
        release_list::{self, Filter},
        releases, revoke,
        store::Stored,
    },
    domain::{
        ids::ReleaseId,
        names::{Channel, ProductId},
        release::{Release, ReleaseStatus},
        token::Scope,
    },
    http::{
        auth::Authenticated,
        body::{self, JsonBytes},
        error::ApiError,
        idempotent::{self, Creating, Outcome},
        query::Parameters,
        text, views,
    },
};

mod request;

use crate::{Page, Ports};

pub(crate) fn router() -> Router<Ports> {
    Router::new()
        .route("/v1/releases", post(create))
        .route("/v1/releases/{release_id}", get(show))
        .route("/v1/releases/{release_id}/rollout", patch(rollout))
        .route("/v1/releases/{release_id}/notes", get(notes))
        .route("/v1/releases/{release_id}/promote", post(promote))
        .route("/v1/releases/{release_id}/revoke", post(revoke_release))
        .route("/v1/products/{product}/releases", get(list))
        .route("/v1/products/{product}/releases/latest", get(latest))
}

async fn made(context: &Context, caller: &Caller, outcome: Outcome<Release>) -> Result<Response, ApiError> {
    let release = match outcome {
        Outcome::Now(release) => release,
        Outcome::Before(Made::Release(id)) => releases::find(context, caller, id).await?.value,
        Outcome::Before(_) => return Err(AppError::IdempotencyKeyReused.into()),
    };
    Ok((StatusCode::CREATED, Json(views::release(&release))).into_response())
}

async fn create(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    request: Creating,
) -> Result<Response, ApiError> {
    let context = &ports.context;
    caller.need(Scope::CiWrite)?;
    let new = body::parse::<request::Create>(&request.body)?.read()?;
    let (who, what) = (&caller, &new);
    let outcome = idempotent::once(context, &caller, &request, |claim| async move {
        releases::create(context, who, what, claim.as_ref()).await
    })
    .await?;
    made(context, &caller, outcome).await
}

async fn promote(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    request: Creating,
) -> Result<Response, ApiError> {
    let context = &ports.context;
    caller.need(Scope::CiWrite)?;
    let to = body::parse::<request::Promote>(&request.body)?.read()?;
    let id: ReleaseId = text::read_path(&id)?;
    let who = &caller;
    let outcome = idempotent::once(context, &caller, &request, |claim| async move {
        releases::promote(context, who, id, to, claim.as_ref()).await
    })
    .await?;
    made(context, &caller, outcome).await
}

async fn show(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::ArtifactsRead)?;
    let release = releases::find(&ports.context, &caller, text::read_path(&id)?).await?;
    Ok(Json(views::release(&release.value)))
}

async fn list(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(product): Path<String>,
    query: RawQuery,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::ArtifactsRead)?;
    let product: ProductId = text::read_path(&product)?;
    let page = Page::read(&caller, format!("releases of {product}"), query, &["channel", "status"])?;
    let filter = Filter {
        channel: page.parameters.parse("channel")?,
        status: page.parameters.parse("status")?,
        after: page.after.clone(),
        limit: page.limit,
    };
    let (found, next) = release_list::list(&ports.context, &caller, &product, &filter).await?;
    let found: Vec<_> = found.iter().map(views::release).collect();
    Ok(Json(json!({ "releases": found, "next_cursor": page.next(&caller, next) })))
}

async fn latest(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(product): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::ArtifactsRead)?;
    let parameters = Parameters::read(raw.as_deref(), &["channel"])?;
    let channel: Channel = parameters.parse("channel")?.unwrap_or_else(Channel::stable);
    let release =
        release_list::latest(&ports.context, &caller, &text::read_path(&product)?, &channel).await?;
    Ok(Json(views::release(&release)))
}

async fn rollout(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::CiWrite)?;
    let (percentage, paused) = body::parse::<request::Rollout>(&bytes)?.read()?;
    let id = text::read_path(&id)?;
    let release = releases::set_rollout(&ports.context, &caller, id, percentage, paused).await?;
    Ok(Json(views::release(&release)))
}

async fn revoke_release(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::CiWrite)?;
    let order = body::parse::<request::Revoke>(&bytes)?.read()?;
    let release = revoke::revoke(&ports.context, &caller, text::read_path(&id)?, &order).await?;
    let revocation =
        release.revocation.ok_or(AppError::Internal("a revoked release without its revocation"))?;
    Ok(Json(json!({
        "release_id": release.release_id, "status": release.status, "revoked_at": views::time(revocation.at),
        "revoked_by": revocation.by, "reason": revocation.reason,
    })))
}

async fn notes(State(ports): State<Ports>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id: ReleaseId = text::read_path(&id)?;
    let found: Option<Stored<Release>> = ports.context.store.get(keys::release(id)).await?;
    let published = found.filter(|release| release.value.status == ReleaseStatus::Published);
    let notes = published.and_then(|release| release.value.release_notes).ok_or(AppError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60")),
    ];
    Ok((headers, notes).into_response())
}
