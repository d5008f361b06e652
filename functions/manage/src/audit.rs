//! The audit log.

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    routing::get,
};
use serde_json::{Value, json};
use shared::{
    app::audit::{self, Filter},
    domain::token::Scope,
    http::{auth::Authenticated, error::ApiError, views},
};

use crate::{Page, Ports};

pub(crate) fn router() -> Router<Ports> {
    Router::new().route("/v1/audit/events", get(list))
}

async fn list(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    query: RawQuery,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminRead)?;
    caller.need_no_product_limit()?;
    let page = Page::read(&caller, "events".into(), query, &["type", "actor", "since"])?;
    let since = match page.parameters.get("since") {
        None => None,
        Some(text) => {
            let rule = "expected a time in RFC 3339, such as `2026-01-31T12:00:00Z`";
            Some(views::read_time(text).ok_or_else(|| ApiError::invalid("since", rule))?)
        }
    };
    let filter = Filter {
        kind: page.parameters.get("type").map(str::to_owned),
        actor: page.parameters.get("actor").map(str::to_owned),
        since,
        after: page.after.clone(),
        limit: page.limit,
    };
    let (found, next) = audit::list(&ports.context, &filter).await?;
    let found: Vec<_> = found.iter().map(views::event).collect();
    Ok(Json(json!({ "events": found, "next_cursor": page.next(&caller, next) })))
}
