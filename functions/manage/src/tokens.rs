//! API tokens.

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    app::tokens::{self, NewToken},
    domain::token::Scope,
    http::{
        auth::Authenticated,
        body::{self, JsonBytes},
        error::ApiError,
        text, views,
    },
};

use crate::{Page, Ports};

pub(crate) fn router() -> Router<Ports> {
    Router::new().route("/v1/tokens", post(create).get(list)).route("/v1/tokens/{token_id}", delete(revoke))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    name: String,
    scopes: Vec<String>,
    tenant_id: Option<String>,
    product_id: Option<String>,
    expires_at: Option<String>,
}

impl Request {
    fn read(&self, now: i64) -> Result<NewToken, ApiError> {
        if !(1..=128).contains(&self.name.chars().count()) {
            return Err(ApiError::invalid("name", "1 to 128 characters are allowed"));
        }
        let scopes: BTreeSet<Scope> =
            self.scopes.iter().map(|text| text::read("scopes", text)).collect::<Result<_, _>>()?;
        if scopes.is_empty() || scopes.len() != self.scopes.len() {
            return Err(ApiError::invalid("scopes", "at least one scope is needed, and each once"));
        }
        Ok(NewToken {
            name: self.name.clone(),
            scopes: scopes.into_iter().collect(),
            tenant_id: text::read_option("tenant_id", self.tenant_id.as_deref())?,
            product_id: text::read_option("product_id", self.product_id.as_deref())?,
            expires_at: self.expires_at.as_deref().map(|text| expiry(text, now)).transpose()?,
        })
    }
}

fn expiry(text: &str, now: i64) -> Result<i64, ApiError> {
    let rule = "expected a time to come in RFC 3339, such as `2030-01-31T12:00:00Z`";
    views::read_time(text).filter(|at| *at > now).ok_or_else(|| ApiError::invalid("expires_at", rule))
}

async fn create(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    caller.need(Scope::AdminWrite)?;
    let new = body::parse::<Request>(&bytes)?.read(ports.context.clock.now_ms())?;
    let (token, text) = tokens::create(&ports.context, &caller, &new).await?;
    let mut view = views::token(&token);
    if let Some(view) = view.as_object_mut() {
        // The one time that the text leaves: only its hash is kept.
        view.insert("token".into(), json!(text.text.reveal()));
    }
    let no_store = HeaderValue::from_static("no-store");
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, no_store)], Json(view)).into_response())
}

async fn list(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    query: RawQuery,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminWrite)?;
    let page = Page::read(&caller, "tokens".into(), query, &[])?;
    let (found, next) = tokens::list(&ports.context, &caller, page.after.clone(), page.limit).await?;
    let found: Vec<_> = found.iter().map(views::token).collect();
    Ok(Json(json!({ "tokens": found, "next_cursor": page.next(&caller, next) })))
}

async fn revoke(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::AdminWrite)?;
    tokens::revoke(&ports.context, &caller, text::read_path(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
