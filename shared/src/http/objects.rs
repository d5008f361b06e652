//! The receiving side of a store that has no server of its own: `PUT /v1/objects/{key}` with a signed query.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{FromRef, Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    routing::put,
};
use futures_util::{StreamExt, TryStreamExt};

use super::{error::ApiError, text};
use crate::{
    app::context::Context,
    domain::upload::ObjectKey,
    ports::objects::{Receiver, SignedPut},
};

/// What this route needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who takes the bytes.
    pub receiver: Arc<dyn Receiver>,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The route, for hosts that serve such a store.
pub fn router(ports: Ports) -> Router {
    Router::new().route("/v1/objects/{*key}", put(receive)).with_state(ports)
}

async fn receive(
    State(ports): State<Ports>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let key: ObjectKey = text::read_path(&key)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let put = SignedPut {
        key,
        query: query.as_deref().unwrap_or_default(),
        content_length: text(header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok()),
        content_type: text(header::CONTENT_TYPE.as_str()),
        checksum: text("x-amz-checksum-sha256"),
        now: ports.context.clock.now_ms(),
    };
    let body = body.into_data_stream().map_err(std::io::Error::other).boxed();
    ports.receiver.receive(put, body).await?;
    Ok(StatusCode::OK)
}
