//! The service itself: whether it is well, and how it is spoken to.

use std::sync::LazyLock;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use shared::{
    app::{error::AppError, keys},
    http::error::ApiError,
};

use crate::Ports;

const DOCUMENT: &str = include_str!("../../../docs/api/openapi.yaml");

/// The document as JSON; `None` only if the YAML in the repository were broken, which a test rules out.
static JSON: LazyLock<Option<String>> = LazyLock::new(|| {
    let document: Value = serde_saphyr::from_str(DOCUMENT).ok()?;
    serde_json::to_string(&document).ok()
});

pub(crate) fn router() -> Router<Ports> {
    Router::new().route("/healthz", get(health)).route("/v1/openapi.json", get(openapi))
}

async fn health(State(ports): State<Ports>) -> Result<Response, ApiError> {
    // A real read: a process that cannot reach its records is not well.
    ports.context.store.get_raw(&[keys::deployment()]).await?;
    let cache = HeaderValue::from_static("public, max-age=1");
    Ok(([(header::CACHE_CONTROL, cache)], Json(json!({ "status": "ok" }))).into_response())
}

async fn openapi() -> Result<Response, ApiError> {
    let text = JSON.as_deref().ok_or(AppError::Internal("the OpenAPI document cannot be read"))?;
    let json = HeaderValue::from_static("application/json");
    let cache = HeaderValue::from_static("public, max-age=300");
    Ok(([(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, cache)], text).into_response())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_reads_as_openapi_3_1() {
        let text = super::JSON.as_deref().unwrap();
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    }
}
