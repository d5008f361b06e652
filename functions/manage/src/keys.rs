//! The keys that sign decisions, and the keysets that tell clients of them.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
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
        keyset::{self, Change, NewKey, Outage, Record},
    },
    domain::token::Scope,
    http::{
        auth::Authenticated,
        body::{self, JsonBytes, OptionalJsonBytes},
        error::ApiError,
        query::Parameters,
        text, views,
    },
};

use crate::Ports;

pub(crate) fn router() -> Router<Ports> {
    Router::new()
        .route("/v1/keys", get(list).post(add))
        .route("/v1/keys/raise-epoch", post(raise_epoch))
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
        let exp = time("expires_at", &self.expires_at)?;
        if exp.is_some_and(|exp| exp <= now.max(nbf.unwrap_or(now))) {
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
    RawQuery(raw): RawQuery,
    OptionalJsonBytes(bytes): OptionalJsonBytes,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminWrite)?;
    nothing_more(bytes)?;
    let forced = Parameters::read(raw.as_deref(), &["force"])?.parse("force")?.unwrap_or(false);
    let configured = ports.signing_keys.as_deref();
    let record = keyset::promote(&ports.context, &caller, &kid, configured.filter(|_| !forced)).await?;
    let mut shown = view(&record);
    if let Value::Object(members) = &mut shown {
        members.insert("warnings".to_owned(), warnings(&record, &kid, configured).into());
    }
    Ok(Json(shown))
}

/// What whoever promotes a key should know.
fn warnings(record: &Record, kid: &str, configured: Option<&[String]>) -> Vec<String> {
    let limit = record.keyset.get(kid).filter(|key| !key.allows("*")).map(|key| {
        format!(
            "the key signs for {} alone: decisions about other products are signed by another key that is \
             configured and listed for them, or are 503",
            key.products.join(", ")
        )
    });
    let unknown = match configured {
        None => Some(
            "this function does not know the keys of those that sign: where they do not have this one configured, \
             decisions are 503 until another one is promoted",
        ),
        Some(has) if !has.iter().any(|has| has == kid) => {
            Some("this service does not have the key: its decisions are 503 until another one is promoted")
        }
        Some(_) => None,
    };
    unknown.map(str::to_owned).into_iter().chain(limit).collect()
}

async fn retire(
    state: State<Ports>,
    caller: Authenticated,
    Path(kid): Path<String>,
    body: OptionalJsonBytes,
) -> Result<Json<Value>, ApiError> {
    change(state, caller, body, Change::Retire(kid)).await
}

async fn revoke(
    state: State<Ports>,
    caller: Authenticated,
    Path(kid): Path<String>,
    body: OptionalJsonBytes,
) -> Result<Json<Value>, ApiError> {
    change(state, caller, body, Change::Revoke(kid)).await
}

async fn raise_epoch(
    state: State<Ports>,
    caller: Authenticated,
    body: OptionalJsonBytes,
) -> Result<Json<Value>, ApiError> {
    let Json(mut shown) = change(state, caller, body, Change::RaiseEpoch).await?;
    if let Value::Object(members) = &mut shown {
        let pinned =
            "clients that pinned the keyset by hand refuse every decision until they have this version";
        members.insert("warnings".to_owned(), json!([pinned]));
    }
    Ok(Json(shown))
}

async fn change(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    OptionalJsonBytes(bytes): OptionalJsonBytes,
    wanted: Change,
) -> Result<Json<Value>, ApiError> {
    caller.need(Scope::AdminWrite)?;
    nothing_more(bytes)?;
    Ok(Json(view(&keyset::change(&ports.context, &caller, &wanted).await?)))
}

async fn publish(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(file): Path<String>,
    RawQuery(raw): RawQuery,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    caller.need(Scope::AdminWrite)?;
    let forced = Parameters::read(raw.as_deref(), &["force"])?.parse("force")?.unwrap_or(false);
    let outage = if forced { Outage::Accept } else { Outage::Refuse };
    let version = file.strip_suffix(".keyset").ok_or(AppError::NotFound)?;
    let version: u64 = text::read_path(version)?;
    let (record, fresh) = keyset::publish_signed(&ports.context, &caller, (version, &bytes), outage).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view(&record))).into_response())
}

#[cfg(test)]
mod tests {
    use decision::keyset::{Keyset, KeysetKey};

    use super::*;

    #[test]
    fn a_promotion_says_what_it_cannot_know_and_what_the_key_may_not_sign() {
        let key = PublicKey::from_ed25519([9; 32]);
        let kid = key.thumbprint();
        let record = |products: &[&str]| {
            let products = products.iter().map(|&product| product.to_owned()).collect();
            let keys = vec![KeysetKey::new(key, 0, 1, products)];
            let keyset = Keyset { v: 1, version: 1, epoch: 1, expires: 1, nonces: false, keys };
            Record { keyset, active: Some(kid.clone()), signed: false, fixed: Vec::new() }
        };
        let (every, few) = (record(&["*"]), record(&["one", "two"]));
        let here = [kid.clone()];
        assert!(warnings(&every, &kid, Some(&here)).is_empty());
        assert!(warnings(&few, &kid, Some(&here)).concat().contains("one, two alone"));
        assert!(warnings(&every, &kid, Some(&[])).concat().contains("does not have the key"));
        assert!(warnings(&every, &kid, None).concat().contains("does not know the keys"));
        assert_eq!(warnings(&few, &kid, None).len(), 2);
    }
}
