//! The keys that sign decisions, and the keysets that tell clients of them.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use decision::jwk::{Jwk, PublicKey};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    app::{
        error::AppError,
        keyset::{self, Change, NewKey, Record},
    },
    domain::token::Scope,
    http::{
        auth::Authenticated,
        body::{self, JsonBytes, OptionalJsonBytes},
        error::ApiError,
        text, views,
    },
};

use crate::Ports;

/// How long a key is listed where nothing else is said, in seconds: five years.
const LIFETIME: i64 = 5 * 365 * 86_400;

pub(crate) fn router() -> Router<Ports> {
    Router::new()
        .route("/v1/keys", get(list).post(add))
        .route("/v1/keys/{kid}/promote", post(promote))
        .route("/v1/keys/{kid}/retire", post(retire))
        .route("/v1/keys/{kid}/revoke", post(revoke))
        .route("/v1/keyset/{version}", put(publish))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    jwk: Value,
    not_before: Option<String>,
    expires_at: Option<String>,
    products: Option<Vec<String>>,
}

impl Request {
    fn read(&self, now: i64) -> Result<NewKey, ApiError> {
        let rule =
            "expected the public JWK of a P-256 key (`ES256`) or an Ed25519 key (`EdDSA`), and nothing else";
        let jwk: Option<Jwk> = serde_json::from_value(self.jwk.clone()).ok();
        let key = jwk.and_then(|jwk| PublicKey::try_from(&jwk).ok());
        // Nothing else may be in it, a private half least of all.
        let exact = |key: &PublicKey| serde_json::to_value(key.to_jwk()).is_ok_and(|jwk| jwk == self.jwk);
        let key = key.filter(exact);
        let time = |member: &str, text: &Option<String>| {
            let rule = "expected a time in RFC 3339, such as `2030-01-31T12:00:00Z`";
            let read = |text: &String| views::read_time(text).map(|ms| ms.div_euclid(1_000));
            text.as_ref().map(|text| read(text).ok_or_else(|| ApiError::invalid(member, rule))).transpose()
        };
        let nbf = time("not_before", &self.not_before)?;
        let exp = time("expires_at", &self.expires_at)?.unwrap_or_else(|| now.saturating_add(LIFETIME));
        if exp <= now.max(nbf.unwrap_or(now)) {
            return Err(ApiError::invalid("expires_at", "expected a time to come, after `not_before`"));
        }
        let products = self.products.iter().flatten().map(|text| text::read("products", text));
        Ok(NewKey {
            key: key.ok_or_else(|| ApiError::invalid("jwk", rule))?,
            nbf,
            exp,
            products: products.collect::<Result<_, _>>()?,
        })
    }
}

/// The keys as operators see them.
fn view(record: &Record) -> Value {
    let keyset = &record.keyset;
    let keys: Vec<_> = keyset
        .keys
        .iter()
        .map(|key| {
            json!({ "kid": key.kid, "alg": key.key.alg().as_str(), "nbf": key.nbf, "exp": key.exp,
                "products": key.products, "revoked": key.revoked,
                "active": record.active.as_ref() == Some(&key.kid) })
        })
        .collect();
    json!({ "version": keyset.version, "epoch": keyset.epoch, "expires": keyset.expires,
        "signed": record.signed, "keys": keys })
}

async fn list(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminRead)?;
    let found = keyset::current(&ports.context).await?.ok_or(AppError::NotFound)?;
    Ok(Json(view(&found.value)))
}

async fn add(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    caller.need(Scope::AdminWrite)?;
    let new = body::parse::<Request>(&bytes)?.read(ports.context.clock.now())?;
    let record = keyset::change(&ports.context, &caller, &Change::Add(new)).await?;
    Ok((StatusCode::CREATED, Json(view(&record))).into_response())
}

/// These orders say everything in their path; an empty object is as good as nothing.
fn nothing_more(bytes: Option<axum::body::Bytes>) -> Result<(), ApiError> {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    bytes.map_or(Ok(()), |bytes| body::parse::<Nothing>(&bytes).map(|Nothing {}| ()))
}

async fn promote(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(kid): Path<String>,
    OptionalJsonBytes(bytes): OptionalJsonBytes,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminWrite)?;
    nothing_more(bytes)?;
    Ok(Json(view(&keyset::promote(&ports.context, &caller, &kid).await?)))
}

async fn retire(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(kid): Path<String>,
    OptionalJsonBytes(bytes): OptionalJsonBytes,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminWrite)?;
    nothing_more(bytes)?;
    Ok(Json(view(&keyset::change(&ports.context, &caller, &Change::Retire(kid)).await?)))
}

async fn revoke(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(kid): Path<String>,
    OptionalJsonBytes(bytes): OptionalJsonBytes,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminWrite)?;
    nothing_more(bytes)?;
    Ok(Json(view(&keyset::change(&ports.context, &caller, &Change::Revoke(kid)).await?)))
}

async fn publish(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(file): Path<String>,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    caller.need(Scope::AdminWrite)?;
    let version = file.strip_suffix(".keyset").ok_or(AppError::NotFound)?;
    let version: u64 = text::read_path(version)?;
    let (record, fresh) = keyset::publish_signed(&ports.context, &caller, version, &bytes).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view(&record))).into_response())
}
