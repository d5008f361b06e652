//! `POST /v1/artifacts/uploads/{upload_id}/complete`: has the store prove the bytes, and makes them an artifact.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::json;
use shared::{
    app::{
        complete::{self, Completed},
        context::Context,
    },
    domain::{digest::Sha256, token::Scope},
    http::{
        auth::Authenticated,
        body::{self, OptionalJsonBytes},
        error::ApiError,
        text,
        views::ArtifactView,
    },
    ports::objects::Objects,
};

/// After how many seconds an upload whose proof takes longer is worth looking at again.
const RETRY_AFTER_SECONDS: u64 = 2;

/// What this function needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who proves the digest.
    pub objects: Arc<dyn Objects>,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The route of this function.
pub fn router(ports: Ports) -> Router {
    Router::new().route("/v1/artifacts/uploads/{upload_id}/complete", post(handle)).with_state(ports)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    checksum: Option<String>,
}

async fn handle(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    OptionalJsonBytes(bytes): OptionalJsonBytes,
) -> Result<Response, ApiError> {
    caller.need(Scope::ArtifactsWrite)?;
    let request: Request = bytes.map(|bytes| body::parse(&bytes)).transpose()?.unwrap_or_default();
    let checksum: Option<Sha256> = text::read_option("checksum", request.checksum.as_deref())?;
    let id = text::read_path(&id)?;
    match complete::complete(&ports.context, &ports.objects, &caller, id, checksum).await? {
        Completed::Artifact(artifact) => Ok(Json(ArtifactView::from(*artifact)).into_response()),
        Completed::Later(upload) => {
            let location = format!("/v1/artifacts/uploads/{}", upload.upload_id);
            let body = json!({ "upload_id": upload.upload_id, "state": upload.state,
                "retry_after_seconds": RETRY_AFTER_SECONDS });
            let headers =
                [(header::LOCATION, location), (header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
            Ok((StatusCode::ACCEPTED, headers, Json(body)).into_response())
        }
    }
}
