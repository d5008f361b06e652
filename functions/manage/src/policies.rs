//! Policies: four levels, each replaced as a whole.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use shared::{
    app::{
        error::AppError,
        policies::{self, Level, etag},
    },
    domain::{
        names::TenantId,
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
        .route("/v1/policy", get(read_global).put(replace_global))
        .route("/v1/products/{product}/policy", get(read_product).put(replace_product))
        .route("/v1/tenants/{tenant}/policy", get(read_tenant).put(replace_tenant))
        .route(
            "/v1/tenants/{tenant}/policies/{product}",
            get(read_tenant_product).put(replace_tenant_product),
        )
}

fn answer(policy: &Policy) -> Result<Response, ApiError> {
    let tag = HeaderValue::from_str(&etag(policy))
        .map_err(|_| AppError::Internal("an entity tag is no header value"))?;
    Ok(([(header::ETAG, tag)], Json(policy)).into_response())
}

fn need(caller: &Authenticated, scope: Scope, level: &Level) -> Result<(), ApiError> {
    match level {
        Level::Global | Level::Product(_) => caller.0.need(scope)?,
        Level::Tenant(tenant) | Level::TenantProduct(tenant, _) => caller.0.need_for_tenant(scope, tenant)?,
    }
    Ok(())
}

async fn read(ports: &Ports, caller: &Authenticated, level: &Level) -> Result<Response, ApiError> {
    need(caller, Scope::AdminRead, level)?;
    answer(&policies::read(&ports.context, &caller.0, level).await?)
}

async fn replace(
    ports: &Ports,
    caller: &Authenticated,
    level: &Level,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Response, ApiError> {
    need(caller, Scope::AdminWrite, level)?;
    let text: PolicyText = body::parse(bytes)?;
    let policy = Policy::try_from(text).map_err(|error| ApiError::invalid(error.member, error.rule))?;
    let if_match = match headers.get(header::IF_MATCH) {
        None => None,
        Some(tag) => Some(tag.to_str().map_err(|_| ApiError::bad_request("`If-Match` is to be ASCII"))?),
    };
    policies::replace(&ports.context, &caller.0, level, &policy, if_match).await?;
    answer(&policy)
}

fn product(text: &str) -> Result<Level, ApiError> {
    Ok(Level::Product(text::read_path(text)?))
}

fn tenant(text: &str) -> Result<Level, ApiError> {
    Ok(Level::Tenant(text::read_path(text)?))
}

fn tenant_product((tenant, product): &(String, String)) -> Result<Level, ApiError> {
    let tenant: TenantId = text::read_path(tenant)?;
    Ok(Level::TenantProduct(tenant, text::read_path(product)?))
}

async fn read_global(State(ports): State<Ports>, caller: Authenticated) -> Result<Response, ApiError> {
    read(&ports, &caller, &Level::Global).await
}

async fn replace_global(
    State(ports): State<Ports>,
    caller: Authenticated,
    headers: HeaderMap,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    replace(&ports, &caller, &Level::Global, &headers, &bytes).await
}

async fn read_product(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    read(&ports, &caller, &product(&id)?).await
}

async fn replace_product(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    replace(&ports, &caller, &product(&id)?, &headers, &bytes).await
}

async fn read_tenant(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    read(&ports, &caller, &tenant(&id)?).await
}

async fn replace_tenant(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    replace(&ports, &caller, &tenant(&id)?, &headers, &bytes).await
}

async fn read_tenant_product(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(ids): Path<(String, String)>,
) -> Result<Response, ApiError> {
    read(&ports, &caller, &tenant_product(&ids)?).await
}

async fn replace_tenant_product(
    State(ports): State<Ports>,
    caller: Authenticated,
    Path(ids): Path<(String, String)>,
    headers: HeaderMap,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    replace(&ports, &caller, &tenant_product(&ids)?, &headers, &bytes).await
}
