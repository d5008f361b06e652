//! Products, and the tenants that have policies.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    app::{error::AppError, idempotency::Made, policies, products},
    domain::{
        names::{Channel, ProductId},
        token::Scope,
    },
    http::{
        auth::Authenticated,
        body::{self},
        error::ApiError,
        idempotent::{self, Creating, Outcome},
        text, views,
    },
};

use crate::{Page, Ports};

const MAX_RESTRICTED: usize = 100;

pub(crate) fn router() -> Router<Ports> {
    Router::new()
        .route("/v1/products", post(create).get(list))
        .route("/v1/products/{product}", get(show))
        .route("/v1/tenants", get(tenants))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    product_id: String,
    name: Option<String>,
    restricted_channels: Option<Vec<String>>,
}

impl Request {
    fn read(self) -> Result<(ProductId, Option<String>, Vec<Channel>), ApiError> {
        if self.name.as_ref().is_some_and(|name| !(1..=128).contains(&name.chars().count())) {
            return Err(ApiError::invalid("name", "1 to 128 characters are allowed"));
        }
        let restricted = self.restricted_channels.unwrap_or_default();
        if restricted.len() > MAX_RESTRICTED {
            return Err(ApiError::invalid("restricted_channels", "at most 100 channels are allowed"));
        }
        let channels = restricted.iter().map(|text| text::read("restricted_channels", text));
        Ok((text::read("product_id", &self.product_id)?, self.name, channels.collect::<Result<_, _>>()?))
    }
}

async fn create(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    request: Creating,
) -> Result<Response, ApiError> {
    let context = &ports.context;
    caller.need(Scope::AdminWrite)?;
    let (id, name, channels) = body::parse::<Request>(&request.body)?.read()?;
    let (who, id, channels) = (&caller, &id, &channels);
    let outcome = idempotent::once(context, &caller, &request, |claim| async move {
        products::create(context, who, (id, name), channels, claim.as_ref()).await
    })
    .await?;
    let product = match outcome {
        Outcome::Now(product) => product,
        Outcome::Before(Made::Product(id)) => products::find(context, &caller, &id).await?.value,
        Outcome::Before(_) => return Err(AppError::IdempotencyKeyReused.into()),
    };
    Ok((StatusCode::CREATED, Json(views::product(&product))).into_response())
}

async fn list(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    query: RawQuery,
) -> Result<Json<Value>, ApiError> {
    let page = Page::read(&caller, "products".into(), query, &[])?;
    let (found, next) = products::list(&ports.context, &caller, page.after.clone(), page.limit).await?;
    let found: Vec<_> = found.iter().map(views::product).collect();
    Ok(Json(json!({ "products": found, "next_cursor": page.next(&caller, next) })))
}

async fn show(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let product = products::find(&ports.context, &caller, &text::read_path(&id)?).await?;
    Ok(Json(views::product(&product.value)))
}

async fn tenants(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    query: RawQuery,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminRead)?;
    let page = Page::read(&caller, "tenants".into(), query, &[])?;
    let (found, next) = policies::tenants(&ports.context, &caller, page.after.clone(), page.limit).await?;
    let found: Vec<_> = found.iter().map(|tenant| json!({ "tenant_id": tenant })).collect();
    Ok(Json(json!({ "tenants": found, "next_cursor": page.next(&caller, next) })))
}
