//! Policies: four levels, each replaced as a whole.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use shared::{
    app::{
        context::Caller,
        error::AppError,
        policies::{self, Level, etag},
    },
    domain::{
        policy::{Policy, PolicyText},
        token::Scope,
    },
    http::{
        auth::Authenticated,
        body::{self, JsonBytes},
        error::ApiError,
        text,
    },
};

use crate::Ports;

pub(crate) fn router() -> Router<Ports> {
    Router::new()
        .route("/v1/policy", get(read).put(replace))
        .route("/v1/products/{product}/policy", get(read).put(replace))
        .route("/v1/tenants/{tenant}/policy", get(read).put(replace))
        .route("/v1/tenants/{tenant}/policies/{product}", get(read).put(replace))
}

/// The level that a path names: the same two handlers serve all four.
type Names = BTreeMap<String, String>;

fn level(names: &Names) -> Result<Level, ApiError> {
    let product = names.get("product").map(|product| text::read_path(product)).transpose()?;
    let tenant = names.get("tenant").map(|tenant| text::read_path(tenant)).transpose()?;
    Ok(match (tenant, product) {
        (None, None) => Level::Global,
        (None, Some(product)) => Level::Product(product),
        (Some(tenant), None) => Level::Tenant(tenant),
        (Some(tenant), Some(product)) => Level::TenantProduct(tenant, product),
    })
}

fn answer(policy: &Policy) -> Result<Response, ApiError> {
    let tag = HeaderValue::from_str(&etag(policy))
        .map_err(|_| AppError::Internal("an entity tag is no header value"))?;
    Ok(([(header::ETAG, tag)], Json(policy)).into_response())
}

fn need(caller: &Caller, scope: Scope, level: &Level) -> Result<(), ApiError> {
    match level {
        Level::Global | Level::Product(_) => caller.need(scope)?,
        Level::Tenant(tenant) | Level::TenantProduct(tenant, _) => caller.need_for_tenant(scope, tenant)?,
    }
    Ok(())
}

async fn read(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(names): Path<Names>,
) -> Result<Response, ApiError> {
    let level = level(&names)?;
    need(&caller, Scope::AdminRead, &level)?;
    answer(&policies::read(&ports.context, &caller, &level).await?)
}

async fn replace(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(names): Path<Names>,
    headers: HeaderMap,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    let level = level(&names)?;
    need(&caller, Scope::AdminWrite, &level)?;
    let text: PolicyText = body::parse(&bytes)?;
    let policy = Policy::try_from(text).map_err(|error| ApiError::invalid(error.member, error.rule))?;
    let if_match = match headers.get(header::IF_MATCH) {
        None => None,
        Some(tag) => Some(tag.to_str().map_err(|_| ApiError::bad_request("`If-Match` is to be ASCII"))?),
    };
    policies::replace(&ports.context, &caller, &level, &policy, if_match).await?;
    answer(&policy)
}
