//! Cleaning up: what would go, having it go, and how far that came.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    app::{
        context::Caller,
        gc::{self, Kept, LEAST_AGE_MS, Order, Place, Run, Spare},
    },
    domain::token::Scope,
    http::{
        auth::Authenticated,
        body::{self, JsonBytes},
        cursor,
        error::ApiError,
        text::Whole,
        views,
    },
};

use crate::Ports;

/// How many things one request looks at.
const A_PAGE: usize = 100;
/// The oldest that can be asked for, in milliseconds: a year.
const GREATEST_AGE_MS: i64 = 31_536_000_000;

pub(crate) fn router() -> Router<Ports> {
    Router::new().route("/v1/gc", get(show).post(ask))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    dry_run: Option<bool>,
    older_than_seconds: Option<Whole>,
    cursor: Option<String>,
    force: Option<bool>,
}

fn allowed(caller: &Caller, scope: Scope) -> Result<(), ApiError> {
    caller.need(scope)?;
    Ok(caller.need_no_product_limit()?)
}

async fn show(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
) -> Result<Json<Value>, ApiError> {
    allowed(&caller, Scope::AdminRead)?;
    let run = gc::last(&ports.context).await?;
    Ok(Json(json!({ "run": run.as_ref().map(view) })))
}

async fn ask(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    allowed(&caller, Scope::AdminWrite)?;
    let request: Request = body::parse(&bytes)?;
    let context = &ports.context;
    let older_than = match &request.older_than_seconds {
        None => context.settings.gc.older_than_ms,
        Some(seconds) => {
            let ms = seconds.0.checked_mul(1_000);
            let allowed = ms.filter(|ms| (LEAST_AGE_MS..=GREATEST_AGE_MS).contains(ms));
            allowed.ok_or_else(|| ApiError::invalid("older_than_seconds", "3600 to 31536000 are allowed"))?
        }
    };
    if request.dry_run == Some(false) {
        if request.cursor.is_some() {
            return Err(ApiError::invalid("cursor", "it is for looking alone: leave it out"));
        }
        let order = Order { older_than_ms: older_than, forced: request.force == Some(true) };
        let run = gc::begin(context, ports.objects.as_ref(), Some(&caller), order).await?;
        return Ok((StatusCode::ACCEPTED, Json(json!({ "run": view(&run) }))).into_response());
    }
    let scope = format!("gc\n{older_than}");
    let place = match &request.cursor {
        None => Place::default(),
        Some(text) => {
            let refusal = |_| ApiError::invalid("cursor", "it belongs to another request: begin again");
            serde_json::from_str(&cursor::read(&caller, &scope, text)?).map_err(refusal)?
        }
    };
    let seen = gc::look(context, ports.objects.as_ref(), place, older_than, A_PAGE).await?;
    let next = seen.next.and_then(|place| serde_json::to_string(&place).ok());
    let next = next.map(|place| cursor::write(&caller, &scope, &place));
    let spare: Vec<_> = seen.spare.iter().map(spare).collect();
    let kept: Vec<_> = seen.kept.iter().map(kept).collect();
    Ok(Json(json!({ "removable": spare, "kept": kept, "next_cursor": next })).into_response())
}

fn spare(spare: &Spare) -> Value {
    json!({ "kind": spare.what.kind(), "name": spare.what.to_string(), "size_bytes": spare.size_bytes, "why": spare.why })
}

fn kept(kept: &Kept) -> Value {
    json!({ "name": kept.name, "why": kept.why })
}

fn state(run: &Run) -> &'static str {
    match (&run.refused, run.finished_at) {
        (Some(_), _) => "REFUSED",
        (None, Some(_)) => "FINISHED",
        (None, None) => "RUNNING",
    }
}

fn view(run: &Run) -> Value {
    json!({
        "state": state(run), "refused": run.refused, "forced": run.forced,
        "asked_by": run.asked_by, "started_at": views::time(run.started_at),
        "finished_at": run.finished_at.map(views::time),
        "older_than_seconds": run.older_than_ms / 1_000,
        "removed": run.removed, "removed_bytes": run.removed_bytes, "kept": run.kept,
        "kept_named": run.named.iter().map(kept).collect::<Vec<_>>(),
    })
}
