//! `POST /v1/artifacts/uploads`, `POST …/parts`, and `GET`, `DELETE` of an upload: begins an upload, makes URLs for its
//! parts, shows it with fresh URLs, aborts it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    app::{
        context::Context,
        error::AppError,
        idempotency::Made,
        parts::{self, Wanted},
        uploads::{self, Initiation},
    },
    domain::{
        artifact::Access,
        token::Scope,
        upload::{Upload, UploadState},
    },
    http::{
        auth::Authenticated,
        body::{self, JsonBytes},
        error::ApiError,
        idempotent::{self, Creating, Outcome},
        text::{self, Whole},
        views::{self, DoorsView, UploadView},
    },
    ports::objects::Objects,
};

/// For how many parts one call makes URLs.
const MAX_PARTS_A_CALL: usize = 200;

/// What this function needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who makes the URLs.
    pub objects: Arc<dyn Objects>,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The routes of this function.
pub fn router(ports: Ports) -> Router {
    Router::new()
        .route("/v1/artifacts/uploads", post(initiate))
        .route("/v1/artifacts/uploads/{upload_id}", get(show).delete(abort))
        .route("/v1/artifacts/uploads/{upload_id}/parts", post(parts))
        .with_state(ports)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    size_bytes: Whole,
    sha256: String,
    file_name: Option<String>,
    content_type: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    access: Option<String>,
    multipart: Option<bool>,
}

impl Request {
    fn read(self, max_size: u64) -> Result<Initiation, ApiError> {
        let access: Option<Access> = text::read_option("access", self.access.as_deref())?;
        if access == Some(Access::ClientAuthenticates) {
            let rule = "`client_authenticates` is for external artifacts alone: use `token` or `public`";
            return Err(ApiError::invalid("access", rule));
        }
        let labels = self.labels.unwrap_or_default();
        text::check_labels(&labels)?;
        text::check_file_name(self.file_name.as_deref())?;
        text::check_content_type(self.content_type.as_deref())?;
        Ok(Initiation {
            sha256: text::read("sha256", &self.sha256)?,
            size_bytes: text::check_size(self.size_bytes.0, max_size)?,
            file_name: self.file_name,
            content_type: self.content_type,
            labels,
            access: access.unwrap_or(Access::Public),
            multipart: self.multipart.unwrap_or_default(),
        })
    }
}

#[derive(Debug, Serialize)]
struct Initiated {
    upload_id: shared::domain::ids::UploadId,
    #[serde(flatten)]
    doors: DoorsView,
    expires_at: String,
}

async fn initiate(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    request: Creating,
) -> Result<Response, ApiError> {
    let (context, objects) = (&ports.context, &ports.objects);
    caller.need(Scope::ArtifactsWrite)?;
    let initiation = body::parse::<Request>(&request.body)?.read(context.settings.upload_max_size_bytes)?;
    let (who, what) = (&caller, &initiation);
    let outcome = idempotent::once(context, &caller, &request, |claim| async move {
        uploads::initiate(context, objects, who, what, claim.as_ref()).await
    })
    .await?;
    let (upload, doors) = match outcome {
        Outcome::Now(done) => done,
        // The same upload again, its URLs minted anew.
        Outcome::Before(Made::Upload(id)) => {
            let upload = uploads::find(context, &caller, id).await?.value;
            uploads::check_not_over(&upload)?;
            let doors = uploads::doors(context, objects, &upload).await?;
            (upload, doors)
        }
        Outcome::Before(_) => return Err(AppError::IdempotencyKeyReused.into()),
    };
    let expires_at = views::time(upload.expires_at);
    let doors = DoorsView::new(&upload, doors);
    let body = Initiated { upload_id: upload.upload_id, doors, expires_at };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn show(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<UploadView>, ApiError> {
    caller.need(Scope::ArtifactsWrite)?;
    let upload = uploads::find(&ports.context, &caller, text::read_path(&id)?).await?.value;
    let doors = open_doors(&ports, &upload).await?;
    Ok(Json(UploadView::new(&upload, doors)))
}

/// An upload that ends before, in milliseconds, is shown without doors: stores sign no URL for less than a second.
const DOORS_LEAST_MS: i64 = 2_000;

async fn open_doors(ports: &Ports, upload: &Upload) -> Result<Option<DoorsView>, ApiError> {
    let left = upload.expires_at.saturating_sub(ports.context.clock.now_ms());
    if upload.state != UploadState::Initiated || left < DOORS_LEAST_MS {
        return Ok(None);
    }
    let doors = uploads::doors(&ports.context, &ports.objects, upload).await?;
    Ok(Some(DoorsView::new(upload, doors)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartsRequest {
    parts: Vec<PartRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartRequest {
    part_number: Whole,
    sha256: Option<String>,
}

impl PartsRequest {
    fn read(&self) -> Result<Vec<Wanted>, ApiError> {
        if !(1..=MAX_PARTS_A_CALL).contains(&self.parts.len()) {
            return Err(ApiError::invalid("parts", format!("1 to {MAX_PARTS_A_CALL} parts are allowed")));
        }
        let part = |(place, part): (usize, &PartRequest)| {
            let member = format!("parts[{place}].sha256");
            let sha256 = text::read_option(&member, part.sha256.as_deref())?;
            Ok(Wanted { part_number: part.part_number.0, sha256 })
        };
        self.parts.iter().enumerate().map(part).collect()
    }
}

async fn parts(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::ArtifactsWrite)?;
    let id = text::read_path(&id)?;
    let wanted = body::parse::<PartsRequest>(&bytes)?.read()?;
    let doors = parts::doors(&ports.context, &ports.objects, &caller, id, &wanted).await?;
    Ok(Json(views::parts(doors)))
}

async fn abort(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<UploadView>, ApiError> {
    caller.need(Scope::ArtifactsWrite)?;
    let upload = uploads::abort(&ports.context, &ports.objects, &caller, text::read_path(&id)?).await?;
    Ok(Json(UploadView::new(&upload, None)))
}
