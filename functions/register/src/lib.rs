//! `POST /v1/artifacts`: registers an artifact whose bytes live elsewhere.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use shared::{
    app::{
        access,
        context::{Caller, Context},
        error::AppError,
        idempotency::Made,
        register::{self, Registration},
    },
    domain::{artifact::Access, digest::Sha256, token::Scope},
    http::{
        auth::Authenticated,
        body::{self},
        error::ApiError,
        idempotent::{self, Creating, Outcome},
        text::{self, Whole},
        views::ArtifactView,
    },
};

/// The largest external artifact: the largest integer that every JSON reader keeps exact.
const MAX_SIZE: u64 = (1 << 53) - 1;

/// What this function needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The route of this function.
pub fn router(ports: Ports) -> Router {
    // The list of artifacts at the same path is served by `manage`, whose router is merged with this one.
    Router::new().route("/v1/artifacts", post(handle)).with_state(ports)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    source_type: String,
    sha256: String,
    size_bytes: Whole,
    external_url: String,
    file_name: Option<String>,
    content_type: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    access: Option<String>,
    escrow: Option<bool>,
}

impl Request {
    fn read(self) -> Result<Registration, ApiError> {
        if self.source_type != "EXTERNAL" {
            let rule =
                "`EXTERNAL` is registered here; bytes for managed storage go to `/v1/artifacts/uploads`";
            return Err(ApiError::invalid("source_type", rule));
        }
        let labels = self.labels.unwrap_or_default();
        text::check_labels(&labels)?;
        text::check_file_name(self.file_name.as_deref())?;
        text::check_content_type(self.content_type.as_deref())?;
        let sha256: Sha256 = text::read("sha256", &self.sha256)?;
        let access: Option<Access> = text::read_option("access", self.access.as_deref())?;
        Ok(Registration {
            sha256,
            size_bytes: text::check_size(self.size_bytes.0, MAX_SIZE)?,
            external_url: self.external_url,
            file_name: self.file_name,
            content_type: self.content_type,
            labels,
            access: access.unwrap_or(Access::Public),
            escrow: self.escrow.unwrap_or(false),
        })
    }
}

async fn handle(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    request: Creating,
) -> Result<Response, ApiError> {
    let context = &ports.context;
    caller.need(Scope::ArtifactsWrite)?;
    let registration = body::parse::<Request>(&request.body)?.read()?;
    let (who, what) = (&caller, &registration);
    let outcome = idempotent::once(context, &caller, &request, |claim| async move {
        register::register(context, who, what, claim.as_ref()).await
    })
    .await?;
    answer(context, &caller, outcome).await
}

async fn answer(
    context: &Context,
    caller: &Caller,
    outcome: Outcome<(shared::domain::artifact::Artifact, bool)>,
) -> Result<Response, ApiError> {
    let (artifact, fresh) = match outcome {
        Outcome::Now(done) => done,
        Outcome::Before(Made::Artifact(id)) => (access::artifact(context, caller, id).await?.value, true),
        Outcome::Before(Made::KnownArtifact(id)) => {
            (access::artifact(context, caller, id).await?.value, false)
        }
        Outcome::Before(_) => return Err(AppError::IdempotencyKeyReused.into()),
    };
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(ArtifactView::from(artifact))).into_response())
}
